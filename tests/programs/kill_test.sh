#!/bin/sh
# Kills trainings at random moments, often while they write a file, and resumes them. Each must end with the network and
# the metrics of an undisturbed training. Usage: sh kill_test.sh PROGRAM [TIMES]
# shellcheck disable=SC2016  # check() evaluates its condition itself
set -eu
# shellcheck source=tests/programs/program_checks.sh
. "$(dirname "$0")/program_checks.sh"
times=${2:-5}

# train FOLDER ARGUMENT...: trains for 24 steps and saves a checkpoint after each, so that it often writes a file.
train() {
  folder=$1
  shift
  exec "$program" train --data synthetic --model cifar-small --mode rep --epochs 3 --limit 128 --batch-size 16 \
    --threads 1 --seed 3 --ema 0.9 --checkpoint-every 1 --out "$folder" "$@" >>out.txt 2>>log.txt
}

# metrics RUN: prints the columns of metrics.csv that do not depend on the time.
metrics() { cut -d, -f1-6 "$1/metrics.csv"; }

# Prints a random number of seconds below 1.
delay() { awk -v seed="$(od -An -N3 -tu4 /dev/urandom)" 'BEGIN { srand(seed); printf "%.3f", rand() }'; }

# Succeeds if the training in the folder `run` is writing a file, or was killed while it wrote one.
half_written() {
  for file in run/*.part; do [ -e "$file" ] && return; done
  return 1
}

# Trains in the folder `run` for a while, then kills the training; every other time it waits until a file is being
# written. Sets `status`, the exit status, and `stale`, which is not empty if a half-written file was there at the
# start.
train_and_kill() {
  stale=yes
  half_written || stale=
  resume=
  [ ! -e run/checkpoint.safetensors ] || resume=--resume
  (train run $resume) &
  child=$!
  if [ "$kills" -lt "$times" ]; then
    sleep "$(delay)"
    if [ $((kills % 2)) -eq 0 ]; then
      while ! half_written && kill -0 "$child" 2>/dev/null; do :; done
    fi
    kill -KILL "$child" 2>/dev/null || true
  fi
  status=0
  wait "$child" 2>/dev/null || status=$?
}

(train whole)
kills=0 while_writing=0 runs=0
while [ "$kills" -lt "$times" ]; do
  rm -rf run
  status=137
  while [ "$status" -eq 137 ] && [ "$kills" -le "$times" ]; do
    train_and_kill
    [ "$status" -eq 137 ] || continue
    kills=$((kills + 1))
    if [ -z "$stale" ] && half_written; then while_writing=$((while_writing + 1)); fi
  done
  runs=$((runs + 1))
  check "run $runs, after $kills kills in all, ends with status 0, not $status" '[ "$status" -eq 0 ]'
  check "run $runs, after $kills kills in all, has the same network" 'cmp -s whole/model.safetensors run/model.safetensors'
  check "run $runs, after $kills kills in all, has the same metrics" '[ "$(metrics whole)" = "$(metrics run)" ]'
  check "run $runs leaves no half-written file" '! half_written'
  [ "$failures" -eq 0 ] || break
done
echo "$kills kills, $while_writing of them while a file was being written, in $runs runs"
finish
