#!/usr/bin/env python3
"""A damaged checkpoint could be trusted, or end the run. It must be found, named, and the newest good one taken; the end is the same."""
import json
import random
import shutil

from common import Scratch, digest, run, status, train


def main():
    scratch = Scratch()
    config = scratch.config(steps=40)
    args = ("--set", "run.keep_last=4")
    whole = scratch.path / "whole"
    train(config, whole, *args)
    wanted = digest(whole)
    run("verify", whole)
    rng = random.Random(5)
    for attempt in range(6):
        damaged = scratch.path / f"damaged-{attempt}"
        shutil.copytree(whole, damaged)
        newest = damaged / "checkpoints" / "40"
        files = sorted(p for p in newest.iterdir())
        victim = rng.choice(files)
        raw = bytearray(victim.read_bytes())
        kind = ("flip", "cut", "grow", "remove", "extra", "flip")[attempt]
        if kind == "flip":
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            victim.write_bytes(raw)
        elif kind == "cut":
            victim.write_bytes(raw[:-1])
        elif kind == "grow":
            victim.write_bytes(bytes(raw) + b"\0")
        elif kind == "remove":
            victim.unlink()
        else:
            (newest / "unknown").write_text("x")
        out, err = run("verify", damaged, expect=3)
        assert "40" in out + err
        _, err = run("train", config, "--run", damaged, *args)
        assert "checkpoint 40" in err and "30" in err, f"{kind}: the run does not say which checkpoint it refused and which it took:\n{err}"
        assert digest(damaged) == wanted, kind
        print(f"{kind} in {victim.name}: found, and the run ends in the same digest")
    # What else a run's directory says: each file spoilt alone, found, and named.
    def without(lines, number):
        return lines[:number] + lines[number + 1:]

    def spoilt(name, change):
        directory = scratch.path / "spoilt"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(whole, directory)
        file = directory / name
        file.write_text("".join(change(file.read_text().splitlines(keepends=True))))
        return run("verify", directory, expect=3)[0]

    assert "metrics.jsonl: line 6: step 7 follows step 5" in spoilt("metrics.jsonl", lambda lines: without(lines, 5))
    assert "its first line is of step 2" in spoilt("metrics.jsonl", lambda lines: lines[1:])
    assert "metrics.jsonl: line 4: step 3 follows step 3" in spoilt("metrics.jsonl", lambda lines: lines[:3] + lines[2:])
    assert "metrics.jsonl: line 41" in spoilt("metrics.jsonl", lambda lines: lines + ["{}\n"])
    assert "goes up to step 40, the journal up to step 39" in spoilt("journal/journal.jsonl", lambda lines: lines[:-1])
    assert "the journal has no line for step 40" in spoilt("journal/journal.jsonl", lambda lines: lines[:-1])
    assert "of which there is no checkpoint" in spoilt("best.json", lambda lines: ['{"step": 39, "validation_loss": 1.5}'])
    best = json.loads((whole / "best.json").read_text())
    assert f"gives step {best['step']} the validation loss 1.5" in spoilt(
        "best.json", lambda lines: [json.dumps({"step": best["step"], "validation_loss": 1.5})])
    assert "BAD   config.toml" in spoilt("config.toml", lambda lines: ["nothing\n"])
    assert "BAD   model" in spoilt("model/config.json", lambda lines: lines[:-1])
    print("every other file of a run: read and compared")
    tampered = scratch.path / "tampered"
    shutil.copytree(whole, tampered)
    journal = tampered / "journal" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:10] + lines[11:]))
    run("verify", tampered, expect=3)

    # A run that began from a model begins from it again when no checkpoint is left, not from random weights.
    run("export", whole, "--to", scratch.path / "model")
    begun = scratch.path / "begun.toml"
    begun.write_text("\n".join(f'init = "{scratch.path}/model"' if line.startswith("preset") else line
                               for line in config.read_text().splitlines() if not line.startswith(("[tokenizer]", "kind = \"bytes\""))))
    for workers in ("0", "2"):
        again = scratch.path / f"again-{workers}"
        train(begun, again, "--set", "run.steps=6", "--workers", workers)
        first = digest(again)
        shutil.rmtree(again / "checkpoints")
        train(begun, again, "--set", "run.steps=6", "--workers", workers)
        assert digest(again) == first
    print("without checkpoints: from the model it began with")
    print("ok")


if __name__ == "__main__":
    main()
