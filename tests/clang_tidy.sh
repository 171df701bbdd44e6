#!/bin/sh
# clang_tidy.sh [headers|tests]: runs clang-tidy 16 over the library's headers, without those for LibTorch and MPI, or
# over the tests of base, core, optim, formats and io. Without an argument it checks both. The headers take one and a
# half minutes of processor time, the tests five. CLANG_TIDY names another clang-tidy.
set -eu
cd "$(dirname "$0")/.."
tidy=${CLANG_TIDY:-clang-tidy-16}
command -v "$tidy" >/dev/null || { echo "clang_tidy.sh: $tidy is missing"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# headers and tests print the files to check. For the headers these are three files, each of which includes the headers
# of several folders: that is faster than one file for each header.
headers() {
  cp .clang-tidy "$work"
  for folders in "base core optim" "tensor engine nn quant" "formats io"; do
    file="$work/$(echo "$folders" | tr ' ' '_').cpp"
    for folder in $folders; do find "include/repopt/$folder" -name '*.hpp'; done | sort |
      sed 's|^include/\(.*\)|#include "\1"|' >"$file"
    # This also instantiates most blocks and layers.
    case $folders in *" nn "*) echo 'template class repopt::nn::Vgg<float>;' >>"$file" ;; esac
    echo "$file"
  done
}
tests() { find tests/base tests/core tests/optim tests/formats tests/io -name '*.cpp' | sort; }

case ${1-both} in
  headers | tests) "$1" ;;
  both) headers && tests ;;
  *) echo "clang_tidy.sh: headers or tests, not $1" >&2 && exit 1 ;;
esac >"$work/files"
eigen=$(pkg-config --cflags eigen3)
# shellcheck disable=SC2086
xargs -P 2 -I{} "$tidy" --quiet {} -- -std=c++20 -Iinclude -Itests -DREPOPT_EXTERN_ENGINE $eigen <"$work/files"
