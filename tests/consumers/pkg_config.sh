#!/bin/sh
# pkg_config.sh PKG_CONFIG COMPILER FOLDER_OF_PC_FILES OUTPUT_FOLDER: builds and runs the consumers by hand.
set -eu
pkg_config=$1 compiler=$2 output=$4
export PKG_CONFIG_PATH="$3${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
cd "$(dirname "$0")/project"

build_and_run() {
  flags=$("$pkg_config" --cflags "$2")
  # shellcheck disable=SC2086
  "$compiler" -std=c++20 $flags "$1.cpp" -o "$output/$1_by_pkg_config"
  "$output/$1_by_pkg_config"
}
build_and_run uses_core repopt-core
build_and_run uses_all repopt
