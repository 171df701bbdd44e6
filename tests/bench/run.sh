#!/bin/sh
# Runs repopt-bench, PyTorch and ONNX Runtime in turn for several rounds, and prints tables of medians and ratios.
set -eu

usage() {
  cat <<'USAGE'
Usage: sh tests/bench/run.sh [--rounds N] [--only PARTS] [--threads LIST] [--quick] [--bench PROGRAM] [--out FILE]

Builds repopt-bench in build/release, then runs it and its rivals in turn. PyTorch and ONNX Runtime are those of
build/bench/venv, where pip installs the newest if there are none. If pip cannot reach them, PyTorch is Debian's
python3-torch, run by /usr/bin/python3.
Prints tables, the machine's name, the compiler flags of build/release, and which convolutions PyTorch ran. The machine
should be idle.

  --rounds N      rounds of the whole list [5]
  --only PARTS    some of "step batches compiled large inference optimizer conv compile" [all]
                    step       training steps on 128 pictures
                    batches    training steps on 32 and 256 pictures
                    compiled   the rival's steps by torch.compile, too
                    large      training steps of A0 and B1 on pictures of 224x224
                    compile    how long files that include the library take to compile
  --threads LIST  numbers of threads ["1 2"]
  --quick         one round of single training steps with 1 thread, and of compiling: shows that everything runs
  --bench PROGRAM measures this repopt-bench (built with other flags, say) instead of building one
  --out FILE      where the JSON lines go [build/bench/results.jsonl]
USAGE
}

rounds=5 steps=2 bench='' out='' threads_list='1 2'
parts='step batches compiled large inference optimizer conv compile'
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 && shift 2 ;;
    --only) parts=$2 && shift 2 ;;
    --threads) threads_list=$2 && shift 2 ;;
    --quick) rounds=1 steps=1 threads_list=1 parts='step compile' && shift ;;
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
work=$root/build/bench
out=${out:-$work/results.jsonl}
mkdir -p "$work" "$(dirname "$out")"
: >"$out"

# does PART: whether --only names the part.
does() { case " $parts " in *" $1 "*) ;; *) return 1 ;; esac; }

# has MODULE: whether $python can import the module.
has() { "$python" -c "import $1" 2>/dev/null; }

install_rivals() {
  have python3 && python3 -m venv "$work/venv" && "$python" -m pip install --quiet torch numpy onnxruntime
}

python=$work/venv/bin/python
if ! has torch || ! has onnxruntime; then
  install_rivals || { python=/usr/bin/python3 && say "pip cannot install the rivals; taking what $python has of them"; }
fi
torch='' onnxruntime=''
if has torch; then torch=yes; else say "no PyTorch for $python"; fi
if has onnxruntime; then onnxruntime=yes; else say "no ONNX Runtime for $python"; fi

# Without the first two variables PyTorch returns memory to the system after each step and faults it in again, which
# makes it several times slower. The third gives programs large pages. repopt's tensors ask for them anyway; the
# benchmark of optimizers has buffers of std::vector.
tuned() {
  env MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184 GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
    OMP_NUM_THREADS="$threads" "$@"
}

# measure SOURCE COMMAND...: runs one benchmark and appends its JSON lines to $out, marked with their source.
measure() {
  source=$1 && shift
  tuned "$@" --threads "$threads" >"$work/lines" || fail "$* fails: its times are missing"
  sed "s/^{/{\"source\":\"$source\",/" "$work/lines" >>"$out"
}
ours() { measure repopt "$bench" "$@" --json; }
pytorch() { [ -z "$torch" ] || measure pytorch "$python" "$root/tests/bench/pytorch_bench.py" "$@"; }
onnxruntime() { [ -z "$onnxruntime" ] || measure onnxruntime "$python" "$root/tests/bench/onnxruntime_bench.py" "$@"; }

# step_beside_pytorch ARGUMENT...: a training step by us, and by PyTorch in each format.
step_beside_pytorch() {
  ours step "$@" --rounds "$steps"
  for format in nchw nhwc; do pytorch step "$@" --format $format --rounds "$steps"; done
  if does compiled; then pytorch step "$@" --format 'nhwc compiled' --rounds "$steps"; fi
}

one_round() {
  for threads in $threads_list; do
    if does step; then
      for mode in rep repvgg hyper_search; do step_beside_pytorch --mode $mode; done
      for mode in csla hyper_search_real folded; do ours step --mode $mode --rounds "$steps"; done
      ours step --conv-algorithm plain --rounds "$steps"
    fi
    if does batches; then
      for batch in 32 256; do
        for mode in rep repvgg hyper_search; do step_beside_pytorch --mode $mode --batch $batch; done
      done
    fi
    if does large; then
      step_beside_pytorch --model A0 --batch 16
      step_beside_pytorch --model B1 --batch 8
    fi
    if does inference; then
      for batch in 1 128; do
        ours inference --batch $batch --onnx "$work/cifar-vgg.onnx" --rounds 7
        onnxruntime "$work/cifar-vgg.onnx" --batch $batch --rounds 7
      done
    fi
    if does optimizer; then
      ours optimizer --rounds 7
      pytorch optimizer --rounds 7
    fi
    if does conv; then
      ours conv --rounds 3
      for format in nchw nhwc; do pytorch conv --format $format --rounds 3; done
    fi
  done
}

round=1
while [ "$round" -le "$rounds" ]; do
  say "round $round of $rounds"
  if does compile && have /usr/bin/python3; then
    /usr/bin/python3 "$root/tests/bench/compile_time.py" | sed 's/^{/{"source":"repopt",/' >>"$out"
  fi
  one_round
  round=$((round + 1))
done

printf '\n%s, %s cores%s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(processors)" "$flags"
have python3 || fail "no python3 to print the tables with; the measurements are in $out"
python3 "$root/tests/bench/table.py" <"$out"

# Which kernels PyTorch's convolutions ran: oneDNN prints a line for each call, whose sixth field begins with `conv`.
if [ -n "$torch" ] && does step; then
  threads=1
  printf '\nConvolutions of PyTorch, by number of calls:\n'
  for format in nchw nhwc; do
    tuned env ONEDNN_VERBOSE=1 "$python" "$root/tests/bench/pytorch_bench.py" step --format $format --rounds 1 |
      awk -F, -v format=$format '/primitive,exec/ { for (i = 1; i < NF; ++i) if ($i == "convolution") ++n[$(i + 1) " " $(i + 2)] }
                                 END { for (kernel in n) print format, n[kernel], kernel }' | sort -k1,1 -k2,2nr
  done
fi
