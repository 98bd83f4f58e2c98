#!/usr/bin/env bash
# How even the experts of `mini` are loaded while it learns: bench/expert_load.sh TEXT [STEPS] [RUN] [--set section.key=value …].
# Load is the fullest expert's tokens over the mean, by MoE layer and step (the last layer is the MTP layer's); 1 is even, 4 is all tokens on
# the same 4 of 16. RUN is kept and gone on with; without it the run is thrown away.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
text=${1:?a text file}
steps=${2:-600}
run=${3:-}
shift $(($# < 3 ? $# : 3))
if [ -z "$run" ]; then
  run=$(mktemp -d)/run
  trap 'rm -r "$(dirname "$run")"' EXIT
fi
status=0
build/release/godwit train bench/expert_load.toml --run "$run" --quiet --set "data.path=[\"$text\"]" --set "run.steps=$steps" "$@" || status=$?
[ $status -eq 0 ] || [ $status -eq 75 ] || exit $status
python3 - "$run/metrics.jsonl" <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
bound = 2.0
print("steps        loss    load of each layer (mean over the steps)         worst layer and step")
width = max(1, len(lines) // 12)
for begin in range(0, len(lines), width):
    part = lines[begin:begin + width]
    layers = [sum(m["expert_load"][k] for m in part) / len(part) for k in range(len(part[0]["expert_load"]))]
    worst = max(max(m["expert_load"]) for m in part)
    print(f"{part[0]['step']:>5}–{part[-1]['step']:<5}  {part[-1]['loss']:.4f}  {'  '.join(f'{load:.2f}' for load in layers):<48}  {worst:.2f}")
above = [m["step"] for m in lines if max(m["expert_load"]) > bound]
after = above[-1] + 1 if above else 1
print(f"from step {after} to {lines[-1]['step']} every layer stays within {bound:g} times even" if after <= lines[-1]["step"] else f"not within {bound:g} times even at the last step, {lines[-1]['step']}")
PY
exit $status
