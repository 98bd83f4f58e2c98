#!/usr/bin/env python3
"""A model's own answers could be written wrong as right, replace a file, come out otherwise on other threads, or be no data to train on."""
import json
import pathlib
import signal
import subprocess
import time

from common import GODWIT, Scratch, digest, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHAT = """
[model]
init = "{model}"
[data]
kind = "chat"
path = ["{path}"]
sequence = 40
batch = 4
validation = 0.1
[run]
steps = 4
evaluate_every = 2
"""

scratch = Scratch()
directory = scratch.path
model = directory / "model"
run("train", ROOT / "examples/parity/pretrain.toml", "--run", model, "--quiet", "--set", "run.steps=60", "--set", "data.options.bits=4",
    "--set", "run.evaluate_every=0", "--set", "data.batch=32")
ask = ["sample", model, "--task", "parity", "--set", "options.bits=4", "--tries", 3, "--max-tokens", 12, "--quiet", "--count"]
many, ask = [*ask, 100000], [*ask, 30]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


right, every = directory / "right.jsonl", directory / "every.jsonl"
counts = json.loads(run(*ask, "--out", right, "--json")[0])
assert counts["problems"] == 30 and counts["asked"] == 90 and counts["right"] == counts["written"] == len(lines(right)) > 0, counts
for line in lines(right):
    assert line["score"] == 1 and line["completion"]["answer"] == line["answer"] == str(line["question"].count("1") % 2), line
    thinking = line["completion"]["thinking"]
    assert line["messages"] == [{"role": "user", "content": line["question"]},
                                {"role": "assistant", "content": f"<think>{thinking}</think>{line['answer']}"}], line
run(*ask, "--out", every, "--keep", "all", "--threads", 1)
assert len(lines(every)) == 90
assert [line for line in lines(every) if line["score"] == 1] == lines(right)
assert all((line["messages"] is None) == (not line["completion"]["well_formed"]) for line in lines(every))

# A file that is there stays, unless it is told to go; what cannot be written is refused before anything is asked.
before = right.read_bytes()
_, said = run(*ask, "--out", right, expect=2)
assert "exists" in said and "--force" in said and right.read_bytes() == before, said
run(*ask, "--out", directory / "no" / "x.jsonl", expect=2)
run(*ask, "--out", directory, expect=2)
run(*ask, "--out", directory / "x.jsonl", "--temperature", 0, expect=2)
run(*ask, "--out", right, "--force")
assert right.read_bytes() == before

# Stopped, it leaves nothing.
late = directory / "late.jsonl"
process = subprocess.Popen([GODWIT, *map(str, many), "--out", str(late)], stderr=subprocess.PIPE)
while process.poll() is None and not list(directory.glob(".late.jsonl.*")):
    time.sleep(0.01)
process.send_signal(signal.SIGTERM)
assert process.wait(timeout=300) == 75, process.stderr.read()
assert not late.exists() and not list(directory.glob(".late.jsonl.*"))

# Both files are data; a step's bits do not depend on how it is cut.
for name, path in [("a", right), ("b", every)]:
    config = directory / f"{name}.toml"
    config.write_text(CHAT.format(model=model, path=path))
    run("train", config, "--run", directory / name, "--quiet")
run("train", directory / "b.toml", "--run", directory / "c", "--quiet", "--workers", 0, "--set", "data.micro_batch=1")
assert digest(directory / "b") == digest(directory / "c")
# A model of conversations is asked in its chat template: there it is right, and otherwise it is asked what it has never seen.
told = directory / "told.jsonl"
told.write_text("".join(json.dumps({"question": f"say {i % 4}", "answer": f"{i % 4}{i % 4} #### {i % 4}"}) + "\n" for i in range(64)))
chat = directory / "chat.toml"
chat.write_text("""
[model]
preset = "nano"
[tokenizer]
kind = "bytes"
[data]
kind = "chat"
path = ["%s"]
sequence = 40
batch = 16
validation = 0
[optimizer]
lr = 1e-2
[run]
steps = 150
""" % told)
talker = directory / "talker"
run("train", chat, "--run", talker, "--quiet")
ask = ["eval", talker, "--task", told, "--count", 16, "--max-tokens", 12, "--json", "--quiet"]
within, without = [json.loads(run(*ask, *more)[0]) for more in (["--chat"], [])]
assert within["accuracy"] == 1 and within["well_formed"] == 1, within
assert without["accuracy"] < 1, without
answers = directory / "told-answers.jsonl"
run("sample", talker, "--chat", "--task", told, "--count", 4, "--temperature", 0, "--max-tokens", 12, "--out", answers, "--quiet")
assert [line["completion"]["thinking"] for line in lines(answers)] == ["00", "11", "22", "33"], lines(answers)
print("ok")
