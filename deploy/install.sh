#!/bin/sh
# usage: install.sh FOLDER LOCK WHEELS      what an image holds: a virtual environment in FOLDER with the packages of
# LOCK and our wheel, less what serves nobody: packages' own tests, sample photos and sample models.
set -eu
folder=$1 lock=$2 wheels=$3
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --no-cache-dir --no-deps --use-pep517 --require-hashes -r "$lock"
"$folder/bin/pip" install --quiet --no-cache-dir --no-deps "$wheels"/*.whl
find "$folder" -depth \( -type d \( -name test -o -name tests \) -o -type f \( -iname '*.jpg' -o -iname '*.jpeg' \
  -o -iname '*.png' -o -iname '*.webp' -o -iname '*.onnx' \) \) -exec rm -rf {} +
