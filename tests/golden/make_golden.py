#!/usr/bin/env python3
"""Makes golden folders with transformers and torch on the CPU in fp32: what the field computes for a small random model.

  pip install torch transformers;  python3 tests/golden/make_golden.py OUT [CASE …]

Each folder gets config.json and model.safetensors as save_pretrained writes them, golden.safetensors (input_ids, logits, loss, grad.*, adamw.loss,
adamw.*, greedy) and golden.json. Settings of the optimizer: lr 1e-3, betas 0.9/0.95, eps 1e-8, decay 0.1 on every weight, no clipping; the router's
e_score_correction_bias is held still.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

BASE = dict(vocab_size=160, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4, q_lora_rank=24, kv_lora_rank=32,
            qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16, intermediate_size=128, moe_intermediate_size=32, n_routed_experts=8,
            num_experts_per_tok=2, n_shared_experts=1, n_group=1, topk_group=1, first_k_dense_replace=1, norm_topk_prob=True, routed_scaling_factor=2.5,
            max_position_embeddings=256, initializer_range=0.05, bos_token_id=0, eos_token_id=1)

# name: (seed, changes to BASE, rows, length, whether the router bias is random)
CASES = {
    "groups": (21, dict(n_group=4, topk_group=2, n_routed_experts=16, num_experts_per_tok=3, routed_scaling_factor=1.7), 3, 21, True),
    "yarn": (22, dict(max_position_embeddings=512, rope_scaling=dict(type="yarn", factor=8.0, beta_fast=32, beta_slow=1, mscale=0.7, mscale_all_dim=1.0,
                                                                     original_max_position_embeddings=64)), 2, 40, False),
    "odd": (23, dict(vocab_size=131, hidden_size=50, num_attention_heads=3, num_key_value_heads=3, q_lora_rank=13, kv_lora_rank=19, qk_nope_head_dim=9,
                     qk_rope_head_dim=6, v_head_dim=7, intermediate_size=77, moe_intermediate_size=21, n_routed_experts=5, num_experts_per_tok=3,
                     norm_topk_prob=False), 3, 17, True),
}


def make(name, out):
    seed, changes, rows, length, random_bias = CASES[name]
    torch.manual_seed(seed)
    config = DeepseekV3Config(**{**BASE, **changes})
    model = DeepseekV3ForCausalLM(config).float().eval()
    model.set_experts_implementation("eager")  # the grouped product wants widths in multiples of 16 bytes
    if random_bias:  # negative sums of score and bias, where groups that are dropped and filled with 0 would be chosen again
        for module_name, buffer in list(model.named_buffers()) + list(model.named_parameters()):
            if module_name.endswith("e_score_correction_bias"):
                buffer.data.copy_(torch.randn(buffer.shape) * 0.3 - 0.8)
    folder = pathlib.Path(out) / name
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    ids = torch.randint(2, config.vocab_size, (rows, length))
    loss_of = lambda: torch.nn.functional.cross_entropy(model(ids).logits[:, :-1].reshape(-1, config.vocab_size), ids[:, 1:].reshape(-1))
    # save_pretrained's per-expert names: gradients go through the same conversion as weights.
    def named(values):
        copy = DeepseekV3ForCausalLM(config).float()
        copy.load_state_dict(model.state_dict())
        with torch.no_grad():
            for (key, parameter), value in zip(copy.named_parameters(), values):
                parameter.copy_(value)
        scratch = folder / "scratch"
        copy.save_pretrained(scratch)
        from safetensors.torch import load_file
        tensors = load_file(scratch / "model.safetensors")
        for file in scratch.iterdir():
            file.unlink()
        scratch.rmdir()
        return {k: v for k, v in tensors.items() if not k.endswith("e_score_correction_bias")}

    tensors = {"input_ids": ids, "logits": model(ids).logits.detach()}
    loss = loss_of()
    tensors["loss"] = loss.detach().reshape(1)
    parameters = [p for n, p in model.named_parameters() if not n.endswith("e_score_correction_bias")]
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for _, p in model.named_parameters()]
    tensors.update({"grad." + k: v for k, v in named(gradients).items()})
    with torch.no_grad():
        sequence = ids[:1, :8]
        for _ in range(24):
            sequence = torch.cat([sequence, model(sequence).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    tensors["greedy"] = sequence  # 8 ids of the prompt, 24 chosen ones
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = loss_of()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    tensors["adamw.loss"] = torch.tensor(losses)
    tensors.update({"adamw." + k: v for k, v in named([p.detach() for _, p in model.named_parameters()]).items()})
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")
    summary = {"case": name, "seed": seed, "loss": tensors["loss"].item(), "adamw_loss": losses, "greedy": tensors["greedy"][0].tolist(), "prompt": 8}
    (folder / "golden.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(name, "loss", summary["loss"], "adamw", losses[0], "→", losses[-1])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for case in sys.argv[2:] or CASES:
        make(case, sys.argv[1])
