#!/bin/sh
# Trains with repopt-cifar, built with REPOPT_MPI=ON, in one process and in two.
# Usage: sh mpi_program_test.sh PROGRAM MPIEXEC...
# shellcheck disable=SC2086  # $mpiexec is a command and its options
set -eu

program=$1
shift
mpiexec=$*
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "FAILED: $*"
  exit 1
}

# train PROCESSES FOLDER ARGUMENT...: trains 20 iterations in this number of processes and writes the result to
# FOLDER.json. It trains in double, so that rounding cannot hide an error. It clips the gradients, and tests the averaged
# weights.
clip=0.5 ema=0.9
train() {
  processes=$1 folder=$2
  shift 2
  $mpiexec -n "$processes" "$program" train --data synthetic --model cifar-small --precision double --epochs 2 \
    --limit 80 --threads 1 --clip-grad-norm "$clip" --ema "$ema" --out "$folder" "$@" >"$folder.json" 2>"$folder.txt" &
  echo $! >"$folder.pid"
  wait $!
}

# same_losses RUN RUN: compares columns 3 and 5 of metrics.csv, the losses of training and test.
same_losses() {
  paste -d, "$1/metrics.csv" "$2/metrics.csv" |
    awk -F, 'function differ(a, b) { return (a > b ? a - b : b - a) > 1e-10 * b }
             NR > 1 { if (differ($3, $11) || differ($5, $13)) { print; exit 1 } n++ } END { exit n != 2 }'
}

# In folded and hyper_search the processes average the gradients of the one kernel, and each takes those of the branches
# and scales from the average.
for mode in rep folded hyper_search; do
  train 1 "one-$mode" --mode "$mode" --batch-size 8
  train 2 "two-$mode" --mode "$mode" --batch-size 4 --sync-bn
  same_losses "one-$mode" "two-$mode" || fail "mode $mode: one process with batches of 8 and two with 4 differ"
done
# What the comparison can see.
train 2 apart-bn --batch-size 4
same_losses one-rep apart-bn >differences.txt && fail "two processes follow one without --sync-bn"
for mode in folded hyper_search; do
  clip=1e9
  train 1 "unclipped-$mode" --mode "$mode" --batch-size 8
  clip=0.5 ema=0
  train 1 "last-$mode" --mode "$mode" --batch-size 8
  ema=0.9
  same_losses "one-$mode" "unclipped-$mode" >differences.txt && fail "mode $mode: clipping does not act"
  same_losses "one-$mode" "last-$mode" >differences.txt && fail "mode $mode: averaging the weights does not act"
done
same_losses one-folded one-hyper_search >differences.txt && fail "training the scales changes nothing"

[ "$(wc -l <two-rep.json)" -eq 1 ] || fail "two processes print more than one result: $(cat two-rep.json)"
grep -q '"processes":2' two-rep.json || fail "the result does not name the processes: $(cat two-rep.json)"
[ "$(grep -c '^epoch ./2  lr' two-rep.txt)" -eq 2 ] || fail "two processes do not report exactly two epochs: $(cat two-rep.txt)"

# mpirun stops its processes by SIGTERM, also after Ctrl-C. They save a checkpoint, from which a resumed run ends as an
# undisturbed one. (The test sends SIGTERM to mpirun itself, because a shell's background commands ignore SIGINT.)
train 2 stopped --mode hyper_search --batch-size 4 --sync-bn --checkpoint-every 1 &
pid=$!
until [ -e stopped/checkpoint.safetensors ]; do kill -0 "$pid" && sleep 0.05; done
kill -TERM "$(cat stopped.pid)"
wait "$pid" && fail "a stopped run exits with 0"
[ -e stopped/checkpoint.safetensors ] || fail "a stopped run left no checkpoint: $(cat stopped.txt)"
train 2 stopped --mode hyper_search --batch-size 4 --sync-bn --resume
for file in model scales; do
  cmp "two-hyper_search/$file.safetensors" "stopped/$file.safetensors" || fail "a resumed run ends with another $file"
done

# Processes with different options must stop with a message. None may wait for ever.
status=0
# shellcheck disable=SC2094
$mpiexec -n 1 "$program" train --data synthetic --limit 80 --lr 0.25 --out apart : \
  -n 1 "$program" train --data synthetic --limit 80 --lr 0.5 --out apart >apart.json 2>apart.txt || status=$?
[ "$status" -ne 0 ] || fail "processes with different options train"
grep -qF 'the processes disagree: option lr is 0.5 on process 1, on process 0 it is 0.25' apart.txt ||
  fail "the disagreement is not explained: $(cat apart.txt)"
[ ! -e apart ] || fail "processes with different options wrote files"
