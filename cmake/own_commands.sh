# Functions for tests/run.sh, tests/bench/run.sh and examples/run.sh, which source this file: they install what is
# missing, and configure and build the preset `release`. The caller sets `root`, the repository's folder, and `dry_run`,
# which is empty or yes. POSIX sh.
# shellcheck shell=sh disable=SC2154

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
fail() {
  say "$@"
  exit 1
}

# run COMMAND...: prints the command and, unless this is a dry run, runs it.
run() {
  printf '+ %s\n' "$*" >&2
  [ -n "$dry_run" ] || "$@"
}

have() { command -v "$1" >/dev/null 2>&1; }

# Prints which of these are missing: compiler make cmake eigen doctest json cli11 curl. It tries to use each, so it
# finds them wherever they are installed.
missing() {
  have curl || have wget || echo curl
  have make || echo make
  if ! have cmake; then
    have "${CXX:-c++}" || echo compiler
    echo cmake eigen doctest json cli11
    return
  fi
  probe=$(mktemp -d)
  cmake -S "$root/cmake/probe" -B "$probe" >"$probe/log" 2>&1 || true
  if [ -f "$probe/missing.txt" ]; then cat "$probe/missing.txt"; else echo compiler; fi
  rm -rf "$probe"
}

# package MANAGER THING: prints the name of the manager's package that contains the thing.
package() {
  case $1/$2 in
    */cmake | */make | */curl) echo "$2" ;;
    apt-get/compiler | dnf/compiler) [ "$1" = dnf ] && echo gcc-c++ || echo g++ ;;
    */compiler) echo gcc ;;
    apt-get/eigen) echo libeigen3-dev ;;
    apt-get/doctest) echo doctest-dev ;;
    apt-get/json) echo nlohmann-json3-dev ;;
    apt-get/cli11) echo libcli11-dev ;;
    dnf/eigen) echo eigen3-devel ;;
    dnf/doctest) echo doctest-devel ;;
    dnf/json) echo json-devel ;;
    dnf/cli11) echo cli11-devel ;;
    */json) echo nlohmann-json ;;
    */*) echo "$2" ;;
  esac
}

install_missing() {
  wanted=$(missing | tr '\n' ' ')
  [ -n "$wanted" ] || return 0
  say "missing: $wanted"
  for manager in apt-get dnf pacman brew none; do have "$manager" && break; done
  packages=
  for thing in $wanted; do packages="$packages $(package "$manager" "$thing")"; done

  as_root=
  if [ "$manager" != brew ] && [ "$(id -u)" != 0 ]; then
    have sudo || fail "cannot install: this user is not root, and there is no sudo. Install by other means: $wanted"
    as_root=sudo
  fi
  # shellcheck disable=SC2086
  case $manager in
    apt-get)
      run $as_root apt-get update || say "the package lists cannot be refreshed; the old ones are used"
      run $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
      ;;
    dnf) run $as_root dnf install -y $packages ;;
    pacman) run $as_root pacman -Sy --needed --noconfirm $packages ;;
    brew) run brew install $packages ;;
    none) fail "cannot install: none of apt-get, dnf, pacman, brew was found. Install by other means: $wanted" ;;
  esac || fail "the installation failed. Install by other means: $wanted"

  [ -z "$dry_run" ] || return 0
  wanted=$(missing | tr '\n' ' ')
  [ -z "$wanted" ] || fail "after the installation these are still missing or too old: $wanted"
}

require_cmake_3_25() {
  [ -z "$dry_run" ] || return 0
  version=$(cmake --version | sed -n 's/^cmake version \([0-9]*\.[0-9]*\).*/\1/p')
  major=${version%.*} minor=${version#*.}
  [ "$major" -gt 3 ] || { [ "$major" -eq 3 ] && [ "$minor" -ge 25 ]; } ||
    fail "the presets need CMake 3.25 or newer, this is $version. See https://cmake.org/download"
}

processors() { getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2; }

# build TARGET...: builds targets of the preset `release`. Warnings are errors only in CI, because other compilers may
# have warnings that CI's compiler lacks.
build() {
  install_missing
  require_cmake_3_25
  if [ -n "${CI-}" ]; then strict=; else strict=--compile-no-warning-as-error; fi
  # shellcheck disable=SC2086
  run cmake -S "$root" --preset release $strict
  run cmake --build "$root/build/release" --parallel "$(processors)" --target "$@"
}
