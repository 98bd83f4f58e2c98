#!/usr/bin/env python3
"""What reinforcement learning does to a model that seldom thinks: examples/parity over seeds, with controls.

Usage: bench/reasoning.py GODWIT [--seeds 10] [--dtypes f32,bf16] [--controls]

A row for each seed: greedy accuracy on 2,000 problems before and after, tokens of thinking after, seconds of pre-training and of RL.
Controls at the same budget: 60 more steps of pre-training instead of RL; rewards by lot; pre-training in which most documents think.
"""
import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "parity"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("godwit")
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--dtypes", default="f32")
    arguments.add_argument("--controls", action="store_true")
    arguments.add_argument("--workers", default="2")
    options = arguments.parse_args()

    def run(*words):
        began = time.monotonic()
        subprocess.run([options.godwit, *map(str, words), "--quiet"], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - began

    def ask(model):
        out = subprocess.run([options.godwit, "eval", model, "--task", "parity", "--count", "2000", "--max-tokens", "22", "--quiet", "--json"],
                             check=True, capture_output=True, text=True).stdout
        return json.loads(out)

    print(f"{'dtype':6}{'seed':>5}{'before':>9}{'after':>9}{'thinking':>10}{'pre-train s':>13}{'RL s':>8}", flush=True)
    for dtype in options.dtypes.split(","):
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as place:
                sets = ["--set", f"run.seed={seed}", "--set", f"run.dtype=\"{dtype}\"", "--workers", options.workers]
                before, after = f"{place}/before", f"{place}/after"
                trained = run("train", EXAMPLES / "pretrain.toml", "--run", before, *sets)
                rewarded = run("rl", EXAMPLES / "rl.toml", "--run", after, "--set", f"model.init={before}", *sets)
                first, last = ask(before), ask(after)
                print(f"{dtype:6}{seed:5}{first['accuracy']:9.4f}{last['accuracy']:9.4f}{last['length_mean']:10.2f}{trained:13.1f}{rewarded:8.1f}",
                      flush=True)
                if not options.controls:
                    continue
                run("train", EXAMPLES / "pretrain.toml", "--run", f"{place}/longer", "--set", "run.steps=560", "--set", "optimizer.schedule_steps=500",
                    *sets)
                run("rl", EXAMPLES / "rl.toml", "--run", f"{place}/lot", "--set", f"model.init={before}", "--set", "rl.rewards={chance=1.0}", *sets)
                run("train", EXAMPLES / "pretrain.toml", "--run", f"{place}/often", "--set", "data.options={bits=16, long=0.55}", *sets)
                print(f"      controls: 60 more steps {ask(f'{place}/longer')['accuracy']:.4f}, rewards by lot {ask(f'{place}/lot')['accuracy']:.4f}, "
                      f"55 in 100 documents think {ask(f'{place}/often')['accuracy']:.4f}", flush=True)


if __name__ == "__main__":
    main()
