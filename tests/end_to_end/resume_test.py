#!/usr/bin/env python3
"""Something that is not the run's could join it: another config, tokenizer, model, program, checkpoint. F2 of the fault matrix. Every case: exit 2, one message
that names the thing, both values and the way out; nothing of the run is changed, and put back, it goes on to the end of a run nobody disturbed."""
import hashlib
import json
import os
import shutil

from common import Scratch, digest, run, train


def contents(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file() and path.name not in ("lock", "log.txt", "guard.json")}


def main():
    scratch = Scratch()
    config = scratch.config(steps=30)
    reference = scratch.path / "reference"
    train(config, reference, "--workers", 0)
    wanted = digest(reference)
    begun = scratch.path / "begun"
    train(config, begun, "--set", "run.steps=15", "--set", "optimizer.schedule_steps=30")
    assert sorted(os.listdir(begun / "checkpoints")) == ["10", "15"]

    def refused(what, says, *args, change=None, code=2, begun=begun):
        directory = scratch.path / "changed"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(begun, directory)
        if change:
            change(directory)
        before = contents(directory)
        _, err = train(config, directory, *args, expect=code)
        for text in says:
            assert text in err, f"{what}: the message does not say {text!r}:\n{err}"
        assert len(err.strip().splitlines()) <= 6, f"{what}: not one clear message:\n{err}"
        now = contents(directory)
        assert now == before, f"{what}: a refused start changed {[name for name in {*now, *before} if now.get(name) != before.get(name)]}"
        print(f"refused as it should be: {what}")

    # Config.
    refused("another learning rate", ["optimizer.lr: 0.003 there, 0.0001 here"], "--set", "optimizer.lr=1e-4")
    refused("another seed and sequence", ["run.seed: 7 there, 9 here", "data.sequence: 32 there, 16 here"], "--set", "run.seed=9", "--set", "data.sequence=16")
    refused("another dtype", ["run.dtype", "f32", "bf16"], "--set", 'run.dtype="bf16"')

    # Vocabulary.
    sha = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    own = begun / "tokenizer" / "tokenizer.json"
    byte_config = config.read_text()
    words = {}
    for size in (300, 310):
        tokenizer = scratch.path / f"tokenizer-{size}"
        run("tokenizer", "train", "--text", scratch.text, "--vocab", size, "--out", tokenizer)
        words[size] = tokenizer
    config.write_text(byte_config.replace('kind = "bytes"', f'path = "{words[300]}"'))
    with_words = scratch.path / "with_words"
    train(config, with_words, "--set", "run.steps=3")
    config.write_text(byte_config.replace('kind = "bytes"', f'path = "{words[310]}"'))
    refused("a tokenizer of another kind", ["tokenizer.kind: \"bytes\" there, nothing here"])
    refused("another vocabulary", [sha(words[300] / "tokenizer.json"), sha(words[310] / "tokenizer.json"), "300 tokens", "310 tokens", "[tokenizer] path"], begun=with_words)
    config.write_text(byte_config)

    def other_vocabulary(directory):
        shutil.copy(tokenizer / "tokenizer.json", directory / "tokenizer" / "tokenizer.json")

    refused("a tokenizer that was put in the run's place", [sha(tokenizer / "tokenizer.json"), sha(own), "tokenizer"], change=other_vocabulary)
    refused("a tokenizer that is gone", ["it is gone", sha(own)], change=lambda d: (d / "tokenizer" / "tokenizer.json").unlink())

    # Program: what this godwit makes of the run's model is not what the run began with.
    record = json.loads((begun / "model" / "run.json").read_text())

    def other_model(directory):
        path = directory / "model" / "config.json"
        values = json.loads(path.read_text())
        values["rope_theta"] = values["rope_theta"] * 2
        path.write_text(json.dumps(values))

    refused("a model of the same shapes that computes otherwise", [record["programs"], "model/config.json", "[model] init"], change=other_model)

    def other_program(directory):
        (directory / "model" / "run.json").write_text(json.dumps({**record, "programs": "0" * 64}))

    refused("a godwit that makes other programs", ["0" * 64, record["programs"], "the godwit that began it"], change=other_program)

    # Checkpoint.
    def remade(old, new, steps=("15",)):
        def change(directory):
            for step in steps:
                path = directory / "checkpoints" / step / "manifest.json"
                text = path.read_text()
                text = text[:text.rindex(',\n "manifest_sha256"')]
                assert old in text, old
                text = text.replace(old, new)
                path.write_text(f'{text},\n "manifest_sha256": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n')
        return change

    refused("a checkpoint of a newer format", ["checkpoints/15/manifest.json", "has format version 2, this godwit reads 1", "use the godwit that wrote it"],
            change=remade('"version": 1', '"version": 2'))
    refused("a checkpoint of another profile", ["fast/7", "exact/1"], change=remade('"profile": "exact/1"', '"profile": "fast/7"'))
    other = scratch.path / "other"
    train(config, other, "--set", "run.steps=15", "--set", "optimizer.schedule_steps=30", "--set", "run.seed=8")

    def other_checkpoint(directory):
        shutil.rmtree(directory / "checkpoints" / "15")
        shutil.copytree(other / "checkpoints" / "15", directory / "checkpoints" / "15")

    refused("a checkpoint of another run", ["checkpoint 15 has the digest", digest(other), digest(begun)], change=other_checkpoint, code=1)

    # And nothing is refused that may change.
    train(config, begun, "--workers", 2, "--set", "run.recompute=true", "--set", "data.micro_batch=2", "--verify", "dual")
    assert digest(begun) == wanted
    print("ok")


if __name__ == "__main__":
    main()
