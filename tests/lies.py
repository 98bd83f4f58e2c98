#!/usr/bin/env python3
"""Whole runs of nano whose devices lie, three times each, at random: every op, every kind of wrong result, workers and the keeper.

Usage: tests/lies.py [RUNS] [SEED]        GODWIT: the program (build/release/godwit)

A run must end with the bits of the undisturbed one. Only where a lie was small (an accumulator off by at most a tenth of its row's root mean
square) may it differ, and such runs are counted apart. Exit code 1 if one differs without that excuse, or does not finish.
"""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

GODWIT = os.environ.get("GODWIT", str(pathlib.Path(__file__).resolve().parents[1] / "build/release/godwit"))
PRODUCTS = ["matmul", "linear", "linear_backward_input", "linear_backward_weight", "grouped_linear", "grouped_linear_backward_input",
            "grouped_linear_backward_weight", "attention", "attention_backward"]
OTHERS = ["rms_norm", "rms_norm_backward", "rms_norm_weight_backward", "swiglu", "swiglu_backward", "rope", "rope_backward", "embedding",
          "embedding_backward", "dispatch", "dispatch_backward", "combine", "combine_backward", "router_backward", "log_sum_exp",
          "cross_entropy", "cross_entropy_backward", "add"]
KEEPERS = ["adamw", "add", "sum_of_squares"]
SPOIL = ["flip a bit in", "flip a high bit in", "flip 9 bits in", "spoil a lane of", "spoil a stripe of", "keep a stale tile in",
         "swap two rows in", "zero a tile in", "miss a tile in"]
FLIP = ["flip a bit in", "flip bit 0 in", "flip a high bit in", "flip 5 bits in"]


def lie(chance, workers):
    worker = f"worker {chance.randrange(workers)}"
    count = chance.choice(["1", "1", "2", "every"])
    kind = chance.randrange(8)
    if kind < 3:
        what = chance.choice(SPOIL + (["take a wrong expert in"] if kind == 0 else []))
        op = "grouped_linear" if what.startswith("take") else chance.choice(PRODUCTS + OTHERS)
        return f"{what} {count} {op} accumulators on {worker}"
    if kind < 5:
        return f"{chance.choice(FLIP)} {chance.choice(['1', '3'])} {chance.choice(PRODUCTS[1:] + OTHERS)} results on {worker}"
    if kind == 5:
        return f"drop 1 {chance.choice(PRODUCTS[1:] + OTHERS)} result on {worker}"
    if kind == 6:
        form = chance.choice(["accumulators", "results"])
        return f"{chance.choice(FLIP)} {chance.choice(['1', '2'])} {chance.choice(KEEPERS)} {form} on the keeper"
    return chance.choice([f"flip a bit in the gradient of {worker}", f"swap two chunks in the gradient of {worker}",
                          f"cut the gradient of {worker}", "flip a bit in the state"])


def story(number, seed):
    chance = random.Random(seed * 1000003 + number)
    workers = 1 + number % 4
    steps = sorted(chance.sample(range(2, 10), 3))
    lines = [f"train nano 10 steps on {workers} workers", f"seed {chance.randrange(1 << 30)}"]
    lines += [f"at step {step}: {lie(chance, workers)}" for step in steps]
    return "\n".join(lines + ["expect finished", ""])


def struck_small(run):
    """Whether all that is told of accumulators was small, and something was."""
    told = []
    for log in run.rglob("faults.jsonl"):
        for line in log.read_text().splitlines():
            match = re.search(r": (\S+) became (\S+) \(rms of the row (\S+)\)", json.loads(line).get("what", ""))
            if match:
                before, after, rms = map(float, match.groups())
                told.append(abs(after - before) <= 0.1 * rms)
    return any(told)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    equal = small = invalid = lies = findings = 0
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            file = pathlib.Path(folder) / f"lie{number}.story"
            file.write_text(story(number, seed))
            keep = pathlib.Path(folder) / f"runs{number}"
            done = subprocess.run([GODWIT, "chaos", str(file), "--keep", str(keep), "--json", "--quiet"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=300)
            try:
                result = json.loads(done.stdout)[0]
            except (json.JSONDecodeError, IndexError):
                bad.append((number, done.stderr.strip()[-300:], file.read_text()))
                continue
            lies += result["struck"]
            findings += result["counters"].get("findings", 0)
            if result["state"] != "finished":
                bad.append((number, result["reasons"], file.read_text()))
            elif result["digest_equal"]:
                equal += 1
                invalid += result["verdict"] == "invalid"
            elif struck_small(keep):
                small += 1
            else:
                bad.append((number, "another digest", file.read_text()))
            subprocess.run(["rm", "-rf", str(keep)])
            if number % 10 == 9:
                print(f"{number + 1} of {runs} runs, {lies} lies", file=sys.stderr)
    print(f"{runs} runs, {lies} lies struck, {findings} findings: {equal} ended with the undisturbed bits ({invalid} of them: not every lie "
          f"found something to strike), {small} with others after a small lie, {len(bad)} bad")
    for number, why, text in bad:
        print(f"\nrun {number}: {why}\n{text}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
