#!/bin/sh
# without_exceptions.sh COMPILER INCLUDE: checks that all headers of base, core and optim compile with -fno-exceptions.
# An error must then call repopt::error_handler with its message, or abort the program if no handler was set.
set -eu
compiler=$1 include=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$include" && find repopt/base repopt/core repopt/optim -name '*.hpp' | sed 's/.*/#include <&>/') >"$work/program.cpp"
cat >>"$work/program.cpp" <<'PROGRAM'
#include <cstdio>
int main(int argc, char**) {
  if (argc > 1)
    repopt::error_handler = [](const char* message) {
      std::puts(message);
      std::exit(3);
    };
  repopt::RepSgd<float> optimizer;
  optimizer.add_param_group({.lr = -1});
}
PROGRAM
"$compiler" -std=c++20 -fno-exceptions -I "$include" "$work/program.cpp" -o "$work/program"

status=0
said=$("$work/program" handled) || status=$?
[ "$status $said" = "3 lr must be finite and >= 0, it is -1" ] || {
  echo "the program with a handler ends with status $status and says: $said" && exit 1
}
status=0
"$work/program" 2>/dev/null || status=$?
[ "$status" -ge 128 ] || {
  echo "without a handler the program ends with status $status, not by abort()" && exit 1
}
