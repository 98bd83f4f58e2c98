#!/usr/bin/env bash
# The first thing to see: random weights, a text, a few minutes of training, and the model goes on with a prompt.
# Usage: examples/first_run.sh [TEXT…]; without a text it takes the one in ../shared/data where there is one, else Debian's licence texts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
godwit=build/release/godwit
directory=runs/first

texts=("$@")
if [ ${#texts[@]} -eq 0 ]; then
  if [ -r ../shared/data/tinyshakespeare.txt ]; then
    texts=(../shared/data/tinyshakespeare.txt)
  else
    for name in Apache-2.0 Artistic GFDL-1.2 GFDL-1.3 GPL-1 GPL-2 GPL-3 LGPL-2 LGPL-2.1 LGPL-3 MPL-1.1 MPL-2.0 CC0-1.0; do
      if [ -r "/usr/share/common-licenses/$name" ]; then texts+=("/usr/share/common-licenses/$name"); fi
    done
  fi
fi
if [ ${#texts[@]} -eq 0 ]; then
  echo "There is no text to train on; give one: examples/first_run.sh my.txt" >&2
  exit 2
fi
case "${texts[0]}" in
  *shakespeare*) prompt=$'KING RICHARD:\n' ;;
  *) prompt="This License " ;;
esac

paths=$(printf '"%s", ' "${texts[@]}")
"$godwit" train examples/text.toml --run "$directory" --set "data.path=[${paths%, }]"
echo
echo "validation loss: $("$godwit" status "$directory" --json | sed -n 's/.*"validation_loss":\([0-9.]*\).*/\1/p') nats per byte"
echo
"$godwit" generate "$directory" --prompt "$prompt" --max-tokens 300 --temperature 0.7 --seed 1
echo
cat <<END

Go on from here:
  $godwit generate $directory --prompt "$(echo "$prompt" | head -1)" --temperature 0.8
  $godwit train examples/text.toml --run $directory --set 'data.path=[${paths%, }]' --set run.steps=2000   (trains on)
  $godwit export $directory --to runs/first-hf   (a Hugging Face directory)
  rm -r $directory   (to begin again)
END
