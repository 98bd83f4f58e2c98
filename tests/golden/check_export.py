#!/usr/bin/env python3
"""Holds an exported directory against transformers: no missing or unexpected weight, the same logits as `godwit probe`, the same tokens as `godwit tokenizer`.

  pip install torch transformers;  python3 tests/golden/check_export.py build/release/godwit EXPORTED [TEXT]
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, DeepseekV3ForCausalLM


def main(godwit, folder, text=None):
    model, info = DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[what], f"{what}: {info[what]}"
    model = model.eval()
    ids = torch.randint(3, min(250, model.config.vocab_size), (3, 33), generator=torch.Generator().manual_seed(1))
    with tempfile.TemporaryDirectory() as scratch:
        rows, out = pathlib.Path(scratch) / "rows.json", pathlib.Path(scratch) / "probe.safetensors"
        rows.write_text(json.dumps(ids.tolist()))
        subprocess.run([godwit, "probe", folder, "--ids", rows, "--out", out, "--dtype", "f32"], check=True)
        ours = load_file(out)["logits"]
    with torch.no_grad():
        theirs = model(ids).logits
    difference, largest = (ours - theirs).abs().max().item(), theirs.abs().max().item()
    print(f"largest |Δlogit| {difference:.2e} of {largest:.2f}")
    assert difference <= 5e-5 * largest
    if (pathlib.Path(folder) / "tokenizer.json").exists():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        lines = (pathlib.Path(text).read_text().splitlines() if text else ["Hello, world!", "1234567 and 3.14159", "你好，世界！", "  a\n\nb  "])[:2000]
        asked = "".join(json.dumps({"text": line}) + "\n" for line in lines)
        answer = subprocess.run([godwit, "tokenizer", "encode", folder], input=asked, capture_output=True, text=True, check=True).stdout
        for line, ours in zip(lines, answer.splitlines()):
            assert json.loads(ours)["ids"] == tokenizer(line, add_special_tokens=False)["input_ids"], line
        rendered = tokenizer.apply_chat_template([{"role": "user", "content": "2+2?"}], tokenize=False, add_generation_prompt=True)
        print(f"{len(lines)} texts give the same ids; the chat template renders {rendered!r}")
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
