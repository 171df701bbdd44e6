#!/bin/sh
# Disturbs trainings and checks what they leave: Ctrl-C, a full disk, a folder without write permission, damaged
# checkpoints, checkpoints of other runs, and numbers that are not finite. Usage: sh cifar_faults_test.sh PROGRAM
# shellcheck disable=SC2016,SC2086  # check() evaluates its condition itself; $train is many words
set -eu
# shellcheck source=tests/programs/program_checks.sh
. "$(dirname "$0")/program_checks.sh"

train="train --data synthetic --model cifar-small --limit 64 --batch-size 16 --threads 1 --seed 3 --epochs 8 --ema 0.9
  --out"

# refuses_resume FOLDER NAME TEXT ARGUMENT...: resuming in FOLDER must fail as in refuses(), and must leave FOLDER's
# checkpoint as it is in expected.safetensors.
refuses_resume() {
  folder=$1
  name=$2 text=$3
  shift 3
  refuses "$name" "$text" $train "$folder" --resume "$@"
  check "$name: the checkpoint stays as it was" 'cmp -s expected.safetensors "$folder/checkpoint.safetensors"'
  check "$name: no half-written file is left" '[ -z "$(find "$folder" -name "*.part")" ]'
}

# through COMMAND: from now on, COMMAND starts the program.
cp "$program" real
through() {
  printf '#!/bin/sh\n%s ./real "$@"\n' "$1" >program
  chmod 755 program
  program=./program
}
through exec

# Ctrl-C.
"$program" $train whole >out.txt 2>log.txt
"$program" $train stopped >out.txt 2>err.txt &
child=$!
while [ ! -e stopped/checkpoint.safetensors ] && kill -0 "$child"; do sleep 0.05; done
kill -INT "$child"
status=0
wait "$child" || status=$?
check "a stopped run exits with 130, not $status" '[ "$status" -eq 130 ]'
check "a stopped run says how to go on" 'grep -q "^stopped after step .*--resume continues from stopped/" err.txt'
cp stopped/checkpoint.safetensors expected.safetensors

# The end of a remote session: the shell and the system both send SIGHUP.
"$program" $train hung >out.txt 2>err.txt &
child=$!
while [ ! -e hung/checkpoint.safetensors ] && kill -0 "$child"; do sleep 0.05; done
kill -HUP "$child" && kill -HUP "$child"
status=0
wait "$child" || status=$?
check "a run whose session ends exits with 130, not $status, and says how to go on" \
  '[ "$status" -eq 130 ] && grep -q "^stopped after step .*--resume continues from hung/" err.txt'

# A full disk: no file may grow beyond 10240 units of 512 bytes, 5 MiB. A checkpoint has 7 MiB. A program with MPI needs
# a file of 4 MiB for itself.
through 'ulimit -f 10240 && exec'
refuses_resume stopped "a full disk" "cannot write stopped/checkpoint.safetensors: File too large"

# A folder without write permission. Root may write everywhere, so as root the program runs as another user.
through exec
chmod 500 stopped
if [ "$(id -u)" -eq 0 ]; then
  chmod 755 .
  chown 65534 stopped stopped/*
  through 'exec setpriv --reuid=65534 --regid=65534 --clear-groups'
fi
refuses_resume stopped "a read-only folder" "cannot create stopped/checkpoint.safetensors: Permission denied"
chmod 700 stopped
through exec

small=$train
train=$(echo "$small" | sed s/cifar-small/cifar-vgg/)
refuses_resume stopped "another model's checkpoint" "model is cifar-small, here it is cifar-vgg"
train=$small
refuses_resume stopped "another precision's checkpoint" "is F32, the run's precision is F64" --precision double
"$program" $train stopped --resume >out.txt 2>>log.txt
check "after all these failures the stopped run resumes and ends as the undisturbed one" \
  'cmp -s whole/model.safetensors stopped/model.safetensors'

mkdir damaged
cp expected.safetensors whole.safetensors
for place in 1000 1000000; do
  head -c "$place" whole.safetensors >expected.safetensors
  printf '\377' >>expected.safetensors
  tail -c +$((place + 2)) whole.safetensors >>expected.safetensors
  cp expected.safetensors damaged/checkpoint.safetensors
  refuses_resume damaged "a damaged byte" "its checksum does not fit"
done
for size in 0 7 1000 1000000; do
  head -c "$size" whole.safetensors >expected.safetensors
  cp expected.safetensors damaged/checkpoint.safetensors
  refuses_resume damaged "$size bytes of a checkpoint" "damaged/checkpoint.safetensors"
done

# Numbers that are not finite. Even at an absurd learning rate the numbers of the first steps are finite.
number="is -?(nan|inf)"
# shellcheck disable=SC2034  # check() uses it
fault="((the (test )?loss $number: |the gradient of )?[a-z0-9_.]+) $number at index [0-9]+ after step [0-9]+ of"
refuses "a run that diverges at once" "there is no checkpoint yet" $train diverged --lr 1e20
check "the message names what is not finite, where and when" 'grep -Eq "^error: $fault" err.txt'
check "a run that diverges leaves no network" '[ ! -e diverged/model.safetensors ]'
refuses "a run that diverges" "the last checkpoint is kept" $train diverged --lr 1e6 --checkpoint-every 1
cp diverged/checkpoint.safetensors expected.safetensors
cp err.txt first.txt
refuses_resume diverged "a run that diverges again" "the last checkpoint is kept" --lr 1e6 --checkpoint-every 1
check "the kept checkpoint can be resumed from" 'grep -q "^resumed at step" err.txt'
check "resuming leads to the same fault" '[ "$(grep ^error: err.txt)" = "$(grep ^error: first.txt)" ]'
finish
