"""What the tests of `godwit serve` share: a small model, the server as a user runs it, plain HTTP and server-sent events."""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

import common


def small_model(scratch, steps=2):
    """A Hugging Face directory with nearly random weights and byte tokens: what it writes is seldom UTF-8."""
    run, model = scratch.path / "run", scratch.path / "bird"
    common.train(scratch.config(steps=steps), run)
    common.run("export", run, "--to", model)
    return model


class Server:
    """`godwit serve MODEL …` until the with-block ends; the port is the system's choice."""

    def __init__(self, model, *args, wait=True, tls=False):
        self.said = tempfile.TemporaryFile("w+")
        command = [common.GODWIT, "serve", str(model), "--port", "0", *map(str, args)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.said, text=True)
        self.tls = tls
        self.port = None
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout=120):
        line = self.process.stdout.readline()
        match = re.search(r"at https?://.*:(\d+)$", line.strip())
        assert match, f"the server said {line!r}\n{self.stderr()}"
        self.port = int(match[1])
        self.example = self.process.stdout.readline().strip()
        return self

    def listening_port(self, timeout=60):
        """The port before the model is loaded."""
        end = time.time() + timeout
        while time.time() < end:
            match = re.search(r"https?://[^ ]*:(\d+)/health", self.stderr())
            if match:
                self.port = int(match[1])
                return self.port
            time.sleep(0.01)
        raise AssertionError("the server does not say where it listens: " + self.stderr())

    def stderr(self):
        self.said.seek(0)
        return self.said.read()

    def __enter__(self):
        return self

    def __exit__(self, *failed):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        if failed[0] is not None:
            print(self.stderr()[-4000:])
        self.process.stdout.close()

    def engine_pid(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def resident_bytes(self, pid=None):
        pages = int(pathlib.Path(f"/proc/{pid or self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def connect(self, timeout=120):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=300):
        """(status, headers, body as bytes); a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def ask(self, path, body, expect=200, headers=None, method=None):
        status, _, text = self.request(method or ("GET" if body is None else "POST"), path, body, headers)
        assert status == expect, f"{path} {body}: {status} {text[:2000]}"
        return json.loads(text)

    def stream(self, path, body, headers=None):
        """The JSON events of a stream, which must end with [DONE]."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request("POST", path, json.dumps({**body, "stream": True}), {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            if response.status != 200:
                raise AssertionError(f"{path} {body}: {response.status} {response.read()[:2000]}")
            yield from events(response)
        finally:
            connection.close()

    def metrics(self):
        text = self.request("GET", "/metrics")[2].decode()
        return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, re.M) if not name.startswith("#")}

    def wait_until(self, condition, seconds, what):
        end = time.time() + seconds
        while not condition(self.metrics()):
            assert time.time() < end, f"{what}: not within {seconds} s; {self.metrics()}"
            time.sleep(0.02)


def events(response):
    done = False
    for line in response:
        line = line.rstrip(b"\n")
        if line.startswith(b"data: "):
            assert not done, "something follows [DONE]"
            if line == b"data: [DONE]":
                done = True
            else:
                yield json.loads(line[6:].decode("utf-8"))
        else:
            assert line == b"" or line.startswith(b":"), f"no line of server-sent events: {line!r}"
    assert done, "the stream ended without [DONE]"


def user(text):
    return [{"role": "user", "content": text}]


def ids_of(chunks, index=0):
    ids = []
    for chunk in chunks:
        assert "error" not in chunk, chunk
        for choice in chunk["choices"]:
            if choice["index"] == index:
                ids += choice.get("token_ids", [])
    return ids
