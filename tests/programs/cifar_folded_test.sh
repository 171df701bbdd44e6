#!/bin/sh
# Trains branches folded with repopt-cifar: against the real branches, by every rule and prior, stopped and resumed.
# Usage: sh cifar_folded_test.sh PROGRAM
# shellcheck disable=SC2016,SC2086  # check() evaluates its condition itself; $search is many words
set -eu
# shellcheck source=tests/programs/program_checks.sh
. "$(dirname "$0")/program_checks.sh"

# train MODE FOLDER ARGUMENT...: trains for a short time and writes the result to FOLDER.json.
train() {
  mode=$1 folder=$2
  shift 2
  "$program" train --data synthetic --model cifar-small --mode "$mode" --epochs "${epochs-2}" --limit 96 --batch-size 32 --threads 1 \
    --seed 3 --out "$folder" "$@" >"$folder.txt" 2>>log.txt || { cat log.txt && exit 1; }
  tail -n 1 "$folder.txt" >"$folder.json"
}

# number KEY FILE: prints a number of a result.
number() { sed -n "s/.*\"$1\":\([0-9.e-]*\).*/\1/p" "$2"; }

# close A B: whether two numbers agree to 1e-9.
close() { [ -n "$1" ] && [ -n "$2" ] && awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(d <= 1e-9 * b) }'; }

for optimizer in sgd adamw adam; do
  for mode in csla folded; do train $mode $mode-$optimizer --optimizer $optimizer --precision double --clip-grad-norm 1; done
  check "folded branches end with the loss of real ones, by $optimizer" \
    'close "$(number train_loss folded-$optimizer.json)" "$(number train_loss csla-$optimizer.json)"'
done
for optimizer in lion lamb; do
  train folded folded-$optimizer --optimizer $optimizer
  check "$optimizer trains folded" '[ -n "$(number train_loss folded-$optimizer.json)" ]'
done

# One search that nothing disturbs, and one that Ctrl-C stops.
search="train --data synthetic --model cifar-small --mode hyper_search --epochs 10 --limit 96 --batch-size 32 --threads 1
  --seed 3 --ema 0.9 --checkpoint-every 1 --out"
"$program" $search whole >whole.json 2>>log.txt
"$program" $search stopped >out.txt 2>>log.txt &
child=$!
while [ ! -e stopped/checkpoint.safetensors ] && kill -0 "$child"; do sleep 0.05; done
kill -INT "$child"
status=0
wait "$child" || status=$?
check "a stopped search exits with 130, not $status" '[ "$status" -eq 130 ]'
"$program" $search stopped --resume >out.txt 2>>log.txt
check "a search that was stopped and resumed ends bit for bit as the undisturbed one" \
  'cmp -s whole/model.safetensors stopped/model.safetensors && cmp -s whole/scales.safetensors stopped/scales.safetensors'

"$program" eval --weights whole/model.safetensors --data synthetic --limit 96 --threads 1 >eval.txt 2>>log.txt
check "eval and the search report the same accuracy" \
  '[ "$(number test_accuracy whole.json)" = "$(number test_accuracy eval.txt)" ]'

epochs=1
for prior in average dbb edge asymmetric orepa; do
  for mode in folded hyper_search; do
    train $mode $mode-$prior --prior $prior
    "$program" eval --weights "$mode-$prior/model.safetensors" --data synthetic --limit 96 --threads 1 >eval.txt 2>>log.txt
    check "$mode with prior $prior: eval and train report the same accuracy" \
      '[ "$(number test_accuracy "$mode-$prior.json")" = "$(number test_accuracy eval.txt)" ]'
  done
  train folded again-$prior --prior $prior --scales hyper_search-$prior/scales.safetensors
  check "prior $prior trains with the scales of its search" '[ -n "$(number train_loss again-$prior.json)" ]'
done

refuses "LAMB for the kernel" "--mode folded trains the same branches by it" train --data synthetic --optimizer lamb
refuses "Adam for the kernel" "its coupled weight decay enters the moments" train --data synthetic --optimizer adam
refuses "LARS" "it must be one of sgd, adamw, adam, lion, lamb" train --data synthetic --optimizer lars
refuses "identities for a prior without" "the blocks of dbb have no identity" train --data synthetic --mode folded \
  --prior dbb --identity-init one
refuses "a prior for a mode without branches" "--prior dbb is for --mode folded and hyper_search" train --data synthetic \
  --prior dbb
refuses "an unknown prior" "the priors are repvgg, average, dbb, edge, asymmetric, orepa" train --data synthetic \
  --mode folded --prior resnet
finish
