# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Tests of example programs source this file to compare what they print with what ese-client prints.
# They call start_server of tools/start_server.sh first.

# find_expected_units BIN_DIR WAV: keeps the units and times that ese-client recognises.
find_expected_units() {
  export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
  "$1/ese-client" transcribe --server "$grpc" --times "$2" >"$work/transcript"
  awk 'NR > 1 { print $1, $3 }' "$work/transcript" >"$work/expected"
  [ -s "$work/expected" ] || { cat "$work/transcript"; fail "ese-client found no units"; }
}

# expect_units LANGUAGE: the program of this language has written the same ones to $work/units.
expect_units() {
  diff "$work/expected" "$work/units" || fail "$1: the units differ from those of ese-client"
  echo "$1: $(wc -l <"$work/expected") units, as ese-client finds them"
}

fail() {
  cat "$work/server.log"
  echo "$1"
  exit 1
}
