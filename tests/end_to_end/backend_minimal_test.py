#!/usr/bin/env python3
"""The stand-alone example could need more than the installed header, or not be found, or give other bits; and what it lacks could not be
done in its place, or come out otherwise there.

    backend_minimal_test.py CONFORMANCE_TEST
"""
import json
import os
import signal
import subprocess
import sys
import time

from common import Running, Scratch, assert_undisturbed, build_backend, digest, metrics, run, train

FLIPS = """
train nano 8 steps on 1 workers
at step 3: flip a high bit in 2 add results on worker 0
at step 5: flip a high bit in 1 rms_norm result on worker 0
expect finished
"""


def listed(env, name):
    backends = json.loads(run("devices", "--json", env=env)[0])["backends"]
    return next(backend for backend in backends if backend["name"] == name)


def log(directory):
    return (directory / "log.txt").read_text()


def main():
    scratch = Scratch()
    env = build_backend(scratch.path, "minimal", "examples/backend-minimal/minimal.c")
    minimal = listed(env, "minimal")
    assert minimal["error"] is None and minimal["library"] == str(scratch.path / "libgodwit_backend_minimal.so"), minimal
    assert minimal["devices"][0]["name"] == "an example", minimal
    own = [op["op"] for op in minimal["ops"] if op["own"] > 0]
    assert own == ["add"] and len(minimal["ops"]) > 40 and all(op["own"] + op["by_parts"] in (0, op["examples"]) for op in minimal["ops"]), minimal
    assert "the CPU does absorb_query, " in run("devices", env=env)[0]

    tried = subprocess.run([sys.argv[1], "--gtest_filter=*EveryOp*scalar"], capture_output=True, text=True,
                           env={**env, "GODWIT_BACKEND": "minimal", "GODWIT_OP": "add"})
    assert tried.returncode == 0 and "loop" in tried.stdout, tried.stdout[-2000:]
    refused = subprocess.run([sys.argv[1], "--gtest_filter=*EveryOp*scalar"], capture_output=True, text=True,
                             env={**env, "GODWIT_BACKEND": "minimal", "GODWIT_OP": "rope"})
    assert refused.returncode != 0 and "no kernel" in refused.stdout, refused.stdout[-2000:]  # the CPU's is not taken for its own

    # The same with memory of its own, which the host cannot address.
    build_backend(scratch.path, "apart", "tests/hostile/apart.c")
    for dtype in ("f32", "bf16"):
        config = scratch.config(f"{dtype}.toml", steps=20, dtype=dtype, any_device=True)
        reference = scratch.path / f"{dtype}-cpu"
        train(config, reference)
        for backend in ("minimal", "apart"):
            for workers in (1, 0, 2):
                directory = scratch.path / f"{dtype}-{backend}-{workers}"
                train(config, directory, "--backend", backend, "--workers", workers, env=env)
                assert digest(directory) == digest(reference), f"{dtype}: another run on {backend} with {workers} workers"
                assert "the CPU does the others: " in log(directory), log(directory)
                assert_undisturbed(directory)
            for decode in ("expanded", "absorbed"):
                words = ["--prompt", "Godwit flies", "--decode", decode, "--max-tokens", 8, "--temperature", 1, "--seed", 3, "--json", "--logprobs"]
                answers = [run("generate", reference, "--backend", each, *words, env=env)[0] for each in ("cpu", backend)]
                assert answers[0] == answers[1], f"{dtype} {decode} on {backend}: {answers}"
        print(f"{dtype}: a run on a device with one op, and on one with memory of its own too, ends in the CPU's digest; answers are the same")

    # A live run is moved to a device whose memory is its own.
    os.environ.update(env)
    for_ever = 1000000
    config = scratch.config(steps=for_ever, any_device=True)
    moved = scratch.path / "moved"
    live = Running(config, moved, "--workers", 1, "--set", "run.evaluate_every=0")
    while live.runs() and not live.begun():
        time.sleep(0.01)
    said = json.loads(run("move", moved, "--to", "apart", "--json")[0])
    assert said["outcome"] == "moved", said
    before = metrics(moved)[-1]["step"]
    while live.runs() and metrics(moved)[-1]["step"] < before + 3:
        time.sleep(0.01)
    assert live.end(signal.SIGTERM) == 75, live.stderr()
    last = metrics(moved)[-1]["step"]
    unmoved = scratch.path / "unmoved"
    train(config, unmoved, "--set", f"run.steps={last}", "--set", f"optimizer.schedule_steps={for_ever}", "--set", "run.evaluate_every=0")
    assert digest(moved) == digest(unmoved), "moved to memory of its own, it is another run"
    assert_undisturbed(moved)
    print(f"moved to a device with memory of its own; {last} steps, the digest of the unmoved run")

    plan, _ = run("train", scratch.config(steps=2, any_device=True), "--run", scratch.path / "dry", "--backend", "minimal", "--dry-run", env=env)
    assert "device      minimal (an example) does " in plan and "% of the FLOPs; the CPU does the others: " in plan, plan
    plan, _ = run("train", scratch.config(steps=2, any_device=True), "--run", scratch.path / "dry", "--dry-run")
    assert " does all " in plan, plan

    # Results that are spoilt on purpose are found there too, by a proposal made twice.
    story = scratch.path / "flips.story"
    story.write_text(FLIPS)
    config = scratch.config(steps=8, any_device=True)
    ends = {}
    for backend, arguments in {"cpu": [], "minimal": ["--faults", story, "--verify", "dual"]}.items():
        ends[backend] = scratch.path / f"flips-{backend}"
        train(config, ends[backend], "--backend", backend, *arguments, env=env)
    assert digest(ends["cpu"]) == digest(ends["minimal"]), log(ends["minimal"])
    struck = [json.loads(line) for line in (ends["minimal"] / "faults.jsonl").read_text().splitlines()]
    assert {line.get("fault") for line in struck} == {0, 1} and "answered other bits" in log(ends["minimal"]), (struck, log(ends["minimal"]))
    print("ok")


main()
