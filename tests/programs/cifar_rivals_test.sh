#!/bin/sh
# Trains the networks that rep is compared with, and the variations of each, with repopt-cifar.
# Usage: sh cifar_rivals_test.sh PROGRAM
# shellcheck disable=SC2016,SC2086  # check() evaluates its condition itself; $rival is many words
set -eu
# shellcheck source=tests/programs/program_checks.sh
. "$(dirname "$0")/program_checks.sh"

# accuracy FILE: prints the accuracy of a result.
accuracy() { grep -o '"test_accuracy":[0-9.e-]*' "$1"; }

# One training that nothing disturbs, and one that Ctrl-C stops.
rival="train --data synthetic --model cifar-small --mode qarepvgg --epochs 10 --limit 96 --batch-size 32 --threads 1
  --seed 3 --checkpoint-every 1 --out"
"$program" $rival whole >whole.txt 2>>log.txt
"$program" $rival stopped >out.txt 2>>log.txt &
child=$!
while [ ! -e stopped/checkpoint.safetensors ] && kill -0 "$child"; do sleep 0.05; done
kill -INT "$child"
status=0
wait "$child" || status=$?
check "a stopped training exits with 130, not $status" '[ "$status" -eq 130 ]'
"$program" $rival stopped --resume >out.txt 2>>log.txt
check "qarepvgg, stopped and resumed, ends bit for bit as the undisturbed one" \
  'cmp -s whole/model.safetensors stopped/model.safetensors'

"$program" convert --weights whole/model.safetensors --out plain.safetensors --threads 1 >convert.txt 2>>log.txt
for weights in whole/model.safetensors plain.safetensors; do
  "$program" eval --weights "$weights" --data synthetic --limit 96 --threads 1 >eval.txt 2>>log.txt
  check "eval of $weights and train report the same accuracy" '[ "$(accuracy eval.txt)" = "$(accuracy whole.txt)" ]'
done
"$program" quantize --weights whole/model.safetensors --data synthetic --limit 96 --calibration-images 64 --threads 1 \
  --fine-tune-epochs 1 --out int8.safetensors >int8.txt 2>>log.txt
check "qarepvgg is quantized and fine-tuned" 'grep -q "\"int8_accuracy\":" int8.txt && grep -q before_fine_tuning int8.txt'
refuses "scales for qarepvgg" "--mode qarepvgg takes no --scales" train --data synthetic --mode qarepvgg --scales ones
refuses "resuming as repvgg" "mode is qarepvgg, here it is repvgg" train --data synthetic --model cifar-small --mode repvgg \
  --epochs 10 --limit 96 --batch-size 32 --seed 3 --out whole --resume

finish
