#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# client_examples_test.sh BIN_DIR [LANGUAGE...]: runs the programs of client/examples on a recording
# and expects the units and times that `ese-client transcribe --times` prints.
#
# LANGUAGE is the language of an example. This script knows python, which is also the default. Packages
# are installed into a temporary folder. If the runtime or the packages of a language are not available,
# the test says so and skips it. ESE_EXAMPLES_PYTHON names a Python that already has the packages. Exit
# status: 0 if all programs that ran agree, 77 if none ran.
set -euo pipefail
source=$PWD
bin=$(cd "$1" && pwd)
shift
languages=("$@")
[ $# -gt 0 ] || languages=(python)
recording=$source/tests/data/speech/conf-placeintoconf.wav
work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; } || true
  rm -rf "$work"
}
trap cleanup EXIT

# quietly COMMAND...: shows the command's output only if it fails.
quietly() {
  "$@" >"$work/log" 2>&1 || { tail -n 20 "$work/log"; return 1; }
}

# prepare_LANGUAGE returns non-zero if the language must be skipped. run_LANGUAGE ADDRESS WAV runs its
# program. Both work in a copy of the language's folder.
prepare_python() {
  python=${ESE_EXAMPLES_PYTHON:-}
  if [ -z "$python" ]; then
    command -v python3 >/dev/null || { echo "python3 was not found"; return 1; }
    quietly timeout 60 python3 -m venv venv || return 1
    python=$PWD/venv/bin/python
    quietly timeout 120 "$python" -m pip install --quiet --requirement requirements.txt || return 1
  fi
  "$python" -m grpc_tools.protoc --proto_path="$source/proto" --python_out=. \
    --grpc_python_out=. ese/v1/speech.proto || exit 1
}
run_python() { "$python" recognize.py "$@"; }

"$bin/ese-server" --model "$source/pretrained/en-phones.ese" --listen 127.0.0.1:0 \
  --metrics 127.0.0.1:0 --ready-file "$work/ready" 2>"$work/server_log" &
server=$!
for _ in $(seq 300); do
  [ -s "$work/ready" ] && break
  kill -0 "$server" || { cat "$work/server_log"; exit 1; }
  sleep 0.1
done
address=$(sed -n 's/^grpc=//p' "$work/ready")
[ -n "$address" ] || { echo "the server did not become ready"; exit 1; }
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

"$bin/ese-client" transcribe --server "$address" --times "$recording" >"$work/transcript"
awk 'NR > 1 { print $1, $3 }' "$work/transcript" >"$work/expected"
[ -s "$work/expected" ] || { cat "$work/transcript"; echo "ese-client found no units"; exit 1; }

ran=0
for language in "${languages[@]}"; do
  cp -r "$source/client/examples/$language" "$work/"
  cd "$work/$language"
  if ! "prepare_$language"; then
    echo "$language: skipped"
    continue
  fi
  "run_$language" "$address" "$recording" >"$work/$language.units" ||
    { cat "$work/server_log"; echo "$language: the program failed"; exit 1; }
  diff "$work/expected" "$work/$language.units" ||
    { echo "$language: the units differ from those of ese-client"; exit 1; }
  echo "$language: $(wc -l <"$work/expected") units, the same as those of ese-client"
  ran=$((ran + 1))
done
[ "$ran" -gt 0 ] || exit 77
