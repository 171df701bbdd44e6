#!/bin/sh
# Runs check.py with the Python of FOLDER/venv or, if there is none, python3. Exits with 77, skipped, without a Python.
# Usage: sh run.sh SAFETENSORS_COPY FOLDER   (FOLDER: see python_packages.sh)
set -eu

python=$2/venv/bin/python
[ -x "$python" ] || python=$(command -v python3) || { echo "skipped: no Python" && exit 77; }
exec "$python" "$(dirname "$0")/check.py" "$1"
