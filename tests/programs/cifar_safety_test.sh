#!/bin/sh
# Tries to lose work and to confuse repopt-cifar: trains into used folders, writes over inputs and into places that
# cannot be written, goes on with longer runs, and checks that a run says all that shaped it.
# Usage: sh cifar_safety_test.sh PROGRAM
# shellcheck disable=SC2016,SC2034,SC2086  # check() evaluates its condition itself; $train is many words
set -eu
# shellcheck source=tests/programs/program_checks.sh
. "$(dirname "$0")/program_checks.sh"

run="train --data synthetic --model cifar-small --limit 64 --batch-size 16 --threads 1 --seed 3"
train="$run --epochs 2 --out"

# state FOLDER: prints names, contents and times of all files in it.
state() { find "$1" -type f -exec ls -l {} + -exec cksum {} +; }

# keeps FOLDER NAME TEXT ARGUMENT...: the program must refuse as in refuses(), and change nothing in FOLDER.
keeps() {
  folder=$1 before=$(state "$1")
  shift
  refuses "$@"
  check "$1: nothing changes" '[ "$before" = "$(state "$folder")" ]'
}

# One training into a folder that another has finished in, or stopped in.
"$program" $train run >first.json 2>log.txt
keeps run "a finished run" "run holds a run: --resume goes on with it, --overwrite replaces it" $train run
rm run/checkpoint.safetensors
for how in "" --resume; do
  keeps run "a network without a checkpoint" "run holds a network, but no checkpoint to resume from" $train run $how
done
"$program" $train run --overwrite --mode plain >plain.json 2>>log.txt
"$program" $train plain --mode plain >other.json 2>>log.txt
check "--overwrite trains as into an empty folder" 'cmp -s run/model.safetensors plain/model.safetensors'
mv run/model.safetensors .
keeps run "a stopped run" "run holds a run" $train run
refuses "both at once" "contradict each other" $train run --resume --overwrite
mkdir notes
echo "my notes" >notes/read.me
"$program" $train notes >notes.json 2>>log.txt
check "a folder that is not empty may be used if it holds no run" '[ -s notes/model.safetensors ] && [ -s notes/read.me ]'

# A training that is running; then a killed one, which leaves its lock file.
"$program" $run --epochs 500 --out busy >busy.json 2>busy.txt &
child=$!
while [ ! -s busy/checkpoint.safetensors ] && kill -0 "$child"; do sleep 0.05; done
for option in "" --resume --overwrite; do
  refuses "a running training, $option" "another training is running in busy" $train busy $option
done
check "the running training goes on" 'kill -0 "$child"'
kill -KILL "$child"
wait "$child" 2>/dev/null || true
refuses "a killed run" "busy holds a run" $train busy
"$program" $train busy --overwrite >busy.json 2>>log.txt
check "the lock of a killed training is free" '[ -s busy/model.safetensors ]'

# --resume without a checkpoint starts; with one and more epochs it goes on, on the cosine of the new length.
"$program" $train fresh --resume >fresh.json 2>>log.txt
check "--resume with nothing there trains as without" '[ "$(cut -d, -f1-6 fresh/metrics.csv)" = "$(cut -d, -f1-6 notes/metrics.csv)" ]'
cp fresh/metrics.csv fresh.csv
"$program" $run --epochs 4 --out fresh --resume >longer.json 2>longer.txt
check "a longer run goes on from its last step" 'grep -q "^resumed at step 8 of 16" longer.txt'
check "a longer run keeps its first epochs" \
  '[ "$(head -n 3 fresh/metrics.csv)" = "$(cat fresh.csv)" ] && [ "$(wc -l <fresh/metrics.csv)" -eq 5 ]'
"$program" $run --epochs 4 --out four >four.json 2>>log.txt
check "from there on, its learning rate is that of a run of the new length" \
  '[ "$(sed -n 4,5p fresh/metrics.csv | cut -d, -f2)" = "$(sed -n 4,5p four/metrics.csv | cut -d, -f2)" ]'
check "the result says after how many epochs the run was made longer" 'grep -q "\"earlier_epochs\":\[2\]" longer.json'
check "a run that was not made longer has no such epochs" 'grep -q "\"earlier_epochs\":\[\]" four.json'
keeps fresh "a shorter run" "its epochs is 4, here it is 3" $run --epochs 3 --out fresh --resume

# A run names everything that shaped it: each option of --help but those about files and running.
"$program" $train all --mode hyper_search --ema 0.5 --clip-grad-norm 7 --weight-decay 0.25 --warmup-epochs 0.25 \
  --label-smoothing 0.125 --momentum 0.75 >all.json 2>>log.txt
options=$("$program" train --help | sed -n 's/^ *\(-h,\)\{0,1\}--\([a-z0-9-]*\).*/\2/p' |
  grep -vx -e help -e data -e out -e resume -e overwrite -e checkpoint-every | tr - _)
check "--help lists options" '[ "$(echo "$options" | wc -l)" -gt 20 ]'
for option in $options; do
  check "the result names $option" 'grep -q "\"$option\":" all.json'
  check "the network names $option" 'head -c 20000 all/model.safetensors | grep -aqF "\\\"$option\\\":"'
done
for value in '"ema":0.5' '"clip_grad_norm":7.0' '"weight_decay":0.25' '"warmup_epochs":0.25' '"label_smoothing":0.125' \
  '"momentum":0.75' '"lr":0.1' '"seed":3' '"batch_size":16' '"limit":64'; do
  check "the result says $value" 'grep -qF "$value" all.json'
done
"$program" convert --weights all/model.safetensors --out plain.safetensors --threads 1 >convert.json 2>>log.txt
check "a converted network still says how it was trained" \
  'head -c 20000 plain.safetensors | grep -aqF "\\\"clip_grad_norm\\\":7.0"'

keeps all "scales of the run that --overwrite removes" "which --scales needs" $train all --overwrite --mode rep \
  --scales ./all/scales.safetensors

# --out that is an input, or cannot be written.
ln -s model.safetensors all/link.safetensors
for out in all/model.safetensors ./all/../all/model.safetensors all/link.safetensors; do
  keeps all "convert onto its input $out" "which would be lost" convert --weights all/model.safetensors --out "$out"
done
weights="--weights all/model.safetensors"
keeps all "quantize onto its input" "which would be lost" quantize $weights --data synthetic --out all/model.safetensors
keeps all "export-onnx onto its input" "which would be lost" export-onnx $weights --out all/model.safetensors
mkdir own pictures
cp all/scales.safetensors own
echo picture >pictures/test_batch.bin
keeps own "quantize onto the scales of its fine-tuning" "which would be lost" quantize $weights --data synthetic \
  --fine-tune-epochs 1 --scales own/scales.safetensors --out own/scales.safetensors
keeps pictures "quantize onto its pictures" "which would be lost" quantize $weights --data pictures \
  --out pictures/test_batch.bin
keeps pictures "export-onnx onto its pictures" "which would be lost" export-onnx $weights --int8 --data pictures \
  --out pictures/test_batch.bin

# Files of a run, by whatever name.
ln -s all/metrics.csv link.svg
for out in all/checkpoint.safetensors all/scales.safetensors all/metrics.csv link.svg; do
  keeps all "convert onto the run's $out" "belongs to the run in" convert $weights --out "$out"
done
keeps all "plot onto a link to a run's file" "belongs to the run in" plot all --out link.svg
keeps all "plot onto a run's picture" "belongs to the run in" plot all --out all/curves.svg

# Scales that no run wrote, folders in the place of files, and a way through a folder that does not exist.
keeps own "a search onto scales that it takes" "--mode hyper_search replaces own/scales.safetensors, which --scales needs" \
  $train own --mode hyper_search --scales own/scales.safetensors
keeps own "a search onto other scales" "own/scales.safetensors is there already" $train own --mode hyper_search
mkdir -p way/metrics.csv
refuses "a folder in the place of a file" "is a folder, but the run writes a file of this name" $train way
refuses "a run through a missing folder" "all holds a run" $train missing/../all
check "a refusal makes no folder" '[ ! -e missing ]'
mv all/scales.safetensors all/scales.svg
keeps all "scales onto its input" "which would be lost" scales all/scales.svg --out all/scales.svg
reason="cannot create nowhere/out.*: No such file or directory"
# late NAME ARGUMENT...: the program must find out that --out cannot be written before it does anything else.
late() {
  status=0
  "$program" "$@" >out.txt 2>err.txt || status=$?
  check "$1 into a missing folder: exit status $status" '[ "$status" -eq 1 ]'
  check "$1 into a missing folder: the reason is the first line" 'head -n 1 err.txt | grep -q "^error: $reason"'
}
late convert $weights --out nowhere/out.safetensors
late quantize $weights --data synthetic --out nowhere/out.safetensors
late export-onnx $weights --out nowhere/out.onnx
late scales all/scales.svg --out nowhere/out.svg
late plot all --out nowhere/out.svg
echo file >file
for command in train study; do
  refuses "$command below a file" "cannot create the folder" $command --data synthetic --limit 64 --out file/below
done
check "no folder nowhere is made" '[ ! -e nowhere ]'

finish
