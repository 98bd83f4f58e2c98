#!/usr/bin/env python3
"""A damaged checkpoint could be trusted, or end the run. It must be found, named, and the newest good one taken; the end is the same."""
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
    tampered = scratch.path / "tampered"
    shutil.copytree(whole, tampered)
    journal = tampered / "journal" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:10] + lines[11:]))
    run("verify", tampered, expect=3)
    print("ok")


if __name__ == "__main__":
    main()
