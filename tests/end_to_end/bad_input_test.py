#!/usr/bin/env python3
"""Wrong input could crash, hang, be guessed at, or destroy something. Every case: exit 2, one clear message that names the thing, nothing written over."""
import json
import os
import pathlib
import shutil
import struct

from common import GODWIT, Scratch, digest, run, train

ROOT = pathlib.Path(__file__).resolve().parents[2]


def refused(what, *args, says=(), stdin=None):
    out, err = run(*args, expect=2, stdin=stdin, timeout=120)
    for text in (says if isinstance(says, (list, tuple)) else [says]):
        assert text.lower() in err.lower(), f"{what}: the message does not say {text!r}:\n{err}"
    assert len(err.strip().splitlines()) <= 6, f"{what}: not one clear message:\n{err}"
    print(f"refused as it should be: {what}")


def write_safetensors(path, header, data):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


def main():
    scratch = Scratch()
    base = scratch.config(steps=3)
    text = base.read_text()
    new = lambda: scratch.path / f"run-{os.urandom(4).hex()}"

    def config(what, changes, says):
        edited = text
        for old, replacement in changes:
            assert old in edited, old
            edited = edited.replace(old, replacement)
        path = scratch.path / "bad.toml"
        path.write_text(edited)
        directory = new()
        refused(what, "train", path, "--run", directory, says=says)
        assert not directory.exists(), f"{what}: a refused start left {directory}"

    config("misspelt key", [("sequence = 32", "sequnce = 32")], ["sequnce", "sequence", "bad.toml:"])
    config("unknown section", [("[optimizer]", "[optimiser]")], ["optimiser"])
    config("wrong type", [("batch = 8", 'batch = "eight"')], ["batch", "eight"])
    config("misspelt model key", [('preset = "nano"', 'preset = "nano"\nkv_lora_rnak = 3')], ["kv_lora_rnak", "kv_lora_rank"])
    config("unknown preset", [('preset = "nano"', 'preset = "nan"')], ["nan", "nano"])
    config("sizes that do not fit", [('preset = "nano"', 'preset = "nano"\nnum_experts_per_tok = 9')], ["num_experts_per_tok", "9", "8"])
    config("odd rotary width", [('preset = "nano"', 'preset = "nano"\nqk_rope_head_dim = 7')], ["qk_rope_head_dim", "7"])
    config("vocabulary too small", [('preset = "nano"', 'preset = "nano"\nvocab_size = 100')], ["vocab_size", "100"])
    config("sequence beyond the context", [('preset = "nano"', 'preset = "nano"\nmax_position_embeddings = 16')], ["32", "16"])
    config("micro_batch of three", [("batch = 8", "batch = 8\nmicro_batch = 3")], ["micro_batch", "3"])
    config("missing text", [(str(scratch.text), str(scratch.path / "nothing.txt"))], ["nothing.txt"])
    (scratch.path / "empty.txt").write_text("")
    config("empty text", [(str(scratch.text), str(scratch.path / "empty.txt"))], ["empty.txt"])
    (scratch.path / "short.txt").write_text("too short")
    config("text shorter than a sequence", [(str(scratch.text), str(scratch.path / "short.txt"))], ["32"])
    (scratch.path / "broken.jsonl").write_text('{"text": "fine"}\n{"text": \n')
    config("broken jsonl", [(str(scratch.text), str(scratch.path / "broken.jsonl"))], ["broken.jsonl", "2"])
    config("a model too big for memory", [('preset = "nano"', 'preset = "nano"\nhidden_size = 65536\nnum_hidden_layers = 200')], ["GiB"])
    config("not TOML", [("[model]", "[model")], ["bad.toml"])
    config("learning rate not a number", [("lr = 3e-3", "lr = nan")], ["lr"])
    refused("missing config", "train", scratch.path / "none.toml", "--run", new(), says="none.toml")
    refused("unknown command", "trian", says="train")
    refused("unknown option", "train", base, "--run", new(), "--thread", "2", says="--thread")
    refused("an instruction set that is not there", "train", base, "--run", new(), "--isa", "sse9", says="sse9")
    refused("unknown --set", "train", base, "--run", new(), "--set", "run.stpes=3", says=["stpes", "steps"])

    rows = scratch.path / "rows.json"
    ids = scratch.path / "ids.toml"
    ids.write_text(text.replace('kind = "bytes"', "").replace("[tokenizer]", "").replace(f'kind = "text"\npath = ["{scratch.text}"]\nsequence = 32', f'kind = "ids"\npath = "{rows}"').replace("validation = 0.1", ""))
    for what, content, says in [("ragged rows", [[1, 2, 3], [1, 2]], ["3", "2"]), ("ids outside the vocabulary", [[1, 2, 64]], ["64"]), ("no rows", [], ["rows.json"]),
                                ("negative ids", [[1, -2, 3]], ["-2"]), ("rows of one id", [[1]], ["1"])]:
        rows.write_text(json.dumps(content))
        refused(what, "train", ids, "--run", new(), says=says)

    # A run meets another config, a lock, a foreign directory.
    directory = scratch.path / "run"
    train(base, directory)
    before = digest(directory)
    refused("another config on resume", "train", base, "--run", directory, "--set", "optimizer.lr=1e-4", "--set", "run.seed=9", says=["lr", "seed"])
    other = scratch.path / "other.txt"
    other.write_text(scratch.text.read_text() + "more")
    refused("other data on resume", "train", base, "--run", directory, "--set", f'data.path=["{other}"]', "--set", "run.steps=5", says="data")
    assert digest(directory) == before, "a refused start changed the run"
    foreign = scratch.path / "foreign"
    foreign.mkdir()
    (foreign / "precious.txt").write_text("keep me")
    refused("a directory that is no run", "train", base, "--run", foreign, says="foreign")
    assert (foreign / "precious.txt").read_text() == "keep me"

    # Models.
    good = scratch.path / "hf"
    run("export", directory, "--to", good)
    refused("export over something", "export", directory, "--to", good, says="hf")
    refused("no such model", "digest", scratch.path / "no-model", says="no-model")
    refused("no such step", "digest", f"{directory}@12345", says="12345")

    def broken_model(what, change, says, command=("digest",)):
        copy = scratch.path / "broken-model"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(good, copy)
        change(copy)
        refused(what, *command, copy, says=says)

    def edit_config(**keys):
        def change(folder):
            path = folder / "config.json"
            values = json.loads(path.read_text())
            values.update(keys)
            path.write_text(json.dumps(values))
        return change

    broken_model("another family", edit_config(model_type="llama"), ["llama", "deepseek_v3"])
    broken_model("an unsupported feature", edit_config(index_topk=2048), ["index_topk"])
    broken_model("softmax scores", edit_config(scoring_func="softmax"), ["softmax", "sigmoid"])
    broken_model("wrong shapes", edit_config(intermediate_size=300), ["300"])
    broken_model("config not JSON", lambda f: (f / "config.json").write_text("{"), "config.json")
    broken_model("weights missing", lambda f: (f / "model.safetensors").unlink(), "safetensors")

    def edit_header(edit):
        def change(folder):
            path = folder / "model.safetensors"
            raw = path.read_bytes()
            size = struct.unpack("<Q", raw[:8])[0]
            header = json.loads(raw[8:8 + size])
            data = bytearray(raw[8 + size:])
            header, data = edit(header, data)
            write_safetensors(path, header, bytes(data))
        return change

    def shift(header, data, begin=0, end=0):
        name = "model.norm.weight"
        header[name]["data_offsets"][0] += begin
        header[name]["data_offsets"][1] += end
        return header, data

    broken_model("overlapping offsets", edit_header(lambda h, d: shift(h, d, begin=-4, end=-4)), "model.norm.weight")
    broken_model("offsets out of the file", edit_header(lambda h, d: shift(h, d, begin=1 << 40, end=1 << 40)), "model.norm.weight")
    broken_model("offsets that overflow", edit_header(lambda h, d: shift(h, d, end=(1 << 64) - 5000)), "safetensors")
    broken_model("a truncated file", lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-7]), "safetensors")
    broken_model("an extra weight", edit_header(lambda h, d: ({**h, "model.extra.weight": {"dtype": "F32", "shape": [1], "data_offsets": [len(d), len(d) + 4]}}, d + b"\0" * 4)), "model.extra.weight")
    broken_model("a missing weight", edit_header(lambda h, d: ({("model.renamed" if k == "lm_head.weight" else k): v for k, v in h.items()}, d)), "lm_head.weight")
    broken_model("an absurd header length", lambda f: (f / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}"), "safetensors")
    broken_model("a header 20,000 deep", lambda f: write_safetensors(f / "model.safetensors", b"[" * 20000 + b"]" * 20000, b""), "safetensors")

    def tokenizer(change):
        def apply(folder):
            path = folder / "tokenizer.json"
            values = json.loads(path.read_text())
            change(values)
            path.write_text(json.dumps(values))
        return apply

    broken_model("a tokenizer of another kind", tokenizer(lambda t: t["model"].update(type="WordPiece")), "WordPiece", ("generate", "--prompt", "x"))
    broken_model("an unknown normalizer", tokenizer(lambda t: t.update(normalizer={"type": "Mystery"})), "Mystery", ("generate", "--prompt", "x"))

    rows.write_text("[[1,2],[3]]")
    refused("probe with ragged rows", "probe", good, "--ids", rows, "--out", scratch.path / "probe.safetensors", says=["2", "1"])
    rows.write_text("[[1,99999]]")
    refused("probe outside the vocabulary", "probe", good, "--ids", rows, "--out", scratch.path / "probe.safetensors", says="99999")
    refused("negative temperature", "generate", good, "--prompt", "x", "--temperature", "-1", says="temperature")
    refused("too many tokens", "generate", good, "--prompt", "x", "--max-tokens", "1000000", says="4096")
    bad_bytes = scratch.path / "latin1.txt"
    bad_bytes.write_bytes(b"caf\xe9 " * 400)
    run("eval", good, "--text", bad_bytes)  # kept as bytes, not refused
    print("ok")


if __name__ == "__main__":
    main()
