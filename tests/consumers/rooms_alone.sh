#!/bin/sh
# core_alone.sh COMPILER INCLUDE: compiles all headers of core and optim where there is no other header of the library,
# and where whoever includes Eigen or JSON fails. First it proves that: a file that includes them must fail.
set -eu
compiler=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir -p "$folder/Eigen" "$folder/nlohmann" "$folder/repopt"
for header in Eigen/Core Eigen/Dense nlohmann/json.hpp; do echo '#error "not installed"' >"$folder/$header"; done
cp -R "$2/repopt/core" "$2/repopt/optim" "$2/repopt/version.hpp" "$folder/repopt"

compiles() { "$compiler" -std=c++20 -fsyntax-only -I "$folder" "$folder/all.cpp"; }

for header in Eigen/Core nlohmann/json.hpp; do
  echo "#include <$header>" >"$folder/all.cpp"
  ! compiles 2>/dev/null || { echo "$header can be included: this test tests nothing"; exit 1; }
done
(cd "$folder" && find repopt -name '*.hpp' | sed 's/.*/#include <&>/' >all.cpp)
compiles
