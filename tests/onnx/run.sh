#!/bin/sh
# Trains a network, exports it to ONNX and compares what ONNX Runtime makes of it with this library's own results.
# Exits with 77, which CTest calls skipped, where node, onnxruntime-node or python3 with onnx is missing.
# Usage: sh run.sh REPOPT_CIFAR ONNX_REFERENCE FOLDER   (FOLDER/node_modules: see install.sh)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
program=$1 reference=$2 folder=$3
export NODE_PATH="$folder/node_modules"
skip() {
  echo "skipped: $*; tests/onnx/install.sh installs it"
  exit 77
}
command -v node >/dev/null || skip "node is missing"
node -e "require('onnxruntime-node')" 2>/dev/null || skip "onnxruntime-node is missing"
/usr/bin/python3 -c 'import onnx' 2>/dev/null || skip "python3's onnx is missing"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# ours MODEL LOGITS: how ONNX Runtime's logits differ from ours, as the JSON object of compare.js.
compare() { node "$here/compare.js" "$1" reference.safetensors "$2" | tee result.json; }

# holds NAME CONDITION: CONDITION speaks of the last result's fields.
holds() {
  node -e "const r = JSON.parse(require('fs').readFileSync('result.json')); process.exit($2 ? 0 : 1)" ||
    { echo "FAILED: $1"; exit 1; }
}

for mode in rep repvgg; do
  "$program" train --data synthetic --model cifar-small --mode $mode --epochs 2 --limit 1000 --out $mode >log.txt 2>&1 ||
    { cat log.txt && exit 1; }
  weights=$mode/model.safetensors
  "$program" export-onnx --weights $weights --out $mode.onnx
  "$reference" $weights synthetic 500 reference.safetensors
  /usr/bin/python3 "$here/check.py" $mode.onnx
  compare $mode.onnx logits
  holds "float logits of mode $mode to 1e-4" 'r.images === 500 && r.difference <= 1e-4 * Math.max(1, r.largest)'
  holds "float logits of mode $mode name the same classes" 'r.agreement >= 0.998'
done
