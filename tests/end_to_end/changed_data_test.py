#!/usr/bin/env python3
"""Data that change while a run goes on could be trained on, end it without a word, or keep it from ever going on. Both figures and the file are named; what
was put back is taken; the end is that of a run nobody disturbed."""
import hashlib
import json
import signal
import time

from common import Running, Scratch, digest, metrics, run, train


def main():
    scratch = Scratch()
    config = scratch.config(steps=30)
    good = scratch.text.read_bytes()
    bad = good.replace(b"Wind", b"Wint", 1)
    assert bad != good
    sha = lambda data: hashlib.sha256(data).hexdigest()
    reference = scratch.path / "reference"
    train(config, reference, "--workers", 0)
    wanted = digest(reference)

    # Started again.
    directory = scratch.path / "again"
    train(config, directory, "--set", "run.steps=10", "--set", "optimizer.schedule_steps=30")
    for what, data, says in [("changed", bad, [sha(bad), f"{len(bad)} bytes"]), ("cut", good[:5000], [sha(good[:5000]), "5000 bytes"]), ("gone", None, ["there is no such file"]),
                             ("empty", b"", ["there is no text in it"])]:
        scratch.text.unlink(missing_ok=True)
        if data is not None:
            scratch.text.write_bytes(data)
        _, err = train(config, directory, expect=2)
        for text in [str(scratch.text), sha(good), f"{len(good)} bytes", *says]:
            assert text in err, f"{what}: the message does not say {text!r}:\n{err}"
        print(f"a text that is {what} when the run is started again: refused, and named")
    scratch.text.write_bytes(good)
    train(config, directory, "--workers", 0)
    assert digest(directory) == wanted

    # In the middle: neither the text nor the ids made of it are what they were. The same process goes on when the text is put back.
    for workers in (1, 2):
        directory = scratch.path / f"middle-{workers}"
        process = Running(config, directory, "--workers", workers)
        while len(metrics(directory)) < 5:
            assert process.runs(), process.stderr()
            time.sleep(0.001)
        process.process.send_signal(signal.SIGSTOP)
        scratch.text.write_bytes(bad)
        (tokens,) = (directory / "data").glob("*.tokens")
        tokens.write_bytes(tokens.read_bytes()[:100])
        at = len(metrics(directory))
        process.process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 120
        guard = {}
        while guard.get("state") != "waiting":
            assert process.runs() and time.monotonic() < deadline, process.stderr()
            guard = json.loads((directory / "guard.json").read_text())
            time.sleep(0.01)
        for text in (str(scratch.text), sha(good), sha(bad), str(tokens)):
            assert text in guard["waiting_for"], f"it waits for {guard['waiting_for']}"
        assert len(metrics(directory)) <= at + 2, "it went on without its data"
        scratch.text.write_bytes(good)
        assert process.process.wait(timeout=300) == 0, process.stderr()
        assert digest(directory) == wanted, "other bits came of it"
        print(f"{workers} workers: it waited for {scratch.text.name}, and went on when it was put back, to the same digest")

    # An evaluation reads the ids, too.
    directory = scratch.path / "evaluated"
    story = scratch.path / "evaluated.story"
    story.write_text("train nano 30 steps on 2 workers\nat step 20 in committed: flip a bit in the tokens\nexpect finished\n")
    train(config, directory, "--workers", 2, "--faults", story)
    assert json.loads((directory / "guard.json").read_text())["findings"] >= 1
    assert digest(directory) == wanted
    assert (directory / "best.json").read_text() == (reference / "best.json").read_text()
    run("verify", directory)
    print("ok")


if __name__ == "__main__":
    main()
