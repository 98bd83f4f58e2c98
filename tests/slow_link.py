#!/usr/bin/env python3
"""What a slow link costs (B3 of the fault matrix): the speed of a run one of whose two workers answers half a second late, as a share of the speed of the run
without that worker, and how soon it was named. Exit code 1 under 80 %, or named after more than 20 steps.

    GODWIT=build/release/godwit tests/slow_link.py [PRESET [STEPS [SECONDS]]]        nano 1000 0.5

Either way each worker has one thread and takes half of the batch at once, as one of two does. A link carries orders and answers alone, gradients lie in memory: one of 1 % of its bandwidth is a delay, too.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "end_to_end"))
from common import GODWIT, Scratch, digest, metrics  # noqa: E402

preset, steps, seconds = (sys.argv[1:] + ["nano", "1000", "0.5"][len(sys.argv) - 1:])[:3]
steps, begins = int(steps), 20
scratch = Scratch()
config = scratch.config(steps=steps, preset=preset)
config.write_text(config.read_text().replace("checkpoint_every = 10", "checkpoint_every = 0").replace("evaluate_every = 20", "evaluate_every = 0").replace(
    "batch = 8", "batch = 8\nmicro_batch = 4"))
story = scratch.path / "slow.story"
story.write_text(f"train {preset} {steps} steps on 2 workers\nfrom step {begins}, every time: delay the answer of worker 1 by {seconds} seconds\nexpect finished\n")


def timed(name, workers, *args):
    """Seconds from the commit of the step before the trouble to the end."""
    directory = scratch.path / name
    process = subprocess.Popen([GODWIT, "train", str(config), "--run", str(directory), "--quiet", "--workers", str(workers), "--threads", str(workers), *args])
    while len(metrics(directory)) < begins - 1:
        assert process.poll() is None
        time.sleep(0.005)
    began = time.monotonic()
    assert process.wait() == 0
    return time.monotonic() - began, directory


without, calm = timed("without", 1)
late, disturbed = timed("late", 2, "--faults", str(story))
assert digest(calm) == digest(disturbed)
guard = json.loads((disturbed / "guard.json").read_text())
(worker,) = [each for each in guard["workers"] if each["number"] == 1]
share, named = without / late, worker.get("named_at")
print(f"{preset}, {steps} steps: {without:.1f} s without the worker, {late:.1f} s with its link {seconds} s late: {100 * share:.0f} % of the speed; "
      f"named {named - begins if named else 'never'} steps after it began; left aside {guard['slow']} times")
sys.exit(0 if share >= 0.8 and named and named - begins <= 20 else 1)
