#!/bin/sh
# rooms_alone.sh COMPILER INCLUDE core|formats [FLAG...]: compiles all headers of repopt::core, or all headers of
# repopt::formats with those of repopt::core, where no other header of the library exists. Including Eigen is an error,
# and for core including JSON, too. FLAGs are the compiler's flags for finding JSON.
set -eu
compiler=$1 include=$2 target=$3
shift 3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

case $target in
  core) rooms='base core optim' refused='Eigen/Core Eigen/Dense nlohmann/json.hpp' ;;
  formats) rooms='base core optim formats' refused='Eigen/Core Eigen/Dense' ;;
  *) echo "rooms_alone.sh: core or formats, not $target" && exit 1 ;;
esac
mkdir "$folder/repopt"
cp "$include/repopt/version.hpp" "$folder/repopt"
for room in $rooms; do cp -R "$include/repopt/$room" "$folder/repopt"; done
for header in $refused; do
  mkdir -p "$folder/$(dirname "$header")"
  echo '#error "not installed"' >"$folder/$header"
done

compiles() { "$compiler" -std=c++20 -fsyntax-only -I "$folder" "$@" "$folder/all.cpp"; }

# The test proves itself first: a file that includes a refused header must not compile.
for header in $refused; do
  echo "#include <$header>" >"$folder/all.cpp"
  ! compiles "$@" 2>/dev/null || { echo "$header can be included: this test tests nothing"; exit 1; }
done
(cd "$folder" && find repopt -name '*.hpp' | sed 's/.*/#include <&>/' >all.cpp)
compiles "$@"
