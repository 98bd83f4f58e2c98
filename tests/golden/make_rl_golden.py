#!/usr/bin/env python3
"""Makes tests/golden/rl with transformers and torch on the CPU: what the loss of GRPO on policy and its gradient are for a small random model.

  pip install torch transformers;  python3 tests/golden/make_rl_golden.py OUT

The loss is −Σ_i Σ_t A_i · ratio_it · norm_it over the completions' tokens, ratio = exp(logp − logp held still): one on policy, so that only its gradient
says anything. Completions are a padded batch with a mask. A is the reward less its group's mean, `standard` also over (torch.std + 1e-4); norm is
1 / (tokens of the batch) (`tokens`, DAPO), 1 / (the completion's length · completions) (`sequence`, GRPO), 1 / (max_tokens · completions) (`constant`,
Dr.GRPO). The folder gets config.json, model.safetensors, roll_outs.json and gradients.safetensors: logprob.I of completion I, and
ADVANTAGE.NORMALISE.PARAMETER.

Off policy there are two more sets of log-probabilities, old.I and reference.I, and four objectives over them: `clip` (PPO's minimum, by tokens), `gspo` (the same by
sequences), `k3` and `unbiased` (divergences from the reference).
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

CONFIG = dict(vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, q_lora_rank=8, kv_lora_rank=8,
              qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8, intermediate_size=24, moe_intermediate_size=8, n_routed_experts=4,
              num_experts_per_tok=2, n_shared_experts=1, n_group=1, topk_group=1, first_k_dense_replace=1, norm_topk_prob=True,
              routed_scaling_factor=1.5, max_position_embeddings=64, num_nextn_predict_layers=0, initializer_range=0.2, bos_token_id=0, eos_token_id=1)
MAX_TOKENS = 12

# Of each prompt its length, and of its group's completions length and reward. The third group agrees: it teaches nothing.
GROUPS = [(5, [(3, 1.0), (12, 0.0), (7, 0.0), (5, 0.5)]),
          (2, [(1, 0.0), (9, 1.0), (12, -1.0), (4, 1.0)]),
          (7, [(6, 0.1), (2, 0.1), (12, 0.1), (8, 0.1)])]


def make_roll_outs():
    group = lambda prompt, of: {"prompt": torch.randint(2, CONFIG["vocab_size"], (prompt,)).tolist(),
                                "completions": [{"ids": torch.randint(1, CONFIG["vocab_size"], (length,)).tolist(), "reward": reward} for length, reward in of]}
    return {"max_tokens": MAX_TOKENS, "groups": [group(prompt, of) for prompt, of in GROUPS]}


def padded(roll_outs):
    """ids [N, L], attention [N, L], mask of the completions' tokens [N, L]; padded on the right."""
    rows = [(g["prompt"], c["ids"]) for g in roll_outs["groups"] for c in g["completions"]]
    longest = max(len(p) + len(c) for p, c in rows)
    ids, attention, mask = (torch.zeros(len(rows), longest, dtype=torch.long) for _ in range(3))
    for i, (prompt, completion) in enumerate(rows):
        ids[i, :len(prompt) + len(completion)] = torch.tensor(prompt + completion)
        attention[i, :len(prompt) + len(completion)] = 1
        mask[i, len(prompt):len(prompt) + len(completion)] = 1
    return ids, attention, mask


def advantages(roll_outs, how):
    rewards = torch.tensor([[c["reward"] for c in g["completions"]] for g in roll_outs["groups"]], dtype=torch.float64)
    away = rewards - rewards.mean(dim=1, keepdim=True)
    away[(rewards == rewards[:, :1]).all(dim=1)] = 0  # the mean of equal rewards is rounded
    return (away if how == "mean" else away / (rewards.std(dim=1, keepdim=True) + 1e-4)).reshape(-1)


def norms(mask, how):
    lengths = mask.sum(dim=1, keepdim=True).double()
    return {"tokens": 1 / lengths.sum() * torch.ones_like(lengths), "sequence": 1 / lengths / len(mask),
            "constant": torch.ones_like(lengths) / MAX_TOKENS / len(mask)}[how]


LOW, HIGH, KL = 0.2, 0.28, 0.3


def off_policy(kind, logp, old, reference, advantage, mask):
    """The losses of every token (completion), already divided by what normalises."""
    lengths = mask.sum(dim=1, keepdim=True).double()
    ratio = torch.exp(logp - old)
    if kind == "gspo":
        ratio = torch.exp(((logp - old) * mask).sum(dim=1, keepdim=True) / lengths)
        surrogate = torch.minimum(ratio * advantage, torch.clamp(ratio, 1 - LOW, 1 + HIGH) * advantage)
        return -surrogate / len(mask)
    k3 = torch.exp(reference - logp) - (reference - logp) - 1
    each = {"clip": lambda: -torch.minimum(ratio * advantage, torch.clamp(ratio, 1 - LOW, 1 + HIGH) * advantage),
            "k3": lambda: -ratio * advantage + KL * k3,
            "unbiased": lambda: -ratio * advantage + KL * ratio * k3}[kind]()
    return each * mask / mask.sum()


def logprobs(model, ids, attention):
    logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1]
    return torch.log_softmax(logits.double(), dim=-1).gather(2, ids[:, 1:, None]).squeeze(2)


def saved(config, model, values, scratch):
    """Values in the place of the model's parameters, under the names of a saved file."""
    copy = DeepseekV3ForCausalLM(config).float()
    copy.load_state_dict(model.state_dict())
    with torch.no_grad():
        for (_, parameter), value in zip(copy.named_parameters(), values):
            parameter.copy_(value)
    copy.save_pretrained(scratch)
    tensors = load_file(scratch / "model.safetensors")
    for file in scratch.iterdir():
        file.unlink()
    scratch.rmdir()
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("e_score_correction_bias")}


def main(out):
    torch.manual_seed(31)
    config = DeepseekV3Config(**CONFIG)
    model = DeepseekV3ForCausalLM(config).float().eval()
    model.set_experts_implementation("eager")
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    roll_outs = make_roll_outs()
    (folder / "roll_outs.json").write_text(json.dumps(roll_outs) + "\n")
    model = model.double()  # the norms, the router and the softmax stay in fp32: transformers casts there
    ids, attention, mask = padded(roll_outs)
    tensors = {}
    with torch.no_grad():
        for i, row in enumerate(logprobs(model, ids, attention)):
            tensors[f"logprob.{i}"] = row[mask[i, 1:].bool()].float()
    for advantage in ("mean", "standard"):
        for normalise in ("tokens", "sequence", "constant"):
            model.zero_grad()
            logp = logprobs(model, ids, attention)
            ratio = torch.exp(logp - logp.detach())
            loss = -(advantages(roll_outs, advantage)[:, None] * ratio * norms(mask, normalise) * mask[:, 1:]).sum()
            loss.backward()
            gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
            for name, tensor in saved(config, model, gradients, folder / "scratch").items():
                tensors[f"{advantage}.{normalise}.{name}"] = tensor.float().contiguous()
            norm = torch.sqrt(sum((g ** 2).sum() for g in gradients)).item()
            print(advantage, normalise, "loss", loss.item(), "norm of the gradient", norm)
    with torch.no_grad():
        logp = logprobs(model, ids, attention)
        old, reference = logp + 0.3 * torch.randn_like(logp), logp + 0.3 * torch.randn_like(logp)
        for name, values in (("old", old), ("reference", reference)):
            values.copy_(values.float())
            for i, row in enumerate(values):
                tensors[f"{name}.{i}"] = row[mask[i, 1:].bool()].float()
    for kind in ("clip", "gspo", "k3", "unbiased"):
        model.zero_grad()
        logp = logprobs(model, ids, attention)
        loss = off_policy(kind, logp, old, reference, advantages(roll_outs, "mean")[:, None], mask[:, 1:]).sum()
        loss.backward()
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
        for name, tensor in saved(config, model, gradients, folder / "scratch").items():
            tensors[f"mean.{kind}.{name}"] = tensor.float().contiguous()
        print(kind, "loss", loss.item())
    save_file(tensors, folder / "gradients.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
