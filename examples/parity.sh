#!/usr/bin/env bash
# A small model learns to reason: pre-training on parity, where one document in five thinks before it answers; then reinforcement learning, on two
# workers under a storm of faults (examples/parity/storm.story), against the same run undisturbed. Some minutes in all.
# Usage: examples/parity.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
godwit=${GODWIT:-build/release/godwit}
runs=runs/parity
seed=${SEED:-0}
rm -rf "$runs"
mkdir -p "$runs"

ask() {
  "$godwit" eval "$1" --task parity --count 2000 --max-tokens 22 --quiet
}

echo "Random weights learn to predict: parities of 16 bits, four in five answered at once, one in five bit by bit."
"$godwit" train examples/parity/pretrain.toml --run "$runs/before" --workers 2 --set "run.seed=$seed"
echo
echo "Before: asked 2,000 problems it has never seen, it answers at once, and no better than a coin."
ask "$runs/before"
echo
rl=(examples/parity/rl.toml --set "model.init=$runs/before" --set "run.seed=$seed")
echo "It is rewarded for right answers, whatever it writes before them. First undisturbed, in one process:"
"$godwit" rl "${rl[@]}" --run "$runs/calm" --workers 0
echo
echo "The same on two workers, under a storm (look on from another terminal: $godwit status $runs/after --watch):"
for attempt in $(seq 20); do
  code=0
  "$godwit" rl "${rl[@]}" --run "$runs/after" --workers 2 --faults examples/parity/storm.story || code=$?
  if [ "$code" -le 3 ]; then break; fi
  echo "the supervisor is gone (exit code $code): the same command again"
done
if [ "$code" -ne 0 ]; then exit "$code"; fi
echo
echo "After: it thinks, one step for each bit. What it selects is a way of answering that it had seen, and seldom took."
ask "$runs/after"
echo
calm=$("$godwit" digest "$runs/calm")
storm=$("$godwit" digest "$runs/after")
faults=$(grep -c '"times"' "$runs/after/faults.jsonl" || true)
if [ "$calm" != "$storm" ]; then
  echo "$faults faults struck, and the digest DIFFERS: $storm, undisturbed $calm" >&2
  exit 3
fi
echo "$faults faults survived, digest equal to the undisturbed run: $storm"
"$godwit" report "$runs/after" --out "$runs/report.html" > /dev/null
cat <<END

The run as a page: $runs/report.html
Ask it yourself:
  $godwit generate $runs/after --prompt '0110100110010111=<think>' --max-tokens 22
  $godwit generate $runs/before --prompt '0110100110010111=<think>' --max-tokens 22     (before it was rewarded)
  rm -r $runs   (to begin again; SEED=1 examples/parity.sh takes other random numbers)
END
