#!/usr/bin/env python3
"""A run could become another one on OpenCL, a step computed there could not be audited by the CPU, or an answer could depend on who gives it."""
from common import Scratch, assert_undisturbed, digest, run, train


def main():
    scratch = Scratch()
    steps = 6
    any_device = ["--set", "guard.admit=any"]  # who may compute is admission_test.py's
    for dtype in ("f32", "bf16"):
        config = scratch.config(f"{dtype}.toml", steps=steps, dtype=dtype)
        ends = {}
        for backend in ("cpu", "opencl"):
            directory = scratch.path / f"{dtype}-{backend}"
            train(config, directory, "--backend", backend, *any_device)
            assert_undisturbed(directory)
            ends[backend] = directory
        assert digest(ends["cpu"]) == digest(ends["opencl"]), f"{dtype}: another run on OpenCL"
        run("audit", ends["opencl"], "--step", steps)
        print(f"{dtype}: {steps} steps on OpenCL end in the CPU's digest, and the CPU audits one")

        # Begun on one, gone on with on the other.
        moved = scratch.path / f"{dtype}-moved"
        train(config, moved, "--backend", "opencl", "--set", "run.steps=3", *any_device, "--set", f"optimizer.schedule_steps={steps}")
        train(config, moved, "--backend", "cpu", "--set", f"optimizer.schedule_steps={steps}")
        assert digest(moved) == digest(ends["cpu"]), f"{dtype}: gone on with on the CPU, it is another run"

        for decode in ("expanded", "absorbed"):
            words = ["--prompt", "Godwit flies", "--decode", decode, "--max-tokens", 8, "--temperature", 1, "--seed", 3, "--json", "--logprobs"]
            answers = [run("generate", ends["cpu"], "--backend", backend, *words)[0] for backend in ends]
            assert answers[0] == answers[1], f"{dtype} {decode}: {answers}"
        print(f"{dtype}: a run is moved, and answers are the same")
    print("ok")


if __name__ == "__main__":
    main()
