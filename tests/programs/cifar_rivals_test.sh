#!/bin/sh
# Trains the networks that rep is compared with, and the variations of each, with repopt-cifar.
# Usage: sh cifar_rivals_test.sh PROGRAM
# shellcheck disable=SC2016,SC2086  # check() evaluates its condition itself; $rival is many words
set -eu
# shellcheck source=tests/programs/program_checks.sh
. "$(dirname "$0")/program_checks.sh"

# accuracy FILE: prints the accuracy of a result.
accuracy() { grep -o '"test_accuracy":[0-9.e-]*' "$1"; }

# train MODE FOLDER ARGUMENT...: trains for a short time in double and writes the result to FOLDER.json.
short="--data synthetic --model cifar-small --epochs 1 --limit 64 --batch-size 16 --threads 1 --seed 3 --precision double"
train() {
  mode=$1 folder=$2
  shift 2
  "$program" train $short --mode "$mode" --out "$folder" "$@" >"$folder.json" 2>>log.txt || { cat log.txt && exit 1; }
}

# loss RUN: prints the training loss of the run's last epoch.
loss() { sed -n 's/.*"train_loss":\([0-9.e-]*\).*/\1/p' "$1.json"; }

# close RUN RUN: whether the losses agree to 1e-9.
close() { awk -v a="$(loss "$1")" -v b="$(loss "$2")" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a > 0 && d <= 1e-9 * b) }'; }

# One training that nothing disturbs, and one that Ctrl-C stops.
rival="train --data synthetic --model cifar-small --mode qarepvgg --epochs 10 --limit 96 --batch-size 32 --threads 1
  --seed 3 --checkpoint-every 1 --out"
"$program" $rival whole >whole.txt 2>>log.txt
"$program" $rival stopped >out.txt 2>>log.txt &
child=$!
while [ ! -e stopped/checkpoint.safetensors ] && kill -0 "$child"; do sleep 0.05; done
kill -INT "$child" || true
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

train repvgg repvgg
train repvgg custom --custom-l2
train repvgg twice --custom-l2 --weight-decay 1e-3
check "the result names the custom L2" 'grep -q "\"custom_l2\":true" custom.json && grep -q "\"custom_l2\":false" repvgg.json'
check "the custom L2 trains differently from weight decay, and by its coefficient" \
  '! close custom repvgg && ! close custom twice'
refuses "resuming without the custom L2" "custom_l2 is yes, here it is no" train $short --mode repvgg --out custom --resume
refuses "the custom L2 of another mode" "--custom-l2 is for --mode repvgg, not qarepvgg" train $short --mode qarepvgg --custom-l2
refuses "the custom L2 with decoupled decay" "take --optimizer sgd or adam" train $short --mode repvgg --custom-l2 \
  --optimizer adamw
refuses "the custom L2 without its coefficient" "which must be > 0, it is 0" train $short --mode repvgg --custom-l2 \
  --weight-decay 0

# The branches start otherwise, and are still trained by one kernel as they would train themselves.
train csla usual
for knob in "--identity-init 0.3" "--scale-factor 0.5"; do
  for mode in rep csla folded hyper_search; do train $mode $mode $knob; done
  check "rep and folded follow csla with $knob" 'close rep csla && close folded csla'
  check "csla and hyper_search train differently with $knob" '! close csla usual && ! close hyper_search csla'
  rm -r rep csla folded hyper_search
done
check "the result names the factor of the scales" 'grep -q "\"scale_factor\":0.5" rep.json'
train csla one --identity-init one
train csla number --identity-init 1.0
check "identities at 1 start as with scales sqrt" 'close one usual && close number usual'

train rep factor --scale-factor 0.5
refuses "resuming with another factor" "scale_factor is 0.5, here it is 1" train $short --mode rep --out factor --resume
# fine_tuned ARGUMENT...: prints the layers of the network after fine-tuning.
fine_tuned() {
  "$program" quantize --weights factor/model.safetensors --data synthetic --limit 64 --calibration-images 64 --threads 1 \
    --fine-tune-epochs 1 --lr 0.01 "$@" 2>>log.txt | grep -o '"layers":.*'
}
check "fine-tuning takes the factor from the network's file" \
  'fine_tuned >factor.txt && fine_tuned --scales sqrt >other.txt && [ -s factor.txt ] && ! cmp -s factor.txt other.txt'

refuses "an identity's weight that is no number" "it must be searched, one or a number" train $short --identity-init half
refuses "an identity's weight in mode plain" "--identity-init is for modes rep, csla, folded and hyper_search, not plain" \
  train $short --mode plain --identity-init 0.3
refuses "an identity's weight that is not used" "has no effect on an ordinary initialization" train $short \
  --initialization ordinary --identity-init 0.3
refuses "a factor of 0" "--scale-factor must be > 0 and finite, it is 0" train $short --scale-factor 0
refuses "a factor in mode repvgg" "--scale-factor is for modes rep, csla, folded and hyper_search, not repvgg" train $short \
  --mode repvgg --scale-factor 2

finish
