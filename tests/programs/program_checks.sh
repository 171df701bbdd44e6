# Sourced by the tests of a program, POSIX sh: the program is $1 of the caller, whose working folder becomes one of its
# own, gone at its end.
# shellcheck shell=sh disable=SC2016  # check() evaluates its condition itself

program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit

failures=0

# check CLAIM CONDITION: evaluates the condition.
check() {
  if ! eval "$2"; then
    echo "FAILED: $1"
    failures=$((failures + 1))
  fi
}

# refuses NAME TEXT ARGUMENT...: the program must exit with 1 and say TEXT.
refuses() {
  name=$1 text=$2
  shift 2
  status=0
  "$program" "$@" >out.txt 2>err.txt || status=$?
  check "$name: exit status $status" '[ "$status" -eq 1 ]'
  check "$name: says '$text'" 'grep -qF -- "$text" err.txt'
  check "$name: no result" '[ ! -s out.txt ]'
}

# The end of a test: what the program said in log.txt, if a check failed.
finish() {
  [ "$failures" -eq 0 ] || { cat log.txt && exit 1; }
}
