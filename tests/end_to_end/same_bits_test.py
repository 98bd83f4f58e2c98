#!/usr/bin/env python3
"""A run's result could depend on threads, instruction set, micro-batches or kills. All of them must end in one digest; a cold start must not.

    same_bits_test.py PRESET STEPS KILLS [DTYPE…]
"""
import collections
import json
import os
import random
import signal
import statistics
import sys
import time

from common import Running, Scratch, assert_metrics, digest, evaluates, metrics, run, train


def instruction_sets():
    flags = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
    sets = ["scalar"]
    if "avx2" in flags and "fma" in flags:
        sets.append("avx2")
    if "avx512f" in flags and "avx512bw" in flags and "avx512vl" in flags and "avx512dq" in flags:
        sets.append("avx512")
        if "avx512_bf16" in flags:
            sets.append("avx512_bf16")
    return sets


def committed(directory):
    """Digests by step, as the journal has them."""
    lines = (directory / "journal" / "journal.jsonl").read_text().splitlines()
    return {line["step"]: line["digest"] for line in map(json.loads, lines)}


# What a process is to be killed in, in turns: while it starts, while it computes, while it writes a checkpoint, while it evaluates.
MOMENTS = ("start", "step", "checkpoint", "evaluation", "step")
OFTEN = {"checkpoint_every": 3, "evaluate_every": 5}
REACH = 6  # steps from the point where a kill is due to the point where it comes, whatever the process does


def writes_checkpoint(directory):
    return any(name.startswith(".") for name in os.listdir(directory / "checkpoints"))


def kill(process, moment, due, rng, step_seconds):
    """SIGKILL at the moment asked for, or REACH steps after `due` at the latest. Returns what it hit: checkpoints are written while steps go on."""
    deadline = time.monotonic() + rng.uniform(0, 0.08)
    begun = False
    while process.runs():
        if moment == "start":
            if time.monotonic() >= deadline:
                break
            continue
        if not begun:
            begun = process.begun()
            continue
        done = (metrics(process.directory)[-1:] or [{"step": 0}])[0]["step"]
        if done < due:
            time.sleep(0.0005)
            continue
        if moment == "step" and 0 < done % OFTEN["evaluate_every"] < OFTEN["evaluate_every"] - 1:
            time.sleep(rng.uniform(0, step_seconds))
            break
        if moment == "checkpoint" and writes_checkpoint(process.directory):
            break
        if moment == "evaluation" and evaluates(process.directory, OFTEN["evaluate_every"]):
            time.sleep(rng.uniform(0, 0.002))
            break
        if done >= due + REACH:
            break
    code = process.end(signal.SIGKILL)
    assert code == -signal.SIGKILL, f"the process ended by itself with {code} before it could be killed:\n{process.stderr()}"
    if not process.begun():
        return {"start"}
    hit = {"evaluation" if evaluates(process.directory, OFTEN["evaluate_every"]) else "step"}
    return hit | {"checkpoint"} if writes_checkpoint(process.directory) else hit


def kill_and_resume(config, directory, reference, steps, kills, rng):
    """SIGKILLs spread over the run, each followed by the same command, then lets it finish."""
    often = [argument for key, value in OFTEN.items() for argument in ("--set", f"run.{key}={value}")]
    step_seconds = statistics.median(m["tokens"] / m["tokens_per_s"] for m in metrics(reference))
    hits = collections.Counter()
    for number in range(kills):
        due = (steps - REACH - 2) * number // kills
        process = Running(config, directory, *often)
        hits.update(kill(process, MOMENTS[number % len(MOMENTS)], due, rng, step_seconds))
    train(config, directory, *often)
    missed = set(MOMENTS) - set(hits)
    assert not missed, f"of {kills} kills none hit: {missed}"
    assert_metrics(directory, reference)
    return hits


def main():
    preset, steps, kills, *dtypes = sys.argv[1:] + ["nano", "40", "8"][len(sys.argv) - 1:]
    steps, kills = int(steps), int(kills)
    scratch = Scratch()
    for dtype in dtypes or ("f32", "bf16"):
        config = scratch.config(f"{dtype}.toml", steps=steps, dtype=dtype, preset=preset)
        reference = scratch.path / f"{dtype}-reference"
        train(config, reference, "--threads", 2)
        wanted = digest(reference)
        assert committed(reference)[steps] == wanted, "the digest recomputed from bytes is not the journal's last"
        results = {}
        unevaluated = ("--set", "run.evaluate_every=0")
        for threads in (1, 3, 5):
            results[f"threads {threads}"] = scratch.path / f"{dtype}-threads-{threads}"
            train(config, results[f"threads {threads}"], "--threads", threads, *unevaluated)
        for isa in instruction_sets():
            if isa == "scalar":
                continue
            results[f"isa {isa}"] = scratch.path / f"{dtype}-{isa}"
            train(config, results[f"isa {isa}"], "--isa", isa, *unevaluated)
        # One float at a time is slow: its first steps against the reference's, as committed.
        first = steps // 4
        scalar = scratch.path / f"{dtype}-scalar"
        train(config, scalar, "--isa", "scalar", "--set", f"run.steps={first}", "--set", f"optimizer.schedule_steps={steps}", *unevaluated)
        assert committed(scalar)[first] == committed(reference)[first], f"{dtype} isa scalar: differs at step {first}"
        print(f"{dtype} isa scalar: equal at step {first}")
        for micro in (1, 2, 4):
            results[f"micro_batch {micro}"] = scratch.path / f"{dtype}-micro-{micro}"
            train(config, results[f"micro_batch {micro}"], "--set", f"data.micro_batch={micro}", *unevaluated)
        results["recompute"] = scratch.path / f"{dtype}-recompute"
        train(config, results["recompute"], "--set", "run.recompute=true", *unevaluated)

        killed = scratch.path / f"{dtype}-killed"
        hits = kill_and_resume(config, killed, reference, steps, kills, random.Random(3))
        results[f"killed {kills} times ({', '.join(f'{moment} {count}' for moment, count in sorted(hits.items()))})"] = killed

        shorter = scratch.path / f"{dtype}-longer"
        train(config, shorter, "--set", f"run.steps={steps // 2}", "--set", f"optimizer.schedule_steps={steps}")
        train(config, shorter, "--set", f"run.steps={steps}", "--set", f"optimizer.schedule_steps={steps}")
        results["trained longer"] = shorter

        for what, directory in results.items():
            got = digest(directory)
            assert got == wanted, f"{dtype} {what}: {got} is not {wanted}"
            print(f"{dtype} {what}: equal")
        cold = scratch.path / f"{dtype}-cold"
        train(config, cold, "--set", "run.seed=8", *unevaluated)
        assert digest(cold) != wanted, "another seed gives the same digest: the digest says nothing"
        print(f"{dtype} another seed: differs, as it must")
        out, _ = run("verify", reference)
    print("ok")


if __name__ == "__main__":
    main()
