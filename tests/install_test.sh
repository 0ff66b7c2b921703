#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install_test.sh BUILD_DIR: installs a complete build into a temporary folder, builds a copy of
# client/examples/cpp against it, and expects the units and times that the installed ese-client prints.
# The environment variable CXX names the compiler.
set -euo pipefail
build=$1
recording=tests/data/speech/conf-placeintoconf.wav
wav_header_bytes=44
. tools/start_server.sh
. tests/expect_units.sh

# quietly COMMAND...: shows the command's output only if it fails.
quietly() {
  "$@" >"$work/log" 2>&1 || { cat "$work/log"; echo "'$*' failed, as shown above"; exit 1; }
}

start_server "$build/bin" --model pretrained/en-phones.ese
prefix=$work/prefix
quietly cmake --install "$build" --prefix "$prefix"
if grep -rF --include='*.cmake' -e "$PWD/" "$prefix"; then
  fail "the installed package names files of the source or build folder, as shown above"
fi

cp -r client/examples/cpp "$work/example"
quietly cmake -S "$work/example" -B "$work/example/build" -DCMAKE_PREFIX_PATH="$prefix"
grep -q "^ese_DIR:PATH=$prefix/" "$work/example/build/CMakeCache.txt" ||
  fail "the example was built with another package than the one just installed"
quietly cmake --build "$work/example/build"

find_expected_units "$prefix/bin" "$recording"
tail -c "+$((wav_header_bytes + 1))" "$recording" |
  "$work/example/build/recognize" "$grpc" >"$work/units" || fail "cpp: the program failed"
expect_units cpp
