#!/bin/sh
# Tests examples/fetch_cifar.sh with a small archive and a simulated curl, without a network.
set -eu
script=$(cd "$(dirname "$0")/../.." && pwd)/examples/fetch_cifar.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset REPOPT_CIFAR_DIR

fail() {
  echo "fetch_cifar_test.sh: $1"
  cat "$work/said"
  exit 1
}

# fetch ARGUMENT...: leaves the script's exit status in `status` and the folder that it prints in `folder`.
fetch() {
  status=0
  folder=$(PATH="$work/bin:$PATH" sh "$script" --into "$work/cache" "$@" 2>"$work/said") || status=$?
}
expect_pictures() { if [ "$status" -ne 0 ] || [ ! -f "$folder/test_batch.bin" ]; then fail "$1"; fi; }

mkdir -p "$work/bin" "$work/cifar-10-batches-bin"
echo pictures >"$work/cifar-10-batches-bin/data_batch_1.bin"
echo pictures >"$work/cifar-10-batches-bin/test_batch.bin"
tar -czf "$work/small.tar.gz" -C "$work" cifar-10-batches-bin
sum=$({ sha256sum "$work/small.tar.gz" || shasum -a 256 "$work/small.tar.gz"; } 2>/dev/null | cut -d ' ' -f 1)

# The simulated curl continues small.tar.gz where the .part file ends, as `curl -C -` does. If the file `offline`
# exists, it fails.
cat >"$work/bin/curl" <<'CURL'
#!/bin/sh
here=$(dirname "$0")/..
[ ! -e "$here/offline" ] || exit 6
case " $* " in *" -C - "*) ;; *) exit 2 ;; esac
while [ $# -gt 1 ]; do [ "$1" = -o ] && part=$2; shift; done
touch "$part"
tail -c "+$(($(wc -c <"$part") + 1))" "$here/small.tar.gz" >>"$part"
CURL
chmod +x "$work/bin/curl"

fetch --sha256 "$sum"
expect_pictures "a download fails"
[ ! -e "$work/cache/cifar-10-binary.tar.gz.part" ] || fail "a finished download keeps its .part name"

touch "$work/offline"
fetch
expect_pictures "pictures in the folder are not used"

rm -rf "$work/cache"
fetch --sha256 "$sum"
[ "$status" -eq 1 ] || fail "without a network the status is $status, not 1"

rm "$work/offline" && mkdir -p "$work/cache"
head -c 50 "$work/small.tar.gz" >"$work/cache/cifar-10-binary.tar.gz.part"
fetch --sha256 "$sum"
expect_pictures "an interrupted download does not continue"

rm -rf "$work/cache"
fetch
[ "$status" -eq 1 ] || fail "a wrong checksum gives status $status, not 1"
[ ! -e "$work/cache/cifar-10-binary.tar.gz" ] || fail "an archive with a wrong checksum is kept"

fetch --sha256 "$sum" --url "file://$work/small.tar.gz"
expect_pictures "file:// fails"

rm -rf "$work/cache"
fetch --sha256 "$sum" --archive "$work/small.tar.gz"
expect_pictures "a local archive fails"

rm -rf "$work/cache"
fetch --archive "$work/small.tar.gz"
[ "$status" -eq 2 ] || fail "a local archive with a wrong checksum gives status $status, not 2"

export REPOPT_CIFAR_DIR="$work/nowhere"
fetch
[ "$status" -eq 2 ] || fail "a wrong REPOPT_CIFAR_DIR gives status $status, not 2"
export REPOPT_CIFAR_DIR="$work/cifar-10-batches-bin"
fetch
expect_pictures "REPOPT_CIFAR_DIR is not used"
