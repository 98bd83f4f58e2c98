#!/usr/bin/env python3
"""A run on a task's documents could depend on how it was cut: by a stop, into micro-batches, over workers. They have different lengths."""
from common import Scratch, digest, run, train

CONFIG = """
[model]
preset = "nano"
[tokenizer]
kind = "characters"
[data]
kind = "mix"
batch = 6
validation_count = 10
[[data.parts]]
kind = "task"
task = "chain_sum"
options = { terms = 4, long = 0.25 }
[[data.parts]]
kind = "task"
task = "spell_backward"
[run]
steps = 10
evaluate_every = 5
checkpoint_every = 5
"""

scratch = Scratch()
config = scratch.path / "task.toml"
config.write_text(CONFIG)
train(config, scratch.path / "whole")
whole = digest(scratch.path / "whole")

stopped = scratch.path / "stopped"
train(config, stopped, "--set", "run.steps=5", "--set", "optimizer.schedule_steps=10")
assert digest(stopped) != whole
train(config, stopped, "--set", "optimizer.schedule_steps=10")
assert digest(stopped) == whole, "a stop changed the bits"

train(config, scratch.path / "cut", "--workers", "2", "--set", "data.micro_batch=1")
assert digest(scratch.path / "cut") == whole, "micro-batches or workers changed the bits"

train(scratch.path / "whole" / "config.toml", scratch.path / "again")
assert digest(scratch.path / "again") == whole, "the config a run keeps is not the config it was given"

run("audit", scratch.path / "whole", "--step", "3")

other = config.with_name("other.toml")
other.write_text(CONFIG.replace("terms = 4", "terms = 5"))
_, said = train(other, scratch.path / "whole", expect=2)
assert "the data are not those the run" in said, said
other.write_text(CONFIG.replace("chain_sum", "chain_sums"))
_, said = train(other, scratch.path / "none", expect=2)
assert "parts[0].task: there is no task 'chain_sums'; did you mean chain_sum?" in said, said
print("ok")
