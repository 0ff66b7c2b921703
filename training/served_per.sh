#!/usr/bin/env bash
# Phone error rates of a compiled model as it is served: every held-out utterance of the recipe goes
# over gRPC as audio, and comes back as phones. Run after training/train.sh and ./run build.
#   training/served_per.sh [MODEL.ese]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
model=${1:-models/en-phones.ese}
folder=${ESE_TRAIN_DIR:-build/train}
bin=build/release/bin
[ -f "$folder/manifest.tsv" ] || { echo "$folder/manifest.tsv is missing: run training/train.sh first" >&2; exit 1; }

work=$(mktemp -d)
"$bin/ese-server" --model "$model" --listen 127.0.0.1:0 --metrics "" --ready-file "$work/ready" 2>"$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 100); do
  [ -s "$work/ready" ] && break
  kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
  sleep 0.1
done

# Columns of the manifest: set, voice, file, text, phones.
awk -F'\t' -v OFS='\t' 'BEGIN { print "file", "set", "licence", "text", "phones" }
  $1 != "train" { n = split($3, part, "/"); print part[n], $1, "-", $4, $5 }' \
  "$folder/manifest.tsv" >"$work/references.tsv"
awk -F'\t' -v folder="$folder" '$1 != "train" { printf "%s/%s%c", folder, $3, 0 }' \
  "$folder/manifest.tsv" >"$work/files"
xargs -0 -a "$work/files" "$bin/ese-client" transcribe \
  --server "$(sed -n 's/^grpc=//p' "$work/ready")" --references "$work/references.tsv" |
  sed -n '/^set /,$p'
