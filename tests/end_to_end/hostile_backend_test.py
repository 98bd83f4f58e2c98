#!/usr/bin/env python3
"""A plug-in could take the run with it: by crashing or hanging in any call, by what it says, by what it writes, by what it does to the process
or starts. Whatever it does, the run must end in the CPU's digest, and say in which call it happened; `devices` must answer; and nothing it
started may be left.

    hostile_backend_test.py [CALL:HARM …]      those cases alone; else all
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time
import uuid

from common import GODWIT, Scratch, build_backend, digest, train

STEPS = 3
# The calls of a training run, from the first to the last.
BEGINNING = ["load", "open", "queue_create", "describe", "buffer_wrap", "kernel_for", "prepare", "watch"]
RUNNING = ["write", "run", "event_record", "event_wait", "event_destroy", "read", "findings", "checked"]
LISTING = ["device_count", "device_describe"]

# What a run says where the harm is seen as an error, not as the end of a worker.
SAID = {
    "open:garbage": "open said that all is well and gave nothing",
    "open:message": "open: xxxx",
    "queue_create:garbage": "queue_create said that all is well and gave nothing",
    "buffer_wrap:garbage": "buffer_wrap said that all is well and gave nothing",
    "prepare:garbage": "prepare said that all is well and gave nothing",
    "event_record:garbage": "event_record said that all is well and gave nothing",
    "findings:garbage": "findings: it has -9223372036854775808 findings",
    "run:status": "run answered with status 4711",
    "event_wait:status": "event_wait answered with status 4711",
}
# What harms nobody: the run goes on with the device, and there is nothing to say.
HARMLESS = {"describe:garbage", "buffer_host:garbage", "checked:garbage", "prepared_describe:garbage", "run:fork_returns", "prepare:fork_stays",
            "run:fork_stays", "load:fork_returns", "buffer_create:garbage"}


def cases():
    for call in BEGINNING + RUNNING:
        yield f"{call}:crash"
        yield f"{call}:hang"
    for call in ("load", "open", "prepare", "run", "event_wait"):
        for harm in ("exit", "abort", "socket", "terminate", "kill_parent", "close"):
            yield f"{call}:{harm}"
    yield "run:spin"
    yield from SAID
    yield from HARMLESS
    yield "kernel_for:garbage"
    yield "run:write_behind"
    yield "run:write_before"


def left_behind(marker):
    """Processes that have the marker in their environment."""
    found = []
    for directory in pathlib.Path("/proc").iterdir():
        try:
            if directory.name.isdigit() and marker.encode() in (directory / "environ").read_bytes():
                found.append(f"{directory.name} {(directory / 'comm').read_text().strip()}")
        except OSError:
            pass  # it has ended, or is another's
    return found


def attempt(scratch, env, config, reference, case):
    call, harm = case.split(":")
    marker = f"HOSTILE_TEST={uuid.uuid4().hex}"
    env = {**env, "HOSTILE": f"{call} {harm} {1 if call == 'run' else 0}", "HOSTILE_TEST": marker.split("=")[1]}
    directory = scratch.path / case.replace(":", "-")
    began = time.monotonic()
    train(config, directory, "--backend", "hostile", "--set", f"run.evaluate_every={STEPS}", env=env, timeout=900)
    seconds = time.monotonic() - began
    log = (directory / "log.txt").read_text()
    assert digest(directory) == reference, f"{case}: another digest\n{log}"
    if case in HARMLESS:
        assert "in its backend's" not in log and "replay" not in log, f"{case}: not harmless\n{log}"
    else:
        said = SAID.get(case) or {"write_before": "run wrote just before"}.get(harm) or f"in its backend's {call}"
        either = f"in its backend's {call}" if harm == "write_before" else said  # where the page before begins just there
        assert said in log or either in log, f"{case}: the log has no '{said}'\n{log}"
    time.sleep(0.2)
    left = left_behind(marker)
    assert not left, f"{case}: left behind {left}"
    return seconds


def ask(env, case, most):
    call, harm = case.split(":")
    began = time.monotonic()
    done = subprocess.run([GODWIT, "devices"], capture_output=True, text=True, timeout=most, env={**env, "HOSTILE": f"{call} {harm} 0"})
    assert done.returncode == 0 and "\nhostile" in done.stdout and done.stdout.startswith("cpu"), f"devices, {case}: {done}"
    return done.stdout, time.monotonic() - began


def main():
    scratch = Scratch()
    env = build_backend(scratch.path, "hostile", "tests/hostile/hostile.c")
    config = scratch.config(steps=STEPS, any_device=True)
    train(config, scratch.path / "reference")
    reference = digest(scratch.path / "reference")

    wanted = sys.argv[1:] or list(cases())
    if not sys.argv[1:]:
        for case in [f"{call}:crash" for call in ["load", *LISTING, "open", "kernel_for"]] + ["load:exit", "device_count:close", "device_describe:garbage"]:
            said, _ = ask(env, case, 30)
            assert "asking for its devices ended the process, in " + case.split(":")[0] in said, f"devices, {case}: {said}"
        said, _ = ask(env, "device_count:garbage", 30)
        assert "device_count says that it has 1073741824 devices" in said, said
        said, _ = ask(env, "device_describe:fork_stays", 10)
        assert "not to be had" not in said, said
        said, seconds = ask(env, "device_count:hang", 60)
        assert "did not answer within 20 s, in device_count" in said and seconds < 40, said
        print("devices: whatever a library does is a line in the list")

    # Those that hang sleep until they are given up: many can be waited for together.
    hangs = [case for case in wanted if case.endswith(":hang")]
    others = [case for case in wanted if not case.endswith(":hang")]
    failed = []
    with concurrent.futures.ThreadPoolExecutor(len(hangs) + 2) as pool:
        slow = {pool.submit(attempt, scratch, env, config, reference, case): case for case in hangs}
        for done in concurrent.futures.as_completed(slow):
            try:
                print(f"{slow[done]:<28}{done.result():7.1f} s", flush=True)
            except Exception as error:
                failed.append(str(error))
                print("FAILED", error, flush=True)
    with concurrent.futures.ThreadPoolExecutor(max(1, os.cpu_count() // 2)) as pool:
        quick = {pool.submit(attempt, scratch, env, config, reference, case): case for case in others}
        for done in concurrent.futures.as_completed(quick):
            try:
                print(f"{quick[done]:<28}{done.result():7.1f} s", flush=True)
            except Exception as error:
                failed.append(str(error))
                print("FAILED", error, flush=True)
    assert not failed, f"{len(failed)} of {len(wanted)}: " + "\n".join(each.splitlines()[0] for each in failed)
    print(f"{len(wanted)} ways to misbehave: each run ended in the CPU's digest, and named the call")


main()
