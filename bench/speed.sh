#!/usr/bin/env bash
# Training speed of `mini` (V 2048, batch 4 × 256) against transformers on torch, in turns, in the same minutes: bench/speed.sh [PYTHON with torch and transformers].
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${1:-python3}
godwit=build/release/godwit
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
python3 - "$work/rows.json" <<'PY'
import json, random, sys
rng = random.Random(1)
json.dump([[rng.randrange(2, 2048) for _ in range(257)] for _ in range(64)], open(sys.argv[1], "w"))
PY
for round in 1 2; do
  for dtype in f32 bf16; do
    "$godwit" train bench/speed.toml --run "$work/$dtype-$round" --quiet --json --set "data.path=\"$work/rows.json\"" --set "run.dtype=\"$dtype\"" >"$work/out.json"
    python3 - "$work/$dtype-$round/metrics.jsonl" "$work/out.json" "$dtype" <<'PY'
import json, statistics, sys
speeds = [json.loads(line)["tokens_per_s"] for line in open(sys.argv[1])][5:]
out = json.load(open(sys.argv[2]))
print(f"godwit       {sys.argv[3]:5} median {statistics.median(speeds):7.0f} tokens/s, best {max(speeds):7.0f}; "
      f"memory peak {out['peak_resident_bytes'] / 2**20:.0f} MiB, plan {out['planned_bytes'] / 2**20:.0f} MiB")
PY
    if "$python" -c "import torch, transformers" 2>/dev/null; then "$python" bench/peers/torch_eager.py "$dtype"; fi
  done
done
