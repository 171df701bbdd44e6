#!/bin/sh
# include_arrows_test.sh DIR: fails if a header below DIR (include/repopt) includes a header that the table below does
# not allow, if DIR has a folder that the table lacks, or if a header prints or starts threads. The test proves itself
# first: it makes trees with one fault each and must find every fault.
set -eu

# What the headers of a folder may include beside the standard library and the folder itself: the folders that it stands
# on, whatever those folders may include, and patterns of other libraries' headers.
stands_on() {
  case $1 in
    base) echo '<omp\.h>' ;;
    core) echo base ;;
    optim) echo core ;;
    tensor) echo base '<Eigen/' '<sys/mman\.h>' ;;
    engine) echo core tensor ;;
    nn/layers) echo engine ;;
    nn/blocks) echo nn/layers ;;
    nn/models) echo nn/blocks optim ;;
    quant) echo nn/models ;;
    formats) echo optim '<nlohmann/' '<(sys/[a-z]*|fcntl|unistd|io)\.h>' ;;
    io) echo formats quant ;;
    libtorch) echo formats '<torch/' ;;
    mpi) echo nn/models '<mpi\.h>' ;;
    .) echo nn/models '"repopt/version\.hpp"' ;;
    *) echo "include_arrows_test.sh: no rule for include/repopt/$1" >&2 && return 1 ;;
  esac
}

# Prints a pattern for everything that the headers of a folder may include.
may_include() {
  [ "$1" = . ] || echo "\"repopt/$1/[a-z0-9_/]*\.hpp\""
  for needed in $(stands_on "$1"); do
    case $needed in
      '<'* | '"'*) echo "$needed" ;;
      *) may_include "$needed" ;;
    esac
  done
}

# Prints a header's row in the table: its folder, and in nn also the folder below.
room() {
  case $1 in
    nn/*/*) echo "nn/$(echo "$1" | cut -d / -f 2)" ;;
    */*) echo "${1%%/*}" ;;
    *) echo . ;;
  esac
}

# Prints every forbidden line of the tree $1 as FILE:LINE:TEXT.
faults() {
  find "$1" -name '*.hpp' | sort | while read -r header; do
    folder=$(room "${header#"$1"/}")
    stands_on "$folder" >/dev/null 2>&1 || { echo "$header: no rule for the folder $folder" && continue; }
    set -f
    allowed='<[a-z_0-9]*>'
    for pattern in $(may_include "$folder"); do allowed="$allowed|$pattern"; done
    set +f
    grep -Hn '^ *# *include' "$header" | grep -vE "include *($allowed)" || true
    sed 's|//.*||' "$header" | grep -nE "$printing" | sed "s|^|$header:|" || true
  done
}
printing='<(iostream|print|thread|future)>|std::(cout|cerr|clog|print|println|j?thread|async)\b|\b(f?printf|f?puts|putchar) *\('

prove() {
  tree=$(mktemp -d)
  trap 'rm -rf "$tree"' EXIT
  for folder in base core optim/rules tensor engine/gemm nn/layers nn/blocks nn/models quant formats io libtorch mpi; do
    mkdir -p "$tree/$folder"
  done
  sound() {
    printf '#include <vector>\n' >"$tree/base/a.hpp"
    printf '#include <span>\n#include "repopt/base/a.hpp"\n' >"$tree/core/a.hpp"
    printf '#include "repopt/core/a.hpp"\n#include "repopt/optim/rules/a.hpp"\n' >"$tree/optim/rules/a.hpp"
    printf '#include <Eigen/Core>\n#include "repopt/base/a.hpp"\n// std::cout\n' >"$tree/tensor/a.hpp"
    printf '#include "repopt/tensor/a.hpp"\n#include "repopt/core/a.hpp"\n' >"$tree/engine/gemm/a.hpp"
    printf '#include "repopt/engine/gemm/a.hpp"\n' >"$tree/nn/layers/a.hpp"
    printf '#include "repopt/nn/layers/a.hpp"\n' >"$tree/nn/blocks/a.hpp"
    printf '#include "repopt/nn/blocks/a.hpp"\n#include "repopt/optim/rules/a.hpp"\n' >"$tree/nn/models/a.hpp"
    printf '#include "repopt/nn/models/a.hpp"\n' >"$tree/quant/a.hpp"
    printf '#include <nlohmann/json.hpp>\n#include "repopt/core/a.hpp"\nstd::snprintf(text);\n' >"$tree/formats/a.hpp"
    printf '#include "repopt/formats/a.hpp"\n#include "repopt/quant/a.hpp"\n' >"$tree/io/a.hpp"
    printf '#include <torch/torch.h>\n#include "repopt/formats/a.hpp"\n' >"$tree/libtorch/a.hpp"
    printf '#include <mpi.h>\n#include "repopt/nn/models/a.hpp"\n' >"$tree/mpi/a.hpp"
    printf '#include "repopt/nn/models/a.hpp"\n#include "repopt/version.hpp"\n' >"$tree/repopt.hpp"
  }
  sound
  [ -z "$(faults "$tree")" ] || { echo "a sound tree is refused: $(faults "$tree")"; exit 1; }
  while read -r header line; do
    sound
    printf '%s\n' "$line" >>"$tree/$header"
    [ -n "$(faults "$tree")" ] || { echo "not found in $header: $line"; exit 1; }
  done <<'BAD'
base/a.hpp #include "repopt/core/a.hpp"
core/a.hpp #include "repopt/optim/rules/a.hpp"
core/a.hpp # include <Eigen/Core>
core/a.hpp #include <nlohmann/json.hpp>
core/a.hpp #include <unistd.h>
optim/rules/a.hpp #include "repopt/tensor/a.hpp"
optim/rules/a.hpp #include "../../engine/gemm/a.hpp"
tensor/a.hpp #include "repopt/core/a.hpp"
tensor/a.hpp #include <sys/file.h>
engine/gemm/a.hpp #include "repopt/optim/rules/a.hpp"
engine/gemm/a.hpp #include "repopt/nn/layers/a.hpp"
nn/layers/a.hpp #include "repopt/nn/blocks/a.hpp"
nn/layers/a.hpp #include "repopt/optim/rules/a.hpp"
nn/blocks/a.hpp #include "repopt/nn/models/a.hpp"
nn/models/a.hpp #include "repopt/quant/a.hpp"
nn/models/a.hpp #include "repopt/formats/a.hpp"
quant/a.hpp #include "repopt/formats/a.hpp"
formats/a.hpp #include "repopt/tensor/a.hpp"
formats/a.hpp #include <Eigen/Core>
io/a.hpp #include <torch/torch.h>
libtorch/a.hpp #include "repopt/nn/layers/a.hpp"
libtorch/a.hpp #include <Eigen/Core>
mpi/a.hpp #include <torch/torch.h>
mpi/a.hpp #include "repopt/io/a.hpp"
repopt.hpp #include "repopt/io/a.hpp"
repopt.hpp #include "repopt/quant/a.hpp"
core/a.hpp inline void f() { std::cout << 1; }
nn/layers/a.hpp inline void f() { std::printf("1"); }
io/a.hpp inline void f() { fprintf(stderr, "1"); }
io/a.hpp #include <iostream>
engine/gemm/a.hpp inline void f() { std::thread t; }
BAD
  sound
  mkdir "$tree/attic"
  cp "$tree/base/a.hpp" "$tree/attic"
  [ -n "$(faults "$tree")" ] || { echo "a folder without a rule is not found"; exit 1; }
}

prove
found=$(faults "$1")
[ -z "$found" ] || { printf 'forbidden:\n%s\n' "$found"; exit 1; }
