#!/usr/bin/env python3
"""Requests that no server should take: every one gets a 4xx in OpenAI's form that names what is wrong; none crashes it, stops it, or is
half-heard. Whatever is refused here was taken in silence, answered with a 500 or fatal somewhere (SERVING.md, 1.6)."""
import json
import socket

import common
import serving
from serving import Server, user

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
HELLO = user("hi")
CONTEXT = 1024


def deep(levels, inner="1"):
    return '{"a":' * levels + inner + "}" * levels


def schema_format(schema):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}


def bodies():
    """(path, body as bytes or JSON, the parameter that must be named, or None where the body is no request at all)"""
    # ---- not JSON, or not JSON that two readers read alike ----
    for text in [b"", b" ", b"{", b"}", b"[", b"{]", b'{"messages"', b'{"messages": }', b'{"messages": [}', b"nul", b"truth", b'"text', b"'single'",
                 b'{"n": 1,}', b'{,"n": 1}', b'{"n" 1}', b'{"n": 01}', b'{"n": +1}', b'{"n": .5}', b'{"n": 1.}', b'{"n": 0x10}', b'{"n": 1e}',
                 b'{"temperature": NaN}', b'{"temperature": Infinity}', b'{"temperature": -Infinity}', b'{"temperature": 1e999}',
                 b'{"user": "\xff"}', b'{"user": "\xc0\xaf"}', b'{"user": "\xed\xa0\x80"}', b'{"user": "\\ud800"}', b'{"user": "\\udc00\\ud800"}',
                 b'{"user": "\\u12"}', b'{"user": "\\x41"}', b'{"user": "a\nb"}', b'{"user": "\x00"}', b'{"n": 1} {"n": 2}', b'{"n": 1} x', b"\xef\xbb\xbf{}",
                 b'{"n": 1, "n": 1}', b'{"messages": [], "messages": [{}]}', b"/* */ {}", b"\x00\x01\x02\x03", b"\x1f\x8b\x08\x00", b"<xml/>", b"a=b&c=d",
                 deep(65).encode(), deep(20000).encode(), b"[" * 100000, b'{"messages":' * 5000]:
        yield CHAT, text, None
    for value in [[], 3, "text", None, True, [HELLO]]:
        yield CHAT, value, None
        yield COMPLETIONS, value, None

    # ---- parameters of both, one at a time ----
    wrong = {
        "temperature": [-1, -0.0001, 2.1, 1e300, 1e-200, "1", [], {}, True],
        "top_p": [-0.1, 1.1, 7, "x", []],
        "top_k": [-2, 1.5, "x", 1e30, []],
        "min_p": [-0.1, 1.01, "x"],
        "frequency_penalty": [-2.1, 2.1, 1e300, "x"],
        "presence_penalty": [-2.1, 2.1, "x", {}],
        "max_tokens": [0, -1, 1.5, "x", 1e30, 10**18, [], CONTEXT],
        "n": [0, -1, 1.5, "2", 65, 10**30, []],
        "seed": [1.5, "x", 1e40, -1e30, []],
        "stop": ["", [""], ["a", 5], 5, {}, ["x"] * 17, "y" * 1025, [["a"]]],
        "stream": ["yes", 1, 0, []],
        "stream_options": [{"include_usage": True}, 5],
        "logit_bias": [[], "x", {"x": 1}, {"-1": 1}, {"5": 101}, {"5": "x"}, {"5": None}, {"05": 1}, {"99999999": 1}, {"5000": 1}, {"1e1": 1}, {"": 1}],
        "user": [5, [], {}],
        "ignore_eos": ["x", 1],
        "return_token_ids": [1],
        "model": ["fish", 5, []],
    }
    for name, values in wrong.items():
        for value in values:
            yield CHAT, {"messages": HELLO, name: value}, name
            if isinstance(value, (str, int)):
                yield COMPLETIONS, {"prompt": "hi", name: value}, name

    # ---- what chat alone has ----
    for value in [None, [], {}, "hi", 5, [5], [None], [[]], ["hi"]]:
        yield CHAT, {"messages": value}, "messages"
    for message in [{}, {"role": "user"}, {"role": "user", "content": None}, {"role": "user", "content": 5}, {"role": "user", "content": {}},
                    {"role": "user", "content": [5]}, {"role": "user", "content": [{}]}, {"role": "user", "content": [{"type": "text"}]},
                    {"role": "user", "content": [{"type": "text", "text": 5}]}, {"role": "user", "content": [{"type": "text", "text": "x", "more": 1}]},
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
                    {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, {"content": "x"}, {"role": 5, "content": "x"},
                    {"role": "robot", "content": "x"}, {"role": "User", "content": "x"}, {"role": "function", "content": "x"},
                    {"role": "user", "content": "x", "name": "me"}, {"role": "user", "content": "x", "mood": "good"},
                    {"role": "user", "content": "x", "reasoning_content": "y"}]:
        yield CHAT, {"messages": [message]}, "messages[0]"
    for history in [HELLO + [{"role": "assistant", "content": "x"}], [{"role": "system", "content": "x"}], [{"role": "assistant", "content": "x"}]]:
        yield CHAT, {"messages": history}, "messages"
    yield CHAT, {"messages": user("x" * 5000)}, "messages"
    yield CHAT, {"messages": HELLO, "max_tokens": 3, "max_completion_tokens": 4}, "max_completion_tokens"
    for value in ["x", 0, 1e30, []]:
        yield CHAT, {"messages": HELLO, "max_completion_tokens": value}, "max_completion_tokens"
    for value in ["x", 1, 5]:
        yield CHAT, {"messages": HELLO, "logprobs": value}, "logprobs"
    for value in [-1, 21, 1000000, "x", 1.5]:
        yield CHAT, {"messages": HELLO, "logprobs": True, "top_logprobs": value}, "top_logprobs"
    yield CHAT, {"messages": HELLO, "top_logprobs": 2}, "top_logprobs"
    for value in [5, "enabled", {}, {"type": "perhaps"}, {"type": 5}, {"type": "enabled", "budget": 5}]:
        yield CHAT, {"messages": HELLO, "thinking": value}, "thinking"
    for value in [5, {"thinking": "yes"}, {"documents": []}]:
        yield CHAT, {"messages": HELLO, "chat_template_kwargs": value}, "chat_template_kwargs"
    for value in [5, "json", {}, {"type": 5}, {"type": "xml"}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": 5},
                  {"type": "json_schema", "json_schema": {"name": "x"}}, {"type": "json_schema", "json_schema": {"schema": "x"}}, {"type": "text", "more": 1}]:
        yield CHAT, {"messages": HELLO, "response_format": value}, "response_format"
    for schema in [{"type": "fish"}, {"type": 5}, {"$ref": "#/nowhere"}, {"$ref": "http://a.example/"}, {"pattern": "("}, {"type": "string", "pattern": "(?=x)"},
                   {"minimum": "x"}, {"enum": []}, {"enum": 5}, {"properties": []}, {"required": "x"}, {"anyOf": []}, {"not": {"type": "null"}},
                   {"type": "integer", "minimum": 5, "maximum": 4}, {"items": 5, "type": "array"}]:
        yield CHAT, {"messages": HELLO, **schema_format(schema)}, "response_format"
    yield CHAT, {"messages": HELLO, "ignore_eos": True, "response_format": {"type": "json_object"}}, "ignore_eos"
    for name, value in {"functions": [{"name": "f"}], "function_call": "auto", "audio": {}, "modalities": ["audio"], "prediction": {}, "store": True,
                        "service_tier": "flex", "reasoning_effort": "high", "verbosity": "low", "web_search_options": {}, "prompt_cache_key": "x",
                        "metadata": {"a": "b"}, "safety_identifier": "x", "tools": [{"type": "fish"}], "tool_choice": "required", "parallel_tool_calls": True, "temprature": 1, "max_token": 5,
                        "grammar": "root ::= x", "guided_json": {}, "": 1, "x" * 10000: 1, "prompt": "x", "echo": True}.items():
        yield CHAT, {"messages": HELLO, name: value}, name[:200]

    named = {"type": "function", "function": {"name": "f"}}
    for value in [5, {}, [5], [{}], [{"type": "function"}], [{"type": "function", "function": {}}], [{"type": "function", "function": {"name": "a b"}}],
                  [{"type": "function", "function": {"name": "x" * 65}}], [{"type": "function", "function": {"name": "f", "parameters": "x"}}], [named, named],
                  [{"type": "function", "function": {"name": "f", "fish": 1}}], [{"type": "retrieval"}]]:
        yield CHAT, {"messages": HELLO, "tools": value}, "tools"
    for value in ["perhaps", 5, {}, {"type": "function"}, {"type": "function", "function": {"name": "g"}}, []]:
        yield CHAT, {"messages": HELLO, "tools": [named], "tool_choice": value}, "tool_choice"
    yield CHAT, {"messages": HELLO, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "fish"}}}], "tool_choice": "required"}, "tools"
    yield CHAT, {"messages": [{"role": "tool", "content": "x"}]}, "messages"
    for calls in [5, [5], [{}], [{"function": {}}], [{"function": {"name": "f", "arguments": 5}}], [{"type": "fish", "function": {"name": "f"}}]]:
        yield CHAT, {"messages": HELLO + [{"role": "assistant", "content": "x", "tool_calls": calls}] + HELLO}, "messages[1]"

    # ---- what completions alone have ----
    for value in [None, [], {}, 5, 1.5, True, [[]], [None], [1, "a"], ["a", 1], [-1], [1.5], [10**12], [99999], [[5], [99999]], [{}], ["a"] * 65, "x" * 5000, [5] * (CONTEXT + 1)]:
        yield COMPLETIONS, {"prompt": value}, "prompt"
    for name, value in {"suffix": "x", "best_of": 5, "echo": 5, "logprobs": 21, "messages": HELLO, "response_format": {"type": "json_object"},
                        "tools": [], "max_completion_tokens": 5, "thinking": {"type": "enabled"}}.items():
        yield COMPLETIONS, {"prompt": "hi", name: value}, name
    yield COMPLETIONS, {"prompt": ["hi"] * 60, "n": 60}, "n"

    # ---- tokens ----
    for value in [{}, {"prompt": 5}, {"prompt": "a", "content": "b"}, {"prompt": None}, {"messages": []}, {"content": {}}]:
        yield "/tokenize", value, "prompt" if "messages" not in value and value.get("content") != {} else None
    for value in [{}, {"tokens": 5}, {"tokens": ["a"]}, {"tokens": [-1]}, {"tokens": [10**12]}, {"tokens": [5000]}, {"tokens": [1.5]}]:
        yield "/detokenize", value, "tokens"
    yield "/tokenize", {"prompt": "a", "add_special_tokens": 5}, "add_special_tokens"
    yield "/tokenize", {"prompt": "a", "fish": 5}, "fish"


def raw_requests():
    """Bytes that are no request of HTTP, or one that two readers cut differently."""
    post = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    body = b'{"prompt":"a"}'
    yield "Content-Length and Transfer-Encoding", post + b"Content-Length: 14\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    yield "Transfer-Encoding and Content-Length", post + b"Transfer-Encoding: chunked\r\nContent-Length: 14\r\n\r\n0\r\n\r\n"
    yield "two lengths", post + b"Content-Length: 14\r\nContent-Length: 15\r\n\r\n" + body
    yield "one length twice", post + b"Content-Length: 14\r\nContent-Length: 14\r\n\r\n" + body
    yield "a list of lengths", post + b"Content-Length: 14, 15\r\n\r\n" + body
    yield "a negative length", post + b"Content-Length: -1\r\n\r\n" + body
    yield "a length in words", post + b"Content-Length: ten\r\n\r\n" + body
    yield "a length beyond 64 bits", post + b"Content-Length: 99999999999999999999999\r\n\r\n" + body
    yield "a length of 8 TB", post + b"Content-Length: 8796093022208\r\n\r\n" + body
    yield "an unknown coding", post + b"Transfer-Encoding: fish\r\n\r\n" + body
    yield "two codings", post + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    yield "chunked twice", post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    yield "a chunk in words", post + b"Transfer-Encoding: chunked\r\n\r\nfish\r\n"
    yield "a negative chunk", post + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"
    yield "a chunk of 2^64", post + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n"
    yield "a chunk longer than itself", post + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"
    yield "a coded body", post + b"Content-Encoding: gzip\r\nContent-Length: 14\r\n\r\n" + body
    yield "no host", b"GET /health HTTP/1.1\r\n\r\n"
    yield "two hosts", b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    yield "HTTP/0.9", b"GET /health\r\n\r\n"
    yield "HTTP/3.0", b"GET /health HTTP/3.0\r\nHost: x\r\n\r\n"
    yield "HTTP/1.7", b"GET /health HTTP/1.7\r\nHost: x\r\n\r\n"
    yield "no target", b"GET  HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "a header without a colon", b"GET /health HTTP/1.1\r\nHost: x\r\nfish\r\n\r\n"
    yield "a blank before the colon", b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n"
    yield "a NUL in a header", b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n"
    yield "a NUL in the target", b"GET /hea\0lth HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "a header of 2 MB", b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 2_000_000 + b"\r\n\r\n"
    yield "10,000 headers", b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n"
    yield "a target of 1 MB", b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "TLS to a plain port", bytes([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]) + b"\x55" * 200
    yield "binary junk", bytes(range(256)) * 8
    yield "a body of 9 MB", post + b"Content-Length: 9437184\r\n\r\n" + b"a" * 100_000


def check_error(what, status, text, param):
    assert 400 <= status < 500, f"{what}: status {status}: {text[:500]}"
    error = json.loads(text)["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"], f"{what}: {error}"
    if param is not None:
        assert (error["param"] or "").startswith(param), f"{what}: {param} is at fault, and {error} names another"


def send_raw(server, data):
    """Status and body of whatever comes back."""
    with server.connect(timeout=30) as connection:
        try:
            connection.sendall(data)
        except OSError:
            pass  # refused before all of it was sent
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head.startswith(b"HTTP/1.1 ") else 0, body


def main():
    scratch = common.Scratch()
    count = 0
    with Server(serving.small_model(scratch), "--context", CONTEXT, "--streams", 4) as server:
        engine = server.engine_pid()
        for path, body, param in bodies():
            status, _, text = server.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())
            check_error(f"{path} {str(body)[:300]}", status, text, param)
            count += 1
        for what, data in raw_requests():
            status, text = send_raw(server, data)
            check_error(what, status, text, None)
            count += 1
        for method, path in [("GET", CHAT), ("PUT", CHAT), ("POST", "/health"), ("GET", "/nothing"), ("POST", "/v1/nothing"), ("GET", "/v1/models/x/y"),
                             ("GET", "/%2e%2e/%2e%2e/etc/passwd"), ("GET", "/..%2fetc/passwd"), ("BREW", "/v1/models"), ("GET", "//"), ("GET", "/v2/models")]:
            status, _, text = server.request(method, path, b"{}")
            check_error(f"{method} {path}", status, text, None)
            count += 1
        # Whatever it was, the server is as it was.
        assert server.engine_pid() == engine, "the engine did not survive it"
        metrics = server.metrics()
        assert metrics["godwit_engine_failures_total"] == 0 and metrics["godwit_requests_live"] == 0
        assert server.ask(CHAT, {"messages": HELLO, "max_tokens": 3})["usage"]["completion_tokens"] == 3
    assert server.process.returncode == 0
    assert count >= 200
    print(f"{count} malformed requests, each refused by name")


if __name__ == "__main__":
    main()
