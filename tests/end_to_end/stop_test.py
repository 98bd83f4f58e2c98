#!/usr/bin/env python3
"""A request to stop could be lost, or lose something: while text becomes tokens, between steps, inside an evaluation, after the last step. Exit 75 each
time, soon, with a checkpoint where there is a state; the same command goes on, and the end is that of a run nobody stopped, evaluations included."""
import signal
import time

from common import Running, Scratch, assert_metrics, digest, evaluates, metrics, run, status, train, words

EVERY = 20


def stop(process, moment):
    """SIGTERM when `moment()` is true; the run must say that it can go on, and soon."""
    while not moment():
        assert process.runs(), process.stderr()
        time.sleep(0.001)
    asked = time.monotonic()
    code = process.end(signal.SIGTERM)
    assert code == 75, f"exit {code}, not 75\n{process.stderr()}"
    assert time.monotonic() - asked < 20, "a stop took more than 20 s"


def main():
    scratch = Scratch()
    # Half of the text to validate: an evaluation takes far longer than it takes to see that it has begun.
    config = scratch.config(steps=2 * EVERY)
    config.write_text(config.read_text().replace("validation = 0.1", "validation = 0.5"))
    reference = scratch.path / "reference"
    train(config, reference)
    wanted = digest(reference)

    def resumed(directory, what):
        train(config, directory)
        assert digest(directory) == wanted, what
        assert_metrics(directory, reference)
        assert (directory / "best.json").read_text() == (reference / "best.json").read_text(), what
        print(f"{what}: exit 75, and on to the same digest and records")

    directory = scratch.path / "step"
    stop(Running(config, directory), lambda: len(metrics(directory)) >= 5)
    assert status(directory)["state"] == "stopped"
    assert status(directory)["step"] in status(directory)["checkpoints"], "a stop wrote no checkpoint"
    resumed(directory, "stopped in a step")

    for step in (EVERY, 2 * EVERY):
        directory = scratch.path / f"evaluation-{step}"
        stop(Running(config, directory), lambda: len(metrics(directory)) == step and evaluates(directory, EVERY))
        assert len(metrics(directory)) == step and evaluates(directory, EVERY), "the stop did not come inside the evaluation: nothing was tested"
        assert step in status(directory)["checkpoints"], "a stop wrote no checkpoint"
        resumed(directory, f"stopped in the evaluation of step {step}")

    # A tokenizer of merges and a longer text: tokenizing takes seconds.
    tokenizer = scratch.path / "tokenizer"
    run("tokenizer", "train", "--text", scratch.text, "--vocab", 600, "--out", tokenizer)
    long = scratch.path / "long.txt"
    long.write_text(words(3_000_000, seed=2))
    slow = scratch.path / "slow.toml"
    slow.write_text(config.read_text().replace('kind = "bytes"', f'path = "{tokenizer}"').replace(str(scratch.text), str(long)).replace(
        "validation = 0.5", "validation = 0.001").replace(f"steps = {2 * EVERY}", "steps = 3"))
    directory = scratch.path / "tokenizing"
    process = Running(slow, directory)
    stop(process, lambda: "text to tokens" in process.stderr())
    assert not process.begun(), "the stop did not come while text became tokens: nothing was tested"
    assert not (directory / "config.toml").exists(), "a run that was never begun left a run"
    train(slow, directory)
    undisturbed = scratch.path / "undisturbed"
    train(slow, undisturbed)
    assert digest(directory) == digest(undisturbed)
    print("stopped while text became tokens: exit 75, and from the start to the same digest")
    print("ok")


if __name__ == "__main__":
    main()
