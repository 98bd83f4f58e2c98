#!/usr/bin/env python3
"""Decoding could leave the path transformers takes: greedy ids of every golden model, expanded and absorbed, must be the same."""
import json
import pathlib
import struct

from common import Scratch, run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def golden_rows(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    entry = json.loads(raw[8:8 + size])["input_ids"]
    begin, end = entry["data_offsets"]
    form = {"I64": "q", "I32": "i"}[entry["dtype"]]
    values = struct.unpack(f"<{entry['shape'][0] * entry['shape'][1]}{form}", raw[8 + size + begin:8 + size + end])
    return [list(values[i * entry["shape"][1]:(i + 1) * entry["shape"][1]]) for i in range(entry["shape"][0])]


def main():
    scratch = Scratch()
    cases = sorted(p.parent for p in (ROOT / "tests" / "golden").glob("*/golden.safetensors"))
    assert len(cases) >= 3
    for case in cases:
        golden = json.loads((case / "golden.json").read_text())
        prompt, greedy = golden["prompt"], golden["greedy"]
        rows = golden_rows(case / "golden.safetensors")
        assert greedy[:prompt] == rows[0][:prompt], f"{case.name}: the golden answer does not begin with its prompt"
        ids = scratch.path / "ids.json"
        ids.write_text(json.dumps([rows[0][:prompt]]))
        for decode in ("expanded", "absorbed"):
            out, _ = run("generate", case, "--ids", ids, "--max-tokens", len(greedy) - prompt, "--decode", decode, "--dtype", "f32", "--json")
            got = json.loads(out)[0]["ids"]
            assert got == greedy[prompt:], f"{case.name} {decode}: {got} is not {greedy[prompt:]}"
        print(f"{case.name}: {len(greedy) - prompt} greedy ids equal")
    print("ok")


if __name__ == "__main__":
    main()
