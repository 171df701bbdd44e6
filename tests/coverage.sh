#!/bin/sh
# coverage.sh: builds the preset `coverage` with g++, runs its tests but for those of programs and packages, and prints
# with gcovr which share of each header's lines they ran.
set -eu
cd "$(dirname "$0")/.."
command -v gcovr >/dev/null || { echo "coverage.sh: no gcovr; Debian's package has its name" >&2; exit 77; }
labels='core optim nn search quant io equivalence'

cmake --preset coverage
# shellcheck disable=SC2046,SC2086
cmake --build --preset coverage --parallel "$(getconf _NPROCESSORS_ONLN)" --target $(printf '%s_tests ' $labels)
find build/coverage -name '*.gcda' -delete
ctest --preset coverage --label-regex "^($(echo "$labels" | tr ' ' '|'))\$"
gcovr --root include --filter 'include/repopt/' build/coverage
