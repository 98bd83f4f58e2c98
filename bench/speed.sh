#!/usr/bin/env bash
# Training speed against transformers on torch, in turns, in the same minutes, and the ratio of the two:
#   bench/speed.sh [PYTHON with torch and transformers] [JOB:DTYPE …]        JOB: dense30, mini, nano
# ROUNDS=N rounds (2). PEER="" runs the peer without torch.compile. Without torch only godwit is measured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${1:-python3}
shift || true
jobs=("$@")
[ ${#jobs[@]} -gt 0 ] || jobs=(dense30:bf16 dense30:f32 mini:bf16 mini:f32)
rounds=${ROUNDS:-2}
read -ra peer_options <<<"${PEER---compile}"
threads=${THREADS:-$(nproc)}
godwit=build/release/godwit
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
jemalloc=$(ldconfig -p | awk '/libjemalloc\.so/ {print $NF; exit}')
peer=no
if "$python" -c "import torch, transformers" 2>/dev/null; then peer=yes; fi
[ "$peer" = yes ] || echo "no torch in $python: godwit alone" >&2
for ((round = 1; round <= rounds; ++round)); do
  for job in "${jobs[@]}"; do
    name=${job%:*} dtype=${job#*:}
    "$godwit" bench train --job "$name" --dtype "$dtype" --threads "$threads" --json --quiet >"$work/godwit-$name-$dtype-$round.json"
    if [ "$peer" = yes ]; then
      OMP_NUM_THREADS=$threads LD_PRELOAD=$jemalloc "$python" bench/peers/torch_train.py "$name" "$dtype" --threads "$threads" --godwit "$godwit" "${peer_options[@]}" \
        >"$work/torch-$name-$dtype-$round.json"
    fi
  done
done
python3 - "$work" "$rounds" "${jemalloc:+jemalloc}" "${jobs[@]}" <<'PY'
import json, os, sys
work, rounds, jemalloc, jobs = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
def load(who, job, round):
    path = f"{work}/{who}-{job.replace(':', '-')}-{round}.json"
    return json.load(open(path)) if os.path.exists(path) else None
for job in jobs:
    ratios = []
    for round in range(1, rounds + 1):
        row = load("godwit", job, round)["benches"][0]["rows"][0]
        line = f"{job:13} godwit {row['value']:7.0f} tokens/s ({100 * row['share']:.1f} % of peak)"
        if peer := load("torch", job, round):
            ratios.append(row["value"] / peer["tokens_per_s"])
            how = ", ".join(filter(None, ["compiled" if peer["compiled"] else "eager", "fused AdamW" if peer["fused_adamw"] else "", jemalloc]))
            line += f"   torch {peer['torch']} ({how}) {peer['tokens_per_s']:7.0f}   ratio {ratios[-1]:.2f}"
        print(line)
    if ratios:
        print(f"{job:13} ratio, mean of {rounds} rounds: {sum(ratios) / len(ratios):.2f}")
PY
