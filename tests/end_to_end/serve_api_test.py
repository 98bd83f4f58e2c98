#!/usr/bin/env python3
"""The API as a stranger uses it: answers that are not the engine's, streams that say something else than whole answers, fingerprints that do
not reproduce, doors that are open without a key."""
import json
import os
import shutil
import ssl
import subprocess
import urllib.request

import common
import serving
from serving import Server, user

SEED = 4711


def text_of(chunks):
    content = "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])
    reasoning = "".join(c["delta"].get("reasoning_content") or "" for chunk in chunks for c in chunk["choices"])
    return reasoning, content


def chat(server, model):
    body = {"messages": user("Hello"), "max_tokens": 24, "seed": SEED, "return_token_ids": True}
    whole = server.ask("/v1/chat/completions", body)
    choice = whole["choices"][0]
    assert whole["object"] == "chat.completion" and whole["model"] == "bird" and whole["seed"] == SEED
    assert choice["finish_reason"] == "length" and len(choice["token_ids"]) == 24
    assert choice["message"]["reasoning_content"] and choice["message"]["content"] == ""
    usage = whole["usage"]
    assert usage["completion_tokens"] == 24 == usage["completion_tokens_details"]["reasoning_tokens"]
    assert usage["prompt_tokens"] == usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"] == len(whole["prompt_token_ids"])

    chunks = list(server.stream("/chat/completions", {**body, "stream_options": {"include_usage": True}}))
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 24
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert serving.ids_of(chunks) == choice["token_ids"], "streamed or not, an answer is the same"
    assert text_of(chunks) == (choice["message"]["reasoning_content"], "")
    assert chunks[0]["system_fingerprint"] == whole["system_fingerprint"]

    # The fingerprint says how to make it again.
    profile, dtype, form, digest, seed = whole["system_fingerprint"].rsplit(".", 4)
    assert (profile, form, seed) == ("exact-1", "absorbed", str(SEED)) and digest == common.digest(model)
    made = json.loads(common.run("generate", model, "--prompt", "Hello", "--chat", "--decode", form, "--dtype", dtype, "--seed", seed,
                                 "--temperature", 1, "--max-tokens", 24, "--json")[0])
    assert made[0]["ids"] == choice["token_ids"], "generate gives another answer than the server"

    silent = server.ask("/v1/chat/completions", {**body, "thinking": {"type": "disabled"}, "n": 2})
    assert len(silent["choices"]) == 2 and silent["choices"][0]["token_ids"] != silent["choices"][1]["token_ids"]
    for choice in silent["choices"]:
        assert choice["message"]["reasoning_content"] is None and choice["message"]["content"]
    other = server.ask("/v1/chat/completions", {**body, "thinking": {"type": "disabled"}, "seed": SEED + 1})
    assert other["choices"][0]["token_ids"] == silent["choices"][1]["token_ids"], "choice 1 is drawn with seed + 1"
    drawn = [server.ask("/v1/chat/completions", {"messages": user("Hello"), "max_tokens": 2})["seed"] for _ in range(2)]
    assert drawn[0] != drawn[1]


def completions(server, model):
    ids = [5, 9, 200, 31]
    body = {"prompt": ids, "max_tokens": 10, "seed": SEED, "temperature": 0.9, "top_p": 0.95, "return_token_ids": True, "ignore_eos": True}
    whole = server.ask("/v1/completions", {**body, "logprobs": 3})
    choice = whole["choices"][0]
    rows = model.parent / "rows.json"
    rows.write_text(json.dumps([ids]))
    made = json.loads(common.run("generate", model, "--ids", rows, "--decode", "absorbed", "--seed", SEED, "--temperature", 0.9, "--top-p", 0.95,
                                 "--max-tokens", 10, "--json")[0])
    assert made[0]["ids"] == choice["token_ids"]
    assert made[0]["logprobs"] == choice["logprobs"]["token_logprobs"], "the log-probabilities are the engine's, bit for bit"
    assert len(choice["logprobs"]["tokens"]) == 10 == len(choice["logprobs"]["text_offset"])
    assert all(1 <= len(top) <= 3 for top in choice["logprobs"]["top_logprobs"])

    several = server.ask("/v1/completions", {"prompt": ["one", "two"], "n": 2, "max_tokens": 3, "echo": True, "temperature": 0})
    texts = [c["text"] for c in several["choices"]]
    assert [c["index"] for c in several["choices"]] == [0, 1, 2, 3]
    assert texts[0].startswith("one") and texts[1] == texts[0] and texts[2].startswith("two")
    greedy = "".join(c["text"] for chunk in server.stream("/v1/completions", {"prompt": "one", "max_tokens": 3, "echo": True, "temperature": 0})
                     for c in chunk["choices"])
    assert greedy == texts[0]
    # With log-probabilities the prompt's are told too: those of the tokens it would have been answered with.
    told = server.ask("/v1/completions", {**body, "prompt": ids + choice["token_ids"][:4], "max_tokens": 6, "echo": True, "logprobs": 3})["choices"][0]
    assert told["logprobs"]["token_logprobs"][0] is None and told["logprobs"]["top_logprobs"][0] is None
    assert told["logprobs"]["token_logprobs"][4:8] == choice["logprobs"]["token_logprobs"][:4]
    assert told["logprobs"]["top_logprobs"][4:8] == choice["logprobs"]["top_logprobs"][:4]
    assert len(told["logprobs"]["tokens"]) == 14 == len(set(told["logprobs"]["text_offset"])) and len(told["token_ids"]) == 6
    pieces = [c for chunk in server.stream("/v1/completions", {**body, "prompt": ids + choice["token_ids"][:4], "max_tokens": 6, "echo": True, "logprobs": 3})
              for c in chunk["choices"]]
    for name, values in told["logprobs"].items():
        assert [v for piece in pieces for v in piece["logprobs"][name]] == values, name
    stop = texts[0][4:5]
    if stop and stop != "�":
        cut = server.ask("/v1/completions", {"prompt": "one", "max_tokens": 3, "temperature": 0, "stop": [stop]})["choices"][0]
        assert stop not in cut["text"] and cut["finish_reason"] == "stop", cut
    forced = server.ask("/v1/completions", {"prompt": "one", "max_tokens": 4, "logit_bias": {"100": 100}, "temperature": 0, "return_token_ids": True})
    assert forced["choices"][0]["token_ids"] == [100] * 4


def formats(server):
    """A grammar holds whatever the weights are: random ones write JSON too."""
    schema = {"type": "object", "properties": {"bird": {"enum": ["godwit", "knot"]}, "legs": {"type": "integer", "minimum": 0, "maximum": 9}},
              "required": ["bird", "legs"], "additionalProperties": False}
    for seed in range(3):
        answer = server.ask("/v1/chat/completions", {"messages": user("JSON"), "seed": seed, "max_tokens": 200, "thinking": {"type": "disabled"},
                                                    "response_format": {"type": "json_schema", "json_schema": {"name": "b", "schema": schema}}})
        choice = answer["choices"][0]
        assert choice["finish_reason"] == "stop", choice
        value = json.loads(choice["message"]["content"])
        assert value["bird"] in ("godwit", "knot") and 0 <= value["legs"] <= 9, value


def tools(server):
    """A call that must be made is made, and its arguments fulfil its schema; the same streamed; the conversation goes on with its answer."""
    tool = {"type": "function", "function": {"name": "look_up", "description": "Looks a bird up.", "parameters": {
        "type": "object", "properties": {"bird": {"enum": ["godwit", "knot"]}}, "required": ["bird"], "additionalProperties": False}}}
    body = {"messages": user("Which?"), "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 400, "seed": 5,
            "thinking": {"type": "disabled"}}
    choice = server.ask("/v1/chat/completions", body)["choices"][0]
    assert choice["finish_reason"] == "tool_calls", choice
    call = choice["message"]["tool_calls"][0]
    assert call["type"] == "function" and call["id"] and call["function"]["name"] == "look_up"
    assert json.loads(call["function"]["arguments"])["bird"] in ("godwit", "knot")
    arguments = ""
    for chunk in server.stream("/v1/chat/completions", body):
        for delta in chunk["choices"][0]["delta"].get("tool_calls", []):
            arguments += delta["function"]["arguments"]
    assert arguments == call["function"]["arguments"]
    history = body["messages"] + [choice["message"], {"role": "tool", "tool_call_id": call["id"], "content": "long-billed"}]
    answer = server.ask("/v1/chat/completions", {"messages": history, "tools": [tool], "max_tokens": 5})
    assert answer["usage"]["completion_tokens"] >= 1


def other_endpoints(server):
    assert server.ask("/health", None) == {"status": "ok"}
    listed = server.ask("/v1/models", None)["data"]
    assert [m["id"] for m in listed] == ["bird"] and server.ask("/v1/models/bird", None)["id"] == "bird"
    assert server.ask("/v1/models/fish", None, expect=404)["error"]["code"] == "model_not_found"
    tokens = server.ask("/tokenize", {"prompt": "ab"})["tokens"]
    assert server.ask("/detokenize", {"tokens": tokens}) == {"prompt": "ab", "content": "ab"}
    assert server.ask("/tokenize", {"content": "ab"})["tokens"] == tokens, "byte tokenizers add no BOS, in either form"
    chat_tokens = server.ask("/tokenize", {"messages": user("Hello")})["tokens"]
    asked = server.ask("/v1/chat/completions", {"messages": user("Hello"), "max_tokens": 1, "return_token_ids": True})
    assert asked["prompt_token_ids"] == chat_tokens
    metrics = server.metrics()
    for name in ("godwit_time_to_first_token_seconds_count", "godwit_inter_token_seconds_sum", "godwit_answer_tokens_total", "godwit_cache_pages"):
        assert name in metrics, name
    assert metrics['godwit_requests_total{outcome="finished"}'] > 3 and metrics["godwit_requests_live"] == 0
    status, headers, body = server.request("GET", "/")
    if status == 200:  # the page is part of this build
        assert headers["Content-Type"].startswith("text/html") and "script-src 'self'" in headers["Content-Security-Policy"]
        assert server.request("GET", "/", headers={"If-None-Match": headers["ETag"]})[0] == 304
        assert server.request("HEAD", "/")[2] == b""
    assert server.request("GET", "/../../etc/passwd")[0] == 404
    assert server.request("DELETE", "/v1/models")[0] == 405
    assert "Access-Control-Allow-Origin" not in server.request("GET", "/health", headers={"Origin": "https://a.example"})[1]
    assert server.request("POST", "/v1/completions", b"{}", {"Content-Type": "text/plain"})[0] == 415
    # What the server printed as an example is one.
    if shutil.which("curl"):
        command = server.example.replace("}]}'", "}], \"max_tokens\": 2}'")
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
        assert json.loads(done.stdout)["object"] == "chat.completion", (command, done.stdout, done.stderr)


def doors(model, scratch):
    keys = scratch.path / "keys"
    keys.write_text("# two\nfirst-key\nsecond-key\n")
    with Server(model, "--context", 256, "--api-key-file", keys, "--cors-origin", "https://a.example", "--name", "other") as server:
        assert server.request("GET", "/health")[0] == 200
        for path in ("/v1/models", "/metrics", "/models"):
            assert server.request("GET", path)[0] == 401, path
        for path in ("/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"):
            status, _, body = server.request("POST", path, {})
            assert status == 401 and json.loads(body)["error"]["code"] == "invalid_api_key", path
        for key in ("first-key", "second-key"):
            assert server.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})[0] == 200
        assert server.request("GET", "/v1/models", headers={"Authorization": "Bearer first-ke"})[0] == 401
        origin = {"Origin": "https://a.example"}
        status, headers, _ = server.request("OPTIONS", "/v1/chat/completions", headers=origin)
        assert status == 204 and headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert "Access-Control-Allow-Credentials" not in headers
        assert "Access-Control-Allow-Origin" not in server.request("GET", "/health", headers={"Origin": "https://b.example"})[1]


def tls(model, scratch):
    if not shutil.which("openssl"):
        print("serve_api_test: TLS was NOT tested: there is no openssl to make a certificate with")
        return
    cert, key = scratch.path / "cert.pem", scratch.path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    common.run("serve", model, "--tls-cert", cert, expect=2)
    common.run("serve", model, "--tls-cert", cert, "--tls-key", scratch.text, "--port", 0, expect=2)
    with Server(model, "--context", 256, "--tls-cert", cert, "--tls-key", key) as server:
        context = ssl.create_default_context(cafile=str(cert))
        request = urllib.request.Request(f"https://127.0.0.1:{server.port}/v1/chat/completions",
                                         json.dumps({"messages": user("hi"), "max_tokens": 3, "stream": True, "ignore_eos": True, "return_token_ids": True}).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, context=context, timeout=60) as response:
            assert len(serving.ids_of(list(serving.events(response)))) == 3


def starting(model):
    """Wrong options end with the user's exit code; while the model is loaded the server says so."""
    common.run("serve", model, "--context", 100000, expect=2)
    common.run("serve", model, "--host", "not.an.address.example", "--port", 0, expect=2)
    common.run("serve", model.parent / "nothing", expect=2)
    common.run("serve", model, "--isa", "abacus", "--port", 0, expect=2)
    with Server(model, "--context", 256, wait=False) as server:
        server.listening_port()
        seen = server.request("GET", "/health")[0]
        assert seen in (200, 503)
        server.wait_ready()
        assert server.request("GET", "/health")[0] == 200


def main():
    scratch = common.Scratch()
    model = serving.small_model(scratch)
    with Server(model, "--context", 2048, "--streams", 8) as server:
        chat(server, model)
        completions(server, model)
        formats(server)
        tools(server)
        other_endpoints(server)
    assert server.process.returncode == 0, server.stderr()
    doors(model, scratch)
    tls(model, scratch)
    starting(model)
    print("the API answers as it should")


if __name__ == "__main__":
    main()
