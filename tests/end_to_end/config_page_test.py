#!/usr/bin/env python3
"""docs/config.md could say other keys than the code has. It must be what `godwit list config` prints."""
import pathlib

from common import run

page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "config.md"
first, rest = page.read_text().split("\n", 1)
assert "godwit list config" in first, first
out, _ = run("list", "config")
assert rest == out, "docs/config.md is out of date; make it again: godwit list config"
print("ok")
