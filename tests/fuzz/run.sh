#!/bin/sh
# Builds the fuzz targets and runs each on its corpus and on what libFuzzer makes of it. Fails if one crashes, hangs,
# takes too much memory or breaks a rule of the sanitizers; the input that did it then lies in build/fuzz/findings.
set -eu

usage() {
  cat <<'USAGE'
Usage: sh tests/fuzz/run.sh [SECONDS [TARGET...]]

Fuzzes the readers of safetensors files, scales and CIFAR pictures for SECONDS in all (60), each target for its share.
What reached new code is kept in build/fuzz/corpus, so that the next run goes on from there.

CXX   a Clang of version 16 or newer with libFuzzer (on Debian: clang-16 and libclang-rt-16-dev)
USAGE
}

case ${1-} in --help | -h) usage && exit ;; esac
seconds=${1:-60}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- safetensors scales cifar
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/fuzz

# Whether the compiler $1 can link a fuzz target for C++20.
fuzzes() {
  command -v "$1" >/dev/null && probe=$(mktemp) || return 1
  status=0
  printf '#include <concepts>\nextern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    "$1" -std=c++20 -fsanitize=fuzzer,address -x c++ - -o "$probe" 2>/dev/null || status=1
  [ "$(echo __clang_major__ | "$1" -E -P -x c++ -)" -ge 16 ] 2>/dev/null || status=1
  rm -f "$probe"
  return "$status"
}

for compiler in "${CXX:-clang++}" clang++-19 clang++-18 clang++-17 clang++-16 none; do
  if fuzzes "$compiler"; then break; fi
done
[ "$compiler" != none ] || { echo "fuzz/run.sh: no Clang of version 16 or newer with libFuzzer is here" >&2 && exit 1; }

cd "$root"
cmake --preset fuzz -DCMAKE_CXX_COMPILER="$compiler"
cmake --build --preset fuzz --target fuzz_targets --parallel 2
mkdir -p "$build/findings"
# Where the pictures' files go, which are written anew for every input.
if [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
for target in "$@"; do
  mkdir -p "$build/corpus/$target"
  echo "fuzzing $target"
  "$build/tests/fuzz_$target" -max_total_time=$((seconds / $#)) -timeout=10 -rss_limit_mb=2048 -max_len=8192 \
    -print_final_stats=1 -artifact_prefix="$build/findings/$target-" "$build/corpus/$target" \
    "$root/tests/fuzz/corpus/$target"
done
