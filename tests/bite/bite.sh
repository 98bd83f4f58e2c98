#!/usr/bin/env bash
# Do the stories of faults bite? Switches each detector and each rung of the ladder off in turn, one line of source each (bite.table), and
# runs the stories that must turn red. Prints a table; exit code 1 if one of them noticed nothing.
#
# Usage: tests/bite/bite.sh [WORD…]     only rows of the table that contain a WORD
# Works on a copy of the tree in build/bite, and builds the program there, in one folder, again and again.
# BITE_CMAKE: options for cmake (-DGODWIT_ISAS=scalar;avx2 unless given). BITE_SECONDS: a story that takes longer is red (60).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD tree=$PWD/build/bite/tree runs=$PWD/build/bite/runs
build=$tree/build/bite  # as deep in its tree as build/release is, for a compiler cache
godwit=$build/godwit
seconds=${BITE_SECONDS:-60}
export CCACHE_BASEDIR=$tree CCACHE_NOHASHDIR=1

# What differs is copied, and is newer than what was built of it: also what an earlier bite left behind.
copy_tree() {
  local file
  git ls-files -co --exclude-standard | while IFS= read -r file; do
    [ -f "$file" ] || continue
    cmp -s "$file" "$tree/$file" || install -D -m "$(stat -c %a "$file")" "$file" "$tree/$file"
  done
}
restore() {
  if [ -n "${patched:-}" ]; then cp "$root/$patched" "$tree/$patched"; fi
  patched=
}
trap restore EXIT

# Prints "passed", or why it is red. A directory in the way makes a story invalid, so each run has a new one.
story() {
  local name=${1%+idle} file=tests/stories/${1%+idle}.story code=0
  [ -f "$file" ] || file=tests/bite/$name.story
  rm -rf "$runs" && mkdir -p "$runs"
  timeout -k 10 "$seconds" "$godwit" chaos "$file" --keep "$runs" --json --quiet > "$runs/result.json" 2> "$runs/errors.txt" || code=$?
  if [ "$code" -ge 124 ] || [ "$code" -eq 75 ]; then echo "not at its end after $seconds s"; return; fi
  python3 - "$runs/result.json" "$1" <<'PYTHON'
import json, sys
try:
    result = json.load(open(sys.argv[1]))[0]
except Exception:
    print("could not be run")
    sys.exit()
trusted = [w for w in (result["guard"] or {}).get("workers", []) if w["device"].startswith("trusted") and w["samples"] > 0]
if result["verdict"] != "passed":
    print(result["verdict"] + ": " + "; ".join(result["reasons"])[:90])
elif sys.argv[2].endswith("+idle") and trusted:
    print(f"the trusted CPU computed {trusted[0]['samples']} samples")
else:
    print("passed")
PYTHON
}

compile() {
  if ! ninja -C "$build" -j2 godwit > "$build/bite.log" 2>&1; then
    tail -20 "$build/bite.log" >&2
    echo "$1: does not build" >&2
    exit 1
  fi
}

rows=()
while IFS= read -r line; do
  case "$line" in '' | '#'*) continue ;; esac
  if [ $# -gt 0 ]; then
    wanted=
    for word in "$@"; do case "${line%% |*}" in *"$word"*) wanted=1 ;; esac; done
    [ -n "$wanted" ] || continue
  fi
  rows+=("$line")
done < tests/bite/bite.table
if [ ${#rows[@]} -eq 0 ]; then echo "no row of tests/bite/bite.table contains: $*" >&2; exit 2; fi

mkdir -p "$tree"
copy_tree
cmake --preset release -S "$tree" -B "$build" "${BITE_CMAKE:--DGODWIT_ISAS=scalar;avx2}" > /dev/null
compile "the tree as it is"

# Red says nothing of a story that is red anyway.
stories=$(for row in "${rows[@]}"; do echo "${row##*| }"; done | tr ' ' '\n' | sort -u)
for name in $stories; do
  verdict=$(story "$name")
  if [ "$verdict" != passed ]; then echo "$name is red with everything on: $verdict" >&2; exit 1; fi
done
echo "with everything on: $(echo "$stories" | wc -l) stories pass"

unnoticed=0
printf '%-34s %-26s %s\n' "switched off" story ""
for row in "${rows[@]}"; do
  # " | " parts the fields; "||" in an expression does not.
  what=${row%% | *} rest=${row#* | }
  patched=${rest%% | *} rest=${rest#* | }
  expression=${rest% | *} names=${rest##* | }
  before=$(sha256sum < "$tree/$patched")
  sed -i "$expression" "$tree/$patched"
  changed=$(diff "$root/$patched" "$tree/$patched" | grep -c '^>' || true)
  if [ "$changed" != 1 ] || [ "$before" = "$(sha256sum < "$tree/$patched")" ]; then
    echo "$what: the expression changes $changed lines of $patched, not one: bite.table is out of date" >&2
    exit 1
  fi
  compile "$what"
  for name in $names; do
    verdict=$(story "$name")
    if [ "$verdict" = passed ]; then
      verdict="NOTHING NOTICED"
      unnoticed=$((unnoticed + 1))
    else
      verdict="red: $verdict"
    fi
    printf '%-34s %-26s %s\n' "$what" "$name" "$verdict"
  done
  restore
done
echo "${#rows[@]} switched off, one after the other; $unnoticed stories noticed nothing"
[ "$unnoticed" -eq 0 ]
