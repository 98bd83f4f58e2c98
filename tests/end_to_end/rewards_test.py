#!/usr/bin/env python3
"""Scores of a program of the user's could be asked for twice, be used before they are durable, differ in a replay, or end the run when the program
hangs, crashes, floods, lies about its lines or is gone.

    rewards_test.py [STEPS [KILLS]]
"""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from common import GODWIT, Scratch, digest, metrics, run, status

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
max_tokens = 12
rewards = {{ command = 1.0, length = 0.25 }}
command = ["{python}", "{program}", "{log}"]
command_timeout = 20
samples_every = 5
[optimizer]
lr = 3e-3
router_bias_speed = 1e-3
[run]
steps = {steps}
seed = 7
dtype = "f32"
checkpoint_every = 3
"""

# What it says depends on the completion, and tells in a log whom it was asked about.
SOUND = """
import json, os, sys
lines = [json.loads(line) for line in sys.stdin]
for line in lines:
    assert set(line) == {"prompt", "completion", "thinking", "answer", "well_formed", "finished", "truth", "score", "tokens"}, line
with open(sys.argv[1], "a") as log:
    log.write(json.dumps([line["prompt"] + line["completion"] for line in lines]) + "\\n")
for line in lines:
    print(sum(map(ord, line["completion"])) % 7 / 7)
"""
# What it says is another thing each time.
LOTS = SOUND.replace("print(sum", "print(int.from_bytes(os.urandom(2), 'big') / 65536 + 0 * sum")


class Program:
    """A config whose reward is this program."""

    def __init__(self, scratch, name, source, steps, python=sys.executable):
        self.path = scratch.path / f"{name}.py"
        self.path.write_text(source)
        self.log = scratch.path / f"{name}.log"
        self.log.write_text("")
        self.config = scratch.path / f"{name}.toml"
        self.config.write_text(CONFIG.format(python=python, program=self.path, log=self.log, steps=steps))

    def asked(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def rl(program, directory, *args, expect=0, **kwargs):
    return run("rl", program.config, "--run", directory, "--quiet", *args, expect=expect, **kwargs)


def samples(directory):
    return (pathlib.Path(directory) / "samples.jsonl").read_text()


def log_of(directory):
    return (pathlib.Path(directory) / "log.txt").read_text()


def facts(directory):
    return [{key: value for key, value in line.items() if not key.endswith("tokens_per_s")} for line in metrics(directory)]


def kill_and_resume(program, directory, kills, steps):
    """SIGKILLs of all processes of the run, at moments of every part of a step; then it may finish."""
    for number in range(kills):
        process = subprocess.Popen([GODWIT, "rl", program.config, "--run", directory, "--workers", str(number % 3)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        records = directory / "rewards"
        due = steps * (number + 1) // (kills + 2)
        while process.poll() is None and len(list(records.glob("[0-9]*.json")) if records.exists() else []) < due:
            time.sleep(0.0005)
        time.sleep(0.012 * number)  # the moment is what is tried
        assert process.poll() is None, f"it had ended by itself before it could be killed: {log_of(directory)}"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    rl(program, directory)


def same_bits(scratch, steps, kills):
    sound = Program(scratch, "sound", SOUND, steps)
    reference = scratch.path / "reference"
    rl(sound, reference, "--workers", 0, "--threads", 1)
    wanted, said = digest(reference), facts(reference)
    assert len(sound.asked()) == steps and all(len(each) == 20 for each in sound.asked()), "asked once a step, about every completion"
    assert any(0 < line["command"] < 1 and line["grad_norm"] > 0 for line in said), said
    for what in (["--workers", 1], ["--workers", 2], ["--workers", 3], ["--workers", 2, "--verify", "dual"]):
        directory = scratch.path / ("sound" + "".join(map(str, what)))
        before = sound.asked()
        rl(sound, directory, *what)
        assert samples(directory) == samples(reference), samples(directory)
        assert digest(directory) == wanted and facts(directory) == said, f"{what}: {digest(directory)}, not {wanted}"
        assert sound.asked()[len(before):] == before[:steps], f"{what}: asked about other completions, or not once a step"
        print(*what, "equal")
    killed = scratch.path / "killed"
    kill_and_resume(sound, killed, kills, steps)
    assert digest(killed) == wanted and facts(killed) == said, f"killed: {digest(killed)}, not {wanted}"
    assert samples(killed) == samples(reference) and samples(killed).count("\n") == 8, samples(killed)
    run("verify", killed)
    print("killed: equal")
    # Faults of processes, of numbers, and of who asks.
    story = scratch.path / "faults.story"
    story.write_text("train nano 8 steps on 2 workers\nat step 2 in asking: kill the keeper\nat step 3 in forward: kill worker 1\n"
                     "at step 4: flip 3 bits in the gradient of worker 1\nat step 5 in committing: kill everything\nat step 6 in backward: kill worker 0\nexpect finished\n")
    struck = scratch.path / "struck"
    command = [GODWIT, "rl", sound.config, "--run", struck, "--workers", "2", "--faults", story, "--quiet"]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    rl(sound, struck, "--workers", 2, "--faults", story)
    count = len({json.loads(line)["fault"] for line in (struck / "faults.jsonl").read_text().splitlines()})
    assert count == 5, f"{count} of 5 faults struck"
    assert digest(struck) == wanted and facts(struck) == said
    print("struck by 5 faults: equal")
    # Steps that learn from the same completions ask once.
    epochs = Program(scratch, "epochs", SOUND, 7)
    epochs.config.write_text(epochs.config.read_text().replace("[rl]\n", "[rl]\nepochs = 3\nclip = [0.2, 0.28]\n"))
    digests = set()
    for workers in (0, 2):
        rl(epochs, scratch.path / f"epochs{workers}", "--workers", workers)
        digests.add(digest(scratch.path / f"epochs{workers}"))
        assert sorted(path.name for path in (scratch.path / f"epochs{workers}" / "rewards").iterdir()) == ["1.json", "4.json", "7.json"]
    assert len(digests) == 1 and len(epochs.asked()) == 6, digests
    out, _ = run("audit", scratch.path / "epochs2", "--step", 5, "--json")
    assert json.loads(out)["equal"], out
    print("three epochs: asked once for each three steps")


def records_decide(scratch, steps):
    """A program that says something else each time: what was recorded is what every replay sees."""
    lots = Program(scratch, "lots", LOTS, steps)
    begun = scratch.path / "lots"
    kill_and_resume(lots, begun, 2, steps)
    first, again = digest(begun), scratch.path / "lots-again"
    for workers in (0, 2):
        # From the beginning on every step must come out as the journal has it, and nobody is asked.
        shutil.rmtree(again, ignore_errors=True)
        shutil.copytree(begun, again)
        shutil.rmtree(again / "checkpoints")
        before = len(lots.asked())
        rl(lots, again, "--workers", workers)
        assert digest(again) == first and len(lots.asked()) == before
    other = scratch.path / "lots-other"
    rl(lots, other)
    assert digest(other) != first, "other scores give the same digest: the digest says nothing"
    out, _ = run("audit", begun, "--step", 2, "--json")
    assert json.loads(out)["equal"], out
    run("verify", begun)
    print("scores by lot: replays see the recorded ones")

    def refused(directory, *says):
        for command in (["verify", directory], ["audit", directory, "--step", "2", "--quiet"]):
            out, err = run(*command, expect=3)
            assert all(text in out + err for text in says), f"{command}: {says} is not in\n{out}\n{err}"

    record = again / "rewards" / "2.json"
    whole = record.read_text()
    line = json.loads(whole.splitlines()[0])
    record.write_text(whole.replace("0.", "1.", 1))
    refused(again, str(record), "is not what was written")
    line["scores"][0][0] += 1
    text = json.dumps(line, separators=(",", ":"))
    record.write_text(text + "\n" + hashlib.sha256(text.encode()).hexdigest() + "\n")
    refused(again, str(record), "the journal committed step 2 with")
    record.unlink()
    refused(again, str(record), "is missing", "step 2")
    print("a changed record, and one that is gone, are named")
    # A run that needs it waits until it is put back.
    for workers in (0, 1):
        shutil.rmtree(again / "checkpoints")
        command = [GODWIT, "rl", lots.config, "--run", again, "--workers", str(workers)]
        if workers == 0:
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 1 and str(record) in done.stderr and "put it back" in done.stderr, done.stderr
            continue
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while str(record) not in status(again).get("waiting_for", ""):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        record.write_text(whole)
        assert process.wait(timeout=300) == 0, process.stderr.read()
    assert digest(again) == first
    print("a run waits for a record that a committed step was made with")


# name, program, what the log says, whether anything is scored (None: that depends on how busy the machine is)
BAD = [
    ("hangs", "import time\nprint(0.5, flush=True)\ntime.sleep(1000)\n", "took more than 4 s and was ended", None),
    ("hangs with children", "import os, time\nif os.fork(): time.sleep(1000)\nos.setsid()\nopen(__import__('sys').argv[1], 'w').write(str(os.getpid()))\ntime.sleep(1000)\n",
     "took more than 4 s and was ended", None),
    ("crashes", "print(1.0, flush=True)\nraise ValueError('what is this')\n", "ended with exit code 1: ValueError: what is this: 19 of 20", True),
    ("dies", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "was ended by a signal (Segmentation fault): 20 of 20", False),
    ("floods", "while True: print('x' * 1000)\n", "wrote more than", False),
    ("floods its errors", "import sys\nfor line in sys.stdin: print(1)\nfor i in range(2000): print('x' * 1000, file=sys.stderr)\nsys.exit(3)\n", "ended with exit code 3", True),
    ("writes no numbers", "import sys\nfor i, line in enumerate(sys.stdin): print(['nan', 'inf', '1e300', '', 'true', '1'][i % 6])\n", "of its 20 lines are no numbers up to 1e+06, the first is line 1, 'nan'", True),
    ("writes too few", "print(0.5)\nprint(1)\n", "wrote too few lines: 18 of 20", True),
    ("writes too many", "for i in range(21): print(1)\n", "wrote 21 lines for 20 completions", False),
    ("takes memory", "x = bytearray(3 << 30)\n", "ended with exit code 1: MemoryError", False),
    ("wants the network", "import socket, sys\nsocket.create_connection(('127.0.0.1', int(open(sys.argv[1]).read()))).send(b'out')\n", "ended with exit code 1", False),
    ("goes away", "import os\nos.remove(__file__)\n", "ended with exit code 2: ", False),
]


def bad_programs(scratch):
    import socket
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    for number, (what, source, says, scored) in enumerate(BAD):
        for workers in (0, 2) if number % 3 == 0 else (1,):
            program = Program(scratch, "bad", source, 2)
            program.log.write_text(str(listener.getsockname()[1]))
            directory = scratch.path / f"bad-{number}-{workers}"
            rl(program, directory, "--workers", workers, "--set", f"rl.command_timeout={4 if 'hangs' in what else 60}", "--set", "rl.command_memory=1024", "--set", "rl.rewards={ command = 1.0 }")
            log = log_of(directory)
            assert f"step 2: the reward program" in log and says in log, f"{what}: {says!r} is not in\n{log}"
            assert scored is None or all((line["command"] != 0) == scored for line in metrics(directory)), f"{what}: {[line['command'] for line in metrics(directory)]}"
            run("verify", directory)
            if what == "hangs with children":
                # In a namespace of its own its number there says nothing; what is left would hold the file's directory.
                left = subprocess.run(["pgrep", "-f", str(program.path)], capture_output=True, text=True).stdout
                assert not left, f"processes of the program are left: {left}"
        print(f"a program that {what}: the run goes on, and says so")
    try:
        listener.accept()
        assert False, "the program reached the network"
    except BlockingIOError:
        pass


def refusals(scratch):
    sound = Program(scratch, "refused", SOUND, 2)

    def refused(says, *args):
        _, err = rl(sound, scratch.path / "never", *args, expect=2)
        assert all(text in err for text in says) and len(err.strip().splitlines()) == 1, err
        assert not (scratch.path / "never").exists(), "a refused run was begun"
        print("refused as it should be:", err.strip())

    refused(["rl.command", "there is no executable 'no-such-program' on PATH"], "--set", 'rl.command=["no-such-program"]')
    refused(["there is no executable './no-such-program'"], "--set", 'rl.command="./no-such-program"')
    refused(["there is no file 'no_such_script.py'"], "--set", 'rl.command=["python3", "no_such_script.py"]')
    refused(["no reward asks the program"], "--set", "rl.rewards={ format = 1.0 }")
    refused(["rl.resample"], "--set", "rl.resample=2")
    sound.config.write_text("\n".join(line for line in sound.config.read_text().splitlines() if not line.startswith("command")))
    refused(["the reward command asks a program"])


def main():
    steps, kills = [int(value) for value in (sys.argv[1:] + ["8", "4"][len(sys.argv) - 1:])]
    scratch = Scratch()
    refusals(scratch)
    bad_programs(scratch)
    same_bits(scratch, steps, kills)
    records_decide(scratch, 5)
    print("ok")


if __name__ == "__main__":
    main()
