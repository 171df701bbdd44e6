#!/bin/sh
# Prints the folder of CIFAR-10's binary files, which it finds or fetches. Everything else it says goes to stderr.
set -eu

usage() {
  cat <<'USAGE'
Usage: sh examples/fetch_cifar.sh [--url URL | --archive FILE] [--sha256 SUM] [--into FOLDER]

Takes $REPOPT_CIFAR_DIR if that is set, else what FOLDER (default build/cifar) already holds, else the archive, which is
downloaded if need be. A download that was cut off goes on where it stopped.

  --url URL        another address of cifar-10-binary.tar.gz, http(s):// or file://
  --archive FILE   a cifar-10-binary.tar.gz that is here already
  --sha256 SUM     the checksum to insist on, if it is not the original archive
  --into FOLDER    where archive and pictures are kept
USAGE
}

url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
sha256=c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd
archive=
into=$(cd "$(dirname "$0")/.." && pwd)/build/cifar

say() { printf 'fetch_cifar.sh: %s\n' "$*" >&2; }
# fail STATUS MESSAGE: 1 if the archive cannot be had, 2 if what the user named is wrong.
fail() {
  status=$1
  shift
  say "$@"
  exit "$status"
}

holds_pictures() { [ -f "$1/test_batch.bin" ] && ls "$1"/data_batch_*.bin >/dev/null 2>&1; }

checksum() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}
is_sound() { [ -f "$1" ] && [ "$(checksum "$1")" = "$sha256" ]; }

# The server is slow: give up when nothing comes, not after a total time.
download() {
  say "downloading $url"
  case $url in
    file://*) cp "${url#file://}" "$1" ;;
    *)
      if command -v curl >/dev/null; then
        curl -fL --retry 3 --connect-timeout 20 --speed-limit 1 --speed-time 60 -C - -o "$1" "$url"
      else
        wget -c --tries 3 --timeout 60 -O "$1" "$url"
      fi
      ;;
  esac >&2
}

# Leaves a sound archive at $archive: a name without .part is a promise.
fetch() {
  archive=$into/cifar-10-binary.tar.gz
  is_sound "$archive" && return
  if ! is_sound "$archive.part"; then
    download "$archive.part" || fail 1 "the download failed; the next one goes on with what has come"
  fi
  if ! is_sound "$archive.part"; then
    rm -f "$archive.part"
    fail 1 "what came from $url has not the checksum $sha256; it is deleted"
  fi
  mv "$archive.part" "$archive"
}

while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage && exit ;;
    --url | --archive | --sha256 | --into) [ $# -ge 2 ] || fail 2 "$1 needs a value" ;;
    *) fail 2 "unknown argument $1; see --help" ;;
  esac
  case $1 in
    --url) url=$2 ;;
    --archive) archive=$2 ;;
    --sha256) sha256=$2 ;;
    --into) into=$2 ;;
  esac
  shift 2
done

if [ -n "${REPOPT_CIFAR_DIR-}" ]; then
  holds_pictures "$REPOPT_CIFAR_DIR" ||
    fail 2 "REPOPT_CIFAR_DIR is $REPOPT_CIFAR_DIR, where data_batch_*.bin and test_batch.bin are not"
  echo "$REPOPT_CIFAR_DIR"
  exit
fi

pictures=$into/cifar-10-batches-bin
if ! holds_pictures "$pictures"; then
  mkdir -p "$into"
  if [ -z "$archive" ]; then
    fetch
  else
    [ -f "$archive" ] || fail 2 "there is no archive $archive"
    is_sound "$archive" || fail 2 "$archive has not the checksum $sha256"
  fi
  # Unpacked beside and renamed: half a folder must not pass for a whole one.
  rm -rf "$into/unpacking" "$pictures"
  mkdir "$into/unpacking"
  tar -xzf "$archive" -C "$into/unpacking" || fail 2 "$archive does not unpack"
  holds_pictures "$into/unpacking/cifar-10-batches-bin" || fail 2 "$archive holds no cifar-10-batches-bin with pictures"
  mv "$into/unpacking/cifar-10-batches-bin" "$pictures"
  rmdir "$into/unpacking"
fi
echo "$pictures"
