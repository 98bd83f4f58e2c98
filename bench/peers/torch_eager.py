#!/usr/bin/env python3
"""Training speed of the same `mini` with transformers on torch, eager, 2 threads, AdamW: prints tokens per second. Usage: torch_eager.py f32|bf16"""
import statistics
import sys
import time

import torch
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

torch.set_num_threads(2)
torch.manual_seed(1)
config = DeepseekV3Config(vocab_size=2048, hidden_size=256, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=8, q_lora_rank=96, kv_lora_rank=128,
                          qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32, intermediate_size=768, moe_intermediate_size=192, n_routed_experts=16,
                          num_experts_per_tok=4, n_shared_experts=1, n_group=1, topk_group=1, first_k_dense_replace=1, max_position_embeddings=4096)
model = DeepseekV3ForCausalLM(config).float()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
dtype = torch.bfloat16 if sys.argv[1:] == ["bf16"] else None
speeds = []
for step in range(15):
    ids = torch.randint(2, 2048, (4, 257))
    began = time.perf_counter()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        logits = model(ids[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.float().reshape(-1, 2048), ids[:, 1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    speeds.append(4 * 256 / (time.perf_counter() - began))
print(f"torch eager  {sys.argv[1]:5} median {statistics.median(speeds[3:]):7.0f} tokens/s, best {max(speeds[3:]):7.0f}")
