#!/bin/sh
# Installs what tests take from PyPI: onnxruntime, onnx and safetensors by pip, in a virtual environment. If pip fails,
# it installs node and python3 with onnx by apt-get, and onnxruntime-node by npm. Tests whose packages are missing are
# skipped.
# Usage: sh tests/programs/python_packages.sh [FOLDER]   (default: build/release/tests/python, where the tests look)
set -eu

folder=${1:-$(dirname "$0")/../../build/release/tests/python}
mkdir -p "$folder"
cd "$folder"

apt_get_install() {
  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

has_modules() { "$1" -c 'import onnx, onnxruntime, safetensors' 2>/dev/null; }

# `--clear` replaces a broken virtual environment of an earlier try.
install_by_pip() {
  has_modules venv/bin/python && return
  python3 -c 'import venv, ensurepip' 2>/dev/null || apt_get_install python3-venv || return
  python3 -m venv --clear venv && venv/bin/python -m pip install --quiet onnxruntime onnx safetensors numpy &&
    has_modules venv/bin/python
}

install_by_npm() {
  packages=
  command -v npm >/dev/null || packages="nodejs npm"
  /usr/bin/python3 -c 'import onnx' 2>/dev/null || packages="$packages python3-onnx"
  # shellcheck disable=SC2086
  [ -z "$packages" ] || apt_get_install $packages || return
  [ -f package.json ] || echo '{"private": true}' >package.json
  # The variable stops the package's installation script, which would download GPU libraries.
  [ -d node_modules/onnxruntime-node ] ||
    ONNXRUNTIME_NODE_INSTALL=skip npm install --no-audit --no-fund onnxruntime-node@1.30.0
}

install_by_pip || install_by_npm ||
  echo "neither pip nor npm can install ONNX Runtime: the tests onnx and safetensors will be skipped"
