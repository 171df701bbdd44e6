#!/bin/sh
# conan_recipe.sh RECIPE_FOLDER WORK_FOLDER EIGEN_INCLUDE JSON_INCLUDE: creates the Conan package with every legal
# choice of its options and builds its test package. Recipes for the installed headers of Eigen and nlohmann_json stand
# in for ConanCenter's, so nothing is downloaded. Conan is WORK_FOLDER/venv/bin/conan or that on the PATH. If there is
# none, the script exits with 77: skipped.
set -eu
recipe=$1 work=$2 eigen=$3 json=$4
conan=$work/venv/bin/conan
[ -x "$conan" ] || conan=$(command -v conan) || {
  echo "skipped: no Conan; python3 -m venv $work/venv && $work/venv/bin/pip install conan installs it"
  exit 77
}
export CONAN_HOME="$work/home"
rm -rf "$CONAN_HOME" "$work/log"
mkdir -p "$work"

quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }; }

# add_package NAME VERSION CMAKE_PACKAGE CMAKE_TARGET INCLUDE: a package whose headers are already installed.
add_package() {
  mkdir -p "$work/$1"
  cat >"$work/$1/conanfile.py" <<RECIPE
from conan import ConanFile


class Installed(ConanFile):
    name, version, package_type = "$1", "$2", "header-library"

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "$3")
        self.cpp_info.set_property("cmake_target_name", "$4")
        self.cpp_info.bindirs = self.cpp_info.libdirs = []
        self.cpp_info.includedirs = ["$5"] if "$5" != "/usr/include" else []
RECIPE
  quietly "$conan" create "$work/$1"
}

# create FORMATS NN IO: each is True or False.
create() {
  "$conan" create "$recipe" -s compiler.cppstd=20 -o "repopt/*:formats=$1" -o "repopt/*:nn=$2" -o "repopt/*:io=$3" \
    -c tools.cmake.cmake_layout:test_folder="$work/test" -c tools.cmake.cmaketoolchain:user_presets=
}

quietly "$conan" profile detect
add_package eigen 3.4.0 Eigen3 Eigen3::Eigen "$eigen"
add_package nlohmann_json 3.11.3 nlohmann_json nlohmann_json::nlohmann_json "$json"
for options in "False False False" "True False False" "False True False" "True True False" "True True True"; do
  # shellcheck disable=SC2086
  quietly create $options
done
for options in "True False True" "False True True"; do
  # shellcheck disable=SC2086
  if create $options >"$work/log" 2>&1 || ! grep -q "option io needs options formats and nn" "$work/log"; then
    echo "options formats, nn, io = $options are not refused" && cat "$work/log" && exit 1
  fi
done
