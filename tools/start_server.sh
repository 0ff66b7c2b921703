# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Scripts source this file to run a server of their own until they end.

# start_server BIN_DIR ARGUMENT...: starts BIN_DIR/ese-server on free loopback ports and waits until it
# is ready. Sets $grpc and $metrics to its addresses, and $work to a temporary folder that also holds
# server.log. At exit the server ends and the folder goes.
start_server() {
  local bin=$1
  shift
  work=$(mktemp -d)
  "$bin/ese-server" --listen 127.0.0.1:0 --metrics 127.0.0.1:0 --ready-file "$work/ready" "$@" \
    2>"$work/server.log" &
  server=$!
  trap stop_server EXIT
  for _ in $(seq 300); do
    [ -s "$work/ready" ] && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  [ -s "$work/ready" ] || { cat "$work/server.log" >&2; echo "the server did not start" >&2; exit 1; }
  grpc=$(sed -n 's/^grpc=//p' "$work/ready")
  metrics=$(sed -n 's/^metrics=//p' "$work/ready")
}

stop_server() {
  kill "$server" 2>/dev/null || true
  wait "$server" || true
  rm -rf "$work"
}
