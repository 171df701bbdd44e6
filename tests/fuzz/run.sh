#!/bin/sh
# Builds the fuzz targets. libFuzzer runs each on its corpus and on inputs that it derives from the corpus. Fails if a
# target crashes, hangs, takes too much memory or violates a sanitizer's rule, and leaves the input that caused this in
# build/fuzz/findings.
set -eu

usage() {
  cat <<'USAGE'
Usage: sh tests/fuzz/run.sh [SECONDS [TARGET...]]

Fuzzes the readers of safetensors files, scales and CIFAR pictures. The TARGETs (default: safetensors scales cifar)
share the SECONDS (default: 60) equally. Inputs that reach new code are kept in build/fuzz/corpus, where the next run
continues.

CXX   the compiler: Clang 16 or newer with libFuzzer (on Debian: clang-16 and libclang-rt-16-dev)
USAGE
}

case ${1-} in --help | -h) usage && exit ;; esac
seconds=${1:-60}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- safetensors scales cifar
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/fuzz

# fuzzes COMPILER: succeeds if the compiler can link a fuzz target in C++20.
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
[ "$compiler" != none ] || { echo "fuzz/run.sh: no Clang 16 or newer with libFuzzer was found" >&2 && exit 1; }

cd "$root"
cmake --preset fuzz -DCMAKE_CXX_COMPILER="$compiler"
cmake --build --preset fuzz --target fuzz_targets --parallel 2
mkdir -p "$build/findings"
# The target cifar writes every input to files. Writing to memory is fastest.
if [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
for target in "$@"; do
  mkdir -p "$build/corpus/$target"
  echo "fuzzing $target"
  "$build/tests/fuzz_$target" -max_total_time=$((seconds / $#)) -timeout=10 -rss_limit_mb=2048 -max_len=8192 \
    -print_final_stats=1 -artifact_prefix="$build/findings/$target-" "$build/corpus/$target" \
    "$root/tests/fuzz/corpus/$target"
done
