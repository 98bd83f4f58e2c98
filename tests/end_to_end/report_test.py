#!/usr/bin/env python3
"""A report could be a page that browsers mend in silence, miss what a run has, or depend on something that is not in it."""
import html.parser
import json
import xml.etree.ElementTree

from common import Scratch, digest, run, train

VOID = {"meta", "br"}


class Checked(html.parser.HTMLParser):
    """Every tag is closed in order; nothing is fetched or run."""

    def __init__(self):
        super().__init__()
        self.open, self.figures, self.text = [], 0, []

    def handle_starttag(self, tag, attributes):
        assert tag not in {"script", "link", "img", "iframe"}, tag
        for name, value in attributes:
            assert name not in {"src", "href"} and not name.startswith("on"), (tag, name, value)
        if tag == "figure":
            self.figures += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    checked = Checked()
    checked.feed(page)
    checked.close()
    assert not checked.open, checked.open
    xml.etree.ElementTree.fromstring(page.split("\n", 1)[1])
    return checked.figures, "".join(checked.text)


scratch = Scratch()
directory = scratch.path
where = directory / "run"
train(scratch.config(steps=20), where)
out = directory / "page.html"
run("report", where, "--out", out)
figures, text = read(out.read_text())
for wanted in ["finished", "20 of 20", digest(where), "nats per token", "validation", "Learning rate", "tokens/s", 'preset = "nano"']:
    assert wanted in text, wanted
assert figures == 4, figures

# What a run may have besides, and what may be broken in it.
samples = [{"step": 5 * i, "question": "1 < 2 & 3?", "answer": "\u0001</div>", "score": i / 40} for i in range(100)]
(where / "samples.jsonl").write_text("".join(json.dumps(each) + "\n" for each in samples))
with open(where / "metrics.jsonl", "a") as metrics:
    metrics.write('{"step": 21, "loss": null, "reward": 0.5}\nnot json\n')
run("report", where, "--out", out)
figures, text = read(out.read_text())
assert figures == 5, figures
for wanted in ["60 of 100", "1 < 2 & 3?", "\ufffd</div>", "metrics.jsonl: 1 lines cannot be read"]:
    assert wanted in text, wanted

# A run of reinforcement learning keeps completions, and the page shows which were right.
config = scratch.path / "rl.toml"
config.write_text("""
[model]
preset = "nano"
[tokenizer]
kind = "characters"
[rl]
task = "parity"
options = { bits = 4 }
prompts = 3
group = 4
max_tokens = 8
rewards = { format = 1.0 }
samples_every = 2
[run]
steps = 4
""")
rolled = directory / "rolled"
run("rl", config, "--run", rolled, "--quiet")
kept = [json.loads(line) for line in (rolled / "samples.jsonl").read_text().splitlines()]
assert [each["step"] for each in kept] == [1] * 3 + [2] * 3 + [4] * 3, kept
assert all(set(each) == {"step", "prompt", "completion", "truth", "right", "reward"} for each in kept), kept
run("report", rolled, "--out", out)
figures, text = read(out.read_text())
shown = "right" if kept[-1]["right"] else "wrong"
for wanted in ["9 of 9", f"step 4: {shown}", kept[-1]["prompt"], "Answers over time"]:
    assert wanted in text, wanted
# Cut back, whatever stands behind the step that the run goes on from.
with open(rolled / "samples.jsonl", "a") as samples:
    samples.write('{"step": 5, "completion": "of a step that is not there"}\n{"step"')
run("rl", config, "--run", rolled, "--quiet", "--set", "run.steps=6")
again = [json.loads(line) for line in (rolled / "samples.jsonl").read_text().splitlines()]
assert again[:9] == kept and [each["step"] for each in again[9:]] == [6] * 3, again

# A run that has not committed a step, and places where no page can be.
(where / "metrics.jsonl").write_text("")
run("report", where, "--out", out)
assert "No step has left metrics yet" in read(out.read_text())[1]
run("report", directory / "nowhere", "--out", out, expect=2)
run("report", where, "--out", directory / "no" / "page.html", expect=2)
run("report", where, "--out", directory, expect=2)
print("ok")
