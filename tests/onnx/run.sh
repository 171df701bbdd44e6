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

# quietly COMMAND...: shows what a command said only if it fails.
quietly() { "$@" >log.txt 2>&1 || { cat log.txt && exit 1; }; }

# train MODE EPOCHS PICTURES: the network MODE/model.safetensors.
train() {
  quietly "$program" train --data synthetic --model cifar-small --mode "$1" --epochs "$2" --limit "$3" --threads 1 \
    --out "$1"
}

# export_onnx MODEL ARGUMENT...
export_onnx() {
  out=$1
  shift
  quietly "$program" export-onnx --out "$out" "$@"
}

# compare MODEL WEIGHTS CONDITION [OPTIMIZATION]: CONDITION is about the object that compare.js prints.
compare() {
  quietly "$reference" "$2" synthetic 500 reference.safetensors
  node "$here/compare.js" "$1" reference.safetensors "${4-all}" | tee result.json
  node -e "const r = JSON.parse(require('fs').readFileSync('result.json'));
           process.exit(r.images === 500 && $3 ? 0 : 1)" || { echo "FAILED: $3" && exit 1; }
}

same_logits='r.difference <= 1e-4 && r.agreement >= 0.998'
same_classes='r.agreement >= 0.99'

train rep 2 1000
train repvgg 1 256
for mode in rep repvgg; do
  export_onnx $mode.onnx --weights $mode/model.safetensors
  /usr/bin/python3 "$here/check.py" $mode.onnx float
  compare $mode.onnx $mode/model.safetensors "$same_logits"
done

for scheme in per-channel per-tensor; do
  how="--data synthetic --limit 500 --calibration-images 128 --scheme $scheme"
  # shellcheck disable=SC2086
  quietly "$program" quantize --weights rep/model.safetensors --out $scheme.safetensors $how
  export_onnx $scheme.onnx --weights $scheme.safetensors
  /usr/bin/python3 "$here/check.py" $scheme.onnx $scheme
  compare $scheme.onnx $scheme.safetensors "$same_classes"
  # shellcheck disable=SC2086
  export_onnx at-once.onnx --weights rep/model.safetensors --int8 $how
  cmp at-once.onnx $scheme.onnx

  # Without optimization ONNX Runtime computes with the dequantized numbers, exactly on every processor.
  export_onnx signed.onnx --weights $scheme.safetensors --signed-weights
  /usr/bin/python3 "$here/check.py" signed.onnx $scheme int8
  compare signed.onnx $scheme.safetensors "$same_classes" disabled
done
