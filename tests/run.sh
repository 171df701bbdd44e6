#!/bin/sh
# Installs what is missing, builds the preset `release` and runs the tests.
set -eu

usage() {
  cat <<'USAGE'
Usage: sh tests/run.sh [--dry-run] [CTEST_ARGUMENT...]

Installs what is missing (by apt-get, dnf, pacman or brew, with sudo if necessary), builds into build/release and runs
the tests. Further arguments go to ctest: `-L core` runs one group, `-N` only lists the tests.

  --dry-run   print the commands and change nothing
  --help      print this

Two environment variables add tests:
REPOPT_CIFAR_DIR   a folder with data_batch_*.bin and test_batch.bin, for tests on real pictures
REPOPT_SCALES_DIR  a folder with the published scales of RepOpt-VGG-B1, -L1 and RepOptGhostNet
USAGE
}

dry_run=
case ${1-} in
  --dry-run) dry_run=yes && shift ;;
  --help | -h) usage && exit ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/cmake/own_commands.sh"
build all
run ctest --test-dir "$root/build/release" --output-on-failure --no-tests=error --parallel "$(processors)" "$@"
