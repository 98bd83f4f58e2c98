#!/usr/bin/env python3
"""Out and in again: an exported model could differ from the run's, and a fine-tuned one from what it began with."""
import json
import pathlib

from common import Scratch, digest, run, train


def main():
    scratch = Scratch()
    config = scratch.config(steps=20, model="num_nextn_predict_layers = 1", optimizer="mtp_loss = 0.3\nbalance_loss = 1e-4")
    first = scratch.path / "first"
    train(config, first)
    metrics = [json.loads(line) for line in (first / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in metrics] == list(range(1, 21))
    assert all(m["mtp_loss"] > 0 and len(m["expert_load"]) == 4 for m in metrics), metrics[0]
    assert "validation_loss" in metrics[-1] and metrics[-1]["loss"] < metrics[0]["loss"]

    plain, with_mtp = scratch.path / "plain", scratch.path / "with-mtp"
    run("export", first, "--to", plain)
    run("export", first, "--to", with_mtp, "--with-mtp")
    again = scratch.path / "again"
    run("export", plain, "--to", again)
    assert digest(plain) == digest(again), "export of an import differs"
    assert json.loads((plain / "config.json").read_text())["num_nextn_predict_layers"] == 0
    assert json.loads((with_mtp / "config.json").read_text())["num_nextn_predict_layers"] == 1
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json", "model.safetensors"):
        assert (plain / name).exists(), name
    small = scratch.path / "bf16"
    run("export", first, "--to", small, "--dtype", "bf16")
    assert (small / "model.safetensors").stat().st_size < 0.6 * (plain / "model.safetensors").stat().st_size

    # The same model by both ways says the same, to the bit; best and step names open.
    prompts = ["--prompt", "Godwit flies", "--prompt", "over the open", "--max-tokens", "20", "--temperature", "0.8", "--seed", "5", "--json", "--logprobs"]
    from_run = json.loads(run("generate", first, *prompts)[0])
    from_files = json.loads(run("generate", plain, *prompts)[0])
    assert from_run == from_files, "a run and its export generate differently"
    alone = json.loads(run("generate", plain, "--prompt", "over the open", *prompts[4:])[0])
    assert alone == from_files[1] or alone == [from_files[1]], "an answer depends on its batch"
    for name in (f"{first}@20", f"{first}@best", first):
        run("eval", name, "--text", scratch.text)

    # Fine-tuning from files: step 0 is the export.
    tuned = scratch.path / "tuned"
    text = config.read_text().replace('preset = "nano"\nnum_nextn_predict_layers = 1', f'init = "{with_mtp}"').replace("steps = 20", "steps = 4")
    tuning = scratch.path / "tune.toml"
    tuning.write_text(text)
    train(tuning, tuned)
    out = scratch.path / "tuned-0"
    run("export", f"{tuned}@0", "--to", out, "--with-mtp", expect=0)
    assert digest(out) == digest(with_mtp), "fine-tuning did not begin with the given weights"
    again = scratch.path / "tuned-again"
    train(tuned / "config.toml", again)
    assert digest(again) == digest(tuned), "a run's config.toml makes another run than its own config did"
    print("ok")


if __name__ == "__main__":
    main()
