#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# compress_your_model_test.sh BIN PYTHON: runs the commands of docs/compress_your_model.md (the code
# blocks marked sh) without changes, in a folder that looks like the repository, and expects the served
# model to give the answer that the document shows. BIN is the folder of the programs, and PYTHON a
# Python with torch. The commands must end within four minutes.
set -euo pipefail
source=$PWD
bin=$(cd "$1" && pwd) python=$2
document=$source/docs/compress_your_model.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/build/release" "$work/path"
ln -s "$source/training" "$work/training"
ln -s "$bin" "$work/build/release/bin"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$python" >"$work/path/python3"
chmod +x "$work/path/python3"

{
  echo 'set -euo pipefail'
  echo 'trap '\''kill $(jobs -p) 2>/dev/null; wait'\'' EXIT'
  sed -n '/^```sh$/,/^```$/{/^```/d;p}' "$document"
} >"$work/commands"
[ "$(grep -c -E '^(python3|ese-compile|ese-server|ese-client) ' "$work/commands")" -eq 4 ] ||
  { echo "$document does not have the four commands"; exit 1; }

cd "$work"
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 PATH="$work/path:$PATH"
timeout --kill-after=5 240 bash commands >output 2>log ||
  { status=$?; cat output log; echo "the commands failed with status $status"; exit 1; }
expected=$(sed -n 's/^    \(low-high-mid\.wav: .*\)/\1/p' "$document")
[ -n "$expected" ] || { echo "$document does not show an answer"; exit 1; }
grep -q -x -F "$expected" output ||
  { cat output log; echo "the answer was not '$expected'"; exit 1; }
[ "$(grep -c 'mask of the training kept' output)" -eq 2 ] ||
  { cat output; echo "the compiler did not keep the masks"; exit 1; }
echo "$expected"
