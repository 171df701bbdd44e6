#!/bin/sh
# Trains a network, exports it to ONNX and compares ONNX Runtime's results with the library's. ONNX Runtime is PyPI's in
# FOLDER/venv or, if that is missing, npm's in FOLDER/node_modules. If both are missing, exits with 77: skipped.
# Usage: sh run.sh REPOPT_CIFAR ONNX_REFERENCE FOLDER   (FOLDER: see python_packages.sh)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
program=$1 reference=$2 folder=$3
export NODE_PATH="$folder/node_modules"
if "$folder/venv/bin/python" -c 'import onnx, onnxruntime' 2>/dev/null; then
  python=$folder/venv/bin/python
  run_model() { "$python" "$here/compare.py" "$@"; }
elif node -e "require('onnxruntime-node')" 2>/dev/null && /usr/bin/python3 -c 'import onnx' 2>/dev/null; then
  python=/usr/bin/python3
  run_model() { node "$here/compare.js" "$@"; }
else
  echo "skipped: no ONNX Runtime in $folder; tests/programs/python_packages.sh installs it"
  exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# quietly COMMAND...: runs the command and prints its output only if it fails.
quietly() { "$@" >log.txt 2>&1 || { cat log.txt && exit 1; }; }

# train MODE EPOCHS PICTURES: trains the network MODE/model.safetensors.
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

# compare MODEL WEIGHTS CONDITION [OPTIMIZATION]: runs the ONNX network MODEL and the library's network WEIGHTS, and
# evaluates CONDITION in Python. There, `r` is the object that compare.py or compare.js prints. The library computes once for
# each WEIGHTS, beside which its reference stays.
compare() {
  [ -e "$2.reference" ] || quietly "$reference" "$2" synthetic 500 "$2.reference"
  run_model "$1" "$2.reference" "${4-all}" >result.json || { cat result.json && exit 1; }
  cat result.json
  "$python" -c "import json
r = json.load(open('result.json'))
assert r['images'] == 500 and $3, '$1 fails'"
}

same_logits='r["difference"] <= 1e-4 and r["agreement"] >= 0.998'
same_classes='r["agreement"] >= 0.99'

train rep 2 1000
train repvgg 1 256
for mode in rep repvgg; do
  export_onnx $mode.onnx --weights $mode/model.safetensors
  "$python" "$here/check.py" $mode.onnx float
  compare $mode.onnx $mode/model.safetensors "$same_logits"
done

for scheme in per-channel per-tensor; do
  how="--data synthetic --limit 500 --calibration-images 128 --scheme $scheme"
  # shellcheck disable=SC2086
  quietly "$program" quantize --weights rep/model.safetensors --out $scheme.safetensors $how
  export_onnx $scheme.onnx --weights $scheme.safetensors
  "$python" "$here/check.py" $scheme.onnx $scheme
  compare $scheme.onnx $scheme.safetensors "$same_classes"
  # shellcheck disable=SC2086
  export_onnx at-once.onnx --weights rep/model.safetensors --int8 $how
  cmp at-once.onnx $scheme.onnx

  # Without optimization ONNX Runtime computes with the dequantized numbers, which is exact on every processor.
  export_onnx signed.onnx --weights $scheme.safetensors --signed-weights
  "$python" "$here/check.py" signed.onnx $scheme int8
  compare signed.onnx $scheme.safetensors "$same_classes" disabled
done

# Fewer bits, and identities that are split off. ONNX Runtime gives the same classes with and without optimization.
few=0
for how in "--weight-bits 5 --activation-bits 6" "--weight-bits 4 --split-identity" "--activation-bits 4 --split-identity=16"; do
  few=$((few + 1))
  # shellcheck disable=SC2086
  quietly "$program" quantize --weights rep/model.safetensors --data synthetic --limit 500 --calibration-images 128 \
    --scheme per-tensor $how --out $few.safetensors
  export_onnx $few.onnx --weights $few.safetensors
  "$python" "$here/check.py" $few.onnx per-tensor
  for optimization in all disabled; do compare $few.onnx $few.safetensors "$same_classes" $optimization; done
done
