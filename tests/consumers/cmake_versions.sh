#!/bin/sh
# cmake_versions.sh SOURCE WORK CONSUMER: with the oldest CMake that the library accepts and with the newest, both from
# PyPI, configures the library and its tests, builds one test program, installs, and builds and runs the project CONSUMER
# on the installed package. WORK/OLDEST and WORK/newest are virtual environments, which this script makes. Exits with 77,
# skipped, if pip cannot install them.
set -eu
source=$1 work=$2 consumer=$3
mkdir -p "$work"

quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }; }

# install FOLDER REQUIREMENT: leaves CMake in FOLDER/bin.
install() {
  [ -x "$1/bin/pip" ] || python3 -m venv --clear "$1"
  "$1/bin/pip" install --quiet --upgrade "$2" || [ -x "$1/bin/cmake" ]
}

oldest=$(sed -n 's/^cmake_minimum_required(VERSION \([0-9.]*\)).*/\1/p' "$source/CMakeLists.txt")
[ -n "$oldest" ] || { echo "CMakeLists.txt names no oldest CMake" && exit 1; }
if ! install "$work/$oldest" "cmake==$oldest.*" || ! install "$work/newest" cmake; then
  echo "skipped: pip cannot install CMake $oldest and the newest"
  exit 77
fi

for version in "$oldest" newest; do
  bin=$work/$version/bin build=$work/$version/build prefix=$work/$version/prefix
  "$bin/cmake" --version | head -n 1
  # Presets need CMake 3.25.
  quietly "$bin/cmake" -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_INSTALL_PREFIX="$prefix"
  quietly "$bin/cmake" --build "$build" --target base_tests
  quietly "$bin/ctest" --test-dir "$build" -L base --no-tests=error
  quietly "$bin/cmake" --install "$build"
  quietly "$bin/ctest" --build-and-test "$consumer" "$build/consumer" --build-generator "Unix Makefiles" \
    --build-options -DUSE=core,formats -DCMAKE_PREFIX_PATH="$prefix" --test-command "$bin/ctest" --no-tests=error
done
