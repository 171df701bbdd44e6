#!/bin/sh
# without_exceptions.sh COMPILER INCLUDE: all headers of base, core and optim compile with -fno-exceptions, and an error
# then calls repopt::error_handler with its message or, if nobody put a function there, aborts.
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
[ "$status $said" = "3 lr must be finite and >= 0, it is -1" ] || { echo "the handler: $status $said" && exit 1; }
status=0
"$work/program" 2>/dev/null || status=$?
[ "$status" -ge 128 ] || { echo "without a handler it ends with $status, not by abort()" && exit 1; }
