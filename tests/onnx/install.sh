#!/bin/sh
# Installs what the test `onnx` needs and does not find, so that it is not skipped: node and python3 with onnx, by
# apt-get, and onnxruntime-node, by npm into the build folder.
# Usage: sh tests/onnx/install.sh [FOLDER]   (default: build/release/tests/onnx, where the test looks)
set -eu

folder=${1:-$(dirname "$0")/../../build/release/tests/onnx}

packages=
command -v npm >/dev/null || packages="nodejs npm"
/usr/bin/python3 -c 'import onnx' 2>/dev/null || packages="$packages python3-onnx"
if [ -n "$packages" ]; then
  apt-get update
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
fi

mkdir -p "$folder"
cd "$folder"
[ -f package.json ] || echo '{"private": true}' >package.json
# Its own installation script would fetch GPU libraries.
[ -d node_modules/onnxruntime-node ] ||
  ONNXRUNTIME_NODE_INSTALL=skip npm install --no-audit --no-fund onnxruntime-node@1.30.0
