#!/usr/bin/env python3
"""Kills a run at each system call of its commit protocol, goes on with the same command, and compares the final digest with that of the run undisturbed.

    GODWIT=build/release/godwit tests/commit_syscalls.py [EVERY]        needs strace; EVERY = 3 tries every third call (default 1)

Which calls there are is counted with strace, on the journal's file and directory (made by the supervisor, which dies with them) and on a checkpoint's files and
directories (made by its writer, which dies alone: the supervisor has to notice).
"""
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

GODWIT = os.environ.get("GODWIT", "build/release/godwit")
every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
work = pathlib.Path(tempfile.mkdtemp(prefix="godwit-syscalls-"))
(work / "text.txt").write_text("The bar-tailed godwit flies over the open sea without landing, and arrives. " * 200)
(work / "config.toml").write_text(f"""[model]
preset = "nano"
[data]
kind = "text"
path = "{work}/text.txt"
sequence = 32
batch = 4
[run]
steps = 6
checkpoint_every = 2
evaluate_every = 0
""")


def paths(kind, run):
    if kind == "journal":
        return [run / "journal", run / "journal" / "journal.jsonl"]
    names = [run / "checkpoints"]
    for step in (0, 2, 4, 6):
        for directory in (f".{step}.tmp", str(step)):
            names += [run / "checkpoints" / directory] + [run / "checkpoints" / directory / f for f in ("state.safetensors", "manifest.json")]
    return names


def train(run, strace=()):
    return subprocess.run([*strace, GODWIT, "train", str(work / "config.toml"), "--run", str(run), "--quiet"], capture_output=True, text=True, timeout=120)


def digest(run):
    return subprocess.run([GODWIT, "digest", str(run)], capture_output=True, text=True, check=True).stdout.strip()


assert train(work / "calm").returncode == 0
wanted = digest(work / "calm")
failures = tried = 0
for kind in ("journal", "checkpoint"):
    run = work / f"counted-{kind}"
    log = work / f"{kind}.log"
    watched = [option for path in paths(kind, run) for option in ("-P", str(path))]
    counted = train(run, ["strace", "-f", "-qq", "-o", str(log), *watched])
    assert counted.returncode == 0, counted.stderr
    calls = collections.defaultdict(list)
    for line in log.read_text().splitlines():
        match = re.match(r"(\d+) +(\w+)\(", line)
        if match:
            calls[match[1]].append(match[2])
    longest = max(calls.values(), key=len)
    print(f"{kind}: {len(longest)} calls in the process that makes most: {dict(collections.Counter(longest))}", flush=True)
    for n in range(1, len(longest) + 1, every):
        run = work / f"{kind}-{n}"
        watched = [option for path in paths(kind, run) for option in ("-P", str(path))]
        first = train(run, ["strace", "-f", "-qq", "-o", str(work / "killed.log"), *watched, "-e", f"inject=all:signal=KILL:when={n}"])
        if "killed by SIGKILL" not in (work / "killed.log").read_text():
            failures += 1
            print(f"{kind}: call {n} ({longest[n - 1]}) was not reached: nothing was killed", flush=True)
        again = first
        for _ in range(5):
            if again.returncode == 0:
                break
            again = train(run)
        tried += 1
        got = digest(run) if again.returncode == 0 else None
        if got != wanted:
            failures += 1
            print(f"{kind}: killed at call {n} ({longest[n - 1]}): exit {again.returncode}, digest {got}\n{again.stderr[-600:]}", flush=True)
print(f"{tried} kills, {tried - failures} runs with the digest of the run undisturbed")
sys.exit(1 if failures else 0)
