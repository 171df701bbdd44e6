#!/bin/sh
# fast_math.sh COMPILER INCLUDE: a program that includes an optimizer must get one warning with -ffast-math, and none
# without this flag. This holds whether the library's headers are system headers or not.
set -eu
compiler=$1 include=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo '#include <repopt/optim/rep_optimizer.hpp>' >"$folder/program.cpp"

# warnings FLAG...: compiles the program and prints the number of warnings.
warnings() {
  "$compiler" -std=c++20 -Wall -Wextra -Wpedantic -fsyntax-only "$@" "$folder/program.cpp" 2>"$folder/log"
  grep -c 'warning:' "$folder/log" || true
}
fail() {
  echo "$1"
  cat "$folder/log"
  exit 1
}

for kind in -I -isystem; do
  [ "$(warnings $kind "$include")" -eq 0 ] || fail "without -ffast-math there is a warning"
  for flag in -ffast-math -ffinite-math-only; do
    [ "$(warnings $kind "$include" $flag)" -eq 1 ] || fail "$flag with $kind does not give exactly one warning"
    grep -q 'warning:.*NaN and infinity' "$folder/log" || fail "the warning about $flag does not say why"
  done
done
