#!/usr/bin/env python3
"""The chat page in Chromium.

    page_test.py [URL] [--screenshots FOLDER] [--only WORD …] [--long]

Without URL against a stand-in server that plays scripts; with it against a real one, leaving out the cases that need a script.
What could go wrong: text of the model that runs as a script or is lost, a stream that ends in any way but the good one, a page that freezes
on long answers and long chats, a conversation that a reload forgets, a keyboard or a phone that cannot reach something.
"""
import argparse
import json
import pathlib
import sys
import tempfile
import time
import traceback

import markdown_cases
from browser import Browser, Page, find_chromium
from stand_in import SHOW_ANSWER, StandIn

CASES = []
FINISHED = "document.querySelector('.message:last-child.answer:not(.running) .tools button') !== null"
CTRL, SHIFT = 2, 8


def case(scripted=True):
    def add(function):
        CASES.append((function, scripted))
        return function
    return add


class Test:
    """What a case is given: the browser, the server, and the page's address."""

    def __init__(self, browser, server, url, long=False):
        self.browser, self.server, self.url, self.long = browser, server, url, long
        self.pages = []

    def page(self, **options):
        page = Page(self.browser, **options)
        page.open(self.url)
        if self.server is None:
            # A real model may go on for long; the cases want any answer, soon.
            page.run("localStorage.setItem('godwit.parameters', JSON.stringify({ max_tokens: 24 }))")
            page.reload("document.querySelector('#p-max_tokens')?.value === '24' && document.activeElement.id === 'question'")
        self.pages.append(page)
        return page

    def close(self):
        for page in self.pages:
            # Errors of fetch are expected in cases about them, and only the network's; the page's own code must throw none.
            assert page.errors == [], page.errors
            assert page.run("window.violations") == [], page.run("window.violations")
            assert page.run("window.hacked === undefined"), f"a script of the model ran: {page.run('window.hacked')}"
            page.close()


def equal(actual, wanted, what=""):
    assert actual == wanted, f"{what}\n  is      {actual!r}\n  not     {wanted!r}"


def contains(text, part):
    assert text is not None and part in text, f"{part!r} is not in {text!r}"


def ask(page, text):
    page.ask(text)
    page.wait(FINISHED)


# How nodes are written for comparison: tags, text, href; wrappers that only carry style are left out.
NODES = """
window.written = (node) => [...node.childNodes].map((each) => {
  if (each.nodeType === 3) return each.data.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const tag = each.localName;
  if (tag === "math") return "<math>";
  if (tag === "figure") return `<pre>${each.querySelector("code").textContent}</pre>`;
  if (tag === "div" || (tag === "span" && each.className === "tex-display")) return written(each);
  if (tag === "br" || tag === "hr" || tag === "input") return `<${tag}>`;
  return `<${tag}${each.hasAttribute("href") ? ` href="${each.getAttribute("href")}"` : ""}>${written(each)}</${tag}>`;
}).join("");
window.writtenMath = (node) => [...node.childNodes].map((each) => each.nodeType === 3 ? each.data.replace(/&/g, "&amp;").replace(/>/g, "&gt;") : `<${each.localName}>${writtenMath(each)}</${each.localName}>`).join("");
"""


@case(scripted=False)
def markdown(test):
    page = test.page()
    page.run(NODES)
    wrong = []
    for name, source, wanted in markdown_cases.MARKDOWN:
        actual = page.run(f"import('./markdown.js').then(({{renderMarkdown}}) => {{ const d = document.createElement('div'); renderMarkdown({json.dumps(source)}, d); return written(d); }})")
        if actual != wanted:
            wrong.append(f"{name}\n  is   {actual}\n  not  {wanted}")
    assert not wrong, "\n".join(wrong)


@case(scripted=False)
def tex(test):
    page = test.page()
    page.run(NODES)
    wrong = []
    for source, wanted in markdown_cases.TEX:
        actual = page.run(f"import('./tex.js').then(({{renderTex}}) => {{ const m = renderTex({json.dumps(source)}, false); return m.localName === 'math' ? writtenMath(m.firstChild) : 'source: ' + m.title; }})")
        if actual != wanted:
            wrong.append(f"{source}\n  is   {actual}\n  not  {wanted}")
    for source in markdown_cases.TEX_UNKNOWN:
        actual = page.run(f"import('./tex.js').then(({{renderTex}}) => {{ const m = renderTex({json.dumps(source)}, true); return m.localName + ' ' + m.textContent; }})")
        if actual != f"code {source}":
            wrong.append(f"{source[:60]} is not shown as its source but as {actual[:200]}")
    assert not wrong, "\n".join(wrong)


@case(scripted=False)
def markdown_in_pieces(test):
    """However an answer is cut into pieces, its nodes are those of the whole."""
    page = test.page()
    page.run(NODES)
    sources = [source for _, source, _ in markdown_cases.MARKDOWN] + [SHOW_ANSWER]
    everything = "\n\n".join(sources) + "\n\n| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 30 + "\n" + "- item\n" * 30
    different = page.run(f"""import("./markdown.js").then(({{Markdown, renderMarkdown}}) => {{
      const different = [];
      for (const source of {json.dumps(sources + [everything])}) {{
        const whole = document.createElement("div");
        renderMarkdown(source, whole);
        for (const step of source.length > 2000 ? [3, 17] : [1, 2, 5]) {{
          const grown = document.createElement("div");
          const markdown = new Markdown(grown);
          for (let end = 0; end < source.length; end += step) markdown.render(source.slice(0, end), true);
          markdown.render(source, false);
          if (written(grown) !== written(whole)) different.push([step, source.slice(0, 200), written(grown).slice(0, 400), written(whole).slice(0, 400)]);
        }}
      }}
      return different;
    }})""")
    equal(different, [])


@case(scripted=False)
def hostile_markdown_is_linear(test):
    """Long runs of what opens something and closes nothing."""
    page = test.page()
    took = page.run("""import("./markdown.js").then(({renderMarkdown}) => {
      const hostile = ["*", "**a ", "_a", "`", "`` ` ", "[", "![", "[](", "$", "$a ", "\\\\(", "\\\\[x", "<", "&", "~~", "> ", "- ", "1. ", "|", "| a |\\n|---|\\n", "#", "```\\n", "\\n", " ", "\\\\", "h", "https://", "(((", "___a", "*a_b"];
      return hostile.map((piece) => {
        const start = performance.now();
        renderMarkdown(piece.repeat(Math.ceil(20000 / piece.length)), document.createElement("div"));
        return [piece, Math.round(performance.now() - start)];
      }).filter(([, ms]) => ms > 1500);
    })""")
    equal(took, [])


@case(scripted=False)
def highlighting_keeps_the_text(test):
    page = test.page()
    text = 'a "b\\" c" \'d\' '+'"'*3+'x\n# y'+'"'*3+' /* z\n// w */ `t\n` 0x1F 1.5e-3 <b c="d"> <!-- e\n--> --f $g ${h} @i\n+j\n-k\n\n\tl 世界 🪶 #include <m>\nf(1)\n'
    different = page.run('''import("./code_block.js").then(async ({CodeBlock}) => {
      const languages = ["python", "c++", "rust", "js", "bash", "json", "yaml", "toml", "sql", "html", "css", "diff", "ruby", "go", "constructor", "nothing"];
      const text = %s;
      return languages.filter((language) => {
        const block = new CodeBlock(language);
        for (let end = 0; end <= text.length; ++end) if (!block.update(text.slice(0, end))) return true;
        return block.code.textContent !== text;
      });
    })''' % json.dumps(text))
    equal(different, [])
    colours = page.run("""import("./code_block.js").then(({CodeBlock}) => { const b = new CodeBlock("python"); b.update('def f(x):  # why\\n    return "a" + 1\\n');
      return [...b.code.querySelectorAll("[class]")].map((e) => `${e.className.slice(3)} ${e.textContent}`); })""")
    equal(colours, ["keyword def", "call f", "comment # why", "keyword return", 'string "a"', "number 1"])


@case(scripted=False)
def an_answer_arrives(test):
    page = test.page()
    ask(page, "Hello there")
    equal(page.text(".question .bubble"), "Hello there")
    assert page.run("document.querySelector('.answer .prose').textContent.length + (document.querySelector('.thinking') ? 1 : 0)") > 0
    contains(page.text(".answer .tools"), "token")
    contains(page.run("document.title"), "Hello there")


@case()
def requests(test):
    """What is sent: earlier turns without their thoughts, the parameters that were set and no others, nothing outside the server."""
    page = test.page()
    test.server.gate.release()
    ask(page, "think about it")
    page.click("#open-parameters")
    page.run("document.querySelector('#p-system').focus()")
    page.type("Be brief.")
    for name, value in (("temperature", "0.5"), ("top_p", "0.9"), ("max_tokens", "100"), ("seed", "7")):
        page.run(f"document.querySelector('#p-{name}').focus()")
        page.type(value)
    page.run("document.querySelector('#p-temperature').focus(); document.querySelector('#p-temperature').select()")
    page.type("9")
    contains(page.text("#p-temperature-hint"), "from 0 to 2")
    page.click("#thinking")
    ask(page, "Second")
    first, second = test.server.questions
    equal(first, {"model": "stand-in", "messages": [{"role": "user", "content": "think about it"}], "thinking": {"type": "enabled"}, "stream": True, "stream_options": {"include_usage": True}})
    equal(second["messages"], [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "think about it"}, {"role": "assistant", "content": "It is 42."}, {"role": "user", "content": "Second"}])
    equal({name: second.get(name) for name in ("thinking", "temperature", "top_p", "max_tokens", "seed")}, {"thinking": {"type": "disabled"}, "temperature": 0.5, "top_p": 0.9, "max_tokens": 100, "seed": 7})
    outside = [url for url in page.requests if not url.startswith((test.url, "data:", "blob:"))]
    equal(outside, [])


@case()
def thinking(test):
    page = test.page()
    page.ask("think now")
    page.wait("document.querySelector('.thinking.live[open] .thoughts strong')")
    contains(page.text(".thinking summary"), "Thinking")
    test.server.gate.release()
    page.wait(FINISHED)
    assert page.run("/^Thought for \\d+\\.\\d s$/.test(document.querySelector('.thinking summary').innerText)"), page.text(".thinking summary")
    equal(page.run("document.querySelector('.thinking').open"), False, "the thoughts fold once the answer begins")
    equal(page.text(".answer .prose:not(.thoughts)"), "It is 42.")
    page.click(".thinking summary")
    page.wait("document.querySelector('.thinking').open")
    contains(page.text(".thoughts"), "Then I check.")
    contains(page.text(".answer .tools"), "14 tokens")
    page.click("button.stats")
    contains(page.text(".facts"), "20 tokens, 16 of them from the cache")
    contains(page.text(".facts"), "9 of them thoughts")
    contains(page.text(".facts"), "fp_exact1_5f3a")
    # A reader who folds or unfolds decides.
    page.ask("think twice")
    page.wait("document.querySelectorAll('.thinking.live[open]').length === 1")
    page.run("document.querySelector('.thinking.live summary').click()")
    test.server.gate.release()
    page.wait(FINISHED)


@case()
def queue(test):
    page = test.page()
    page.ask("queue please")
    page.wait("document.querySelector('.status')?.innerText === 'In the queue…'")
    test.server.gate.release()
    page.wait(FINISHED)
    equal(page.text(".answer .prose"), "At last.")


@case()
def split_characters(test):
    page = test.page()
    ask(page, "split them")
    equal(page.text(".answer .prose"), "Grüße, 世界, 🪶 and e\u0301.")


@case()
def stop(test):
    for by in ("key", "button"):
        page = test.page()
        page.ask("held answer")
        page.wait("document.querySelector('.answer .prose').innerText.includes('first half')")
        page.key("Escape") if by == "key" else page.click("#stop")
        page.wait(FINISHED)
        assert test.server.gone.acquire(timeout=10), "the server does not see that the reader has left"
        equal(page.text(".answer .prose"), "The first half")
        equal(page.text(".answer .note"), "Stopped.")
        equal(page.text("#announcer"), "Stopped.")
        ask(page, "Go on")
        equal(test.server.questions[-1]["messages"][1], {"role": "assistant", "content": "The first half"})


@case()
def endings(test):
    page = test.page()
    for question, prose, note in (
            ("undone mark", "Complete without its mark.", None),
            ("lost line", "This much had come", "The connection was lost"),
            ("cut line", "Half an ans", "The connection was lost"),
            ("broken worker", "So far so good.", "a worker died"),
            ("long answer", "One two three", "longest length"),
            ("500 now", "", "failed on this question"),
            ("full context", "", "longer than the model can read"),
            ("html page", "", "Nothing answers behind the gateway")):
        page.ask(question)
        if question == "lost line":  # What had come is only sure to have been read once it is seen.
            page.wait("document.querySelector('.message:last-child .prose')?.innerText === 'This much had come'")
            test.server.gate.release()
        page.wait(FINISHED)
        equal(page.text(".message:last-child .prose"), prose, question)
        actual = page.text(".message:last-child .note")
        assert (actual is None) if note is None else (actual and note in actual), f"{question}: {actual!r}"


@case()
def busy(test):
    page = test.page()
    ask(page, "busy server")
    contains(page.text(".note.error"), "The server is busy.")
    contains(page.text(".note .button"), "Try again in")
    equal(page.run("document.querySelector('.note .button').disabled"), True)
    page.wait("document.querySelector('.note .button').disabled === false")
    asked = len(test.server.questions)
    page.click(".note .button")
    page.wait(f"{FINISHED} && document.querySelectorAll('.answer').length === 1 && document.querySelector('.note .button').disabled")
    equal(len(test.server.questions), asked + 1, "nothing is asked again but on request")


@case()
def loading(test):
    test.server.failures = 1
    page = test.page()
    ask(page, "Hello")
    contains(page.text(".note.error"), "still being loaded")
    page.wait("!document.querySelector('.note .button').disabled")
    page.click(".note .button")
    page.wait("document.querySelector('.prose').innerText === 'You said: Hello'")
    equal(page.run("document.querySelectorAll('.siblings').length"), 0, "what failed before a word came gives way")


@case()
def key(test):
    test.server.key = "secret"
    page = test.page()
    page.wait("document.querySelector('#notice-slot .key-form')")
    contains(page.text("#notice-slot"), "asks for an API key")
    page.run("document.querySelector('.key-form input').focus()")
    page.type("wrong")
    page.key("Enter")
    page.wait("document.querySelector('#notice-slot')?.innerText.includes('did not accept')")
    page.run("document.querySelector('.key-form input').focus()")
    page.type("secret")
    page.key("Enter")
    page.wait("document.querySelector('#notice-slot').childElementCount === 0 && document.querySelector('#model').value === 'stand-in'")
    ask(page, "Hello")
    equal(page.text(".answer .prose"), "You said: Hello")
    kept = page.run("JSON.stringify([{...localStorage}, document.cookie])")
    assert "secret" not in kept, "the key is kept beyond the tab"
    exported = page.run("import('./store.js').then(async (s) => s.exportJson(await s.openStore()))")
    assert "secret" not in exported and "Hello" in exported


@case()
def scripts_of_the_model_do_not_run(test):
    page = test.page()
    ask(page, "xss")
    page.click(".thinking summary")
    page.wait("document.querySelector('.thoughts').innerText.includes('onload')")
    contains(page.text(".answer .prose:not(.thoughts)"), "<script>window.hacked = 1</script>")
    inside = page.run("[...document.querySelectorAll('.thread *')].filter((e) => ['script', 'img', 'iframe', 'style', 'base', 'meta', 'object', 'embed', 'link', 'form'].includes(e.localName)).length")
    equal(inside, 0)
    handlers = page.run("[...document.querySelectorAll('.thread *')].filter((e) => [...e.attributes].some((a) => a.name.startsWith('on') || a.name === 'style' || /^\\s*(?:javascript|data):/i.test(a.value) && a.name !== 'aria-label')).map((e) => e.outerHTML)")
    equal(handlers, [])
    links = page.run("[...document.querySelectorAll('.thread a')].filter((a) => !/^https?:$/.test(a.protocol) || !a.rel.includes('noopener')).length")
    equal(links, 0)
    page.run("document.querySelectorAll('.thread .dead-link').forEach((e) => e.click())")
    ask(page, "<img src=x onerror=window.hacked=99><script>window.hacked=98</script>")
    page.open(test.url + page.run("location.hash"))
    page.wait("document.querySelectorAll('.message').length === 4")
    outside = [url for url in page.requests if not url.startswith((test.url, "data:"))]
    equal(outside, [])


@case(scripted=False)
def nothing_is_sent_by_an_address(test):
    page = test.page()
    page.open(test.url + "?q=Drop%20everything")
    page.wait("document.querySelector('#question').value === 'Drop everything'")
    page.run("new Promise((done) => setTimeout(done, 300))")
    equal(page.run("document.querySelectorAll('.message').length"), 0)
    assert not any("completions" in url for url in page.requests)
    page.open(test.url + "#nonsense%22'<x>")
    page.wait("location.hash === ''")


@case(scripted=False)
def reload_keeps(test):
    page = test.page()
    ask(page, "Remember this")
    answer = page.run("document.querySelector('.answer').innerText")
    page.reload("document.querySelectorAll('.message').length === 2")
    equal(page.text(".question .bubble"), "Remember this")
    equal(page.run("document.querySelector('.answer').innerText"), answer)
    equal(page.text("#conversations li.current"), "Remember this")


@case()
def reload_in_the_middle(test):
    page = test.page()
    page.ask("held answer")
    page.wait("document.querySelector('.answer .prose').innerText.includes('first half')")
    page.wait("""import('./store.js').then(async (s) => (await s.exportJson(await s.openStore())).includes('The first half'))""")
    page.reload("document.querySelectorAll('.message').length === 2")
    equal(page.text(".answer .prose"), "The first half")
    contains(page.text(".answer .note"), "not complete")


@case(scripted=False)
def branches(test):
    page = test.page()
    ask(page, "First wording")
    page.click("button[aria-label='Answer again']")
    page.wait(f"{FINISHED} && document.querySelector('.answer .siblings')?.innerText.replace(/\\s/g, '') === '2/2'")
    page.click("button[aria-label='Previous answer']")
    page.wait("document.querySelector('.answer .siblings').innerText.replace(/\\s/g, '') === '1/2'")
    page.run("document.querySelector('#question').focus()")
    page.key("ArrowUp")
    page.wait("document.querySelector('.edit textarea')?.value === 'First wording'")
    page.run("document.activeElement.select()")
    page.type("Second wording")
    page.key("Enter")
    page.wait(f"{FINISHED} && document.querySelector('.question .bubble')?.innerText === 'Second wording'")
    equal(page.run("document.querySelector('.answer .siblings')"), None, "the new question has one answer")
    page.click("button[aria-label='Previous question']")
    page.wait("document.querySelector('.question .bubble').innerText === 'First wording' && document.querySelector('.answer .siblings').innerText.replace(/\\s/g, '') === '1/2'")
    page.reload("document.querySelector('.question .bubble')?.innerText === 'First wording'")
    equal(page.run("document.querySelector('.answer .siblings').innerText.replace(/\\s/g, '')"), "1/2", "the branch shown is kept")


@case(scripted=False)
def list_of_conversations(test):
    page = test.page()
    for question in ("About godwits", "About whales", "Of knots"):
        ask(page, question)
        page.key("o", CTRL | SHIFT)
        page.wait("!document.querySelector('#empty').hidden && document.activeElement.id === 'question'")
    titles = "[...document.querySelectorAll('#conversations a')].map((a) => a.innerText)"
    equal(page.run(titles), ["Of knots", "About whales", "About godwits"])
    page.key("k", CTRL)
    page.wait("document.activeElement.id === 'search'")
    page.type("about")
    page.wait(f"{titles}.join() === 'About whales,About godwits'")
    page.key("ArrowDown")
    page.key("ArrowDown")
    page.key("Enter")
    page.wait("document.querySelector('.bubble')?.innerText === 'About godwits'")
    page.run("document.querySelector('#search').focus()")
    page.key("Escape")
    page.wait(f"{titles}.length === 3")
    # Rename.
    page.run("document.querySelector('#conversations li.current button[aria-label=Rename]').click()")
    page.wait("document.activeElement.closest('li') !== null && document.activeElement.localName === 'input'")
    page.type("The long flight")
    page.key("Enter")
    page.wait(f"{titles}.includes('The long flight')")
    equal(page.text("#title"), "The long flight")
    # Delete and undo, then delete for good.
    for undo in (True, False):
        page.run("document.querySelector('#conversations li.current button[aria-label=Delete]').click()")
        page.wait(f"{titles}.length === 2 && !document.querySelector('#empty').hidden")
        if undo:
            page.click(".toast:last-child button")
            page.wait(f"{titles}.length === 3")
            page.run("[...document.querySelectorAll('#conversations a')].find((a) => a.innerText === 'The long flight').click()")
            page.wait("document.querySelectorAll('.message').length === 2")
    left = page.run("import('./store.js').then(async (s) => JSON.parse(await s.exportJson(await s.openStore())).conversations.map((c) => c.title).sort())")
    equal(left, ["About whales", "Of knots"])


@case()
def search_in_what_was_said(test):
    test.server.answers["Riddle"] = "It is the **albatross**."
    page = test.page()
    ask(page, "Riddle me")
    page.key("o", CTRL | SHIFT)
    ask(page, "Other")
    page.key("k", CTRL)
    page.type("albatross")
    page.wait("document.querySelectorAll('#conversations a').length === 1 && document.querySelector('#conversations a').innerText === 'Riddle me'")


@case(scripted=False)
def export_and_import(test):
    page = test.page()
    ask(page, "Take me along")
    exported = page.run("import('./store.js').then(async (s) => s.exportJson(await s.openStore()))")
    downloads = tempfile.mkdtemp()
    test.browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=downloads, browserContextId=page.context)
    page.click("#export")
    deadline = time.monotonic() + 20
    while not (files := list(pathlib.Path(downloads).glob("godwit-*.json"))):
        assert time.monotonic() < deadline, "no file was downloaded"
        page.run("new Promise((done) => setTimeout(done, 50))")
    equal(json.loads(files[0].read_text())["conversations"], json.loads(exported)["conversations"])

    other = test.page()
    document = other.call("DOM.getDocument")["root"]["nodeId"]
    field = other.call("DOM.querySelector", nodeId=document, selector="#import-file")["nodeId"]
    other.call("DOM.setFileInputFiles", files=[str(files[0])], nodeId=field)
    other.wait("document.querySelector('.toast')?.innerText === '1 conversation imported.'")
    other.run("document.querySelector('#conversations a').click()")
    other.wait("document.querySelector('.bubble')?.innerText === 'Take me along'")
    # A file that lies about its types, ties its messages into a ring, is its own parent, or is none.
    ring = {"format": "godwit-conversations/1", "conversations": [
        {"id": "r", "title": 7, "updated": 1, "chosen": {"": {}, "a": "b"}, "parameters": [], "messages": [
            {"id": "a", "parent": "b", "role": "user", "content": "x"}, {"id": "b", "parent": "a", "role": "assistant", "content": "y"}, {"id": "", "parent": "", "role": "user", "content": "w"}, {"id": "c", "role": "system", "content": "z"}, 5, None]},
        {"id": {}, "messages": []}, None]}
    equal(other.run(f"import('./store.js').then(async (s) => s.importJson(await s.openStore(), {json.dumps(json.dumps(ring))}))"), 1)
    for bad in ("{", "[]", '{"format": "x"}'):
        message = other.run(f"import('./store.js').then(async (s) => s.importJson(await s.openStore(), {json.dumps(bad)})).catch((e) => e.message)")
        contains(message, "Choose one")
    other.open(test.url + "?#r")
    other.wait("document.querySelector('#title').innerText === 'Untitled' && document.querySelectorAll('.message').length === 0")


@case(scripted=False)
def keyboard(test):
    page = test.page()
    page.wait("document.activeElement.id === 'question'")
    page.type("one")
    page.key("Enter", SHIFT, text="\r")
    page.type("two")
    equal(page.run("document.querySelector('#question').value"), "one\ntwo")
    page.call("Input.imeSetComposition", text="に", selectionStart=1, selectionEnd=1)
    page.run("document.querySelector('#question').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true }))")
    equal(page.run("document.querySelectorAll('.message').length"), 0, "Enter that ends a composition does not send")
    # Everything that can be done with the mouse has a name and can be reached.
    nameless = page.run("[...document.querySelectorAll('button, a[href], input:not([hidden]), select, textarea')].filter((e) => !(e.getAttribute('aria-label') || e.innerText.trim() || e.labels?.length)).map((e) => e.outerHTML)")
    equal(nameless, [])
    seen = set()
    for _ in range(40):
        page.key("Tab")
        seen.add(page.run("document.activeElement.id || document.activeElement.className"))
        ring = page.run("(() => { const e = document.activeElement; if (e === document.body || e.matches('textarea, #search')) return true; const s = getComputedStyle(e); return s.outlineStyle !== 'none'; })()")
        assert ring, f"no focus is seen on {page.run('document.activeElement.outerHTML')}"
    missing = {"new-chat", "search", "import", "export", "theme", "open-sidebar", "open-parameters", "question", "thinking", "send"} - seen
    equal(missing, set())


@case(scripted=False)
def themes(test):
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    light, dark = test.page(), test.page(dark=True)
    assert light.run(colour) != dark.run(colour), "the system's theme is followed"
    for _ in range(2):
        light.click("#theme")
    equal(light.text("#theme-name"), "Dark")
    equal(light.run(colour), dark.run(colour))
    light.reload(f"document.querySelector('#theme-name').innerText === 'Dark' && {colour} === '{dark.run(colour)}'")


CONTRAST = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = (c) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const luminance = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return rgb(getComputedStyle(document.documentElement).backgroundColor); };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    if (!(e instanceof HTMLElement) || e.closest("svg, math") || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility({ opacityProperty: true }) || e.disabled || e.localName === "option") continue;
    const [a, b] = [luminance(rgb(getComputedStyle(e).color)), luminance(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${e.localName}.${e.className} ${ratio.toFixed(2)} ${e.textContent.slice(0, 30)}`);
  }
  return poor;
})()
"""


@case()
def contrast(test):
    for dark in (False, True):
        page = test.page(dark=dark)
        ask(page, "show")
        page.click(".thinking summary")
        page.click("#open-parameters")
        ask(page, "500 now")
        equal(page.run(CONTRAST), [], "dark" if dark else "light")


@case(scripted=False)
def phone(test):
    page = test.page(width=360, height=740, phone=True)
    equal(page.run("document.documentElement.scrollWidth <= innerWidth && innerWidth === 360"), True)
    equal(page.run("document.querySelector('#sidebar').hidden"), True)
    ask(page, "A question from a phone that is long enough to need more than one line on its narrow screen and_a_name_that_has_no_place_where_it_could_be_broken_into_lines_at_all")
    equal(page.run("document.documentElement.scrollWidth <= innerWidth && innerWidth === 360"), True)
    page.click("#open-sidebar")
    page.wait("!document.querySelector('#sidebar').hidden && document.activeElement.id === 'close-sidebar'")
    page.click("#new-chat")
    page.wait("document.querySelector('#sidebar').hidden && !document.querySelector('#empty').hidden")
    page.click("#open-parameters")
    page.wait("!document.querySelector('#parameters').hidden")
    page.key("Escape")
    page.wait("document.querySelector('#parameters').hidden")
    small = page.run("[...document.querySelectorAll('main button')].filter((b) => b.offsetWidth > 0 && (b.offsetWidth < 32 || b.offsetHeight < 32)).map((b) => b.outerHTML)")
    equal(small, [])


@case()
def a_conversation_goes_on_in_the_background(test):
    page = test.page()
    page.ask("held answer")
    page.wait("document.querySelector('.answer .prose').innerText.includes('first half')")
    page.key("o", CTRL | SHIFT)
    ask(page, "Meanwhile")
    page.wait("document.querySelector('.running-dot')")
    test.server.gate.release()
    page.wait("!document.querySelector('.running-dot')")
    equal(page.text(".bubble"), "Meanwhile")
    page.run("[...document.querySelectorAll('#conversations a')].find((a) => a.innerText === 'held answer').click()")
    page.wait("document.querySelector('.prose')?.innerText === 'The first half and the second.'")


@case()
def the_end_is_followed_unless_the_reader_scrolls(test):
    test.server.answers["Much"] = "A line of an answer.\n\n" * 80
    page = test.page()
    ask(page, "Much")
    distance = "(() => { const s = document.querySelector('#scroller'); return s.scrollHeight - s.scrollTop - s.clientHeight; })()"
    page.wait(f"{distance} < 4")
    page.ask("held answer")
    page.wait("[...document.querySelectorAll('.prose')].at(-1).innerText.includes('first half')")
    page.run("document.querySelector('#scroller').scrollTop = 100")
    page.wait("!document.querySelector('#to-end').hidden")
    test.server.gate.release()
    page.wait(FINISHED)
    equal(page.run("document.querySelector('#scroller').scrollTop"), 100)
    page.click("#to-end")
    page.wait(f"{distance} < 4 && document.querySelector('#to-end').hidden")


@case()
def models(test):
    test.server.models = ["first", "second"]
    page = test.page()
    page.run("(() => { const s = document.querySelector('#model'); s.value = 'second'; s.dispatchEvent(new Event('change')); })()")
    ask(page, "Hello")
    equal(test.server.questions[-1]["model"], "second")
    page.reload("document.querySelector('#model').value === 'second'")


@case(scripted=False)
def events_cut_anywhere(test):
    """The same events, whatever the pieces in which their bytes arrive."""
    page = test.page()
    different = page.run('''import("./sse.js").then(async ({readEvents}) => {
      const text = ": note\\r\\n\\r\\ndata: {\\"a\\": \\"é世🪶\\"}\\r\\n\\r\\nevent: x\\r\\ndata:one\\r\\ndata: two\\r\\n\\r\\nid: 1\\r\\rdata: three\\r\\r: end\\n\\ndata: [DONE]";
      const wanted = JSON.stringify([{comment: "note"}, {data: '{"a": "é世🪶"}'}, {data: "one\\ntwo"}, {data: "three"}, {comment: "end"}, {data: "[DONE]"}]);
      const bytes = new TextEncoder().encode(text), different = [];
      for (let size = 1; size <= bytes.length; ++size) {
        const body = new ReadableStream({ start(c) { for (let i = 0; i < bytes.length; i += size) c.enqueue(bytes.slice(i, i + size)); c.close(); } });
        const events = [];
        for await (const event of readEvents(body)) events.push(event);
        if (JSON.stringify(events) !== wanted) different.push([size, JSON.stringify(events)]);
      }
      return different;
    })''')
    equal(different, [])


LONG = {"one code block": "```python\n" + "def f(x):\n    return x + 1  # next\n" * 9000, "one list": "- an item with **bold** text\n" * 9000, "one paragraph": "word after word without end " * 9000,
        "one table": "| a | b |\n|---|---|\n" + "| cell | `code` |\n" * 9000,
        "one quote": "> A quote of many **paragraphs**.\n>\n" * 4000,
        "mixed": SHOW_ANSWER + "\n- one\n- two\n- three\n\n" + "Plain prose goes on, with **bold** and `code` in it. " * 12 + "\n\n"}


@case(scripted=False)
def only_what_is_open_is_drawn_again(test):
    """Nodes made while a text grows, against the nodes it has: twice as many and some for each step, however long the text."""
    page = test.page()
    for name, text in LONG.items():
        if name == "one paragraph":  # It is its own open block.
            continue
        source = (text * 60)[:60000]
        made, has, steps = page.run(f"""import("./markdown.js").then(({{Markdown}}) => {{
          const source = {json.dumps(source)}, parent = document.createElement("div"), markdown = new Markdown(parent);
          const nodesOf = (node) => 1 + [...node.childNodes].reduce((sum, each) => sum + nodesOf(each), 0);
          const observer = new MutationObserver(() => 0);
          observer.observe(parent, {{ childList: true, subtree: true }});
          let made = 0, steps = 0;
          for (let end = 0; end <= source.length; end += 200, ++steps) {{
            markdown.render(source.slice(0, end), true);
            for (const record of observer.takeRecords()) made += [...record.addedNodes].reduce((sum, each) => sum + nodesOf(each), 0);
          }}
          return [made, nodesOf(parent), steps];
        }})""")
        assert made <= 2 * has + 60 * steps, f"{name}: {made} nodes were made for {has} in {steps} steps"


# These two say how it went; times are not asserted, for a machine that runs other things beside the test may be slow.


@case()
def a_very_long_answer_stays_smooth(test):
    for name, rate in [("mixed", 0)] + [(name, 2000) for name in (LONG if test.long else ["mixed"])]:
        text = LONG[name]
        test.server.answers["flood"] = text
        page = test.page()
        page.run("""(() => { longTasks.length = 0; window.frames_ = []; let last = performance.now(); const f = (t) => { frames_.push(t - last); last = t; requestAnimationFrame(f); }; requestAnimationFrame(f); })()""")
        start = time.monotonic()
        page.ask(f"flood 20000 {rate}")
        page.wait(FINISHED, 300)
        took = time.monotonic() - start
        frames = sorted(page.run("frames_"))
        print(f"    20,000 tokens, {name}{'' if rate else ', as fast as they are read'}: {took:.1f} s, {20000 / took:.0f} tokens/s; frames: median {frames[len(frames) // 2]:.0f} ms, p99 {frames[len(frames) * 99 // 100]:.0f} ms, longest {frames[-1]:.0f} ms; "
              f"longest task {max(page.run('longTasks') or [0])} ms", flush=True)
        contains(page.text(".answer .tools"), "20,000 tokens")
        page.close()
        test.pages.remove(page)


@case()
def a_long_chat_opens_at_once(test):
    page = test.page()
    page.run(f"""import("./store.js").then(async (s) => {{
      const store = await s.openStore(), messages = [];
      for (let i = 0; i < 500; ++i) messages.push({{ id: `m${{i}}`, conversation: "long", parent: i ? `m${{i - 1}}` : null, role: i % 2 ? "assistant" : "user", content: i % 2 ? {json.dumps(SHOW_ANSWER)} : `Question ${{i / 2}}`, reasoning: i % 2 ? "Thoughts. " : undefined, finish: "stop", created: i }});
      await store.putMessages(messages);
      await store.putConversation({{ id: "long", title: "Long", created: 1, updated: 1, chosen: {{}}, parameters: {{}} }});
    }})""")
    page.open(test.url)
    page.run("""window.longTasks.length = 0; window.opened = new Promise((done) => { const start = performance.now(); document.querySelector("#conversations a").click();
      const look = () => { const last = document.querySelector(".thread .message:last-child .prose math"); last ? requestAnimationFrame(() => done(performance.now() - start)) : requestAnimationFrame(look); }; look(); }); 0""")
    first = page.run("opened")
    start = time.monotonic()
    page.wait("[...document.querySelectorAll('.message.answer')].every((m) => m.querySelector('.prose math'))", 60)
    everything = time.monotonic() - start
    longest = max(page.run("longTasks") or [0])
    print(f"    500 messages: the end is shown after {first:.0f} ms, everything after {everything * 1000:.0f} ms more; longest task {longest} ms", flush=True)
    assert page.run("(() => { const s = document.querySelector('#scroller'); return s.scrollHeight - s.scrollTop - s.clientHeight; })()") < 4
    page.run("document.querySelector('#scroller').scrollTop = 0")
    page.wait("document.querySelector('.message').getBoundingClientRect().top > -200")


def screenshots(test, folder):
    """Pictures to look at."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    test.server.models = ["mini"]
    desktop = Page(test.browser, 1280, 820)
    desktop.open(test.url)
    desktop.screenshot(folder / "empty.png")
    for question in ("Plan a week of training runs", "Latent attention, step by step", "Merge intervals in Rust", "A haiku about tides"):
        ask(desktop, question)
        desktop.key("o", CTRL | SHIFT)
        desktop.wait("!document.querySelector('#empty').hidden")
    desktop.ask("Why is the sum of the first n numbers n(n + 1)/2?")
    desktop.wait("document.querySelector('.thinking.live .thoughts')?.innerText.length > 330")
    desktop.screenshot(folder / "thinking.png")
    desktop.wait(FINISHED, 60)
    desktop.run("document.activeElement.blur()")
    desktop.screenshot(folder / "end.png")
    desktop.run("document.querySelector('#scroller').scrollTop = 0")
    desktop.run("new Promise((done) => setTimeout(done, 300))")
    desktop.screenshot(folder / "light.png")
    for name, options in (("dark.png", {"width": 1280, "height": 820, "dark": True}), ("phone.png", {"width": 390, "height": 844, "phone": True, "scale": 2})):
        page = Page(test.browser, context=desktop.context, **options)
        page.open(test.url + desktop.run("location.hash"))
        page.wait("document.querySelector('.message.answer math')")
        page.run("new Promise((done) => setTimeout(done, 300))")
        if name == "dark.png":
            page.click("#open-parameters")
        page.screenshot(folder / name)
        if name == "phone.png":
            page.click("#open-sidebar")
            page.run("new Promise((done) => setTimeout(done, 300))")
            page.screenshot(folder / "phone-list.png")
        page.close()
    ask(desktop, "busy server")
    desktop.screenshot(folder / "error.png")
    desktop.close()
    print(f"screenshots are in {folder}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("url", nargs="?")
    arguments.add_argument("--screenshots", metavar="FOLDER")
    arguments.add_argument("--only", nargs="+", metavar="WORD", help="cases whose name has one of the words")
    arguments.add_argument("--long", action="store_true", help="20,000 tokens of every kind of block, ten seconds each")
    options = arguments.parse_args()
    if find_chromium() is None:
        print("SKIPPED: no chromium on this machine; tests/page/run.sh installs it")
        return 77
    browser = Browser()
    print(browser.version)
    failed, ran = [], 0
    try:
        for function, scripted in CASES:
            name = function.__name__
            if options.only and not any(word in name for word in options.only) or (scripted and options.url):
                continue
            ran += 1
            server = None if options.url else StandIn()
            test = Test(browser, server, (options.url.rstrip("/") + "/") if options.url else server.url, options.long)
            start = time.monotonic()
            try:
                function(test)
                test.close()
                print(f"ok      {name} ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception:
                traceback.print_exc(limit=-2)
                print(f"FAILED  {name}", flush=True)
                failed.append(name)
            finally:
                if server:
                    server.shutdown()
                    server.server_close()
        if options.screenshots:
            server = StandIn()
            screenshots(Test(browser, server, server.url), options.screenshots)
    finally:
        browser.close()
    print(f"{len(failed)} of {ran} failed: {' '.join(failed)}" if failed else f"all {ran} passed")
    return 1 if failed or ran + bool(options.screenshots) == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
