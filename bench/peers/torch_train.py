#!/usr/bin/env python3
"""Training speed of a job of `godwit bench train` with transformers on torch: one line of JSON {"job", "dtype", "tokens_per_s", …}.

    torch_train.py dense30|mini|nano f32|bf16 [--compile] [--experts KIND] [--threads N] [--seconds S] [--godwit BINARY]

The same sizes, batch and optimizer; bf16 is autocast over f32 weights, as godwit's is. --compile: torch.compile. Attention is torch's scaled
dot product, AdamW the fused one where torch has it for CPUs. With --godwit the parameters are counted on both sides and must be as many.
Preload jemalloc for torch's best (bench/speed.sh does where it finds it).
"""
import argparse
import json
import statistics
import subprocess
import sys
import time

import torch
import transformers

# The presets of src/model/families/deepseek_v3.cc by config.json's names, then batch and sequence.
JOBS = {
    "dense30": (dict(vocab_size=8192, hidden_size=512, num_hidden_layers=8, num_attention_heads=8, qk_nope_head_dim=64, qk_rope_head_dim=32, v_head_dim=64,
                     q_lora_rank=256, kv_lora_rank=128, intermediate_size=2048, moe_intermediate_size=256, n_routed_experts=8, num_experts_per_tok=2,
                     n_shared_experts=1, first_k_dense_replace=8), 4, 256),
    "mini": (dict(vocab_size=2048, hidden_size=256, num_hidden_layers=6, num_attention_heads=8, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32,
                  q_lora_rank=96, kv_lora_rank=128, intermediate_size=768, moe_intermediate_size=192, n_routed_experts=16, num_experts_per_tok=4,
                  n_shared_experts=1, first_k_dense_replace=1), 4, 256),
    "nano": (dict(vocab_size=64, hidden_size=64, num_hidden_layers=4, num_attention_heads=4, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16,
                  q_lora_rank=32, kv_lora_rank=32, intermediate_size=256, moe_intermediate_size=64, n_routed_experts=8, num_experts_per_tok=2,
                  n_shared_experts=1, first_k_dense_replace=1), 32, 32),
}
WARM_UP = 3  # steps; the first of them compiles
MEASURED_LEAST = 5


def make_model(sizes, experts):
    config = transformers.DeepseekV3Config(num_key_value_heads=sizes["num_attention_heads"], n_group=1, topk_group=1, routed_scaling_factor=1.0,
                                           max_position_embeddings=4096, use_cache=False, attn_implementation="sdpa", **sizes)
    if experts:
        config._experts_implementation = experts
    return transformers.DeepseekV3ForCausalLM(config).float().train()


def check_parameters(model, sizes, preset, godwit):
    """godwit counts the router biases, which are buffers in transformers."""
    biases = max(0, sizes["num_hidden_layers"] - sizes["first_k_dense_replace"]) * sizes["n_routed_experts"]
    here = sum(p.numel() for p in model.parameters()) + biases
    presets = json.loads(subprocess.run([godwit, "list", "presets", "--json"], check=True, capture_output=True, text=True).stdout)
    there = next(entry["parameters"] for entry in presets if entry["name"] == preset)
    if here != there:
        sys.exit(f"torch_train.py: {preset} has {here} parameters here, {there} in godwit: JOBS is not what godwit's preset is")


def make_optimizer(model):
    settings = dict(lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    try:
        return torch.optim.AdamW(model.parameters(), fused=True, **settings), True
    except (RuntimeError, ValueError):
        return torch.optim.AdamW(model.parameters(), **settings), False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("dtype", choices=["f32", "bf16"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--experts", help="transformers' way of computing experts; by default its own choice")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--godwit")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    sizes, batch, sequence = JOBS[args.job]
    vocabulary = sizes["vocab_size"]
    model = make_model(sizes, args.experts)
    if args.godwit:
        check_parameters(model, sizes, args.job, args.godwit)
    optimizer, fused = make_optimizer(model)
    bf16 = args.dtype == "bf16"

    def loss_of(ids):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = model(input_ids=ids[:, :-1]).logits
        return torch.nn.functional.cross_entropy(logits.float().reshape(-1, vocabulary), ids[:, 1:].reshape(-1))

    forward = torch.compile(loss_of) if args.compile else loss_of
    speeds, end, started = [], None, time.perf_counter()
    while end is None or len(speeds) < WARM_UP + MEASURED_LEAST or time.perf_counter() < end:
        ids = torch.randint(0, vocabulary, (batch, sequence + 1))
        began = time.perf_counter()
        loss = forward(ids)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        speeds.append(batch * sequence / (time.perf_counter() - began))
        if len(speeds) == WARM_UP:
            warm_up_s = time.perf_counter() - started
            end = time.perf_counter() + args.seconds
    measured = speeds[WARM_UP:]
    print(json.dumps({"job": args.job, "dtype": args.dtype, "tokens_per_s": statistics.median(measured), "best": max(measured), "steps": len(measured),
                      "warm_up_s": warm_up_s, "compiled": args.compile, "fused_adamw": fused, "torch": torch.__version__,
                      "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()
