#!/usr/bin/env python3
"""Memory that creeps, places that are not given back, tokens that no text is made of.

serve_soak_test.py [REQUESTS]    by hand: 10000"""
import asyncio
import json
import random
import sys
import time

import common
import serving
from serving import Server, user

AT_ONCE = 16
GROWTH_MIB_MAX = 16


def request_of(rng):
    """A mixture of all that is asked of a server, refusals among them."""
    kind = rng.randrange(10)
    path = "/v1/completions"
    body = {"prompt": [rng.randrange(3, 259) for _ in range(rng.randrange(1, 60))], "max_tokens": rng.randrange(1, 8), "ignore_eos": True}
    if kind < 3:
        path, body = "/v1/chat/completions", {"messages": user("x" * rng.randrange(1, 40)), "max_tokens": rng.randrange(1, 8), "n": rng.randrange(1, 3)}
    elif kind == 3:
        body["logprobs"] = 5
    elif kind == 4:
        body["temperature"] = -1  # refused
    elif kind == 5:
        body["max_tokens"] = 100  # and its client leaves
    body["stream"] = rng.random() < 0.5
    return path, body


async def ask(port, rng):
    path, body = request_of(rng)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps(body).encode()
    writer.write(b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(data), data))
    if body["max_tokens"] == 100:
        await reader.read(100)
        writer.close()
        return
    text = await reader.read()
    writer.close()
    wanted = b"HTTP/1.1 400" if body.get("temperature") == -1 else b"HTTP/1.1 200"
    assert text.startswith(wanted), text[:500]
    if wanted.endswith(b"200") and body["stream"]:
        assert text.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), text[-300:]
    text.decode("utf-8")  # whatever ids were sampled, what is sent is text


async def load(port, count, seed):
    rng = random.Random(seed)
    left = count

    async def client():
        nonlocal left
        while left > 0:
            left -= 1
            await ask(port, rng)

    await asyncio.gather(*[client() for _ in range(AT_ONCE)])


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    scratch = common.Scratch()
    with Server(serving.small_model(scratch), "--context", 256, "--streams", AT_ONCE) as server:
        asyncio.run(load(server.port, max(200, count // 10), 1))  # what is allocated once has been
        engine = server.engine_pid()
        before = server.resident_bytes(), server.resident_bytes(engine)
        begin = time.time()
        asyncio.run(load(server.port, count, 2))
        seconds = time.time() - begin
        server.wait_until(lambda m: m["godwit_requests_live"] == 0, 5, "requests are left over")
        assert server.engine_pid() == engine, "the engine was begun anew"
        grown = [(after - was) / 2**20 for was, after in zip(before, (server.resident_bytes(), server.resident_bytes(engine)))]
        assert max(grown) < GROWTH_MIB_MAX, f"{count} requests: server and engine grew by {grown} MiB"
        assert server.metrics()["godwit_cache_pages_used"] == 0
    print(f"{count} requests in {seconds:.0f} s: the server grew by {grown[0]:.1f} MiB, the engine by {grown[1]:.1f} MiB")


if __name__ == "__main__":
    main()
