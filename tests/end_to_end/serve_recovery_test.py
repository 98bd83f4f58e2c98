#!/usr/bin/env python3
"""The engine's process is killed, stopped or never comes up in the middle of answers: they go on bit for bit as undisturbed, or end with an
error that says so, and the server lives."""
import json
import os
import signal
import threading
import time

import common
import serving
from serving import Server, user

STREAMS = 8
TOKENS = 400


def body(i):
    return {"messages": user(f"Question {i}"), "max_tokens": TOKENS, "seed": 100 + i, "ignore_eos": True, "return_token_ids": True,
            "frequency_penalty": 0.1 * (i % 3), "logprobs": True, "thinking": {"type": "disabled" if i % 2 else "enabled"}}


def told(chunks):
    """Everything a client hears of an answer but its name and hour."""
    return [(c["delta"], c.get("token_ids"), c["logprobs"], c["finish_reason"]) for chunk in chunks for c in chunk["choices"]]


class Streams:
    def __init__(self, server):
        self.answers = [[] for _ in range(STREAMS)]
        self.failures = []
        self.threads = [threading.Thread(target=self.read, args=(server, i)) for i in range(STREAMS)]
        for thread in self.threads:
            thread.start()

    def read(self, server, i):
        try:
            for chunk in server.stream("/v1/chat/completions", body(i)):
                self.answers[i].append(chunk)
        except Exception as error:  # told by whoever joins
            self.failures.append(error)

    def wait_tokens(self, least):
        while min(len(answer) for answer in self.answers) < least:
            assert not self.failures, self.failures
            time.sleep(0.005)

    def join(self):
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures
        return [told(answer) for answer in self.answers]


def disturbed(server, undisturbed, strike, what):
    failures = server.metrics()["godwit_engine_failures_total"]
    streams = Streams(server)
    streams.wait_tokens(20)
    before = server.engine_pid()
    strike(before)
    got = streams.join()
    assert server.engine_pid() != before and server.metrics()["godwit_engine_failures_total"] > failures, f"{what}: nothing was struck"
    for i in range(STREAMS):
        assert got[i] == undisturbed[i], f"{what}: stream {i} is not what it was undisturbed"


def given_up(server):
    """A process that dies again and again ends the answers, not the server."""
    streams = Streams(server)
    streams.wait_tokens(5)
    end = time.time() + 60
    last = None
    while any(thread.is_alive() for thread in streams.threads):
        assert time.time() < end, "the answers neither go on nor end"
        pid = server.engine_pid()
        if pid and pid != last:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            last = pid
        time.sleep(0.001)
    for answer in streams.answers:
        assert answer[-1]["error"]["code"] == "engine_failed", answer[-1]
    server.wait_until(lambda m: m["godwit_engine_ready"] == 1, 60, "the engine does not come back")
    assert server.ask("/v1/completions", {"prompt": "x", "max_tokens": 2})["usage"]["completion_tokens"] == 2


def confined(server):
    """The engine's process can neither reach a network nor write a file, and goes with the server."""
    status = open(f"/proc/{server.engine_pid()}/status").read()
    print("engine:", ", ".join(line.replace("\t", " ") for line in status.split("\n") if line.startswith(("Seccomp:", "NoNewPrivs"))))
    links = {os.readlink(f"/proc/{server.engine_pid()}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{server.engine_pid()}/fd")}
    sockets = [fd for fd in os.listdir(f"/proc/{server.engine_pid()}/fd") if os.readlink(f"/proc/{server.engine_pid()}/fd/{fd}").startswith("socket")]
    assert len(sockets) == 1, f"the engine holds {links}"


def main():
    scratch = common.Scratch()
    model = serving.small_model(scratch)
    with Server(model, "--context", 512, "--streams", STREAMS, "--threads", 1) as server:
        confined(server)
        undisturbed = Streams(server).join()
        disturbed(server, undisturbed, lambda pid: os.kill(pid, signal.SIGKILL), "kill -9")
        disturbed(server, undisturbed, lambda pid: os.kill(pid, signal.SIGSEGV), "a crash")
        disturbed(server, undisturbed, lambda pid: os.kill(pid, signal.SIGSTOP), "a hang")
        given_up(server)
        engine = server.engine_pid()
        server.process.kill()
        server.process.wait()
        end = time.time() + 10
        while os.path.exists(f"/proc/{engine}") and time.time() < end:
            time.sleep(0.05)
        assert not os.path.exists(f"/proc/{engine}") or "Z" in open(f"/proc/{engine}/stat").read().rsplit(")", 1)[1][:3], "the engine outlives the server"
    print("answers go on where a dead engine left them, bit for bit")


if __name__ == "__main__":
    main()
