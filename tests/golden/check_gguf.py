#!/usr/bin/env python3
"""Holds an exported GGUF file against others: every tensor's bytes against the gguf package's, ids, texts and log-probabilities against llama.cpp's.

  pip install gguf safetensors xllamacpp;  python3 tests/golden/check_gguf.py build/release/godwit MODEL FILE.gguf [TEXT]

MODEL is what FILE.gguf was exported from. xllamacpp is llama.cpp as a wheel; it runs here with f32 caches and without flash attention, which would
round the values to f16.
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import urllib.request

import numpy as np
import xllamacpp
from gguf import GGUFReader, dequantize, quantize
from safetensors.numpy import load_file

LAYER = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_q_a": "self_attn.q_a_proj", "attn_q_a_norm": "self_attn.q_a_layernorm",
    "attn_q_b": "self_attn.q_b_proj", "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa", "attn_kv_a_norm": "self_attn.kv_a_layernorm",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "ffn_gate_inp": "mlp.gate", "ffn_gate_shexp": "mlp.shared_experts.gate_proj",
    "ffn_up_shexp": "mlp.shared_experts.up_proj", "ffn_down_shexp": "mlp.shared_experts.down_proj",
}


def wanted(directory):
    config = json.loads((directory / "config.json").read_text())
    weights = {name: values.astype(np.float32) for name, values in load_file(directory / "model.safetensors").items()}
    heads, nope, value, rank = (config[key] for key in ("num_attention_heads", "qk_nope_head_dim", "v_head_dim", "kv_lora_rank"))
    tensors = {"token_embd.weight": weights["model.embed_tokens.weight"], "output_norm.weight": weights["model.norm.weight"], "output.weight": weights["lm_head.weight"]}
    for layer in range(config["num_hidden_layers"]):
        at, block = f"model.layers.{layer}.", f"blk.{layer}."
        for theirs, ours in LAYER.items():
            if f"{at}{ours}.weight" in weights:
                tensors[f"{block}{theirs}.weight"] = weights[f"{at}{ours}.weight"]
        if at + "mlp.gate.e_score_correction_bias" in weights:
            tensors[block + "exp_probs_b.bias"] = weights[at + "mlp.gate.e_score_correction_bias"]
            for part in ("gate", "up", "down"):
                tensors[f"{block}ffn_{part}_exps.weight"] = np.stack([weights[f"{at}mlp.experts.{e}.{part}_proj.weight"] for e in range(config["n_routed_experts"])])
        kv_b = weights[at + "self_attn.kv_b_proj.weight"].reshape(heads, nope + value, rank)
        tensors[block + "attn_k_b.weight"], tensors[block + "attn_v_b.weight"] = kv_b[:, :nope].transpose(0, 2, 1), kv_b[:, nope:]
    return tensors


def check_tensors(directory, path):
    want, got = wanted(directory), {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    assert set(want) == set(got), set(want) ^ set(got)
    for name, tensor in got.items():
        values = np.ascontiguousarray(want[name])
        assert tuple(int(n) for n in reversed(tensor.shape)) == values.shape, (name, tensor.shape, values.shape)
        theirs = quantize(values, tensor.tensor_type)
        assert tensor.data.tobytes() == np.asarray(theirs).tobytes(), f"{name}, {tensor.tensor_type.name}"
        assert np.array_equal(dequantize(tensor.data, tensor.tensor_type).ravel(), dequantize(theirs, tensor.tensor_type).ravel()), name
    print(f"{len(got)} tensors have the bytes the gguf package writes")


class Llama:
    def __init__(self, path):
        options = xllamacpp.CommonParams()
        options.model.path, options.n_ctx, options.n_parallel, options.warmup = str(path), 512, 1, False
        options.cache_type_k = options.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        options.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.server = xllamacpp.Server(options)

    def ask(self, path, body):
        request = urllib.request.Request(self.server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.loads(urllib.request.urlopen(request, timeout=300).read())

    def next(self, ids):
        """The likeliest id and the log-probabilities of a hundred. One id a request: the server holds back ids that end within a character."""
        answer = self.ask("/completion", {"prompt": ids, "n_predict": 1, "temperature": 0.0, "n_probs": 100, "return_tokens": True, "cache_prompt": True, "samplers": ["temperature"]})
        return answer["tokens"][0], answer.get("completion_probabilities", [{}])[0].get("top_logprobs", [])


def main(godwit, model, path, text=None, count=200):
    def ask(*args, stdin=None):
        return subprocess.run([godwit, *map(str, args)], input=stdin, capture_output=True, text=True, check=True).stdout

    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        ask("export", model, "--to", scratch / "hf", "--quiet")
        check_tensors(scratch / "hf", path)
        llama, rng = Llama(path), random.Random(1)

        alphabet = "\t\n\r " + "".join(map(chr, range(32, 127))) + "é中文あ\U0001f600\u0301٠\u2028\xa0｜"
        texts = ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 60))) for _ in range(500)] + ["<think>a</think> b", "<｜User｜>1234567<｜Assistant｜>"]
        if text:
            whole = pathlib.Path(text).read_text()
            texts += [whole[start : start + rng.randint(1, 300)] for start in (rng.randrange(len(whole)) for _ in range(500))]
        lines = ask("tokenizer", "encode", scratch / "hf", stdin="".join(json.dumps({"text": t}) + "\n" for t in texts)).splitlines()
        for line, asked in zip(lines, texts, strict=True):
            assert json.loads(line)["ids"] == llama.ask("/tokenize", {"content": asked, "parse_special": True})["tokens"], asked
        print(f"{len(texts)} texts become the same ids")

        prompt = json.loads(lines[-1])["ids"][:20] if text else [40, 50, 60, 70]
        (scratch / "ids.json").write_text(json.dumps([prompt]))
        ours = json.loads(ask("generate", model, "--ids", scratch / "ids.json", "--max-tokens", count, "--temperature", "0", "--dtype", "f32", "--json", "--quiet"))[0]["ids"]
        row, heard = list(prompt), []
        for _ in ours:
            token, probabilities = llama.next(row)
            row.append(token)
            heard.append(probabilities)
        same = next((i for i, (a, b) in enumerate(zip(ours, row[len(prompt) :])) if a != b), len(ours))
        (scratch / "row.json").write_text(json.dumps([row]))
        ask("probe", model, "--ids", scratch / "row.json", "--out", scratch / "row.safetensors", "--dtype", "f32", "--quiet")
        logits = load_file(scratch / "row.safetensors")["logits"][0].astype(np.float64)
        logprobs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        pairs = [(entry["logprob"], logprobs[len(prompt) - 1 + i, entry["id"]]) for i, entries in enumerate(heard) for entry in entries]
        print(f"{same} of {len(ours)} greedy ids are equal; of {len(pairs)} log-probabilities the largest difference is {max(abs(a - b) for a, b in pairs):.2e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
