#!/bin/sh
# Runs repopt-bench and PyTorch in turn for several rounds, and prints tables of medians and ratios.
set -eu

usage() {
  cat <<'USAGE'
Usage: sh tests/bench/run.sh [--rounds N] [--quick] [--bench PROGRAM] [--out FILE]

Builds repopt-bench in build/release, then runs it and PyTorch in turn, with 1 and with 2 threads. PyTorch is the
python3-torch of Debian, run by /usr/bin/python3. Also measures how long files that include the library take to compile.
Prints tables, the machine's name and the compiler flags of build/release. The machine should be idle.

  --rounds N   rounds of the whole list [5]
  --quick      one round with 1 thread, of compiling and of single training steps: shows that everything runs
  --bench PROGRAM
               measures this repopt-bench (built with other flags, say) instead of building one
  --out FILE   where the JSON lines go [build/bench.jsonl]
USAGE
}

rounds=5 quick='' bench='' out=''
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 && shift 2 ;;
    --quick) quick=yes && shift ;;
    --bench) bench=$2 && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    --help | -h) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
done

root=$(cd "$(dirname "$0")/../.." && pwd)
dry_run=''
. "$root/cmake/own_commands.sh"
flags=''
if [ -z "$bench" ]; then
  build repopt-bench
  bench=$root/build/release/tests/repopt-bench
  flags=$(sed -n 's/^CMAKE_CXX_FLAGS:[^=]*=\(.*\)/, flags \1/p' "$root/build/release/CMakeCache.txt")
fi
"$bench" --help >/dev/null || fail "$bench does not run"
out=${out:-$root/build/bench.jsonl}
mkdir -p "$(dirname "$out")"
: >"$out"

pytorch=yes
/usr/bin/python3 -c 'import torch' 2>/dev/null || pytorch=''
[ -n "$pytorch" ] || say "no PyTorch for /usr/bin/python3 (Debian: python3-torch); measuring repopt alone"

# ours and theirs append their JSON lines to $out, each marked with its source.
ours() { "$bench" "$@" --json | sed 's/^{/{"source":"repopt",/' >>"$out"; }
theirs() {
  [ -n "$pytorch" ] || return 0
  threads=$1 && shift
  # Without the first two variables PyTorch returns memory to the system after each step and faults it in again, which
  # makes it several times slower. The third gives it large pages, which repopt asks for itself.
  MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184 GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
    OMP_NUM_THREADS=$threads /usr/bin/python3 "$root/tests/bench/pytorch_bench.py" "$@" --threads "$threads" |
    sed 's/^{/{"source":"pytorch",/' >>"$out"
}

one_round() {
  ! have /usr/bin/python3 || /usr/bin/python3 "$root/tests/bench/compile_time.py" | sed 's/^{/{"source":"repopt",/' >>"$out"
  for threads in $1; do
    for mode in rep repvgg hyper_search; do
      ours step --mode $mode --threads "$threads" --rounds "$steps"
      for format in nchw nhwc; do theirs "$threads" step --mode $mode --format $format --rounds "$steps"; done
    done
    [ -z "$quick" ] || continue
    for mode in csla hyper_search_real folded; do ours step --mode $mode --threads "$threads" --rounds "$steps"; done
    ours step --mode rep --conv-algorithm plain --threads "$threads" --rounds "$steps"
    for batch in 32 64 256; do ours step --batch $batch --threads "$threads" --rounds "$steps"; done
    ours optimizer --threads "$threads" --rounds 7
    theirs "$threads" optimizer --rounds 7
    ours conv --threads "$threads" --rounds 3
    for format in nchw nhwc; do theirs "$threads" conv --format $format --rounds 3; done
  done
}

if [ -n "$quick" ]; then rounds=1 steps=1 threads_list=1; else steps=2 threads_list='1 2'; fi
round=1
while [ "$round" -le "$rounds" ]; do
  say "round $round of $rounds"
  one_round "$threads_list"
  round=$((round + 1))
done

printf '\n%s, %s cores%s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(processors)" "$flags"
have /usr/bin/python3 || fail "no /usr/bin/python3 to print the tables with; the measurements are in $out"
/usr/bin/python3 "$root/tests/bench/table.py" <"$out"
