#!/usr/bin/env python3
"""Loads a server of OpenAI's API from a process of its own and prints what its clients feel.

    godwit serve MODEL --port 8080 &
    bench/serve.py --streams 32 --requests 64 --prompt 128 --tokens 64

Prompts are ids, distinct (so no cache helps) unless --shared N gives them a common head of N. Standard library only. Works against
llama-server and vLLM too, where they take prompts of ids (--no-extras leaves out what those may not know)."""
import argparse
import asyncio
import json
import random
import statistics
import sys
import time
import urllib.parse


def percentile(values, share):
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Result:
    def __init__(self):
        self.first, self.gaps, self.whole, self.tokens, self.failures = [], [], [], 0, []


def make_prompts(options):
    rng = random.Random(options.seed)
    shared = [rng.randrange(options.lowest_id, options.highest_id) for _ in range(options.shared)]
    return [shared + [rng.randrange(options.lowest_id, options.highest_id) for _ in range(options.prompt - options.shared)] for _ in range(options.requests)]


async def answer(options, url, prompt, result):
    body = {"prompt": prompt, "max_tokens": options.tokens, "temperature": options.temperature, "stream": True}
    if options.extras:
        body.update({"ignore_eos": True, "return_token_ids": True, "seed": 1})
    data = json.dumps(body).encode()
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=1 << 20)
    key = f"Authorization: Bearer {options.api_key}\r\n" if options.api_key else ""
    writer.write(f"POST /v1/completions HTTP/1.1\r\nHost: {url.netloc}\r\n{key}Connection: close\r\nContent-Type: application/json\r\n"
                 f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
    status = (await reader.readline()).decode()
    last, count, done = None, 0, False
    async for line in reader:
        if line.startswith(b"data: [DONE]"):
            done = True
        elif line.startswith(b'data: {"error"'):
            status = line.decode()
        elif line.startswith(b"data: "):
            choices = json.loads(line[6:])["choices"]
            if not choices or (options.extras and "token_ids" not in choices[0]):
                continue
            now = time.perf_counter()
            if last is None:
                result.first.append(now - begin)
            else:
                result.gaps.append(now - last)
            last = now
            count += len(choices[0].get("token_ids", [0]))
    writer.close()
    if not done:
        return result.failures.append(status.strip())
    result.tokens += count
    result.whole.append(time.perf_counter() - begin)


async def load(options, url, prompts, result):
    waiting = list(prompts)

    async def stream():
        while waiting:
            await answer(options, url, waiting.pop(0), result)

    await asyncio.gather(*[stream() for _ in range(options.streams)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--streams", type=int, default=8, help="requests under way at once")
    parser.add_argument("--requests", type=int, default=0, help="in all; by default twice the streams")
    parser.add_argument("--prompt", type=int, default=128, help="ids of a prompt")
    parser.add_argument("--shared", type=int, default=0, help="of those, the same in all")
    parser.add_argument("--tokens", type=int, default=64, help="new ones")
    parser.add_argument("--temperature", type=float, default=0)
    parser.add_argument("--lowest-id", type=int, default=3)
    parser.add_argument("--highest-id", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1, help="of the prompts")
    parser.add_argument("--no-extras", dest="extras", action="store_false", help="leave out ignore_eos, return_token_ids and seed")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.requests = options.requests or 2 * options.streams
    if options.shared > options.prompt:
        parser.error("--shared is more than --prompt")
    url = urllib.parse.urlsplit(options.url)
    result = Result()
    begin = time.perf_counter()
    asyncio.run(load(options, url, make_prompts(options), result))
    seconds = time.perf_counter() - begin
    figures = {
        "streams": options.streams, "requests": options.requests, "prompt": options.prompt, "shared": options.shared, "tokens": options.tokens,
        "seconds": seconds, "failures": len(result.failures),
        "ttft_p50_s": percentile(result.first, 0.5), "ttft_p95_s": percentile(result.first, 0.95),
        "inter_token_p50_s": percentile(result.gaps, 0.5), "inter_token_p99_s": percentile(result.gaps, 0.99), "inter_token_max_s": max(result.gaps, default=float("nan")),
        "request_mean_s": statistics.fmean(result.whole) if result.whole else float("nan"),
        "tokens_out_per_s": result.tokens / seconds, "tokens_per_s": (result.tokens + len(result.whole) * options.prompt) / seconds,
    }
    if options.json:
        print(json.dumps(figures))
    else:
        print(f"{options.requests} requests, {options.streams} at once, {options.prompt} ids in ({options.shared} shared), {options.tokens} out: {seconds:.2f} s")
        print(f"time to first token  p50 {figures['ttft_p50_s'] * 1e3:.0f} ms, p95 {figures['ttft_p95_s'] * 1e3:.0f} ms")
        print(f"between tokens       p50 {figures['inter_token_p50_s'] * 1e3:.1f} ms, p99 {figures['inter_token_p99_s'] * 1e3:.1f} ms, max {figures['inter_token_max_s'] * 1e3:.0f} ms")
        print(f"tokens/s             {figures['tokens_out_per_s']:.1f} out, {figures['tokens_per_s']:.1f} in and out")
    for failure in result.failures[:5]:
        print("failed:", failure, file=sys.stderr)
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
