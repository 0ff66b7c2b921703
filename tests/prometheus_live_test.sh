#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# prometheus_live_test.sh BIN PROMETHEUS: puts a server with CPU channels under load beside the real Prometheus with the
# shipped rules, and evaluates every expression of the rules and of the dashboards.
set -euo pipefail
bin=$1 prometheus=$2
. tools/start_server.sh
start_server "$bin" --model pretrained/en-phones.ese --channels cpu:1
cp deploy/prometheus/ese.rules.yml "$work"
sed "s/ese-server:9700/$metrics/; s/5s/1s/" deploy/prometheus/prometheus.yml >"$work/prometheus.yml"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$prometheus" --config.file "$work/prometheus.yml" --storage.tsdb.path "$work/data" \
  --web.listen-address "127.0.0.1:$port" 2>"$work/prometheus.log" &
prom=$!
trap 'kill $prom; wait $prom || true; stop_server' EXIT
"$bin/ese-load" --server "$grpc" --streams 20 --rate realtime --seconds 25 tests/data/speech/*.flac
python3 tests/prometheus_live_check.py "http://127.0.0.1:$port"
