#!/usr/bin/env python3
"""Answers of the parity example's model by transformers' generate: one line of JSON {"tokens_per_s", …}, beside `godwit bench roll_out`.

    hf_generate.py [--threads N] [--streams N] [--prompt N] [--new N] [--group N] [--seconds S] [--experts KIND]

The same sizes, prompts and lengths: every stream gets `new` tokens, drawn at temperature 1. With --group several streams have one prompt; it
makes no difference to generate, which reads each stream's.
"""
import argparse
import json
import statistics
import time

import torch
import transformers

SIZES = dict(vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, qk_nope_head_dim=16, qk_rope_head_dim=8,
             v_head_dim=16, q_lora_rank=32, kv_lora_rank=32, intermediate_size=256, moe_intermediate_size=64, n_routed_experts=8, num_experts_per_tok=2,
             n_shared_experts=1, first_k_dense_replace=1, n_group=1, topk_group=1, routed_scaling_factor=1.0, max_position_embeddings=64,
             initializer_range=0.1, rope_theta=100.0, bos_token_id=None, eos_token_id=None, pad_token_id=0)
PARAMETERS = 200640  # without the router biases, which are buffers here


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--streams", type=int, default=512)
    parser.add_argument("--prompt", type=int, default=17)
    parser.add_argument("--new", type=int, default=20)
    parser.add_argument("--group", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--experts", help="transformers' way of computing experts; by default its own choice")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    config = transformers.DeepseekV3Config(attn_implementation="sdpa", **SIZES)
    if args.experts:
        config._experts_implementation = args.experts
    model = transformers.DeepseekV3ForCausalLM(config).float().eval()
    parameters = sum(p.numel() for p in model.parameters())
    if parameters != PARAMETERS:
        raise SystemExit(f"hf_generate.py: the model has {parameters} parameters, not the parity example's {PARAMETERS}")
    prompts = torch.randint(0, SIZES["vocab_size"], (args.streams // args.group, args.prompt)).repeat_interleave(args.group, dim=0)
    settings = dict(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=args.new, min_new_tokens=args.new, pad_token_id=0)
    speeds, end = [], None
    with torch.inference_mode():
        while end is None or not speeds or time.perf_counter() < end:
            began = time.perf_counter()
            answers = model.generate(prompts, attention_mask=torch.ones_like(prompts), **settings)
            took = time.perf_counter() - began
            if answers.shape != (len(prompts), args.prompt + args.new):
                raise SystemExit(f"hf_generate.py: {tuple(answers.shape)} ids came back")
            if end is None:
                end = time.perf_counter() + args.seconds  # the first time warms up
                continue
            speeds.append(len(prompts) * args.new / took)
    print(json.dumps({"tokens_per_s": statistics.median(speeds), "best": max(speeds), "times": len(speeds), "threads": args.threads,
                      "torch": torch.__version__, "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()
