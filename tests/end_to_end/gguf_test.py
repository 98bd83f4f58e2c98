#!/usr/bin/env python3
"""A GGUF file could hold a weight under another's name, transposed or rounded otherwise than its readers expect, or describe another model than the run's."""
import json
import struct

from common import Scratch, run, train

READERS = {4: "I", 5: "i", 6: "f", 7: "?"}
F32, Q8_0, BF16 = 0, 8, 30


class Reader:
    """What any reader of the format does: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""

    def __init__(self, path):
        self.bytes, self.at = path.read_bytes(), 4
        assert self.bytes[:4] == b"GGUF"
        version, tensors, keys = self.take("I"), self.take("Q"), self.take("Q")
        assert version == 3
        self.keys = {}
        for _ in range(keys):
            name = self.text()
            self.keys[name] = self.value(self.take("I"))
        self.tensors = {}
        for _ in range(tensors):
            name, rank = self.text(), self.take("I")
            shape = [self.take("Q") for _ in range(rank)][::-1]
            self.tensors[name] = (shape, self.take("I"), self.take("Q"))
        self.start = (self.at + 31) // 32 * 32

    def take(self, kind):
        (value,) = struct.unpack_from("<" + kind, self.bytes, self.at)
        self.at += struct.calcsize(kind)
        return value

    def text(self):
        size = self.take("Q")
        self.at += size
        return self.bytes[self.at - size : self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            item, count = self.take("I"), self.take("Q")
            return [self.value(item) for _ in range(count)]
        return self.take(READERS[kind])

    def values(self, name):
        """(shape, kind, elements, or for Q8_0 the blocks as (scale, quants))"""
        shape, kind, offset = self.tensors[name]
        count, at = 1, self.start + offset
        assert at % 32 == 0, name
        for n in shape:
            count *= n
        if kind == F32:
            return shape, kind, struct.unpack_from(f"<{count}f", self.bytes, at)
        if kind == BF16:
            return shape, kind, [struct.unpack("<f", struct.pack("<I", bits << 16))[0] for bits in struct.unpack_from(f"<{count}H", self.bytes, at)]
        assert kind == Q8_0, kind
        return shape, kind, [struct.unpack_from("<e32b", self.bytes, at + 34 * block) for block in range(count // 32)]


def safetensors(path):
    raw = path.read_bytes()
    (size,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__")
    return {name: (entry["shape"], struct.unpack_from(f"<{(entry['data_offsets'][1] - entry['data_offsets'][0]) // 4}f", raw, 8 + size + entry["data_offsets"][0])) for name, entry in header.items()}


def expected(weights, config):
    """Every tensor llama.cpp's deepseek2 asks for, of the exported directory's weights."""
    heads, nope, value, rank = (config[key] for key in ("num_attention_heads", "qk_nope_head_dim", "v_head_dim", "kv_lora_rank"))
    names = {"input_layernorm": "attn_norm", "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
             "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm", "self_attn.o_proj": "attn_output",
             "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp",
             "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp", "mlp.shared_experts.down_proj": "ffn_down_shexp"}
    tensors = {"token_embd.weight": weights["model.embed_tokens.weight"], "output_norm.weight": weights["model.norm.weight"], "output.weight": weights["lm_head.weight"]}
    for layer in range(config["num_hidden_layers"]):
        at, block = f"model.layers.{layer}.", f"blk.{layer}."
        for ours, theirs in names.items():
            if f"{at}{ours}.weight" in weights:
                tensors[f"{block}{theirs}.weight"] = weights[f"{at}{ours}.weight"]
        if layer >= config["first_k_dense_replace"]:
            tensors[block + "exp_probs_b.bias"] = weights[at + "mlp.gate.e_score_correction_bias"]
            for part in ("gate", "up", "down"):
                experts = [weights[f"{at}mlp.experts.{e}.{part}_proj.weight"] for e in range(config["n_routed_experts"])]
                tensors[f"{block}ffn_{part}_exps.weight"] = ([len(experts), *experts[0][0]], sum((e[1] for e in experts), ()))
        kv_b = weights[at + "self_attn.kv_b_proj.weight"][1]
        row = lambda h, i: kv_b[(h * (nope + value) + i) * rank :][:rank]
        tensors[block + "attn_k_b.weight"] = ([heads, rank, nope], tuple(row(h, i)[c] for h in range(heads) for c in range(rank) for i in range(nope)))
        tensors[block + "attn_v_b.weight"] = ([heads, value, rank], sum((row(h, nope + i) for h in range(heads) for i in range(value)), ()))
    return tensors


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bf16(x):
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    return struct.unpack("<f", struct.pack("<I", (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000))[0]


def q8_0(values):
    """ggml's reference rule, in binary32."""
    scale = f32(max(map(abs, values)) / 127)
    inverse = f32(1 / scale) if scale else 0.0
    half_away = lambda x: int(abs(x) + 0.5) * (1 if x > 0 else -1)
    return (struct.unpack("<e", struct.pack("<e", scale))[0], *(half_away(f32(x * inverse)) for x in values))


def main():
    scratch = Scratch()
    # Heads of 32 without the rotary part, so that attn_k_b can be Q8_0; nano's o_proj and others have short rows and stay.
    config = scratch.config(steps=5, model="num_nextn_predict_layers = 1\nqk_nope_head_dim = 32\nn_group = 4\ntopk_group = 2", optimizer="mtp_loss = 0.3")
    directory = scratch.path / "run"
    train(config, directory)
    run("export", directory, "--to", scratch.path / "hf")
    described = json.loads((scratch.path / "hf/config.json").read_text())
    tensors = expected(safetensors(scratch.path / "hf/model.safetensors"), described)

    kinds = {"f32": (F32, 0), "bf16": (BF16, 32), "q8_0": (Q8_0, 7)}
    for name, (kind, file_type) in kinds.items():
        path = scratch.path / f"{name}.gguf"
        run("export", directory, "--gguf", path, *([] if name == "f32" else ["--quantize", name]))
        file = Reader(path)
        assert set(file.tensors) == set(tensors), set(file.tensors) ^ set(tensors)
        of_kind = 0
        for tensor, (shape, values) in tensors.items():
            got_shape, got_kind, got = file.values(tensor)
            whole = len(shape) == 1 or tensor.endswith("ffn_gate_inp.weight") or (kind == Q8_0 and shape[-1] % 32)
            assert got_shape == shape and got_kind == (F32 if whole else kind), (name, tensor, got_shape, shape, got_kind)
            of_kind += got_kind == kind
            if got_kind == F32:
                assert got == values, (name, tensor)
            elif got_kind == BF16:
                assert got == [bf16(x) for x in values], (name, tensor)
            else:
                assert got == [q8_0(values[i : i + 32]) for i in range(0, len(values), 32)], (name, tensor)
        assert of_kind > 20 and "blk.1.attn_k_b.weight" in file.tensors, of_kind
        assert len(path.read_bytes()) % 32 == 0 and file.keys["general.file_type"] == file_type

    keys, d = file.keys, described
    same = {
        "block_count": "num_hidden_layers", "context_length": "max_position_embeddings", "embedding_length": "hidden_size", "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads", "attention.q_lora_rank": "q_lora_rank", "attention.kv_lora_rank": "kv_lora_rank", "attention.value_length": "kv_lora_rank",
        "attention.value_length_mla": "v_head_dim", "rope.dimension_count": "qk_rope_head_dim", "vocab_size": "vocab_size", "leading_dense_block_count": "first_k_dense_replace",
        "expert_count": "n_routed_experts", "expert_used_count": "num_experts_per_tok", "expert_shared_count": "n_shared_experts", "expert_weights_norm": "norm_topk_prob",
        "expert_feed_forward_length": "moe_intermediate_size", "expert_group_count": "n_group", "expert_group_used_count": "topk_group", "expert_weights_scale": "routed_scaling_factor",
        "rope.freq_base": "rope_theta"}
    for theirs, ours in same.items():
        assert keys["deepseek2." + theirs] == d[ours], (theirs, keys["deepseek2." + theirs], d[ours])
    assert keys["general.architecture"] == "deepseek2" and keys["deepseek2.expert_gating_func"] == 2 and keys["deepseek2.attention.head_count_kv"] == 1
    assert keys["deepseek2.attention.key_length"] == d["kv_lora_rank"] + d["qk_rope_head_dim"]
    assert keys["deepseek2.attention.key_length_mla"] == d["qk_nope_head_dim"] + d["qk_rope_head_dim"]
    assert keys["deepseek2.attention.layer_norm_rms_epsilon"] == f32(d["rms_norm_eps"])

    tokenizer = json.loads((scratch.path / "hf/tokenizer.json").read_text())
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == d["vocab_size"] and len(set(tokens)) == len(tokens)
    for token, id in tokenizer["model"]["vocab"].items():
        assert tokens[id] == token
    for added in tokenizer["added_tokens"]:
        assert tokens[added["id"]] == added["content"] and types[added["id"]] == (3 if added["special"] else 4), added
    assert tokens[-1] == f"[PAD{len(tokens) - 1}]" and types[-1] == 5 and types[100] == 1
    assert (keys["tokenizer.ggml.model"], keys["tokenizer.ggml.pre"], keys["tokenizer.ggml.merges"]) == ("gpt2", "deepseek-v3", [])
    assert (keys["tokenizer.ggml.bos_token_id"], keys["tokenizer.ggml.eos_token_id"], keys["tokenizer.ggml.add_bos_token"]) == (0, 1, False)
    assert keys["tokenizer.chat_template"] == json.loads((scratch.path / "hf/tokenizer_config.json").read_text())["chat_template"]

    # The same model gives the same file, by either way in; nothing is written over; what does not go together is said.
    again = scratch.path / "again" / "q8_0.gguf"
    again.parent.mkdir()
    run("export", scratch.path / "hf", "--gguf", again, "--quantize", "q8_0")
    assert again.read_bytes() == path.read_bytes()
    assert "exists" in run("export", directory, "--gguf", again, expect=2)[1]
    for wrong in (["--gguf", scratch.path / "x.gguf", "--to", scratch.path / "x"], [], ["--gguf", scratch.path / "x.gguf", "--quantize", "q4_0"],
                  ["--to", scratch.path / "x", "--quantize", "bf16"], ["--gguf", scratch.path / "x.gguf", "--with-mtp"], ["--gguf", scratch.path / "nowhere" / "x.gguf"]):
        run("export", directory, *wrong, expect=2)
    assert not list(scratch.path.glob("x*")) and [p.name for p in again.parent.iterdir()] == ["q8_0.gguf"]
    print("ok")


if __name__ == "__main__":
    main()
