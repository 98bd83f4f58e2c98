#!/usr/bin/env python3
"""serve_abuse_test.py SECONDS [MODEL]: several clients at once, each in turn well-behaved, malformed, half-heard or gone in the middle, at random,
while the engine is killed now and then. The server must live, keep answering rightly, leak nothing and, built with sanitizers, have nothing
found: GODWIT=build/asan/godwit, with a MODEL that another build made."""
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time

import common
import serving
from serve_malformed_test import CHAT, COMPLETIONS, CONTEXT, HELLO, bodies, check_error, raw_requests, send_raw
from serving import Server

CLIENTS = 8
ANSWERED = {"prompt": [5, 9, 200], "max_tokens": 8, "temperature": 0, "ignore_eos": True, "return_token_ids": True}


class Abuse:
    def __init__(self, server, end):
        self.server, self.end = server, end
        self.bodies = [(path, body if isinstance(body, bytes) else json.dumps(body).encode(), param) for path, body, param in bodies()]
        self.raw = list(raw_requests())
        self.expected = server.ask(COMPLETIONS, ANSWERED)["choices"][0]["token_ids"]
        self.counts, self.failures, self.lock = {}, [], threading.Lock()

    def malformed(self, rng):
        path, body, param = rng.choice(self.bodies)
        status, _, text = self.server.request("POST", path, body)
        check_error(f"{path} {body[:200]}", status, text, param)

    def not_http(self, rng):
        what, data = rng.choice(self.raw)
        status, text = send_raw(self.server, data)
        check_error(what, status, text, None)

    def damaged(self, rng):
        """A good request with bytes changed: whatever comes back, it is an answer or an error of the client's."""
        data = bytearray(json.dumps({"messages": HELLO, "max_tokens": 4, "temperature": 0.5, "stop": ["x"], "stream": False}).encode())
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        status, _, text = self.server.request("POST", CHAT, bytes(data))
        assert status == 200 or 400 <= status < 500 or status == 503, (status, text[:300])

    def answered(self, rng):
        status, _, text = self.server.request("POST", COMPLETIONS, json.dumps({**ANSWERED, "user": str(rng.randrange(4))}).encode())
        if status in (429, 503):
            return
        assert status == 200, (status, text[:300])
        assert json.loads(text)["choices"][0]["token_ids"] == self.expected, text[:300]

    def options(self, rng):
        """Everything a request may have, at random."""
        body = {"messages": serving.user("x" * rng.randrange(1, 300)), "max_tokens": rng.randrange(1, 30), "n": rng.randrange(1, 4), "seed": rng.randrange(1 << 63),
                "temperature": rng.random() * 2, "top_p": rng.random() * 0.9 + 0.1, "top_k": rng.randrange(50), "min_p": rng.random(),
                "logprobs": True, "top_logprobs": rng.randrange(20), "frequency_penalty": rng.random(), "stream": rng.random() < 0.5,
                "thinking": {"type": rng.choice(["enabled", "disabled"])}, "response_format": {"type": rng.choice(["text", "json_object"])}}
        status, _, text = self.server.request("POST", CHAT, json.dumps(body).encode())
        assert status in (200, 429, 503), (status, text[:300])

    def leaves(self, rng):
        """Goes in the middle of its answer, or of its request."""
        body = json.dumps({**ANSWERED, "max_tokens": 500, "stream": True}).encode()
        head = f"POST {COMPLETIONS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with self.server.connect(timeout=30) as connection:
            whole = head + body
            connection.sendall(whole[:rng.randrange(1, len(whole) + 1)])
            if rng.random() < 0.5:
                connection.settimeout(0.2)
                try:
                    connection.recv(rng.randrange(1, 4000))
                except OSError:
                    pass

    def kills_engine(self, rng):
        pid = self.server.engine_pid()
        if pid and rng.random() < 0.05:
            os.kill(pid, signal.SIGKILL)

    def client(self, seed):
        rng = random.Random(seed)
        acts = [self.malformed, self.not_http, self.damaged, self.answered, self.options, self.leaves]
        while time.monotonic() < self.end and not self.failures:
            act = rng.choice(acts + ([self.kills_engine] if seed == 0 else []))
            try:
                act(rng)
            except Exception as error:  # noqa: BLE001: the first one ends the test, whichever thread had it
                self.failures.append(f"{act.__name__}: {type(error).__name__}: {error}")
                return
            with self.lock:
                self.counts[act.__name__] = self.counts.get(act.__name__, 0) + 1


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    scratch = common.Scratch()
    model = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else serving.small_model(scratch)
    with Server(model, "--context", CONTEXT, "--streams", 4) as server:
        abuse = Abuse(server, time.monotonic() + seconds)
        threads = [threading.Thread(target=abuse.client, args=(seed,)) for seed in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not abuse.failures, abuse.failures
        server.wait_until(lambda metrics: metrics["godwit_requests_live"] == 0, 60, "requests of clients that have gone")
        metrics = server.metrics()
        assert metrics["godwit_cache_pages_used"] == 0, metrics["godwit_cache_pages_used"]
        assert server.ask(COMPLETIONS, ANSWERED)["choices"][0]["token_ids"] == abuse.expected
    assert server.process.returncode == 0, server.process.returncode
    found = [line for line in server.stderr().splitlines() if "Sanitizer" in line or "runtime error" in line]
    assert not found, found
    print(f"{sum(abuse.counts.values())} requests in {seconds} s ({', '.join(f'{name} {count}' for name, count in sorted(abuse.counts.items()))}), "
          f"{int(metrics['godwit_engine_failures_total'])} engines lost")


if __name__ == "__main__":
    main()
