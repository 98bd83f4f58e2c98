#!/usr/bin/env python3
"""A run's result could depend on threads, instruction set, micro-batches, stops or kills. All of them must end in one digest; a cold start must not."""
import os
import random
import signal
import subprocess
import sys
import time

from common import GODWIT, Scratch, digest, run, status, train


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


def kill_and_resume(config, directory, kills, rng):
    """SIGKILL at random moments, as many as asked, then let it finish. Returns how many really hit a running process."""
    hits = 0
    while hits < kills:
        process = subprocess.Popen([GODWIT, "train", str(config), "--run", str(directory), "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(rng.uniform(0.02, 0.6))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            hits += 1
            continue
        assert process.returncode == 0, process.stderr.read().decode()
        return hits  # finished before it could be hit; the caller makes the run longer
    train(config, directory)
    return hits


def main():
    preset, steps, kills = (sys.argv[1:] + ["nano", "40", "8"][len(sys.argv) - 1:])[:3]
    steps, kills = int(steps), int(kills)
    scratch = Scratch()
    for dtype in ("f32", "bf16"):
        config = scratch.config(f"{dtype}.toml", steps=steps, dtype=dtype, preset=preset)
        reference = scratch.path / f"{dtype}-reference"
        train(config, reference, "--threads", 2)
        wanted = digest(reference)
        journal = [line for line in (reference / "journal" / "journal.jsonl").read_text().splitlines()]
        assert wanted in journal[-1], "the digest recomputed from bytes is not the journal's last"
        results = {}
        for threads in (1, 3, 5):
            results[f"threads {threads}"] = scratch.path / f"{dtype}-threads-{threads}"
            train(config, results[f"threads {threads}"], "--threads", threads)
        for isa in instruction_sets():
            results[f"isa {isa}"] = scratch.path / f"{dtype}-{isa}"
            train(config, results[f"isa {isa}"], "--isa", isa)
        for micro in (1, 2, 4):
            results[f"micro_batch {micro}"] = scratch.path / f"{dtype}-micro-{micro}"
            train(config, results[f"micro_batch {micro}"], "--set", f"data.micro_batch={micro}")
        results["recompute"] = scratch.path / f"{dtype}-recompute"
        train(config, results["recompute"], "--set", "run.recompute=true")

        stopped = scratch.path / f"{dtype}-stopped"
        process = subprocess.Popen([GODWIT, "train", str(config), "--run", str(stopped), "--quiet", "--threads", "1"], stderr=subprocess.PIPE)
        while not (stopped / "metrics.jsonl").exists() or len((stopped / "metrics.jsonl").read_text().splitlines()) < 5:
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        if process.returncode == 75:
            assert status(stopped)["state"] == "stopped"
        else:
            assert process.returncode == 0, process.returncode
        train(config, stopped)
        results["stopped by SIGTERM"] = stopped

        killed = scratch.path / f"{dtype}-killed"
        hits = kill_and_resume(config, killed, kills, random.Random(3))
        assert hits > 0, "no kill hit a running process: nothing was tested"
        results[f"killed {hits} times"] = killed

        shorter = scratch.path / f"{dtype}-longer"
        train(config, shorter, "--set", f"run.steps={steps // 2}", "--set", f"optimizer.schedule_steps={steps}")
        train(config, shorter, "--set", f"run.steps={steps}", "--set", f"optimizer.schedule_steps={steps}")
        results["trained longer"] = shorter

        for what, directory in results.items():
            got = digest(directory)
            assert got == wanted, f"{dtype} {what}: {got} is not {wanted}"
            print(f"{dtype} {what}: equal")
        cold = scratch.path / f"{dtype}-cold"
        train(config, cold, "--set", "run.seed=8")
        assert digest(cold) != wanted, "another seed gives the same digest: the digest says nothing"
        print(f"{dtype} another seed: differs, as it must")
        out, _ = run("verify", reference)
    print("ok")


if __name__ == "__main__":
    main()
