#!/usr/bin/env python3
"""Training that really diverges, into weights that are no numbers: whoever checks dislikes every result then, and a run could try for ever, in a step or in an
evaluation. It ends soon, in waiting, at the same step however many work, and says what to change."""
import json
import subprocess

from common import GODWIT, Scratch, metrics


def main():
    scratch = Scratch()
    config = scratch.config(steps=60)
    sets = ["optimizer.lr=100", "optimizer.clip=0", "optimizer.warmup=0", "optimizer.schedule_steps=1000", "run.evaluate_every=4"]
    ends = set()
    for workers in (0, 1, 2):
        directory = scratch.path / f"run-{workers}"
        command = [GODWIT, "train", str(config), "--run", str(directory), "--quiet", "--workers", str(workers)]
        for each in sets:
            command += ["--set", each]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1, f"exit {done.returncode}\n{done.stderr[-2000:]}"
        lines = metrics(directory)
        skipped = [line["step"] for line in lines if line.get("skipped")]
        assert skipped == list(range(lines[-1]["step"] - 7, lines[-1]["step"] + 1)), f"these steps left their batch out: {skipped}"
        ends.add((lines[-1]["step"], lines[-9]["loss"]))
        says = ["waiting for its owner", "8 steps in a row left their batch out", "The training has diverged"]
        if workers > 0:
            guard = json.loads((directory / "guard.json").read_text())
            assert guard["state"] == "waiting" and guard["rollbacks"] >= 1 and guard["quarantined"] == 0, guard
            says += ["are what was committed", "[optimizer] lr"]
        for text in says:
            assert text in done.stderr, f"it does not say {text!r}:\n{done.stderr[-2000:]}"
        print(f"{workers} workers: waits at step {lines[-1]['step'] + 1}")
    assert len(ends) == 1, f"other ends for other numbers of workers: {ends}"
    print("ok")


if __name__ == "__main__":
    main()
