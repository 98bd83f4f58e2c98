#!/usr/bin/env bash
# A small training run on two workers under a storm of faults (examples/storm.story), live; in the end its state is compared, bit for bit, with that of
# the same run undisturbed. When the storm takes the supervisor itself, the same command goes on.
# Usage: examples/storm.sh [TEXT]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
godwit=${GODWIT:-build/release/godwit}
text=${1:-}
for known in ../shared/data/tinyshakespeare.txt /usr/share/common-licenses/GPL-3; do
  if [ -z "$text" ] && [ -r "$known" ]; then text=$known; fi
done
if [ -z "$text" ]; then
  echo "There is no text to train on; give one: examples/storm.sh my.txt" >&2
  exit 2
fi
rm -rf runs/storm runs/calm
config=(examples/storm.toml --set "data.path=\"$text\"")

echo "The run undisturbed, in one process:"
"$godwit" train "${config[@]}" --run runs/calm --workers 0
echo
echo "The same on two workers, under a storm (look on from another terminal: $godwit status runs/storm --watch):"
for attempt in $(seq 20); do
  code=0
  "$godwit" train "${config[@]}" --run runs/storm --workers 2 --faults examples/storm.story || code=$?
  if [ "$code" -le 3 ]; then break; fi
  echo "the supervisor is gone (exit code $code): the same command again"
done
if [ "$code" -ne 0 ]; then exit "$code"; fi

calm=$("$godwit" digest runs/calm)
storm=$("$godwit" digest runs/storm)
faults=$(grep -c '"times"' runs/storm/faults.jsonl || true)
echo
if [ "$calm" != "$storm" ]; then
  echo "$faults faults struck, and the digest DIFFERS: $storm, undisturbed $calm" >&2
  exit 3
fi
echo "$faults faults survived, digest equal to the undisturbed run: $storm"
