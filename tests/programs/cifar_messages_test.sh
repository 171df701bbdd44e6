#!/bin/sh
# Makes the mistakes that people make, and checks that repopt-cifar's messages name the option or say what to do.
# Usage: sh cifar_messages_test.sh PROGRAM
# shellcheck disable=SC2016,SC2086  # check() evaluates its condition itself; $train is many words
set -eu
# shellcheck source=tests/programs/program_checks.sh
. "$(dirname "$0")/program_checks.sh"
: >log.txt

train="train --data synthetic --model cifar-small --limit 64 --out run"

# Without arguments or pictures.
status=0
"$program" >out.txt 2>err.txt || status=$?
check "no arguments: exit status $status, two lines" '[ "$status" -eq 1 ] && [ "$(wc -l <err.txt)" -eq 2 ]'
check "no arguments: what to do" 'grep -q "train --data synthetic" err.txt && grep -q "examples/run.sh" err.txt'
refuses "no --data" "examples/run.sh" train --model cifar-small
check "no --data: two lines" '[ "$(wc -l <err.txt)" -eq 2 ] && grep -q -e "--data synthetic" err.txt'
check "--version" '"$program" --version | grep -Eqx "repopt-cifar [0-9]+\.[0-9]+\.[0-9]+"'

# Options that do not go together, or have no effect.
refuses "a batch that is too large" \
  "--epochs 1 on 64 pictures, in batches of 128 by --batch-size, make 1 steps in all, and --warmup-epochs 0.5 takes 1" \
  $train --epochs 1
refuses "momentum for AdamW" "--momentum is for --optimizer sgd, not adamw" $train --optimizer adamw --momentum 0.9
refuses "an absurd momentum" "--momentum must be in [0, 1), it is 1" $train --momentum 1
refuses "identities without scales" "--identity-init is for modes rep, csla, folded and hyper_search, not plain" $train --mode plain \
  --identity-init one
refuses "a single class" "--classes is 1, but a network needs 2" $train --classes 1
refuses "too many threads" "--threads must be 0 to " $train --threads 99999
refuses "a negative number of threads" "it is -1" $train --threads -1
refuses "a rate that is no number" "--lr must be finite and >= 0, it is nan" $train --lr nan
refuses "scales of no file" "--scales is 'searched', it must be a file, sqrt or ones" $train --scales searched
if ! ldd "$program" 2>/dev/null | grep -q libmpi; then
  status=0
  OMPI_COMM_WORLD_SIZE=2 "$program" $train >out.txt 2>err.txt || status=$?
  check "mpirun starts a program without MPI: exit status $status" \
    '[ "$status" -eq 1 ] && grep -q "^error: mpirun has started 2 processes, but this program was built without" err.txt'
fi
for option in --limit --label-smoothing --seed --out; do
  status=0
  "$program" $train "$option" "" >out.txt 2>err.txt || status=$?
  check "an empty $option is refused" '[ "$status" -eq 1 ] && grep -q "has an empty value" err.txt'
done
status=0
"$program" $train --seed 18446744073709551616 >out.txt 2>err.txt || status=$?
check "a seed that is too large is refused" '[ "$status" -eq 1 ] && grep -q "is too large: 18446744073709551616" err.txt'
check "what is refused trains nothing" '[ ! -e run ]'
"$program" $train --batch-size 16 --epochs 1 --threads 1 --sync-bn >sync.json 2>>log.txt
check "--sync-bn is harmless in one process" 'grep -q "\"processes\":1" sync.json'
weights="--weights run/model.safetensors"
refuses "a rate without fine-tuning" "--lr is used in fine-tuning only" quantize $weights --data synthetic --lr 0.1
refuses "a percentile for another calibration" "--percentile is for --calibration percentile, not mse" quantize $weights \
  --data synthetic --percentile 99

status=0
"$program" export-onnx $weights --scheme per-tensor >out.txt 2>err.txt || status=$?
check "an export in floats takes no option of quantization" '[ "$status" -eq 1 ] && grep -q "scheme requires --int8" err.txt'

# Pictures: a part of CIFAR trains, with a note.
mkdir part
for file in data_batch_1 data_batch_2 test_batch; do
  for label in 0 1 2 3 4 5 6 7; do
    printf %b "\\0$label" && head -c 3072 /dev/urandom
  done >"part/$file.bin"
done
"$program" train --data part --model cifar-small --epochs 1 --batch-size 8 --threads 1 --out part.run >part.json 2>part.txt
check "a part of CIFAR gets a note" \
  'grep -q "^note: part holds only a part of CIFAR-10: 16 of 50000 training pictures and 8 of 10000 test" part.txt'
check "a part of CIFAR trains" 'grep -q "\"train_images\":16" part.json'

# Names of runs, and runs that all fail.
"$program" plot run/ part.run --out named.svg >named.json 2>>log.txt
check "a run is named without the slash" 'grep -q "\"name\":\"run\"" named.json && grep -q ">part.run: " named.svg'
refuses "a study whose runs all fail" "every run failed; cifar-small-plain" study --data synthetic --models cifar-small \
  --variants plain --epochs 1 --seeds 1 --limit 64 --batch-size 100000 --out failed

# Pictures of curves and scales are SVG.
refuses "a PNG of curves" "name it x.svg" plot run --out x.png
refuses "a PNG of scales" "name it x.svg" scales scales.safetensors --out x.png
refuses "a page of no study" "has no study.csv" study --page-only --out typo
check "no folder is made for it" '[ ! -e typo ]'

# A result that cannot be printed is an error.
if [ -c /dev/full ]; then
  status=0
  "$program" plot run --out full.svg >/dev/full 2>err.txt || status=$?
  check "a full stdout: exit status $status" '[ "$status" -eq 1 ]'
  check "a full stdout: says so" 'grep -q "^error: cannot write the result to stdout: No space left on device" err.txt'
  status=0
  "$program" sweep $weights --data synthetic --limit 16 >/dev/full 2>err.txt || status=$?
  check "a full stdout for a long result: exit status $status" \
    '[ "$status" -eq 1 ] && grep -q "cannot write the result to stdout: No space left on device" err.txt'
  status=0
  "$program" train --help >/dev/full 2>err.txt || status=$?
  check "a full stdout for --help: exit status $status" '[ "$status" -eq 1 ] && grep -q "cannot write" err.txt'
fi
status=0
"$program" plot run --out closed.svg >&- 2>err.txt || status=$?
check "a closed stdout: exit status $status" '[ "$status" -eq 1 ]'
check "a closed stdout: says so, before any work" 'grep -q "^error: stdout is closed" err.txt && [ ! -e closed.svg ]'
"$program" plot run --out quiet.svg >quiet.json 2>&- <&-
check "closed stdin and stderr harm no file" 'grep -q "<svg" quiet.svg && grep -q "\"out\":\"quiet.svg\"" quiet.json'
finish
