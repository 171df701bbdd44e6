#!/bin/sh
# Runs tests/run.sh and examples/run.sh with --dry-run on simulated machines, which have a package manager and little
# else, and checks which commands they announce. The simulated programs fail when called, because a dry run must change
# nothing.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
machine=$(mktemp -d)
trap 'rm -rf "$machine"' EXIT

fail() {
  printf 'dry_run_test.sh: %s\n%s\n' "$1" "$(cat "$machine/said")"
  exit 1
}

# new_machine USER_ID PROGRAM...: makes a machine with the basic tools and with programs that must not be called.
new_machine() {
  rm -rf "${machine:?}/bin" && mkdir "$machine/bin"
  for tool in sh cat basename dirname tr sed mktemp rm tail getconf; do ln -s "$(command -v $tool)" "$machine/bin/$tool"; done
  printf '#!/bin/sh\necho %s\n' "$1" >"$machine/bin/id"
  shift
  for program in "$@"; do printf '#!/bin/sh\necho "%s was called"\nexit 1\n' "$program" >"$machine/bin/$program"; done
  chmod +x "$machine"/bin/*
}

# dry_run SCRIPT: runs the script from another folder, with an empty environment. Leaves its output in the file `said`.
dry_run() { (cd / && env -i PATH="$machine/bin" sh "$root/$1" --dry-run >"$machine/said" 2>&1); }

# expect COMMAND: the dry run must have announced the command and called no program.
expect() {
  grep -qxF -e "+ $1" "$machine/said" || fail "this is not announced: $1"
  ! grep -q 'was called' "$machine/said" || fail "a dry run calls programs"
}

for script in tests/run.sh examples/run.sh; do
  new_machine 0 apt-get
  dry_run $script || fail "$script fails"
  expect "apt-get update"
  expect "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends curl make g++ cmake libeigen3-dev doctest-dev nlohmann-json3-dev libcli11-dev"

  new_machine 1000 apt-get sudo
  dry_run $script || fail "$script fails"
  expect "sudo apt-get update"

  new_machine 1000 dnf sudo
  dry_run $script || fail "$script fails"
  expect "sudo dnf install -y curl make gcc-c++ cmake eigen3-devel doctest-devel json-devel cli11-devel"

  new_machine 0 pacman
  dry_run $script || fail "$script fails"
  expect "pacman -Sy --needed --noconfirm curl make gcc cmake eigen doctest nlohmann-json cli11"

  new_machine 501 brew
  dry_run $script || fail "$script fails"
  expect "brew install curl make gcc cmake eigen doctest nlohmann-json cli11"

  new_machine 1000 apt-get
  ! dry_run $script || fail "$script does not say that it needs root or sudo"
  grep -q 'not root, and there is no sudo' "$machine/said" || fail "$script does not say that it needs root or sudo"

  new_machine 0
  ! dry_run $script || fail "$script does not say that no package manager is here"
  grep -q 'none of apt-get, dnf, pacman, brew' "$machine/said" || fail "$script does not name the package managers"
done

# The commands after the installation.
new_machine 0 dnf
dry_run tests/run.sh || fail "tests/run.sh fails"
grep -q "^+ cmake -S $root --preset release" "$machine/said" || fail "no configuration is announced"
grep -q '^+ ctest ' "$machine/said" || fail "no test run is announced"
dry_run examples/run.sh || fail "examples/run.sh fails"
grep -q -e '^+ .*/repopt-cifar train .* --mode rep --model cifar-deep ' "$machine/said" || fail "no training is announced"
