#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# metrics_test.sh BIN PROMTOOL: streams the test recordings to a server with the pretrained model, then
# checks that /metrics passes promtool and that the metrics have counted the streams.
set -euo pipefail
bin=$1 promtool=$2
. tools/start_server.sh
start_server "$bin" --model pretrained/en-phones.ese

"$bin/ese-client" transcribe --server "$grpc" tests/data/speech/*.flac >"$work/units"
curl -sS --fail --max-time 10 "http://$metrics/metrics" >"$work/metrics"
"$promtool" check metrics <"$work/metrics"

# value NAME: prints the sum of the metric's samples.
value() { awk -v name="$1" '$1 ~ "^" name "({|$)" { sum += $2 } END { print sum + 0 }' "$work/metrics"; }
files=$(ls tests/data/speech/*.flac | wc -l)
[ "$(value ese_streams_opened_total)" -eq "$files" ] || { echo "streams were not counted"; exit 1; }
[ "$(value ese_streams)" -eq 0 ] || { echo "streams are still open"; exit 1; }
frames=$(value ese_frames_total)
[ "$frames" -gt 1000 ] || { echo "only $frames frames were counted"; exit 1; }
for histogram in ese_batch_lanes ese_batch_frames ese_queue_wait_seconds ese_step_seconds; do
  [ "$(value ${histogram}_count)" -gt 0 ] || { echo "$histogram is empty"; exit 1; }
done
[ "$(value ese_batch_frames_sum)" -eq "$frames" ] || { echo "ese_batch_frames and ese_frames_total differ"; exit 1; }
[ "$(value ese_channel_frames_total)" -eq "$frames" ] || { echo "the channels' frames and ese_frames_total differ"; exit 1; }
echo "$frames frames of $files streams"
