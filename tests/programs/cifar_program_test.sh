#!/bin/sh
# Uses repopt-cifar as a person would: trains, resumes, evaluates, plots, and makes mistakes.
# Usage: sh cifar_program_test.sh PROGRAM
# shellcheck disable=SC2016  # check() evaluates its condition itself
set -eu
# shellcheck source=tests/programs/program_checks.sh
. "$(dirname "$0")/program_checks.sh"

# train MODE FOLDER ARGUMENT...: trains for a short time and writes the result to FOLDER.json.
train() {
  mode=$1 folder=$2
  shift 2
  "$program" train --data synthetic --model cifar-small --mode "$mode" --epochs 2 --limit 160 --batch-size 32 \
    --threads 1 --seed 3 --out "$folder" "$@" >"$folder.txt" 2>>log.txt
  tail -n 1 "$folder.txt" >"$folder.json"
}

# Prints the accuracy of the result on stdin.
accuracy() {
  grep -o '"test_accuracy":[0-9.e-]*'
}

# A network learns to tell the synthetic pictures apart; a linear classifier does not (cifar/synthetic.test.cpp).
"$program" train --data synthetic --model cifar-small --epochs 2 --limit 5000 --out learnt >out.txt 2>>log.txt
check "a network gets above 90 % of the synthetic pictures" \
  'grep -Eq "\"test_accuracy\":(0\.9|1)" out.txt'

train rep whole --ema 0.9
for key in mode model data epochs test_accuracy train_loss images_per_second peak_rss_mb; do
  check "the result names $key" 'grep -q "\"$key\":" whole.json'
done
for file in metrics.csv curves.svg checkpoint.safetensors model.safetensors; do
  check "train writes $file" '[ -s "whole/$file" ]'
done

"$program" eval --weights whole/model.safetensors --data synthetic --limit 160 --threads 1 >eval.txt 2>>log.txt
check "eval and train report the same accuracy" \
  '[ "$(accuracy <whole.json)" = "$(accuracy <eval.txt)" ]'

train hyper_search search
check "hyper_search writes scales" '[ -s search/scales.safetensors ]'
train rep searched --scales search/scales.safetensors --optimizer adamw --clip-grad-norm 5 --precision double
"$program" scales search/scales.safetensors --out scales.svg >scales.txt 2>table.txt
check "scales names the models that the file fits" 'grep -q "\"fits\":\[\"cifar-small\"\]" scales.txt'
check "scales lists and draws them" 'grep -q "^stage1.0.scale_identity.weight " table.txt && grep -q "<svg" scales.svg'
refuses "scales of another model" "the first layer that does not fit is 'stage0'" train --data synthetic \
  --model cifar-deep --scales search/scales.safetensors --out refused
check "a refused training writes nothing" '[ ! -e refused ]'
mv search/scales.safetensors .
train rep searched --scales search/scales.safetensors --optimizer adamw --clip-grad-norm 5 --precision double --resume

for folder in whole search; do
  "$program" convert --weights "$folder/model.safetensors" --out "$folder.plain.safetensors" --threads 1 >convert.txt \
    2>>log.txt
  "$program" eval --weights "$folder.plain.safetensors" --data synthetic --limit 160 --threads 1 >plain.txt 2>>log.txt
  check "the converted network of $folder has the accuracy that train reported" \
    '[ "$(accuracy <"$folder.json")" = "$(accuracy <plain.txt)" ]'
done

"$program" quantize --weights whole/model.safetensors --data synthetic --limit 160 --calibration-images 64 \
  --fine-tune-epochs 1 --threads 1 --out int8.safetensors >int8.txt 2>>log.txt
for key in float_accuracy int8_accuracy before_fine_tuning agreement layers lr scales seed; do
  check "the result of quantize names $key" 'grep -q "\"$key\":" int8.txt'
done
# same_accuracy QUANTIZED: eval must report the accuracy in integers that quantize has reported.
same_accuracy() {
  "$program" eval --weights "$1" --data synthetic --limit 160 --threads 1 >eval.txt 2>>log.txt
  check "eval and quantize report the same accuracy of $1" \
    '[ "$(grep -o "\"int8_accuracy\":[0-9.e-]*" int8.txt | head -n 1 | cut -d: -f2)" = "$(accuracy <eval.txt | cut -d: -f2)" ]'
}
same_accuracy int8.safetensors
"$program" quantize --weights whole/model.safetensors --data synthetic --limit 160 --calibration-images 64 \
  --weight-bits 5 --activation-bits 6 --split-identity=16 --scheme per-tensor --fine-tune-epochs 1 --threads 1 \
  --out split.safetensors >int8.txt 2>>log.txt
check "quantize names the bits" 'grep -q "\"weight_bits\":5,\"activation_bits\":6,\"split_identity\":16" int8.txt'
same_accuracy split.safetensors
"$program" sweep --weights whole/model.safetensors --data synthetic --limit 64 --threads 1 >sweep.txt 2>>log.txt
check "sweep measures 25 ways, 5 of them with the split, and the layers at 5 numbers of bits" \
  '[ "$(grep -o "\"int8_accuracy\"" sweep.txt | wc -l)" -eq 25 ] && [ "$(grep -o "\"split_identity\":8" sweep.txt | wc -l)" -eq 5 ] &&
    [ "$(grep -o "\"bits\":" sweep.txt | wc -l)" -eq 5 ]'
"$program" quantize --weights search.plain.safetensors --data synthetic --limit 160 --scheme per-tensor \
  --calibration entropy --threads 1 >int8.txt 2>>log.txt
check "quantize takes a converted network" 'grep -q "\"scheme\":\"per-tensor\"" int8.txt'

# onnx/run.sh compares the outputs of such files.
for weights in whole/model.safetensors whole.plain.safetensors int8.safetensors split.safetensors; do
  "$program" export-onnx --weights "$weights" --out "$weights.onnx" >onnx.txt 2>>log.txt
  check "export-onnx takes $weights" '[ -s "$weights.onnx" ] && grep -q "\"command\":\"export-onnx\"" onnx.txt'
done
refuses "INT8 of a network in floats without pictures" "--int8 needs --data" export-onnx --weights whole/model.safetensors --int8 \
  --out no.onnx
refuses "signed weights of a network in floats" "--signed-weights is for INT8" export-onnx --weights whole/model.safetensors --signed-weights \
  --out no.onnx
refuses "quantizing a quantized network for ONNX" "is quantized already" export-onnx --weights int8.safetensors --int8 \
  --data synthetic --out no.onnx
refuses "an export of a file that is no network" "no network that" export-onnx --weights scales.safetensors --out no.onnx
check "a refused export writes nothing" '[ ! -e no.onnx ]'

# at_start RUN: prints the losses of the run's first epoch.
at_start() { sed -n 2p "$1/metrics.csv" | cut -d, -f3,5; }

# Hyper-Search's scales belong to the architecture. They can be used with other pictures and classes.
train rep five --scales scales.safetensors --classes 5
"$program" eval --weights five/model.safetensors --data synthetic --classes 5 --limit 160 >eval.txt 2>>log.txt
check "scales of a search on ten classes train a network for five" \
  'grep -q "\"classes\":5" five.json && grep -q test_accuracy eval.txt'
refuses "ten classes for a network of five" "--classes" eval --weights five/model.safetensors --data synthetic
train rep averaged --scales scales.safetensors --average-scales
train rep not_averaged --scales scales.safetensors
check "training with averaged scales differs" '[ "$(at_start averaged)" != "$(at_start not_averaged)" ]'
refuses "resuming with unaveraged scales" "average_scales is yes, here it is no" train --data synthetic --model cifar-small --mode rep \
  --epochs 2 --limit 160 --batch-size 32 --seed 3 --out averaged --resume --scales scales.safetensors

# Each rule alone. At a learning rate near 0 the losses are those of the initial network.
train plain plain_start --lr 1e-30
train rep rep_start --lr 1e-30
train rep ordinary_start --lr 1e-30 --initialization ordinary
check "with an ordinary initialization rep starts as plain does" \
  '[ "$(at_start ordinary_start)" = "$(at_start plain_start)" ]'
check "by the Rule of Initialization rep starts differently" '[ "$(at_start rep_start)" != "$(at_start plain_start)" ]'
train rep no_grad_mult --grad-mult off
train rep ordinary --initialization ordinary
for run in no_grad_mult ordinary; do
  check "$run trains differently from rep" '[ "$(at_start whole)" != "$(at_start "$run")" ]'
done
refuses "resuming with another --grad-mult" "grad_mult is off, here it is on" train --data synthetic --model cifar-small \
  --mode rep --epochs 2 --limit 160 --batch-size 32 --seed 3 --out no_grad_mult --resume
refuses "leaving out both rules" "--mode plain" train --data synthetic --initialization ordinary --grad-mult off
refuses "leaving a rule out of mode plain" "for --mode rep" train --data synthetic --mode plain --grad-mult off

"$program" plot whole search --out both.svg >plot.txt 2>>log.txt
check "plot draws both runs" 'grep -q ">whole: " both.svg && grep -q ">search: " both.svg'

head -c 100000 whole/model.safetensors >torn.safetensors
refuses "a truncated network" "torn.safetensors" eval --weights torn.safetensors --data synthetic
refuses "a file that is no network" "no network that" convert --weights search/checkpoint.safetensors --out no.safetensors
check "a refused conversion writes nothing" '[ ! -e no.safetensors ]'
quantize="quantize --data synthetic --limit 160 --out no.safetensors --weights"
# shellcheck disable=SC2086  # words
{
  refuses "an empty calibration set" "--calibration-images" $quantize whole/model.safetensors --calibration-images 0
  refuses "an unknown calibration" "min-max, percentile, mse, entropy" $quantize whole/model.safetensors --calibration no
  refuses "3 bits" "must be 4 to 8, they are 3 and 8" $quantize whole/model.safetensors --weight-bits 3
  refuses "9 bits" "must be 4 to 8, they are 8 and 9" $quantize whole/model.safetensors --activation-bits 9
  refuses "a diagonal of 4 bits" "must have 8 or 16 bits, it has 4" $quantize whole/model.safetensors --split-identity=4
  refuses "quantizing a quantized network" "holds a network in format 'repopt-vgg-int8'" $quantize int8.safetensors
  refuses "scales for a network of mode hyper_search" "takes no --scales" $quantize search/model.safetensors --fine-tune-epochs 1 \
    --scales ones
  refuses "fine-tuning without batch norms" "has lost its batch norms" $quantize whole.plain.safetensors \
    --fine-tune-epochs 1
}
check "a refused quantization writes nothing" '[ ! -e no.safetensors ]'
refuses "scales without fine-tuning" "--fine-tune-epochs is 0" quantize --data synthetic --scales ones \
  --weights whole/model.safetensors
refuses "pictures without INT8" "there is no --int8" export-onnx --data synthetic --weights whole/model.safetensors \
  --out no.onnx
for option in "train --data synthetic --epochs" "eval --data synthetic --weights whole/model.safetensors --limit" \
  "study --data synthetic --seeds"; do
  status=0
  # shellcheck disable=SC2086  # words
  "$program" $option -1 >out.txt 2>err.txt || status=$?
  check "$option -1 is refused" '[ "$status" -ne 0 ] && grep -q "must not be negative, it is -1" err.txt'
done

# Files in CIFAR's format, filled with noise. The search uses one of them, and the training another.
mkdir noise
for file in data_batch_1 data_batch_2 test_batch; do
  for label in 0 1 2 3 4 5 6 7; do
    printf %b "\\0$label" && head -c 3072 /dev/urandom
  done >"noise/$file.bin"
done
on_noise="--data noise --model cifar-small --epochs 1 --warmup-epochs 0 --batch-size 8 --threads 1"
# shellcheck disable=SC2086  # words
{
  "$program" train $on_noise --mode hyper_search --train-files data_batch_1.bin --out first >first.txt 2>first.log
  "$program" train $on_noise --mode rep --scales first/scales.safetensors --train-files data_batch_2.bin --classes 5 \
    --out second >second.txt 2>>log.txt
}
check "a search of one step gets a warning" 'grep -q "warning: the scales hardly moved" first.log'
check "search uses one file, and training five classes of another" \
  'grep -q "\"train_images\":8" first.txt && grep -q "\"train_images\":5" second.txt'
head -c 15365 /dev/zero | tr "\\0" "\\7" >noise/test_batch.bin
refuses "no pictures of the classes" "noise has no test pictures of its first 5 classes" eval --data noise --classes 5 \
  --weights second/model.safetensors
refuses "a missing folder" "nowhere" train --data nowhere
refuses "another run's checkpoint" "lr is 0.1, here it is 0.2" train --data synthetic --model cifar-small --mode rep \
  --epochs 2 --limit 160 --batch-size 32 --seed 3 --ema 0.9 --out whole --resume --lr 0.2
refuses "scales for a plain network" "takes no --scales" train --data synthetic --mode plain --scales ones
refuses "an unknown model" "cifar-deep" train --data synthetic --model nothing
refuses "a folder without a run" "metrics.csv" plot nowhere

finish
