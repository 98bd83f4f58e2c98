#!/usr/bin/env bash
# Measures everything again and writes docs/performance.svg and the figures of docs/performance.md: bench/report.sh [BENCH.json]
# With a file, what an earlier `godwit bench --json` printed is used instead. About eight minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
document=${1:-build/bench.json}
[ $# -gt 0 ] || build/release/godwit bench --rounds 3 --json >"$document"
python3 bench/plot.py "$document" docs/performance.svg
python3 bench/table.py "$document" docs/performance.md "$(date -r "$document" +%F)"
