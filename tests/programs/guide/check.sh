#!/bin/sh
# check.sh PROGRAM PAGE: runs a page's program in an empty folder. It must succeed. The page must contain every line
# that the program prints (an error's text, a result) as a line of its own or between backquotes.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && "$1" >printed.txt)

missing=0
while IFS= read -r line; do
  grep -qxF -- "$line" "$2" || grep -qF -- "\`$line\`" "$2" || { echo "not in $2: $line"; missing=1; }
done <"$work/printed.txt"
exit "$missing"
