#!/bin/sh
# Finds CIFAR-10's binary files or downloads them, and prints their folder. Everything else goes to stderr.
set -eu

usage() {
  cat <<'USAGE'
Usage: sh examples/fetch_cifar.sh [--url URL | --archive FILE] [--sha256 SUM] [--into FOLDER]

Uses $REPOPT_CIFAR_DIR if it is set, otherwise the pictures that FOLDER already holds, otherwise the archive, which it
downloads if necessary. An interrupted download continues where it stopped.

  --url URL        another address of cifar-10-binary.tar.gz, http(s):// or file://
  --archive FILE   a cifar-10-binary.tar.gz on this machine
  --sha256 SUM     the archive's checksum, if it is not the original one
  --into FOLDER    the folder for archive and pictures (default: build/cifar)
USAGE
}

url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
sha256=c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd
archive=
into=$(cd "$(dirname "$0")/.." && pwd)/build/cifar

say() { printf 'fetch_cifar.sh: %s\n' "$*" >&2; }
# fail STATUS MESSAGE: the status is 1 if the download fails, and 2 if the user named a wrong file, folder or option.
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

# The server is slow. So a download ends if no data arrives for some time, but its total time is not limited.
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

# Leaves a sound archive at $archive. Only sound archives have a name without .part.
fetch() {
  archive=$into/cifar-10-binary.tar.gz
  is_sound "$archive" && return
  if ! is_sound "$archive.part"; then
    download "$archive.part" || fail 1 "the download failed; the next try will continue it"
  fi
  if ! is_sound "$archive.part"; then
    rm -f "$archive.part"
    fail 1 "the archive from $url does not have the checksum $sha256; it was deleted"
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
    fail 2 "REPOPT_CIFAR_DIR is $REPOPT_CIFAR_DIR, which lacks data_batch_*.bin or test_batch.bin"
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
    is_sound "$archive" || fail 2 "$archive does not have the checksum $sha256"
  fi
  # The archive is unpacked into another folder, which is then renamed. So an incomplete folder is never used.
  rm -rf "$into/unpacking" "$pictures"
  mkdir "$into/unpacking"
  tar -xzf "$archive" -C "$into/unpacking" || fail 2 "$archive cannot be unpacked"
  holds_pictures "$into/unpacking/cifar-10-batches-bin" || fail 2 "$archive holds no cifar-10-batches-bin with pictures"
  mv "$into/unpacking/cifar-10-batches-bin" "$pictures"
  rmdir "$into/unpacking"
fi
echo "$pictures"
