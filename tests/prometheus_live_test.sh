#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# prometheus_live_test.sh BIN PROMETHEUS: puts a server with a CPU channel, and an emulated card if the build has them,
# under load beside the real Prometheus with the shipped rules, and evaluates every expression of the rules and of the
# dashboards.
set -euo pipefail
bin=$1 prometheus=$2
. tools/start_server.sh
channels=(--channels cpu:1) cards=0
if [ -e "$bin/../emu/ese_channel.xclbin" ]; then
  export XILINX_XRT=$bin/../emu ESE_EMU_CARDS=1 ESE_EMU_CLOCK_MHZ=200
  channels=(--channels cpu:1,xrt:all --xclbin "$XILINX_XRT/ese_channel.xclbin") cards=1
fi
start_server "$bin" --model pretrained/en-phones.ese "${channels[@]}" --power model --power-core-watts 4 \
  --cost-server-price 10000 --cost-card-price 5000 --cost-tariff 0.1
cp deploy/prometheus/ese.rules.yml "$work"
sed "s/ese-server:9700/$metrics/; s/5s/1s/" deploy/prometheus/prometheus.yml >"$work/prometheus.yml"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$prometheus" --config.file "$work/prometheus.yml" --storage.tsdb.path "$work/data" \
  --web.listen-address "127.0.0.1:$port" 2>"$work/prometheus.log" &
prom=$!
trap 'kill $prom; wait $prom || true; stop_server' EXIT
"$bin/ese-load" --server "$grpc" --streams 20 --rate realtime --seconds 25 tests/data/speech/*.flac
python3 tests/prometheus_live_check.py "http://127.0.0.1:$port" "$cards"
