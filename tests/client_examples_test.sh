#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# client_examples_test.sh BIN_DIR [LANGUAGE...]: runs the programs of client/examples on a recording
# and expects the units and times that ese-client prints. install_test.sh does the same for C++.
#
# LANGUAGE is python, go or javascript; without one, all are run. They are prepared in a temporary
# folder. A language whose runtime or packages cannot be had is named and left out.
# ESE_EXAMPLES_PYTHON names a Python that has the packages already.
# Exit status: 0 if all that ran agree, 77 if none ran.
set -euo pipefail
bin=$1
shift
languages=("$@")
[ $# -gt 0 ] || languages=(python go javascript)
recording=$PWD/tests/data/speech/conf-placeintoconf.wav
. tools/start_server.sh
. tests/expect_units.sh

# quietly COMMAND...: shows the command's output only if it fails.
quietly() {
  "$@" >"$work/log" 2>&1 || { tail -n 20 "$work/log"; return 1; }
}
# have PROGRAM and fetch COMMAND... return non-zero and set $why if the language has to be left out.
have() {
  command -v "$1" >/dev/null || { why="$1 is not installed"; return 1; }
}
fetch() {
  quietly timeout 120 "$@" || { why="'$*' failed, as shown above"; return 1; }
}
# generate COMMAND...: needs nothing but what was fetched, so a failure is one of the example's.
generate() {
  quietly "$@" || { echo "'$*' failed, as shown above"; exit 1; }
}

# prepare_LANGUAGE does what the program's first comment says. run_LANGUAGE ADDRESS WAV runs it.
prepare_python() {
  python=${ESE_EXAMPLES_PYTHON:-}
  if [ -z "$python" ]; then
    have python3 && fetch python3 -m venv venv || return 1
    python=$PWD/venv/bin/python
    fetch "$python" -m pip install --requirement requirements.txt || return 1
  fi
  generate "$python" -m grpc_tools.protoc --proto_path=../../../proto --python_out=. \
    --grpc_python_out=. ese/v1/speech.proto
}
run_python() { "$python" recognize.py "$@"; }

prepare_go() {
  have go && have protoc && fetch go mod download || return 1
  generate go generate
  generate go build -o bin/ .
}
run_go() { bin/recognize "$@"; }

prepare_javascript() {
  have node && have npm && fetch npm ci --ignore-scripts --no-audit --no-fund
}
run_javascript() { node recognize.js "$@"; }

start_server "$bin" --model pretrained/en-phones.ese
find_expected_units "$bin" "$recording"
mkdir -p "$work/source/client"
cp -r proto "$work/source/"
cp -r client/examples "$work/source/client/"
ran=()
left_out=()
for language in "${languages[@]}"; do
  cd "$work/source/client/examples/$language"
  if "prepare_$language"; then
    "run_$language" "$grpc" "$recording" >"$work/units" || fail "$language: the program failed"
    expect_units "$language"
    ran+=("$language")
  else
    echo "$language: left out, because $why"
    left_out+=("$language")
  fi
done
echo "ran: ${ran[*]:-none}; left out: ${left_out[*]:-none}"
[ ${#ran[@]} -gt 0 ] || exit 77
