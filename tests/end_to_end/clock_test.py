#!/usr/bin/env python3
"""A clock that is set could end a healthy process, or hide one that hangs. F1 of the fault matrix: while a run goes on its processes' wall clock jumps an hour
ahead and back whenever one of them looks (clock_shim.cc). Nobody may be killed for it, whoever does hang must be found all the same, and the bits stay."""
import json
import os
import pathlib
import re
import struct

from common import Scratch, digest, run, train

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    # Whoever asks for the wall clock shows it to people: the log and the lock, through base/clock.
    wall = re.compile(r"system_clock|std::time\(|CLOCK_REALTIME|gettimeofday\(|localtime")
    asks = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "src").rglob("*.cc")) + sorted((ROOT / "src").rglob("*.h")) if wall.search(path.read_text())]
    assert asks == ["src/base/clock.cc"], f"these ask for the wall clock: {asks}"

    scratch = Scratch()
    config = scratch.config(steps=60)
    reference = scratch.path / "reference"
    train(config, reference, "--workers", 0)
    wanted = digest(reference)

    def jumping(name, faults):
        """A run of two workers while the clock jumps; its guard's record."""
        directory, count, story = scratch.path / name, scratch.path / f"{name}.count", scratch.path / f"{name}.story"
        count.write_bytes(bytes(8))
        # Something is said at many steps, each time with the hour: so the clock is asked for all along.
        faults = "".join(f"at step {step}, up to 1 time: poison the batch\n" for step in range(5, 56, 5)) + faults
        story.write_text(f"train nano 60 steps on 2 workers\n{faults}expect finished\n")
        env = dict(os.environ, LD_PRELOAD=os.environ["GODWIT_CLOCK_SHIM"], GODWIT_CLOCK_COUNT=str(count))
        run("train", config, "--run", directory, "--quiet", "--workers", 2, "--faults", story, env=env)
        (jumps,) = struct.unpack("<Q", count.read_bytes())
        assert jumps >= 20, f"the clock jumped {jumps} times: hardly anything was tested"
        assert digest(directory) == wanted, f"{name}: another digest than undisturbed"
        guard = json.loads((directory / "guard.json").read_text())
        for recovery in guard["recoveries"]:
            assert 0 <= recovery["seconds"] < 60, f"{name}: a recovery took {recovery['seconds']} s"
        return guard, jumps

    guard, jumps = jumping("healthy", "")
    for counter in ("respawns", "quarantined"):
        assert guard[counter] == 0, f"{counter} is {guard[counter]} where nobody hung: {guard['recoveries']}"
    print(f"{jumps} jumps: nobody was killed, the same bits")

    guard, jumps = jumping("hanging", "at step 20 in forward: stop worker 1\nat step 30: lose the answer of worker 0\n")
    assert guard["respawns"] == 1, f"one worker was stopped for good, {guard['respawns']} processes begun anew: {guard['recoveries']}"
    assert guard["resends"] >= 1
    slowest = max(recovery["seconds"] for recovery in guard["recoveries"])
    print(f"{jumps} jumps: who hung was found within {slowest:.1f} s, the same bits")
    print("ok")


if __name__ == "__main__":
    main()
