#!/usr/bin/env python3
"""A run could take a device that nobody has qualified for it, or turn away one that was; the line it tells to type could not work; a device
whose library has changed, or that is known to be wrong, could still be taken.

    admission_test.py LIBRARY      of a backend that is loaded at run time and computes whole runs
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import sqlite3
import sys
import time

from common import Running, Scratch, digest, run, train


def main():
    library = pathlib.Path(sys.argv[1])
    backend = re.fullmatch(r"libgodwit_backend_(.+)\.so", library.name)[1]
    scratch = Scratch()
    place = scratch.path / "backends"
    place.mkdir()
    shutil.copy(library, place)
    state = scratch.path / "state"
    env = {**os.environ, "GODWIT_STATE_DIR": str(state), "GODWIT_BACKEND_PATH": str(place)}
    config = scratch.config(steps=4)
    directory = scratch.path / "run"

    # Nobody has qualified it.
    words = ["--backend", backend, "--workers", 2, "--set", "optimizer.clip=0.5"]
    _, err = train(config, directory, *words, expect=2, env=env)
    assert "never qualified" in err and not directory.exists(), err
    line = re.search(r"Qualify it: godwit (.*?); or", err)[1]
    told = shlex.split(line)
    assert told[0] == "qualify" and "--workers" in told, line
    print("refused; told:", line)
    run(*told, "--short", env=env)
    train(config, directory, *words, env=env)
    on_cpu = scratch.path / "cpu"
    train(config, on_cpu, "--set", "optimizer.clip=0.5", env=env)
    assert digest(directory) == digest(on_cpu)
    print("the very line qualifies it, and the run ends as on the CPU")

    # Other programs than those it was qualified for.
    _, err = train(config, scratch.path / "other", "--backend", backend, "--set", "data.batch=4", expect=2, env=env)
    assert "other programs" in err, err
    train(config, scratch.path / "any", "--backend", backend, "--set", "data.batch=4", "--set", "guard.admit=any", env=env)
    print("other programs ask for another qualification, or for a user who takes anything")

    # Nor is a live run moved to a device that was qualified for others.
    os.environ.update(env)
    live = Running(config, scratch.path / "live", "--set", "data.batch=4", "--set", "run.steps=1000000", "--set", "run.evaluate_every=0")
    while live.runs() and not live.begun():
        time.sleep(0.01)
    out, _ = run("move", scratch.path / "live", "--to", backend, "--json", expect=1)
    why = json.loads(out)["why"]
    assert "other programs" in why, out
    # The line it tells brings what was missing, while the run goes on.
    run(*shlex.split(re.search(r"Qualify it: godwit (.*)", why)[1]), "--short", env=env)
    assert json.loads(run("move", scratch.path / "live", "--to", backend, "--json", env=env)[0])["outcome"] == "moved"
    assert live.end(signal.SIGTERM) == 75, live.stderr()
    print("nor is a live run moved there, until it is qualified:", why)

    # A damaged record is no record.
    file = state / "trust.db"
    whole = file.read_bytes()
    spot = whole.index(b"qualified short")
    file.write_bytes(whole[:spot] + b"Q" + whole[spot + 1 :])
    _, err = train(config, scratch.path / "damaged", *words, expect=2, env=env)
    assert "never qualified" in err and list(state.glob("trust.db.damaged-*")), err
    file.write_bytes(whole)
    train(config, scratch.path / "restored", *words, env=env)
    print("a damaged record is set aside")

    # What it was made to lie about is not known of it.
    run(*told, "--lie", "op=rms_norm", "--short", expect=3, env=env)
    train(config, scratch.path / "lie", *words, env=env)
    with sqlite3.connect(file) as database:
        notes = [json.loads(note) for (note,) in database.execute("SELECT note FROM notes ORDER BY id")]
    assert {note["what"] for note in notes} == {"qualified short"}, notes

    # Another library under the same name.
    with open(place / library.name, "ab") as end:
        end.write(b"\0")
    _, err = train(config, scratch.path / "changed", *words, expect=2, env=env)
    assert "has changed since it was qualified: library" in err, err
    out, _ = run("devices", "--json", env=env)
    known = next(each for each in json.loads(out)["backends"] if each["name"] == backend)["devices"][0]
    assert known["trust"] == "stale", known
    print("a changed library asks for a new one")
    print("ok")


if __name__ == "__main__":
    main()
