#!/usr/bin/env python3
"""A moved run could be another one, be in two places or in none, stand still for long, or follow a device that lies.

    move_test.py MOVES [SEED]

Moves a live run of nano from the CPU to OpenCL and back, MOVES times, and kills in turn: nobody, the worker that is moved, the candidate for its
seat, the keeper, the supervisor (which the same command begins again), the command that asks; each at every stage. Then targets that lie,
crash, hang and have no memory. Prints figures. 77: there is no OpenCL device here.
"""
import collections
import fcntl
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import time

from common import GODWIT, Running, Scratch, assert_undisturbed, digest, metrics, run, status, train

FOREVER = 1000000  # steps
STAGES = ("preparing", "prepared", "proving", "proven", "comparing", "moved")
VICTIMS = ("nobody", "source", "candidate", "keeper", "supervisor", "command")
PATIENCE = 120  # seconds for anything


def read(path):
    try:
        return json.loads(pathlib.Path(path).read_text())
    except (FileNotFoundError, ValueError):
        return {}


def journal(directory):
    lines = (pathlib.Path(directory) / "journal" / "journal.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def commits(directory):
    return {line["step"]: line["digest"] for line in journal(directory) if line["verdict"] == "commit"}


def until(what, condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.002)
    raise AssertionError(f"after {seconds} s: not {what}")


def children(pid):
    """Names of living children."""
    names = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return names
    for task in tasks:
        try:
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                stat = pathlib.Path(f"/proc/{child}/stat").read_text()
                if stat.rsplit(")", 1)[1].split()[0] not in "ZX":
                    names.append(pathlib.Path(f"/proc/{child}/comm").read_text().strip())
        except FileNotFoundError:
            pass
    return names


class Live:
    """A run that goes on until it is told to stop; it does not outlive this test."""

    everyone = []

    def __init__(self, config, directory, *args):
        self.config, self.directory, self.args = config, pathlib.Path(directory), args
        self.begin()

    def begin(self):
        self.process = Running(self.config, self.directory, *self.args)
        Live.everyone.append(self.process)
        until("begun", lambda: self.process.begun() or not self.process.runs())
        assert self.process.runs(), self.process.stderr()

    def guard(self):
        return read(self.directory / "guard.json")

    def step(self):
        return self.guard().get("step", 0)

    def ended(self):
        return read(self.directory / "placement.json").get("moves", [])

    def last(self):
        """The id of the move that ended last."""
        return (self.ended() or [{"id": None}])[-1]["id"]

    def worker(self, number=0):
        return next(w for w in self.guard()["workers"] if w["number"] == number)

    def goes_on(self, steps=3):
        """It commits steps, with one process for each worker and one keeper."""
        assert self.process.runs(), self.process.stderr()
        before = self.step()
        until("going on", lambda: self.step() >= before + steps or not self.process.runs())
        assert self.process.runs(), self.process.stderr()
        until("one process each", self.one_each, 20)

    def one_each(self):
        workers = self.guard().get("workers", [])
        wanted = sorted(["godwit keeper"] + [f"godwit work {w['number']}" for w in workers if not w["device"].startswith("trusted")])
        # There for a time: who writes checkpoints, and the trusted CPU where a death was to be explained.
        at_times = ["godwit writer"] + [f"godwit work {w['number']}" for w in workers if w["device"].startswith("trusted")]
        return sorted(name for name in children(self.process.process.pid) if name not in at_times) == wanted

    def stop(self):
        code = self.process.end(signal.SIGTERM)
        assert code == 75, f"exit {code}\n{self.process.stderr()[-3000:]}"

    def kill(self):
        self.process.end(signal.SIGKILL)


def ask(directory, to, *args):
    return subprocess.Popen([GODWIT, "move", str(directory), "--to", to, "--json", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def send(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
        return True
    except (ProcessLookupError, TypeError):
        return False


def strike(live, command, victim, stage, known):
    """Kills the victim as soon as the move is at that stage; tells at which it was: at a later one where the stage was too short to be seen."""
    reached = STAGES.index(stage)

    def there():
        guard = live.guard()
        if live.last() != known:
            return "moved", guard
        now = guard.get("move", {}).get("stage")
        if victim == "candidate" and now and guard["move"]["candidates"][0]["pid"] is None:
            return None  # it has no process yet
        return (now, guard) if now and STAGES.index(now) >= reached else None

    hit, guard = until(stage, there)
    if victim == "supervisor":
        return hit if live.kill() is None else None
    if victim == "command":
        command.kill()
        return hit
    if victim == "keeper":
        pid = guard["keeper"]["pid"]
    elif victim == "candidate" and hit != "moved":
        pid = guard["move"]["candidates"][0]["pid"]
    else:
        pid = live.worker()["pid"] if hit == "moved" else guard["workers"][0]["pid"]
    return hit if send(pid) else None


def one_move(live, to, victim, stage, hits, figures):
    known = live.last()
    before = live.worker()["place"]
    command = ask(live.directory, to)
    hit = None if victim == "nobody" else strike(live, command, victim, stage, known)
    if hit is not None:
        hits[victim, hit] += 1
    if victim == "supervisor":
        live.begin()
    out, err = command.communicate(timeout=PATIENCE)
    until("ended", lambda: live.last() != known)
    end = live.ended()[-1]
    said = json.loads(out) if out else {}
    died = victim == "candidate" and hit not in (None, "moved")
    if died and not end["moved"]:
        assert command.returncode == 1 and said["outcome"] == "refused" and "was killed" in said["why"], (command.returncode, out, err)
        assert not end["differs"], end
    else:
        assert end["moved"] and not (died and hit in STAGES[:4]), (victim, hit, end)
        if victim == "command" and hit is not None:
            assert command.returncode in (-signal.SIGKILL, 0), command.returncode
        else:
            assert command.returncode == 0 and said["outcome"] == "moved", (victim, hit, command.returncode, out, err)
    now = to if end["moved"] else before
    until(f"on {now}", lambda: live.worker()["place"] == now)
    until("the request taken away", lambda: not (live.directory / "move.json").exists())
    live.goes_on()
    moved = [m for m in live.guard()["ended_moves"] if m["id"] == end["id"]]
    figures[end["moved"]].append(moved[0]["pause_s"] if moved else end["pause_s"])
    return end["moved"]


def same_as_unmoved(scratch, config, directory, *args):
    """Every step it committed, in the journal of a run that was never moved."""
    mine = commits(directory)
    last = max(mine)
    unmoved = scratch.path / f"unmoved-{last}"
    train(config, unmoved, "--set", f"run.steps={last}", "--set", f"optimizer.schedule_steps={FOREVER}", "--set", "run.checkpoint_every=0", *args, timeout=1500)
    assert commits(unmoved) == mine, "another run"
    # Begun again after its supervisor was killed, it may have been stopped before it was where it had been.
    stopped_at = max(int(path.name) for path in (pathlib.Path(directory) / "checkpoints").iterdir() if path.name.isdigit())
    assert digest(directory) == mine[stopped_at] and digest(unmoved) == mine[last]
    return last


def many_moves(scratch, moves, rng):
    config = scratch.config("many.toml", steps=FOREVER, any_device=True)
    live = Live(config, scratch.path / "many", "--workers", 1, "--set", "run.checkpoint_every=50", "--set", "run.evaluate_every=0", "--set", "data.batch=16")
    live.goes_on()
    hits, figures, done = collections.Counter(), {True: [], False: []}, 0
    began = time.monotonic()
    plan = [(victim, stage) for stage in STAGES for victim in VICTIMS]
    here = "cpu"
    for number in range(moves):
        if number % len(plan) == 0:
            rng.shuffle(plan)
        there = "opencl" if here == "cpu" else "cpu"
        if one_move(live, there, *plan[number % len(plan)], hits, figures):
            here, done = there, done + 1
    live.stop()
    seconds = time.monotonic() - began
    steps = metrics(live.directory)
    lengths = sorted(m["tokens"] / m["tokens_per_s"] for m in steps)
    last = same_as_unmoved(scratch, config, live.directory, "--set", "data.batch=16")
    lines = [line for line in journal(live.directory) if line["verdict"] == "move"]
    assert lines and all(line["digest"] == commits(live.directory)[line["step"]] for line in lines if line["step"] > 0), lines[:3]
    pauses = figures[True]
    print(f"{moves} moves asked for, {done} done and {moves - done} refused in {seconds:.0f} s; {last} steps, every digest that of the unmoved run")
    for victim in VICTIMS[1:]:
        print(f"  killed {victim}: " + ", ".join(f"{hits[victim, stage]} {stage}" for stage in STAGES))
    print(f"  pause of those done: median {1000 * statistics.median(pauses):.0f} ms, most {1000 * max(pauses):.0f} ms; "
          f"a step: median {1000 * statistics.median(lengths):.0f} ms, longest of all {1000 * lengths[-1]:.0f} ms")
    if figures[False]:
        print(f"  pause of those refused: most {1000 * max(figures[False]):.0f} ms")
    # A busy machine may take its time; what is wrong with the protocol takes longer than that.
    assert statistics.median(pauses) <= 1.0, pauses
    if moves >= 72:
        missed = [(victim, stage) for victim in VICTIMS[1:] for stage in ("preparing", "proving", "moved") if hits[victim, stage] == 0]
        assert not missed, f"never hit: {missed}"


# What a target may do instead of what it should, the exit code of the command, and a word of its reason.
TARGETS = (
    ("flip a high bit in 3 linear results on a candidate", 3, "other bits"),
    ("drop 1 attention results on a candidate", 3, "other bits"),
    ("flip a bit in the copy of a candidate", 3, "does not hold the state"),
    ("crash a candidate", 1, "crashed"),
    ("abort a candidate", 1, "crashed"),
    ("exhaust the memory of a candidate", 1, ""),
    ("let a candidate leave", 1, "ended with exit code 0"),
    ("stop a candidate", 1, "stopped"),
)


def bad_targets(scratch):
    config = scratch.config("targets.toml", steps=FOREVER, any_device=True)
    story = scratch.path / "targets.story"
    for number, (act, code, word) in enumerate(TARGETS):
        where = " in comparing" if "the copy" in act else " in forward"
        story.write_text(f"train nano 9 steps on 2 workers\nevery step{where}, up to 1 times: {act}\nexpect finished\n")
        live = Live(config, scratch.path / f"target-{number}", "--workers", 2, "--faults", story, "--set", "run.evaluate_every=0")
        said, _ = run("move", live.directory, "--to", "opencl", "--worker", 1, "--json", expect=code)
        said = json.loads(said)
        assert said["outcome"] == "refused" and word in said["why"], said
        live.goes_on()
        assert [w["place"] for w in live.guard()["workers"][:2]] == ["cpu", "cpu"]
        refused = [d for d in live.guard()["devices"].values() if d["refused"] > 0]
        assert len(refused) == (1 if code == 3 else 0), live.guard()["devices"]
        # Nothing is held against a device for ever: the next time it does what it should.
        said, _ = run("move", live.directory, "--to", "opencl", "--worker", 1, "--json")
        assert json.loads(said)["outcome"] == "moved", said
        live.goes_on()
        live.stop()
        last = same_as_unmoved(scratch, config, live.directory, "--set", "run.evaluate_every=0")
        print(f"{act}: refused, then moved; {last} steps, every digest that of the unmoved run")


def errors(scratch):
    config = scratch.config("errors.toml", steps=FOREVER, any_device=True)
    assert "is not a run" in run("move", scratch.path, "--to", "cpu", expect=2)[1]
    live = Live(config, scratch.path / "errors", "--workers", 1, "--set", "run.evaluate_every=0")
    assert "did you mean opencl" in run("move", live.directory, "--to", "opencll", expect=2)[1]
    assert "is no device of opencl" in run("move", live.directory, "--to", "opencl:x", expect=2)[1]
    assert "has no worker 1; there are 0 to 0" in run("move", live.directory, "--to", "opencl", "--worker", 1, expect=2)[1]
    assert "sits on cpu already" in run("move", live.directory, "--to", "cpu", expect=2)[1]
    said = json.loads(run("move", live.directory, "--to", "opencl:99", "--json", expect=1)[0])
    assert "99" in said["why"], said
    send(live.guard()["workers"][0]["pid"], signal.SIGSTOP)  # nothing moves for a time
    first = ask(live.directory, "opencl")
    until("asked", (live.directory / "move.json").exists)
    assert "is locked by process" in run("move", live.directory, "--to", "cpu", expect=2)[1]
    first.kill()
    first.communicate()
    assert "is under way, asked for by process" in run("move", live.directory, "--to", "cpu", expect=2)[1]
    until("moved all the same", lambda: any(m["moved"] for m in live.ended()))
    live.goes_on()
    live.stop()

    # A run that stands still: what is asked for then is done when it runs again, and the latest wish counts.
    assert "done and checked when the run is started again" in run("move", live.directory, "--to", "reference")[0]
    assert json.loads(run("move", live.directory, "--to", "cpu", "--json")[0])["outcome"] == "recorded"
    live.begin()
    until("moved", lambda: live.worker()["place"] == "cpu")
    live.goes_on()
    live.stop()
    # The same command goes on where it was moved to; another one says anew.
    shown = status(live.directory)["workers"][0]
    assert shown["place"] == "cpu" and shown["since"] > 0, shown
    live.args = (*live.args, "--backend", "opencl")
    live.begin()
    until("on opencl", lambda: live.worker()["place"] == "opencl")
    live.stop()
    request_is_waited_for(live.directory)

    alone = scratch.path / "alone"
    process = Running(config, alone, "--workers", 0, "--set", "run.evaluate_every=0")
    until("begun", process.begun)
    assert "start it again with --workers 1" in run("move", alone, "--to", "opencl", expect=2)[1]
    process.end(signal.SIGTERM)
    assert "has 3 places for 2 workers" in run("train", config, "--run", scratch.path / "no", "--workers", 2, "--backend", "cpu,opencl,cpu", expect=2)[1]
    print("errors say what to do; a run that stands still is moved when it is started again")


def request_is_waited_for(directory):
    """`godwit move` is over when its request is gone, not when the record says so: another request in between would be taken away with it."""
    placement, request = directory / "placement.json", directory / "move.json"
    with open(directory / "lock", "r+") as lock:  # a supervisor that takes its time between the two
        fcntl.lockf(lock, fcntl.LOCK_EX)
        command = ask(directory, "cpu")
        until("asked", request.exists)
        record = read(placement)
        record["moves"].append({**next(m for m in reversed(record["moves"]) if m["moved"]), "id": read(request)["id"]})
        placement.with_suffix(".new").write_text(json.dumps(record))
        placement.with_suffix(".new").rename(placement)
        time.sleep(0.5)
        assert command.poll() is None, "the command was over before its request was taken away"
        request.unlink()
        out, err = command.communicate(timeout=PATIENCE)
    assert command.returncode == 0 and json.loads(out)["outcome"] == "moved", (command.returncode, out, err)


def mixed(scratch):
    steps = 24
    config = scratch.config("mixed.toml", steps=steps, any_device=True)
    cpu, both = scratch.path / "one-cpu", scratch.path / "mixed"
    train(config, cpu)
    train(config, both, "--workers", 2, "--backend", "cpu,opencl", "--verify", "dual")
    shown = status(both)["workers"]
    assert [w["place"] for w in shown[:2]] == ["cpu", "opencl"] and all(w["samples"] > 0 for w in shown[:2]), shown
    assert status(both)["findings"] == 0 and digest(both) == digest(cpu), "a CPU and OpenCL together make another run"
    # Who made a step can be audited by the other.
    other = scratch.path / "on-opencl"
    train(config, other, "--backend", "opencl")
    assert_undisturbed(both)
    assert_undisturbed(other)
    assert digest(other) == digest(cpu)
    for directory, backend in ((other, "cpu"), (cpu, "opencl"), (both, "opencl")):
        said = json.loads(run("audit", directory, "--step", 13, "--backend", backend, "--json")[0])
        assert said["equal"], said
    print(f"a CPU and OpenCL together: {steps} steps, each part made by both, the bits of the CPU alone; audited by each other")


def main():
    backends = json.loads(run("devices", "--json")[0])["backends"]
    if not any(b["name"] == "opencl" and b["devices"] for b in backends):
        print("there is no OpenCL device here")
        sys.exit(77)
    moves, seed = ([*sys.argv[1:], "8", "1"][:2] if len(sys.argv) < 3 else sys.argv[1:3])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    scratch = Scratch()
    try:
        mixed(scratch)
        errors(scratch)
        bad_targets(scratch)
        many_moves(scratch, int(moves), random.Random(int(seed)))
    finally:
        for process in Live.everyone:
            if process.runs():
                process.end(signal.SIGKILL)
    print("ok")


if __name__ == "__main__":
    main()
