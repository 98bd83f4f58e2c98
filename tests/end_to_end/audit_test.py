#!/usr/bin/env python3
"""A step could be called equal that is not, or the other way round; a changed journal could go unseen; an audit could change the run."""
import hashlib
import json
import pathlib
import shutil

from common import Scratch, digest, run, train


def lines_of(directory):
    return (pathlib.Path(directory) / "journal" / "journal.jsonl").read_text().splitlines()


def write_lines(directory, lines):
    (pathlib.Path(directory) / "journal" / "journal.jsonl").write_text("".join(line + "\n" for line in lines))


def chained(lines):
    """The lines with the chain computed anew: what somebody who knows the format would leave."""
    previous, made = "0" * 64, []
    for line in lines:
        entry = json.loads(line)
        entry["previous"] = previous
        del entry["hash"]
        body = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)[:-1]
        previous = hashlib.sha256(body.encode()).hexdigest()
        made.append(f'{body},"hash":"{previous}"}}')
    return made


def altered(lines, step):
    """Another digest for that step."""
    made = []
    for line in lines:
        entry = json.loads(line)
        if entry["step"] == step:
            entry["digest"] = entry["digest"][::-1]
        made.append(json.dumps(entry))
    return chained(made)


def audit(directory, step, expect=0):
    out, err = run("audit", directory, "--step", step, "--json", expect=expect)
    return json.loads(out) if out else err


def files(directory):
    return {str(p): p.read_bytes() for p in sorted(pathlib.Path(directory).rglob("*")) if p.is_file()}


def main():
    scratch = Scratch()
    whole = scratch.path / "whole"
    train(scratch.config(steps=14, dtype="bf16"), whole, "--set", "data.micro_batch=2")
    lines = lines_of(whole)
    assert chained(lines) == lines, "this test makes the chain otherwise than godwit"
    before = files(whole)
    for step, start in ((1, 0), (13, 10)):
        said = audit(whole, step)
        committed = [json.loads(line)["digest"] for line in lines if json.loads(line)["step"] == step]
        assert said["equal"] and said["from"] == start and said["reference"] == said["committed"] == committed[0], said
    assert files(whole) == before, "an audit changes nothing"
    assert "has no step 15; its last one is 14" in audit(whole, 15, expect=2)
    assert "--step takes 1 and more" in audit(whole, 0, expect=2)
    print("equal where it is equal")

    other = scratch.path / "altered"
    shutil.copytree(whole, other)
    write_lines(other, altered(lines, 12))
    assert json.loads(run("verify", other, "--json")[0])["good"], "the chain of an altered journal holds; only an audit finds it"
    said = audit(other, 12, expect=3)
    assert not said["equal"] and said["step"] == 12 and said["device"] == said["reference"] != said["committed"], said
    assert "first_op" not in said and "the result of neither" in said["said"] and "remove the checkpoints from step 12 on" in said["said"]
    said = audit(other, 13, expect=3)
    assert said["step"] == 12 and "on the way to step 13" in said["said"], said
    print("an altered digest in a whole chain: found, also on the way to a later step")

    for name, change in (
        ("a digit", lambda l: l[:6] + [l[6].replace('"step":6', '"step":7')] + l[7:]),
        ("a line taken out", lambda l: l[:6] + l[7:]),
        ("two lines swapped", lambda l: l[:6] + [l[7], l[6]] + l[8:]),
    ):
        changed = scratch.path / "changed"
        shutil.rmtree(changed, ignore_errors=True)
        shutil.copytree(whole, changed)
        write_lines(changed, change(lines))
        for command in (("audit", changed, "--step", 13), ("verify", changed)):
            out, err = run(*command, expect=3)
            assert "journal.jsonl: line 7" in out + err, (name, out, err)
    print("a changed line: found and named")

    # The nearest checkpoint is bad: an older one, or the beginning, does as well.
    bad = scratch.path / "bad"
    shutil.copytree(whole, bad)
    state = bad / "checkpoints" / "10" / "state.safetensors"
    raw = bytearray(state.read_bytes())
    raw[len(raw) // 2] ^= 1
    state.write_bytes(raw)
    said = audit(bad, 11)
    assert said["equal"] and said["from"] == 0, said
    # A whole checkpoint of another run.
    foreign = scratch.path / "foreign"
    train(scratch.config("other.toml", steps=14, dtype="bf16"), foreign, "--set", "data.micro_batch=2", "--set", "run.seed=8")
    shutil.rmtree(bad / "checkpoints" / "10")
    shutil.copytree(foreign / "checkpoints" / "10", bad / "checkpoints" / "10")
    assert "checkpoint 10 has the digest" in audit(bad, 11, expect=3)
    assert digest(whole) == digest(scratch.path / "altered")
    print("ok")


if __name__ == "__main__":
    main()
