"""A server that plays scripts: the page's files under the strict policy, and answers as wrong or as slow as a test wants.

The script is chosen by the first word of the last question; `gate` holds a stream until the test opens it, so that no test waits on a clock.
"""
import http.server
import json
import mimetypes
import pathlib
import threading
import time

PAGE = pathlib.Path(__file__).resolve().parents[2] / "src" / "serve" / "page"
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
          "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")

XSS = """<script>window.hacked = 1</script><img src=x onerror="window.hacked = 2"><svg onload="window.hacked = 3"></svg>
<iframe srcdoc="<script>parent.hacked = 4</script>"></iframe>

[click](javascript:window.hacked=5) [data](data:text/html,<script>parent.hacked=6</script>) [tab](java\tscript:window.hacked=7) <javascript:window.hacked=8>
[quote](https://a.example/" onmouseover="window.hacked=9) ![picture](https://outside.example/pixel.png) ![x](javascript:window.hacked=10)

```html"><script>window.hacked = 11</script>
</code></pre><script>window.hacked = 12</script>
```

| a | b |
|---|---|
| <img src=x onerror=window.hacked=13> | `<b onclick=1>` |

$\\text{<img src=x onerror=window.hacked=14>}$ $\\href{javascript:window.hacked=15}{x}$ $\\unicode{<script>}$

<style>body { display: none }</style><base href="https://outside.example/"><meta http-equiv="refresh" content="0;url=https://outside.example">
"""

SHOW_THOUGHTS = """The arithmetic series $1 + 2 + \\dots + n$. Pair the first with the last: $1 + n$, $2 + (n-1)$, and so on, each pair gives $n + 1$.

How many pairs? $n/2$ if $n$ is even. If $n$ is odd the middle one is $(n+1)/2$, half a pair, so the formula holds as well. Check with $n = 4$: $1+2+3+4 = 10 = 4 \\cdot 5 / 2$. Good.

The induction is the cleaner proof, and they may want code to see it. I will give both, short.
"""

SHOW_ANSWER = """Write the sum twice, once forwards and once backwards, and add column by column. Every column gives $n + 1$, and there are $n$ of them:

$$\\begin{aligned}
S &= 1 + 2 + \\cdots + n \\\\
S &= n + (n-1) + \\cdots + 1 \\\\
2S &= (n+1) + (n+1) + \\cdots + (n+1) = n(n+1)
\\end{aligned}$$

Halving both sides,

$$\\boxed{\\sum_{k=1}^{n} k = \\frac{n(n+1)}{2}}$$

It holds for odd $n$ too: the middle term is $\\tfrac{n+1}{2}$, half a column. A few lines to convince yourself:

```python
def triangular(n: int) -> int:
    \"\"\"The sum of 1 … n, without a loop.\"\"\"
    return n * (n + 1) // 2

assert all(triangular(n) == sum(range(n + 1)) for n in range(1000))
```

| $n$ | by adding | by the formula |
|---:|---:|---:|
| 4 | 1 + 2 + 3 + 4 = 10 | 4 · 5 / 2 = 10 |
| 100 | 5,050 | 100 · 101 / 2 = 5,050 |
"""


def chunk(delta=None, finish=None, **more):
    return {"id": "c1", "object": "chat.completion.chunk", "model": "stand-in", "system_fingerprint": "fp_exact1_5f3a",
            "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}


def words(text):
    """Pieces as a tokenizer might cut them, which join to the text."""
    pieces, piece = [], ""
    for character in text:
        if piece and (character == " " or piece[-1] == "\n" or len(piece) > 7):
            pieces.append(piece)
            piece = ""
        piece += character
    return pieces + ([piece] if piece else [])


class StandIn(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.questions = []  # bodies of the requests for answers
        self.gate = threading.Semaphore(0)  # one release lets one held stream go on
        self.gone = threading.Semaphore(0)  # one for each stream whose reader left
        self.key = None
        self.answers = {}  # more scripts: first word → text
        self.models = ["stand-in"]
        self.failures = 0  # so many requests get 503 first
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # A reader that leaves is what some tests do.


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, kind="application/json", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, message, code=None, **headers):
        self.reply(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}, **headers)

    def authorized(self):
        if self.server.key is None or self.headers["Authorization"] == f"Bearer {self.server.key}":
            return True
        self.error(401, "Incorrect API key provided" if self.headers["Authorization"] else "No API key provided", "invalid_api_key")
        return False

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/v1/models":
            if self.authorized():
                self.reply(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]})
            return
        file = PAGE / (path.lstrip("/") or "index.html")
        if file.parent != PAGE or not file.is_file():
            return self.error(404, "not found")
        kind = "text/javascript" if file.suffix == ".js" else mimetypes.guess_type(file.name)[0]
        self.reply(200, file.read_bytes(), f"{kind}; charset=utf-8", Content_Security_Policy=POLICY, X_Content_Type_Options="nosniff", Cache_Control="no-cache")

    def begin(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def raw(self, data):
        try:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
        except OSError:
            self.server.gone.release()
            raise

    def event(self, object):
        self.raw(b"data: " + json.dumps(object, ensure_ascii=False).encode() + b"\n\n")

    def end(self, done=True):
        if done:
            self.raw(b"data: [DONE]\n\n")
        self.raw(b"")

    def hold(self):
        """Until the test opens the gate; meanwhile a comment now and then, which also shows whether the reader is still there."""
        while not self.server.gate.acquire(timeout=0.05):
            self.raw(b": keep-alive\n\n")

    def say(self, text, name="content", pause=0):
        for piece in words(text):
            self.event(chunk({name: piece}))
            if pause:
                time.sleep(pause)

    def usage(self, prompt, completion, reasoning=0, cached=0):
        self.event({"id": "c1", "choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
                                                         "completion_tokens_details": {"reasoning_tokens": reasoning}, "prompt_cache_hit_tokens": cached}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.authorized():
            return
        self.server.questions.append(body)
        if self.server.failures > 0:
            self.server.failures -= 1
            return self.error(503, "The model is loading", "loading", Retry_After="1")
        word = (body["messages"][-1]["content"].split() or [""])[0]
        script = getattr(self, f"play_{'show' if word == 'Why' else word.lower()}", None)
        if script:
            return script(body)
        self.begin()
        self.event(chunk({"role": "assistant", "content": ""}))
        self.say(self.server.answers.get(word, f"You said: {body['messages'][-1]['content']}"))
        self.event(chunk(finish="stop"))
        self.usage(12, 9)
        self.end()

    def play_held(self, _):
        self.begin()
        self.say("The first half")
        self.hold()
        self.say(" and the second.")
        self.event(chunk(finish="stop"))
        self.usage(5, 6)
        self.end()

    def play_queue(self, _):
        self.begin()
        self.raw(b": keep-alive\n\n")
        self.hold()
        self.say("At last.")
        self.event(chunk(finish="stop"))
        self.end()

    def play_think(self, body):
        self.begin()
        if body["thinking"]["type"] == "enabled":
            self.say("First I add.\n\nThen I **check**.", "reasoning_content")
            self.hold()
        self.say("It is 42.")
        self.event(chunk(finish="stop"))
        self.usage(20, 14, reasoning=9, cached=16)
        self.end()

    def play_show(self, _):
        self.begin()
        self.say(SHOW_THOUGHTS, "reasoning_content", 0.02)
        self.say(SHOW_ANSWER, pause=0.02)
        self.event(chunk(finish="stop"))
        self.usage(24, len(words(SHOW_THOUGHTS)) + len(words(SHOW_ANSWER)), reasoning=len(words(SHOW_THOUGHTS)), cached=16)
        self.end()

    def play_split(self, _):
        """Characters of two, three and four bytes cut everywhere, lines cut in the middle, \\r\\n, comments between."""
        self.begin()
        text = "Grüße, 世界, 🪶 and e\u0301."
        data = (b": hello\r\n\r\n" + b"".join(b"data: " + json.dumps(chunk({"content": c}), ensure_ascii=False).encode() + b"\r\n\r\n" for c in text)
                + b"data:" + json.dumps(chunk(finish="stop")).encode() + b"\r\n\r\ndata: [DONE]\r\n\r\n")
        for i in range(0, len(data), 7):
            self.raw(data[i:i + 7])
            if i % 700 == 0:
                time.sleep(0.001)  # so that the browser gets them apart
        self.raw(b"")

    def play_undone(self, _):
        self.begin()
        self.say("Complete without its mark.")
        self.event(chunk(finish="stop"))
        self.end(done=False)

    def play_lost(self, _):
        self.begin()
        self.say("This much had come")
        self.hold()
        self.close_connection = True
        self.connection.shutdown(2)

    def play_cut(self, _):
        self.begin()
        self.say("Half an ans")
        self.end(done=False)

    def play_broken(self, _):
        self.begin()
        self.say("So far so good.")
        self.event({"error": {"message": "a worker died", "type": "server_error", "code": 500}})
        self.end()

    def play_long(self, _):
        self.begin()
        self.say("One two three")
        self.event(chunk(finish="length"))
        self.end()

    def play_busy(self, _):
        self.error(429, "32 requests are waiting", "rate_limit", Retry_After="2")

    def play_500(self, _):
        self.error(500, "the engine stopped", "server_error")

    def play_full(self, _):
        self.error(400, "This model's maximum context length is 4096 tokens, your messages have 5000.", "context_length_exceeded")

    def play_html(self, _):
        self.reply(502, b"<html><body>Bad gateway <script>window.hacked=1</script></body></html>", "text/html")

    def play_xss(self, _):
        self.begin()
        self.say(XSS, "reasoning_content")
        self.say(XSS)
        self.event(chunk(finish="stop"))
        self.end()

    def play_flood(self, body):
        """Very many tokens as fast as they can be read: flood COUNT TOKENS_PER_SECOND, 0 for as fast as they are read."""
        count, rate = map(int, body["messages"][-1]["content"].split()[1:])
        text = self.server.answers["flood"]
        pieces = words(text)
        self.begin()
        start = time.monotonic()
        for i in range(0, count, 10):
            if rate:
                time.sleep(max(0, start + i / rate - time.monotonic()))
            self.raw(b"".join(b"data: " + json.dumps(chunk({"content": pieces[k % len(pieces)]}), ensure_ascii=False).encode() + b"\n\n" for k in range(i, min(i + 10, count))))
        self.event(chunk(finish="stop"))
        self.usage(10, count)
        self.end()
