# The tests of a program source this file. The program is the caller's $1. The working folder becomes a new one, which
# is deleted at the end. POSIX sh.
# shellcheck shell=sh disable=SC2016  # check() evaluates its condition itself

program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit

failures=0

# check CLAIM CONDITION: evaluates the condition and, if it is false, counts a failure of the claim.
check() {
  if ! eval "$2"; then
    echo "FAILED: $1"
    failures=$((failures + 1))
  fi
}

# refuses NAME TEXT ARGUMENT...: the program must exit with 1, print TEXT to stderr and no result.
refuses() {
  name=$1 text=$2
  shift 2
  status=0
  "$program" "$@" >out.txt 2>err.txt || status=$?
  check "$name: exit status $status" '[ "$status" -eq 1 ]'
  check "$name: says '$text'" 'grep -qF -- "$text" err.txt'
  check "$name: no result" '[ ! -s out.txt ]'
}

# Ends a test. If a check failed, prints log.txt, the program's output, and fails.
finish() {
  [ "$failures" -eq 0 ] || { cat log.txt && exit 1; }
}
