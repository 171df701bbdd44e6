#!/bin/sh
# pkg_config.sh PKG_CONFIG COMPILER FOLDER_OF_PC_FILES REFUSED_HEADERS WORK_FOLDER: builds the consumers with the flags
# that pkg-config gives, and runs them in WORK_FOLDER. For the programs that need no Eigen, pkg-config finds only an old
# Eigen, and the compiler finds only Eigen's headers in REFUSED_HEADERS, which fail.
set -eu
pkg_config=$1 compiler=$2 pc_files=$3 refused=$4 work=$5
project=$(cd "$(dirname "$0")/project" && pwd)
user_path=${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
mkdir -p "$work/old_eigen"
cd "$work"
printf 'Name: Eigen3\nDescription: too old\nVersion: 3.3.9\nCflags:\n' >old_eigen/eigen3.pc

# build_and_run PROGRAM FLAGS
build_and_run() {
  # shellcheck disable=SC2086
  "$compiler" -std=c++20 $2 "$project/$1.cpp" -o "$1"
  "./$1"
}

export PKG_CONFIG_PATH="$work/old_eigen:$pc_files$user_path"
if "$pkg_config" --exists repopt; then
  echo "repopt.pc accepts Eigen 3.3.9" && exit 1
fi
build_and_run uses_core "-I$refused $("$pkg_config" --cflags repopt-core)"
build_and_run uses_formats "-I$refused $("$pkg_config" --cflags repopt-formats)"

export PKG_CONFIG_PATH="$pc_files$user_path"
build_and_run uses_repopt "$("$pkg_config" --cflags repopt)"
