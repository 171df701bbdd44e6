#!/bin/sh
# Trains a deep plain network on CIFAR-10 with SGD and with RepOptimizer, and draws both curves.
set -eu

usage() {
  cat <<'USAGE'
Usage: sh examples/run.sh [OPTION...]

Installs what is missing (by apt-get, dnf, pacman or brew, with sudo if necessary), builds into build/release, downloads
CIFAR-10 (170 MB, kept in build/cifar) and trains `cifar-deep` in the modes `plain` and `rep`. The training takes a few
minutes on 2 cores.

  --epochs N       epochs of each training (default 2)
  --limit N        training pictures (default 10000)
  --url URL        another address of cifar-10-binary.tar.gz, http(s):// or file://
  --archive FILE   a cifar-10-binary.tar.gz on this machine
  --sha256 SUM     the archive's checksum, if it is not the original one
  --dry-run        print the commands and change nothing
  --help           print this

An environment variable replaces the download:
REPOPT_CIFAR_DIR   a folder with data_batch_*.bin and test_batch.bin
USAGE
}

root=$(cd "$(dirname "$0")/.." && pwd)
dry_run="" epochs=2 limit=10000
. "$root/cmake/own_commands.sh"

# Moves the options of fetch_cifar.sh to the end of the arguments. After the loop only these are left.
left=$#
while [ "$left" -gt 0 ]; do
  case $1 in
    --help | -h) usage && exit ;;
    --dry-run) dry_run=yes && shift && left=$((left - 1)) && continue ;;
    --epochs | --limit | --url | --archive | --sha256) [ "$left" -ge 2 ] || fail "$1 needs a value" ;;
    *) fail "unknown argument $1; see --help" ;;
  esac
  case $1 in
    --epochs) epochs=$2 ;;
    --limit) limit=$2 ;;
    *) set -- "$@" "$1" "$2" ;;
  esac
  shift 2
  left=$((left - 2))
done

program=$root/build/release/examples/repopt-cifar
runs=$root/build/runs

# Sets `data`. A wrong folder or archive that the user named is an error. If the download fails, generated pictures are
# used, and a warning says so.
find_data() {
  if [ -n "$dry_run" ]; then
    run sh "$root/examples/fetch_cifar.sh" "$@"
    data=${REPOPT_CIFAR_DIR:-$root/build/cifar/cifar-10-batches-bin}
  elif data=$(sh "$root/examples/fetch_cifar.sh" "$@"); then
    :
  elif [ $? -eq 2 ]; then
    exit 2
  else
    say "*** CIFAR-10 CANNOT BE DOWNLOADED. The networks train on generated pictures (--data synthetic) instead."
    say "*** The numbers below say nothing about real pictures. --help says how to name a mirror or an archive."
    data=synthetic
  fi
}

# train MODE: trains and sets `result` to the JSON object in the program's last line.
train() {
  say "training cifar-deep, mode $1"
  result=$(run "$program" train --data "$data" --mode "$1" --model cifar-deep --epochs "$epochs" --limit "$limit" \
    --overwrite --out "$runs/$1") || fail "the training failed"
  result=$(printf '%s\n' "$result" | tail -n 1)
}

field() { printf '%s' "$1" | sed -n "s/.*\"$2\": *\"\{0,1\}\([^,\"}]*\).*/\1/p"; }
speed() { field "$1" images_per_second | LC_ALL=C awk '{ printf "%.0f images/s", $1 }'; }
accuracy() { field "$1" test_accuracy | LC_ALL=C awk '{ printf "%.1f %%", 100 * $1 }'; }

build repopt-cifar
find_data "$@"
train plain
plain=$result
train rep
rep=$result
run "$program" plot "$runs/plain" "$runs/rep" --out "$runs/compare.svg"
[ -z "$dry_run" ] || exit 0

cat <<REPORT

What to look at:
- Both runs train the same network: one 3x3 convolution per block. No branch is ever computed.
- Both runs cost the same per step: plain $(speed "$plain"), rep $(speed "$rep").
- The prior changes the test accuracy. After $epochs epoch(s) on $limit pictures of $(field "$plain" data):
    plain  $(accuracy "$plain")
    rep    $(accuracy "$rep")
  It helps deep networks most. cifar-deep has 28 blocks.
- The picture $runs/compare.svg shows both curves.
REPORT
