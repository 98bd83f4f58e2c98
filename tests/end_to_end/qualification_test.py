#!/usr/bin/env python3
"""A device that is wrong in one way could be qualified, an honest one refused, a verdict could name something else than what is wrong, or what a
device was made to say could be remembered of it.

    qualification_test.py [BACKEND…]        cpu without any
"""
import json
import os
import re
import sys
import xml.etree.ElementTree as xml

from common import Scratch, run


class Tests:
    def __init__(self, backend):
        self.backend = backend
        self.scratch = Scratch()
        self.env = {**os.environ, "GODWIT_STATE_DIR": str(self.scratch.path / "state")}
        self.configs = {dtype: self.scratch.config(f"{dtype}.toml", steps=4, dtype=dtype) for dtype in ("f32", "bf16")}

    def qualify(self, dtype, *words, expect=0):
        out, err = run("qualify", self.configs[dtype], "--backend", self.backend, "--json", *words, expect=expect, env=self.env)
        found = json.loads(out)
        assert found["verdict"] == ("qualified" if expect == 0 else "refused"), found["verdict"]
        return found

    def trust(self):
        out, _ = run("devices", "--json", env=self.env)
        backends = {each["name"]: each for each in json.loads(out)["backends"]}
        return backends[self.backend]["devices"][0]["trust"]

    def honest(self):
        before = self.trust()
        assert before in ("linked", "unknown"), before
        for dtype in ("f32", "bf16"):
            page = self.scratch.path / f"{dtype}.html"
            found = self.qualify(dtype, "--short", "--out", page)
            assert found["fell_back"] == 0 and found["pairs"] > 10 and found["compared"] > 500, found
            for each in found["ops"]:
                assert each["kernel"] and each["compared"] > 0 and each["ms"] > 0 and each["cpu_ms"] > 0, each
            programs = [each["op"] for each in found["ops"] if each["whole"]]
            assert "training" in programs[0] or len(programs) >= 1, programs
            text = page.read_text()
            assert "http" not in text and "<script" not in text
            assert len(list(xml.fromstring(text.replace("<!DOCTYPE html>", "")).iter("svg"))) >= 3
            self.found = found
        assert self.trust() == "qualified short"
        out, _ = run("qualify", self.configs["f32"], "--backend", self.backend, "--short", env=self.env)
        assert "qualified in short" in out, out[-400:]
        print(f"{self.backend}: an honest device is qualified, in f32 and bf16, with a page")

    def a_shape(self):
        """A result's shape that a product of the program has: "256x64"."""
        for each in self.found["ops"]:
            if each["op"] == "linear":
                return re.findall(r"\[([0-9, ]+)\]", each["text"].split("→")[1])[0].replace(", ", "x")
        raise AssertionError("no product in the program")

    def lies(self):
        cases = [
            ("wrong for one shape only", f"op=linear shape={self.a_shape()} off=1e-5", "linear", []),
            ("wrong for one dtype only", "dtype=bf16", None, []),
            ("wrong in one layout's tail", "op=linear tail=16 off=1e-3", "linear", []),
            ("only after some work", "after=15 op=rms_norm", None, None),
            ("1e-5 in each element", "op=linear_backward_weight off=1e-5", "linear_backward_weight", []),
            ("only while two run at once", "streams=2 off=1e-5", None, []),
            ("stale on the second call", "stale call=2", None, []),
            ("not the same twice", "noise rate=0.3", None, []),
        ]
        for name, lie, op, words in cases:
            words = ["--short"] if words is not None else ["--warm-seconds", 15]
            found = self.qualify("bf16", "--lie", lie, *words, expect=3)
            first = found["failures"][0]
            assert first["kind"] in ("differs", "unstable"), first
            assert first["expected"] != first["computed"] and first["shape"] and first["elements"] > 0, first
            assert op is None or first["op"] == op, (name, first)
            if "after" in lie:
                assert first["phase"] in ("two at once", "warm", "after warming"), first
            if "streams" in lie:
                assert first["phase"] == "two at once", first
            print(f"{self.backend}: {name}: {first['text'][:150]}")
        for lie, kind in (("crash op=rms_norm", "crashed"), ("hang op=rms_norm", "hung")):
            found = self.qualify("bf16", "--lie", lie, "--short", "--patience", 5, expect=3)
            first = found["failures"][0]
            assert first["kind"] == kind and first["op"] == "rms_norm" and first["call"] == "run", first
            assert sum(each["compared"] for each in found["ops"]) > 500, "the other ops were not tried"
            print(f"{self.backend}: {kind}: {first['text'][:150]}")
        assert self.trust() == "qualified short", "what a device was made to say is remembered of it"

    def input_errors(self):
        _, err = run("qualify", self.configs["f32"], "--backend", "nosuch", expect=2, env=self.env)
        assert "nosuch" in err, err
        _, err = run("qualify", self.configs["f32"], "--backend", f"{self.backend}:7", expect=2, env=self.env)
        assert "has no device 7" in err, err
        _, err = run("qualify", self.configs["f32"], "--backend", self.backend, "--lie", "sometimes", expect=2, env=self.env)
        assert "'sometimes' is no word of a lie" in err, err


def main():
    for backend in sys.argv[1:] or ["cpu"]:
        tests = Tests(backend)
        tests.honest()
        tests.lies()
        tests.input_errors()
    print("ok")


if __name__ == "__main__":
    main()
