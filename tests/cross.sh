#!/bin/sh
# Builds the tests of core, optim, engine and nn for another processor and runs them in an emulator.
set -eu

usage() {
  cat <<'USAGE'
Usage: sh tests/cross.sh aarch64 [CTEST_ARGUMENT...]

Builds the tests of core, optim, engine and nn into build/PROCESSOR with Debian's cross compiler, and runs them under
qemu-user. Needs g++-PROCESSOR-linux-gnu and qemu-user-static; the libraries' headers are this machine's. The emulator is
slow, so tests of the engine try fewer shapes, and tests that train many networks are left out.
Further arguments go to ctest.
USAGE
}

case ${1-} in
  --help | -h) usage && exit ;;
  '' | -*) usage >&2 && exit 2 ;;
esac
processor=$1
shift

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/$processor
compiler=$processor-linux-gnu-g++
emulator=qemu-$processor-static
for program in "$compiler" "$emulator" cmake; do
  command -v "$program" >/dev/null || {
    echo "cross.sh: there is no $program. On Debian: apt-get install g++-$processor-linux-gnu qemu-user-static" >&2
    exit 1
  }
done

# The headers of libraries lie beside those of this machine's C library, which the cross compiler must not see.
mkdir -p "$build/include"
for library in doctest nlohmann CLI eigen3; do
  for prefix in /usr/include /usr/local/include; do
    [ ! -d "$prefix/$library" ] || ln -sfn "$prefix/$library" "$build/include/$library"
  done
done

cmake -S "$root" -B "$build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$processor" \
  -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CROSSCOMPILING_EMULATOR="$emulator;-L;/usr/$processor-linux-gnu" \
  -DCMAKE_CXX_FLAGS="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -isystem $build/include" \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_EXTENSIONS=OFF -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DCMAKE_UNITY_BUILD=ON \
  -DREPOPT_BUILD_EXAMPLES=OFF -DREPOPT_INSTALL=OFF
cmake --build "$build" --parallel 2 --target core_tests optim_tests engine_tests nn_tests
REPOPT_FEWER_SHAPES=1 ctest --test-dir "$build" --output-on-failure --no-tests=error --parallel 2 \
  -L '^(core|optim|engine|nn)$' -E 'allocates nothing|train folded|prior trains|(any|every) mode' "$@"
