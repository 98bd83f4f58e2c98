#!/usr/bin/env python3
"""Clients that are slow, leave, or never finish a sentence, by the thousand: nobody else may notice, nothing may pile up.

serve_connections_test.py [STREAMS HALF_SENT]"""
import asyncio
import http.client
import json
import resource
import socket
import sys
import time

import common
import serving
from serving import Server, user

BODY_MIB_MAX = 64


def half_sent(server, count):
    """Requests whose end never comes. Everybody else is answered as ever, and they are dropped in time."""
    held = [server.connect() for _ in range(count)]
    for i, connection in enumerate(held):
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" if i % 2 else
                           b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
    slowest = 0
    for _ in range(30):
        begin = time.perf_counter()
        assert server.request("GET", "/health", timeout=10)[0] == 200
        slowest = max(slowest, time.perf_counter() - begin)
    assert slowest < 0.1, f"/health took {slowest * 1000:.0f} ms beside {count} half-sent requests"
    # Those without their headers are told so and dropped first.
    held[1].settimeout(30)
    answer = held[1].recv(1000)
    assert answer.startswith(b"HTTP/1.1 408"), answer
    for connection in held:
        connection.close()
    return slowest


def one_connection(server):
    """Request after request over one connection, also sent together, and in pieces of one byte."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for i in range(20):
        connection.request("POST", "/tokenize", json.dumps({"content": "x" * (i * 3000)}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200 and json.loads(response.read())["count"] == i * 3000
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b'{"status":"ok"}'
    connection.close()
    one = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.connect(timeout=30) as together:
        together.sendall(one * 50 + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b""
        while piece := together.recv(65536):
            answers += piece
        assert answers.count(b'{"status":"ok"}') == 51, answers[-1000:]
    with server.connect(timeout=30) as pieces:
        for byte in one[:-1]:
            pieces.sendall(bytes([byte]))
        pieces.sendall(one[-1:])
        assert pieces.recv(1000).startswith(b"HTTP/1.1 200")
    with server.connect(timeout=30) as old:
        data = json.dumps({"prompt": "x", "max_tokens": 3, "stream": True}).encode()
        old.sendall(b"POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
        answer = b""
        while piece := old.recv(65536):
            answer += piece
        assert answer.endswith(b"data: [DONE]\n\n") and b"chunked" not in answer, answer
    with server.connect(timeout=30) as asking:
        data = json.dumps({"content": "x"}).encode()
        asking.sendall(b"POST /tokenize HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data))
        assert asking.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        asking.sendall(data)
        assert asking.recv(1000).startswith(b"HTTP/1.1 200")


async def read_stream(port, body, slowly):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    data = json.dumps(body).encode()
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
    text = b""
    try:
        while piece := await reader.read(1024):
            text += piece
            if slowly:
                await asyncio.sleep(0.05)
    finally:
        writer.close()
    assert text.startswith(b"HTTP/1.1 200"), text[:300]
    assert text.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), f"a stream was cut: …{text[-200:]!r}"
    tokens = text.count(b'"token_ids":[')
    assert tokens == body["max_tokens"], f"{tokens} tokens came"


def many_streams(server, count, tokens, before):
    """All open at once, each read slowly; most wait in the queue for long. `before`: what the server held when it was new."""
    peak = [0]

    async def watch():
        while True:
            peak[0] = max(peak[0], server.resident_bytes())
            await asyncio.sleep(0.2)

    async def run():
        watcher = asyncio.create_task(watch())
        jobs = [read_stream(server.port, {"prompt": [5, 6, 7 + i % 200], "max_tokens": tokens, "stream": True, "ignore_eos": True,
                                          "return_token_ids": True}, True) for i in range(count)]
        await asyncio.gather(*jobs)
        watcher.cancel()

    begin = time.time()
    asyncio.run(run())
    grown = (peak[0] - before) / 2**20
    assert grown < BODY_MIB_MAX, f"{count} streams took {grown:.0f} MiB"
    return grown, time.time() - begin


def client_gone(server):
    """A place is free again within a second, streamed or not, whether the client closes or resets."""
    for stream in (True, False):
        for reset in (True, False):
            connection = server.connect()
            data = json.dumps({"prompt": "x", "max_tokens": 3000, "ignore_eos": True, "stream": stream}).encode()
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
            server.wait_until(lambda m: m["godwit_requests_running"] == 1, 20, "the answer has not begun")
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            connection.close()
            server.wait_until(lambda m: m["godwit_requests_live"] == 0, 1, f"the client left (stream {stream}, reset {reset}), its request did not")


def client_that_does_not_read(server):
    """What it does not take piles up to a bound, then it counts as gone. Log-probabilities make much of little."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    data = json.dumps({"prompt": "x", "max_tokens": 3500, "ignore_eos": True, "stream": True, "logprobs": 20}).encode()
    connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
    server.wait_until(lambda m: m["godwit_slow_readers_total"] == 1, 120, "a client that does not read is kept")
    server.wait_until(lambda m: m["godwit_requests_live"] == 0, 1, "and its request goes on")
    connection.close()


def full_queue(model):
    """Beyond the queue: 429 and when to come again; what is queued is answered."""
    long = 40  # answers before the last one, far more than are given before it is told that it waits
    with Server(model, "--context", 4096, "--streams", 1, "--max-queue", long) as server:
        held = []
        for tokens in [4000] * long + [1]:
            connection = server.connect()
            data = json.dumps({"prompt": "x", "max_tokens": tokens, "ignore_eos": True, "stream": True}).encode()
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
            held.append(connection)
            server.wait_until(lambda m: m["godwit_requests_live"] == len(held), 10, "a request is not queued")
        status, headers, text = server.request("POST", "/v1/completions", {"prompt": "x", "max_tokens": 1})
        assert status == 429 and int(headers["Retry-After"]) >= 1 and json.loads(text)["error"]["code"] == "queue_full", (status, headers, text)
        # While it waits it is told that it is not forgotten.
        said = b""
        while b": keep-alive" not in said:
            piece = held[-1].recv(4096)
            assert piece and b"[DONE]" not in piece, "it was answered before it had waited"
            said += piece
        for connection in held:
            connection.close()


def stopping(model):
    """SIGTERM: what is under way may finish; what takes too long ends with an error and [DONE]."""
    with Server(model, "--context", 4096, "--streams", 2, "--stop-seconds", 60) as server:
        stream = server.stream("/v1/completions", {"prompt": "x", "max_tokens": 100, "ignore_eos": True, "return_token_ids": True})
        got = [next(stream)]
        server.process.terminate()
        got += list(stream)
        assert len(serving.ids_of(got)) == 100
        assert server.process.wait(30) == 0
    with Server(model, "--context", 4096, "--streams", 2, "--stop-seconds", 0) as server:
        stream = server.stream("/v1/completions", {"prompt": "x", "max_tokens": 4000, "ignore_eos": True})
        next(stream)
        server.process.terminate()
        last = list(stream)[-1]
        assert last["error"]["code"] == "stopping", last
        assert server.process.wait(30) == 0


def main():
    streams, half = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) == 3 else (2000, 1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    scratch = common.Scratch()
    model = serving.small_model(scratch)
    with Server(model, "--context", 4096, "--streams", 64, "--cache-memory", 64, "--max-queue", streams) as server:
        new = server.resident_bytes()
        one_connection(server)
        client_gone(server)
        client_that_does_not_read(server)
        slowest = half_sent(server, half)
        grown, seconds = many_streams(server, streams, 8, new)
        assert server.metrics()["godwit_engine_failures_total"] == 0
    full_queue(model)
    stopping(model)
    print(f"/health within {slowest * 1000:.1f} ms beside {half} half-sent requests; {streams} slow streams in {seconds:.0f} s, none lost, {grown:.1f} MiB")


if __name__ == "__main__":
    main()
