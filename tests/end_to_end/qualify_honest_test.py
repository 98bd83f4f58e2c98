#!/usr/bin/env python3
"""An honest device could be refused now and then.

    qualify_honest_test.py COUNT [--full] [BACKEND…]     so many qualifications of nano and micro, in f32 and bf16, in turns
"""
import json
import os
import sys
import time

from common import Scratch, run


def main():
    words = sys.argv[1:]
    full = "--full" in words
    count, *backends = [word for word in words if word != "--full"]
    scratch = Scratch()
    env = {**os.environ, "GODWIT_STATE_DIR": str(scratch.path / "state")}
    kinds = [(preset, dtype, backend) for preset in ("nano", "micro") for dtype in ("f32", "bf16") for backend in backends or ["cpu"]]
    configs = {(p, d): scratch.config(f"{p}-{d}.toml", steps=4, dtype=d, preset=p) for p in ("nano", "micro") for d in ("f32", "bf16")}
    seconds, refused, compared = [], [], 0
    for number in range(int(count)):
        preset, dtype, backend = kinds[number % len(kinds)]
        begin = time.monotonic()
        try:
            out, _ = run("qualify", configs[preset, dtype], "--backend", backend, "--json", "--quiet", *([] if full else ["--short"]), env=env)
            compared += json.loads(out)["compared"]
        except AssertionError as error:
            refused.append(f"{preset} {dtype} {backend}: {error}")
        seconds.append(time.monotonic() - begin)
    seconds.sort()
    print(f"{count} {'full' if full else 'short'} qualifications, {len(refused)} refused; {compared} results compared; "
          f"{seconds[len(seconds) // 2]:.1f} s each (median), {seconds[-1]:.1f} s the longest")
    assert not refused, "\n".join(refused)
    print("ok")


if __name__ == "__main__":
    main()
