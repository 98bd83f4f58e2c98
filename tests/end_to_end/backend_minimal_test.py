#!/usr/bin/env python3
"""The stand-alone example could need more than the installed header, or not be found, or give other bits, or compute what it refuses.

    backend_minimal_test.py CONFORMANCE_TEST
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

from common import Scratch, run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    scratch = Scratch()
    include, library = scratch.path / "include" / "godwit", scratch.path / "libgodwit_backend_minimal.so"
    include.mkdir(parents=True)
    shutil.copy(ROOT / "include/godwit/backend.h", include)
    subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", include.parent,
                    ROOT / "examples/backend-minimal/minimal.c", "-o", library], check=True)
    env = {**os.environ, "GODWIT_BACKEND_PATH": str(scratch.path)}
    listed = json.loads(run("devices", "--json", env=env)[0])["backends"]
    minimal = [backend for backend in listed if backend["name"] == "minimal"]
    assert minimal and minimal[0]["error"] is None and minimal[0]["library"] == str(library), listed
    assert minimal[0]["devices"][0]["name"] == "an example", minimal

    tried = subprocess.run([sys.argv[1], "--gtest_filter=*EveryOp*scalar"], capture_output=True, text=True,
                           env={**env, "GODWIT_BACKEND": "minimal", "GODWIT_OP": "add"})
    assert tried.returncode == 0 and "loop" in tried.stdout, tried.stdout[-2000:]

    config = scratch.config(steps=1)
    _, said = run("train", config, "--run", scratch.path / "run", "--workers", 0, "--backend", "minimal", env=env, expect=1)
    assert "has no kernel for the op" in said, said


main()
