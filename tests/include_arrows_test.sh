#!/bin/sh
# include_arrows_test.sh DIR: fails if a header below DIR (include/repopt) includes what lies above it, if one of the
# standard-library layers includes anything else, or if the library prints or starts threads. First it proves itself:
# it must find each fault in trees that it makes.
set -eu

# What the headers of a folder may include: folders of the library, and other libraries' headers.
may_include() {
  case $1 in
    core) echo '"repopt/core/' '<omp\.h>' ;;
    optim) echo "$(may_include core)" '"repopt/optim/' ;;
    nn) echo "$(may_include optim)" '"repopt/nn/' '<Eigen/' '<sys/mman\.h>' ;;
    .) echo '"repopt/((core|optim|nn)/|version\.hpp")' ;;
    search | quant | io | torch | mpi)
      echo "$(may_include nn)" "\"repopt/$1/"
      case $1 in
        io) echo '"repopt/quant/' '<nlohmann/' '<(sys/[a-z]*|fcntl|unistd|io)\.h>' ;;
        torch) echo '<torch/' ;;
        mpi) echo '<mpi\.h>' ;;
      esac
      ;;
    *) echo "include_arrows_test.sh: no rule for include/repopt/$1" >&2 ;;
  esac
}

# Prints every forbidden line of the tree $1 as FILE:LINE:TEXT.
faults() {
  find "$1" -name '*.hpp' | sort | while read -r header; do
    folder=${header#"$1"/}
    case $folder in */*) folder=${folder%%/*} ;; *) folder=. ;; esac
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
  mkdir -p "$tree/core" "$tree/optim" "$tree/nn/engine" "$tree/search" "$tree/io" "$tree/mpi"
  sound() {
    printf '#include <vector>\n' >"$tree/core/a.hpp"
    printf '#include <span>\n#include "repopt/core/a.hpp"\n' >"$tree/optim/b.hpp"
    printf '#include <Eigen/Core>\n#include "repopt/optim/b.hpp"\n// std::cout\n' >"$tree/nn/engine/c.hpp"
    printf '#include "repopt/nn/engine/c.hpp"\n' >"$tree/search/d.hpp"
    printf '#include <nlohmann/json.hpp>\n#include "repopt/core/a.hpp"\nstd::snprintf(text);\n' >"$tree/io/e.hpp"
    printf '#include <mpi.h>\n#include "repopt/nn/engine/c.hpp"\n' >"$tree/mpi/g.hpp"
    printf '#include "repopt/nn/engine/c.hpp"\n' >"$tree/repopt.hpp"
  }
  sound
  [ -z "$(faults "$tree")" ] || { echo "a sound tree is refused: $(faults "$tree")"; exit 1; }
  while read -r header line; do
    sound
    printf '%s\n' "$line" >>"$tree/$header"
    [ -n "$(faults "$tree")" ] || { echo "not found in $header: $line"; exit 1; }
  done <<'BAD'
core/a.hpp #include "repopt/optim/b.hpp"
core/a.hpp # include <Eigen/Core>
core/a.hpp #include <nlohmann/json.hpp>
core/a.hpp #include <unistd.h>
optim/b.hpp #include "repopt/nn/engine/c.hpp"
optim/b.hpp #include "../nn/engine/c.hpp"
nn/engine/c.hpp #include "repopt/search/d.hpp"
nn/engine/c.hpp #include "repopt/io/e.hpp"
nn/engine/c.hpp #include <sys/file.h>
search/d.hpp #include "repopt/io/e.hpp"
search/d.hpp #include "repopt/quant/f.hpp"
io/e.hpp #include "repopt/search/d.hpp"
repopt.hpp #include "repopt/io/e.hpp"
repopt.hpp #include "repopt/search/d.hpp"
core/a.hpp inline void f() { std::cout << 1; }
nn/engine/c.hpp inline void f() { std::printf("1"); }
io/e.hpp inline void f() { fprintf(stderr, "1"); }
mpi/g.hpp #include <torch/torch.h>
mpi/g.hpp #include "repopt/io/e.hpp"
io/e.hpp #include <iostream>
nn/engine/c.hpp inline void f() { std::thread t; }
BAD
}

prove
found=$(faults "$1")
[ -z "$found" ] || { printf 'forbidden:\n%s\n' "$found"; exit 1; }
