#!/usr/bin/env bash
# How far `micro` comes on a text in five minutes: bench/learn.sh TEXT [f32|bf16] [SECONDS]. Prints the validation loss (nats per byte) over time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
text=${1:?a text file}
dtype=${2:-f32}
seconds=${3:-300}
godwit=build/release/godwit
directory=$(mktemp -d)/run
start=$(date +%s.%N)
timeout --signal=TERM "$seconds" "$godwit" train bench/learn.toml --run "$directory" --set "data.path=[\"$text\"]" --set "run.dtype=\"$dtype\"" || [ $? -eq 124 ] || [ $? -eq 75 ]
echo "wall $(echo "$(date +%s.%N) - $start" | bc) s, $("$godwit" status "$directory" --json)"
rm -r "$(dirname "$directory")"
