"""What the end-to-end tests share: the binary, a scratch directory, a text, a config, and running the command line."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GODWIT = os.environ.get("GODWIT", "build/release/godwit")

CONFIG = """
[model]
preset = "{preset}"
{model}
[tokenizer]
kind = "bytes"
[data]
kind = "text"
path = ["{text}"]
sequence = 32
batch = 8
validation = 0.1
[optimizer]
lr = 3e-3
warmup = 5
schedule = "cosine"
clip = 1.0
router_bias_speed = 1e-3
{optimizer}
[run]
steps = {steps}
seed = 7
dtype = "{dtype}"
checkpoint_every = 10
evaluate_every = 20
"""


def words(count, seed=1):
    """A text with some structure, the same on every machine."""
    rng = random.Random(seed)
    names = ["godwit", "flies", "over", "open", "sea", "and", "never", "lands", "before", "the", "far", "shore", "with", "wind", "at", "night"]
    lines = []
    for _ in range(count // 8):
        lines.append(" ".join(rng.choice(names) for _ in range(8)).capitalize() + ".")
    return "\n".join(lines) + "\n"


class Scratch:
    def __init__(self):
        self.holder = tempfile.TemporaryDirectory(prefix="godwit-test-")
        self.path = pathlib.Path(self.holder.name)
        os.environ["GODWIT_STATE_DIR"] = str(self.path / "state")  # what is noted of devices is the tests' own
        self.text = self.path / "text.txt"
        self.text.write_text(words(6000))

    def config(self, name="config.toml", steps=40, dtype="f32", preset="nano", optimizer="", model="", any_device=False):
        """`any_device`: the run takes devices that were never qualified, too."""
        path = self.path / name
        text = CONFIG.format(text=self.text, steps=steps, dtype=dtype, preset=preset, optimizer=optimizer, model=model)
        path.write_text(text + ('[guard]\nadmit = "any"\n' if any_device else ""))
        return path


def run(*args, expect=0, env=None, timeout=600, stdin=None):
    """Runs godwit; returns (stdout, stderr). A crash (negative or 128+ code) never counts as an expected failure."""
    done = subprocess.run([GODWIT, *map(str, args)], capture_output=True, text=True, timeout=timeout, env=env, input=stdin)
    assert done.returncode == expect, f"{' '.join(map(str, args))}: exit {done.returncode}, expected {expect}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout, done.stderr


def train(config, directory, *args, expect=0, **kwargs):
    return run("train", config, "--run", directory, "--quiet", *args, expect=expect, **kwargs)


def digest(model):
    return run("digest", model)[0].strip()


def build_backend(directory, name, source):
    """Builds a backend of one C file outside the tree, with the installed header alone; gives the environment in which it is found."""
    include, library = directory / "include" / "godwit", directory / f"libgodwit_backend_{name}.so"
    include.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "include/godwit/backend.h", include)
    subprocess.run(["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", include.parent, ROOT / source,
                    "-o", library], check=True)
    return {**os.environ, "GODWIT_BACKEND_PATH": str(directory)}


def assert_undisturbed(directory):
    """Every step was made by whoever was to make it: nothing was made again, nor by the trusted CPU in a device's stead."""
    log = (pathlib.Path(directory) / "log.txt").read_text()
    assert "replay" not in log and "quarantined" not in log, log


def status(directory):
    return json.loads(run("status", directory, "--json")[0])


class Running:
    """A training process under way, to be looked at and ended from outside."""

    def __init__(self, config, directory, *args):
        self.directory = pathlib.Path(directory)
        self.said = tempfile.TemporaryFile("w+")
        command = [GODWIT, "train", str(config), "--run", str(directory), *map(str, args)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.said)

    def runs(self):
        return self.process.poll() is None

    def stderr(self):
        self.said.seek(0)
        return self.said.read()

    def begun(self):
        """Whether it has a state in memory; what the directory says before that is of the process before."""
        return " from step " in self.stderr()

    def end(self, signal):
        """Sends the signal and gives the exit code."""
        self.process.send_signal(signal)
        return self.process.wait(timeout=600)


def metrics(directory):
    """The whole lines of metrics.jsonl, as objects."""
    path = pathlib.Path(directory) / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def evaluates(directory, every):
    """Whether the run is between a step's commit and the end of its evaluation."""
    last = metrics(directory)[-1:]
    return bool(last) and last[0]["step"] % every == 0 and "validation_loss" not in last[0]


def assert_metrics(directory, reference):
    """One line per step, with the reference's losses, and everything evaluated that the reference has evaluated."""
    got, wanted = metrics(directory), metrics(reference)
    assert [m["step"] for m in got] == [m["step"] for m in wanted], f"{directory}: lines of steps {[m['step'] for m in got]}"
    for mine, its in zip(got, wanted):
        for key in ("loss", "grad_norm", "validation_loss"):
            assert key not in its or mine.get(key) == its[key], f"{directory} step {its['step']}: {key} is {mine.get(key)}, not {its[key]}"
