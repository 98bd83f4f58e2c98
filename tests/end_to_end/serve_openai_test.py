#!/usr/bin/env python3
"""OpenAI's own Python client, unchanged: what it cannot read, no program written for it can.

The client comes from PyPI into an environment of its own; without network the test says loudly that it did not run (and GODWIT_OPENAI may
name a Python that has it)."""
import os
import pathlib
import subprocess
import sys
import tempfile

import common
import serving
from serving import Server

CLIENT = r'''
import sys, openai
client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="some-key", max_retries=0)
assert [m.id for m in client.models.list()] == ["bird"]
assert client.models.retrieve("bird").id == "bird"
hello = [{"role": "user", "content": "Hello"}]
answer = client.chat.completions.create(model="bird", messages=hello, max_tokens=12, seed=7, logprobs=True, top_logprobs=2)
message = answer.choices[0].message
assert answer.usage.completion_tokens == 12 and answer.system_fingerprint and answer.choices[0].finish_reason == "length"
assert message.reasoning_content and len(answer.choices[0].logprobs.reasoning_content) == 12
plain = client.chat.completions.create(model="bird", messages=hello, max_tokens=12, seed=7, logprobs=True, top_logprobs=2, extra_body={"thinking": {"type": "disabled"}})
assert plain.choices[0].message.content and len(plain.choices[0].logprobs.content[0].top_logprobs) == 2
# A message goes back as it came.
hello2 = hello + [plain.choices[0].message, {"role": "user", "content": "and?"}]
assert client.chat.completions.create(model="bird", messages=hello2, max_completion_tokens=2, stop=["zz", "yy"], temperature=0.3, top_p=0.9,
                                      presence_penalty=0.5, frequency_penalty=0.5, logit_bias={"5": -10}, n=2, user="me").choices[1].message
# DeepSeek's own example of a stream.
reasoning, content, usage = "", "", None
for chunk in client.chat.completions.create(model="bird", messages=hello, max_tokens=12, seed=7, stream=True, stream_options={"include_usage": True}):
    if not chunk.choices:
        usage = chunk.usage
    elif chunk.choices[0].delta.reasoning_content:
        reasoning += chunk.choices[0].delta.reasoning_content
    else:
        content += chunk.choices[0].delta.content
assert reasoning == message.reasoning_content and content == "" and usage.completion_tokens == 12
completion = client.completions.create(model="bird", prompt="Once", max_tokens=5, echo=True, seed=3)
assert completion.choices[0].text.startswith("Once")
assert "".join(c.choices[0].text for c in client.completions.create(model="bird", prompt="Once", max_tokens=5, seed=3, stream=True)) == completion.choices[0].text[4:]
import pydantic
class Bird(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    legs: bool
    sings: bool
silent = dict(model="bird", messages=hello, max_tokens=300, seed=1, extra_body={"thinking": {"type": "disabled"}})
parsed = client.chat.completions.parse(response_format=Bird, **silent)
assert isinstance(parsed.choices[0].message.parsed, Bird)
with client.chat.completions.stream(response_format=Bird, **silent) as stream:
    assert stream.get_final_completion().choices[0].message.parsed == parsed.choices[0].message.parsed
for wrong, kind in ((dict(model="fish"), openai.NotFoundError), (dict(temperature=9), openai.BadRequestError), (dict(reasoning_effort="high"), openai.BadRequestError)):
    try:
        client.chat.completions.create(**{"model": "bird", "messages": hello, **wrong})
        raise SystemExit(f"{wrong} was taken")
    except kind as error:
        assert error.body["message"] and error.body["param"] in wrong, error.body
print("openai", openai.__version__, "reads every answer")
'''


def client_python(folder):
    if os.environ.get("GODWIT_OPENAI"):
        return os.environ["GODWIT_OPENAI"]
    python = pathlib.Path(folder) / "venv/bin/python"
    try:
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True, capture_output=True, timeout=120)
        subprocess.run([python, "-m", "pip", "install", "-q", "openai"], check=True, capture_output=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        print("=" * 100)
        print(f"serve_openai_test DID NOT RUN: the openai client cannot be installed here ({error}).")
        print("Give GODWIT_OPENAI=/path/to/a/python that has it.")
        print("=" * 100)
        return None
    return python


def main():
    scratch = common.Scratch()
    with tempfile.TemporaryDirectory() as folder:
        python = client_python(folder)
        if python is None:
            sys.exit(77)  # skipped, as ctest says it
        with Server(serving.small_model(scratch), "--context", 512, "--streams", 4) as server:
            subprocess.run([python, "-c", CLIENT, f"http://127.0.0.1:{server.port}"], check=True, timeout=300)


if __name__ == "__main__":
    main()
