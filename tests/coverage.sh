#!/bin/sh
# coverage.sh: builds the preset `coverage` with g++ and runs the tests of the library, without those of programs and
# packages. Then gcovr prints, for each header, the share of lines that the tests ran.
set -eu
cd "$(dirname "$0")/.."
command -v gcovr >/dev/null || { echo "coverage.sh: gcovr is missing (Debian: gcovr)" >&2; exit 77; }
labels='base core optim tensor engine nn quant formats io equivalence'

cmake --preset coverage
# shellcheck disable=SC2046,SC2086
cmake --build --preset coverage --parallel "$(getconf _NPROCESSORS_ONLN)" --target $(printf '%s_tests ' $labels)
find build/coverage -name '*.gcda' -delete
ctest --preset coverage --label-regex "^($(echo "$labels" | tr ' ' '|'))\$"
gcovr --root include --filter 'include/repopt/' build/coverage
