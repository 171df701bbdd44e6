#!/bin/sh
# rule_without_blocks.sh COMPILER INCLUDE: checks that a program does not compile if it adds a kernel with a CSLA block to
# a rule that has no form for such kernels, and that the compiler says why in one sentence. The same program without the
# block must compile.
set -eu
compiler=$1 include=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# program BLOCK: prints a program whose rule only has an update() for ordinary parameters. BLOCK is the last argument of
# add_param().
program() {
  cat <<PROGRAM
#include <repopt/optim/rep_optimizer.hpp>
#include <vector>
struct Ordinary {
  struct Options { double lr = 1; };
  template <class T> struct State {};
  static constexpr std::string_view name = "ordinary";
  static void validate(const Options&) {}
  template <class T>
  static void update(std::span<T>, std::span<const T>, T, State<T>&, const Options&) {}
};
int main() {
  const repopt::ConvShape conv;
  std::vector<float> weight(9), grad(9);
  repopt::RepOptimizer<Ordinary, float> optimizer;
  optimizer.add_param_group().add_param("weight", weight, grad, $1);
}
PROGRAM
}

compiles() { "$compiler" -std=c++20 -fsyntax-only -I "$include" -x c++ - 2>"$work/said"; }

program conv | compiles || { cat "$work/said" && exit 1; }
! program 'repopt::CslaBlock<float>::plain(conv)' | compiles || { echo "it compiles" && exit 1; }
sentence="this update rule has no form on the kernel of a CSLA block"
[ "$(grep -c "error: .*$sentence" "$work/said")" -eq 1 ] || { cat "$work/said" && exit 1; }
