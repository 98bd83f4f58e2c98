#!/usr/bin/env python3
"""What a run of reinforcement learning becomes could depend on workers, threads or kills; training could see other probabilities than decoding drew
from; a config that cannot be could be begun, or a run gone on with that was another.

    rl_runs_test.py STEPS KILLS [SEED]
"""
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time

from common import GODWIT, Scratch, digest, metrics, run

CONFIG = """
[model]
preset = "nano"
[tokenizer]
kind = "characters"
[rl]
task = "parity"
options = {{ bits = 4 }}
prompts = 5
group = 4
max_tokens = 16
rewards = {{ format = 1.0, length = 0.5 }}
[optimizer]
lr = 3e-3
router_bias_speed = 1e-3
[run]
steps = {steps}
seed = 7
dtype = "{dtype}"
checkpoint_every = 3
"""


def rl(config, directory, *args, expect=0):
    return run("rl", config, "--run", directory, "--quiet", *args, expect=expect)


def facts(directory):
    """What metrics say of each step, but for the time it took."""
    return [{key: value for key, value in line.items() if not key.endswith("tokens_per_s")} for line in metrics(directory)]


def kill_and_resume(config, directory, reference, steps, kills, rng):
    """SIGKILLs of all processes of the run at once, each followed by the same command, then lets it finish. Returns how many steps were in the metrics each time."""
    step_seconds = statistics.median(line["tokens"] / line["tokens_per_s"] for line in metrics(reference))
    reached = []
    for number in range(kills):
        due = steps * number // (2 * kills)  # never so late that it could be done by itself
        with open(directory.with_suffix(".said"), "w+") as said:
            process = subprocess.Popen([GODWIT, "rl", config, "--run", directory, "--workers", str(number % 3)], stdout=said, stderr=said, start_new_session=True)
            begun = number % 3 == 1  # one in three may die while it starts
            while process.poll() is None and not (begun and len(metrics(directory)) >= due):
                begun = begun or " from step " in pathlib.Path(said.name).read_text()
                time.sleep(0.0005)
            # The moment is what is tried: starting, writing completions, learning from them, committing.
            time.sleep(rng.uniform(0, 0.08) if number % 3 == 1 else rng.uniform(0, 3 * step_seconds))
            code = process.poll()
            assert code is None, f"the process ended by itself with {code} before it could be killed:\n{pathlib.Path(said.name).read_text()}"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reached.append(len(metrics(directory)))
    rl(config, directory)
    return reached


# Struck where completions are written, where they are learned from, and where what came of it is joined and kept.
FAULTS = """train nano 8 steps on 2 workers
at step 2 in forward: kill worker 1
at step 3 in backward: kill worker 0
at step 4 in joining: kill the keeper
at step 5: flip a high bit in 3 matmul accumulators on worker 0
at step 6: flip 3 bits in the gradient of worker 1
at step 7: flip a high bit in the state
at step 8: flip 2 bits in 2 rms_norm results on worker 0
expect finished, digest = undisturbed
"""


def faults(config, directory, story, verify):
    """Faults of a story in a run of roll-outs. Returns how many struck."""
    story.write_text(FAULTS)
    rl(config, directory, "--workers", 2, "--verify", verify, "--faults", story)
    struck = {json.loads(line)["fault"] for line in (directory / "faults.jsonl").read_text().splitlines()}
    assert struck == set(range(FAULTS.count(": "))), f"of the faults only {struck} struck"
    return len(struck)


# Completions that are learned from in several steps, beside a reference that moves, and prompts that give way: what of it is state has to survive too.
ALL = """epochs = 3
clip = [0.2, 0.28]
kl = 0.01
reference_every = 5
resample = 2
"""


def copies_hold(said):
    """All processes could agree on copies of the wrong weights: later epochs must write what the first one wrote, the reference be the model when it is renewed."""
    for before, line in zip(said, said[1:]):
        same = all(line[key] == before[key] for key in ("tokens", "reward", "entropy", "thinking_mean"))
        if (line["step"] - 1) % 3 != 0:
            assert same, f"step {line['step']} learns from other completions than the step before"
        else:
            assert not same, f"step {line['step']} learns from old completions"
    for line in said:
        renewed = (line["step"] - 1) % 5 == 0
        assert (line["kl"] == 0) == renewed, f"step {line['step']}: a divergence of {line['kl']} from the reference"
    # One step after it was renewed the model is nearer to it than four steps after.
    for renewal in range(5, len(said) - 1, 5):
        old, new = said[renewal - 1]["kl"], said[renewal + 1]["kl"]
        assert new < old, f"a divergence of {old} before the reference was renewed, of {new} after the next step"


def same_bits(scratch, steps, kills, rng):
    for name, dtype, more in (("f32", "f32", ""), ("bf16", "bf16", ""), ("all", "f32", ALL)):
        config = scratch.path / f"{name}.toml"
        config.write_text(CONFIG.format(steps=steps, dtype=dtype).replace("[rl]\n", "[rl]\n" + more))
        reference = scratch.path / f"{name}-reference"
        rl(config, reference, "--workers", 0, "--threads", 1)
        wanted, said = digest(reference), facts(reference)
        assert [line["step"] for line in said] == list(range(1, steps + 1))
        for line in said:
            assert line["ratio_deviation"] == 0 and line["ratios_off"] == 0, f"training has other probabilities than decoding: {line}"
        if more:
            copies_hold(said)
        assert any(line["silent_groups"] < 1 and line.get("grad_norm", 0) > 0 for line in said), "nothing was learned from: the digest says nothing"
        results = {}
        for what, *args in (("--workers", 1), ("--workers", 2), ("--workers", 3), ("--threads", 2), ("--threads", 3), ("--verify", "dual"), ("--workers", 2, "--threads", 3)):
            directory = scratch.path / f"{name}-{'-'.join(map(str, (what, *args)))}"
            rl(config, directory, what, *args)
            results[f"{what} {' '.join(map(str, args))}"] = directory
        killed = scratch.path / f"{name}-killed"
        reached = kill_and_resume(config, killed, reference, steps, kills, rng)
        results[f"killed at steps {reached}"] = killed
        for verify in ("inline", "dual"):
            struck = scratch.path / f"{name}-struck-{verify}"
            count = faults(config, struck, scratch.path / "faults.story", verify)
            results[f"struck by {count} faults, {verify}"] = struck
        longer = scratch.path / f"{name}-longer"
        rl(config, longer, "--set", f"run.steps={steps // 2}", "--set", f"optimizer.schedule_steps={steps}")
        rl(config, longer, "--set", f"run.steps={steps}", "--set", f"optimizer.schedule_steps={steps}")
        results["trained longer"] = longer
        for what, directory in results.items():
            assert digest(directory) == wanted, f"{name} {what}: {digest(directory)} is not {wanted}"
            assert facts(directory) == said, f"{name} {what}: other metrics"
            print(f"{name} {what}: equal")
        out, _ = run("audit", reference, "--step", 3, "--json")
        assert json.loads(out)["equal"], out
        run("verify", killed)
        other = scratch.path / f"{name}-other"
        rl(config, other, "--set", "run.seed=8")
        assert digest(other) != wanted, "another seed gives the same digest: the digest says nothing"


def silence(scratch):
    """Where every completion of every group is worth the same there is nothing to learn from, and the run goes on."""
    config = scratch.path / "silent.toml"
    config.write_text(CONFIG.format(steps=4, dtype="f32"))
    digests = set()
    for workers in (0, 2):
        directory = scratch.path / f"silent-{workers}"
        rl(config, directory, "--workers", workers, "--set", "rl.rewards={ answer = 1.0 }", "--set", "rl.max_tokens=1")
        assert [(line["silent_groups"], line.get("no_update"), line["reward"]) for line in metrics(directory)] == [(1, True, 0)] * 4, metrics(directory)
        digests.add(digest(directory))
    assert len(digests) == 1, digests
    print("nothing to learn from: four steps, one digest")


def refusals(scratch):
    config = scratch.path / "refused.toml"
    config.write_text(CONFIG.format(steps=6, dtype="f32"))
    begun = scratch.path / "begun"
    rl(config, begun, "--set", "run.steps=3", "--set", "optimizer.schedule_steps=6")

    def refused(says, *args, command="rl", directory=None, config=config):
        fresh = directory is None
        directory = directory or scratch.path / "never"
        _, err = run(command, config, "--run", directory, "--quiet", *args, expect=2)
        for text in says:
            assert text in err, f"{args}: the message does not say {text!r}:\n{err}"
        assert len(err.strip().splitlines()) == 1, err
        assert not fresh or not (directory / "config.toml").exists(), f"{args}: a refused run was begun"
        shutil.rmtree(scratch.path / "never", ignore_errors=True)
        print("refused as it should be:", err.strip())

    # A run goes on with what it began with.
    for key, then, now in (("group", "4", "5"), ("prompts", "5", "6"), ("max_tokens", "16", "17"), ("advantage", '"mean"', '"standard"'),
                           ("normalise", '"tokens"', '"sequence"'), ("rewards", "{ format = 1.0, length = 0.5 }", "{ format = 1.0 }"),
                           ("options", "{ bits = 4 }", "{ bits = 5 }")):
        refused([f"rl.{key}: {then} there, {now} here"], "--set", f"rl.{key}={now}", directory=begun)
    without_options = scratch.path / "without_options.toml"
    without_options.write_text(config.read_text().replace("options = { bits = 4 }\n", ""))
    other_task = scratch.path / "other_task"
    rl(without_options, other_task, "--set", "run.steps=1", "--set", "rl.max_tokens=8")
    refused(["rl.task: \"parity\" there, \"spell_backward\" here"], "--set", 'rl.task="spell_backward"', "--set", "rl.max_tokens=8", directory=other_task, config=without_options)
    # What cannot be is named, and the nearest to it.
    refused(["[rl] task", "godwit rl"], command="train")
    refused(["rl.task", "did you mean parity?"], "--set", 'rl.task="partiy"')
    refused(["rl.rewards", "there is no reward 'fromat'; did you mean format?", "answer, chance, command, format, language, length"], "--set", "rl.rewards={ fromat = 1.0 }")
    refused(["rl.group = 1", "from 2"], "--set", "rl.group=1")
    refused(["there is no option bitz; did you mean bits?"], "--set", "rl.options={ bitz = 4 }")
    refused(["max_position_embeddings"], "--set", "rl.max_tokens=100000")
    plain = scratch.config("plain.toml", steps=2)
    refused(["[rl] task", "godwit train"], config=plain)
    refused(["[rl] without task says nothing"], "--set", "rl.group=5", command="train", config=plain)
    no_model = scratch.path / "no_model.toml"
    no_model.write_text(config.read_text().replace('preset = "nano"\n', ""))
    refused(["model.init=RUN"], config=no_model)
    tokenizer = scratch.path / "tokenizer"
    shutil.copytree(begun / "tokenizer", tokenizer)
    file = json.loads((tokenizer / "tokenizer.json").read_text())
    file["added_tokens"] = [token for token in file["added_tokens"] if token["content"] != "</think>"]
    file["model"]["vocab"].pop("</think>", None)
    (tokenizer / "tokenizer.json").write_text(json.dumps(file))
    unthinking = scratch.path / "unthinking.toml"
    unthinking.write_text(config.read_text().replace('kind = "characters"', f'path = "{tokenizer}"'))
    refused(["the tokenizer has no </think>"], config=unthinking)
    # And the run that was met with all that goes on.
    rl(config, begun)
    whole = scratch.path / "whole"
    rl(config, whole)
    assert digest(begun) == digest(whole)


def main():
    steps, kills, seed = [int(value) for value in (sys.argv[1:] + ["16", "6", "1"][len(sys.argv) - 1:])]
    scratch = Scratch()
    refusals(scratch)
    silence(scratch)
    same_bits(scratch, steps, kills, random.Random(seed))
    print("ok")


if __name__ == "__main__":
    main()
