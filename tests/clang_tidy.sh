#!/bin/sh
# clang_tidy.sh [headers|tests]: runs clang-tidy 16 (CLANG_TIDY names another) over the library's headers, but for those
# of LibTorch and MPI, and over the tests of core, optim and io. Without an argument over both: one and a half minutes of
# processor time for the headers, five for the tests.
set -eu
cd "$(dirname "$0")/.."
tidy=${CLANG_TIDY:-clang-tidy-16}
command -v "$tidy" >/dev/null || { echo "clang_tidy.sh: no $tidy"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Both print files to check. One file includes all headers of a layer, which is cheaper than a file for each.
headers() {
  cp .clang-tidy "$work"
  for layer in "core optim" "nn search quant" io; do
    file="$work/$(echo "$layer" | tr ' ' '_').cpp"
    for folder in $layer; do find "include/repopt/$folder" -name '*.hpp'; done | sort |
      sed 's|^include/\(.*\)|#include "\1"|' >"$file"
    case $layer in nn*) echo 'template class repopt::nn::Vgg<float>;' >>"$file" ;; esac  # and so of most layers
    echo "$file"
  done
}
tests() { find tests/core tests/optim tests/io -name '*.cpp' | sort; }

case ${1-both} in
  headers | tests) "$1" ;;
  both) headers && tests ;;
  *) echo "clang_tidy.sh: headers or tests, not $1" >&2 && exit 1 ;;
esac >"$work/files"
eigen=$(pkg-config --cflags eigen3)
# shellcheck disable=SC2086
xargs -P 2 -I{} "$tidy" --quiet {} -- -std=c++20 -Iinclude -Itests -DREPOPT_EXTERN_ENGINE $eigen <"$work/files"
