// One message on the page. An answer grows: update() draws what is new in its message, nothing else.

import { copyText, h, svg } from "./dom.js";
import { explain, explainFinish } from "./errors.js";
import { Markdown } from "./markdown.js";

export const icon = (name) => svg("svg", { class: name === "bird" ? "bird" : "icon", "aria-hidden": "true" }, svg("use", { href: name === "bird" ? "#bird" : `#i-${name}` }));

export function iconButton(name, label, onclick) {
  return h("button", { type: "button", class: "icon-button small", "aria-label": label, title: label, onclick }, icon(name));
}

const seconds = (ms) => (ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`);
const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

function copyButton(label, text) {
  const button = iconButton("copy", label, async () => {
    const copied = await copyText(text());
    button.replaceChildren(icon(copied ? "check" : "close"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1600);
  });
  return button;
}

// ‹ 2 / 3 ›, where there are siblings to go back to.
function siblingNavigation({ message, siblings }, noun, actions) {
  if (siblings.length < 2) return null;
  const at = siblings.indexOf(message);
  const step = (name, label, to) => {
    const button = iconButton(name, label, () => actions.choose(siblings[to]));
    button.disabled = siblings[to] === undefined;
    return button;
  };
  return h("span", { class: "siblings", role: "group", "aria-label": `${noun} ${at + 1} of ${siblings.length}` }, step("left", `Previous ${noun.toLowerCase()}`, at - 1),
    h("span", { class: "tabular" }, `${at + 1} / ${siblings.length}`), step("right", `Next ${noun.toLowerCase()}`, at + 1));
}

export class QuestionView {
  constructor(entry, actions) {
    this.message = entry.message;
    this.entry = entry;
    this.actions = actions;
    this.element = h("article", { class: "message question", "aria-label": "Your question" });
    this.filled = false;
  }

  fill() {
    if (this.filled) return;
    this.filled = true;
    this.show();
  }

  show() {
    this.element.replaceChildren(h("div", { class: "bubble" }, this.message.content),
      h("footer", { class: "tools" }, siblingNavigation(this.entry, "Question", this.actions), copyButton("Copy question", () => this.message.content),
        iconButton("edit", "Edit question", () => this.edit())));
  }

  /** The question as a form; sending it makes a sibling. */
  edit() {
    const field = h("textarea", { "aria-label": "Edit your question", rows: "2" });
    field.value = this.message.content;
    const send = () => field.value.trim() !== "" && this.actions.edit(this.message, field.value);
    const cancel = () => {
      this.show();
      this.element.querySelector("button[aria-label='Edit question']").focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
      } else if (event.key === "Escape") {
        event.stopPropagation();
        cancel();
      }
    });
    this.element.replaceChildren(h("div", { class: "edit" }, field, h("div", { class: "edit-row" },
      h("span", { class: "hint" }, "The first version stays, beside this one."),
      h("button", { type: "button", class: "button", onclick: cancel }, "Cancel"), h("button", { type: "button", class: "button primary", onclick: send }, "Send"))));
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }
}

// The thoughts: open while they come, folded once the answer begins, unless the reader has decided otherwise.
class Thinking {
  constructor(before) {
    this.label = h("span", { class: "tabular" });
    this.text = h("div", { class: "prose thoughts" });
    this.element = h("details", { class: "thinking" }, h("summary", {}, icon("right"), this.label), this.text);
    this.decided = false;
    this.element.querySelector("summary").addEventListener("click", () => (this.decided = true));
    this.markdown = new Markdown(this.text);
    this.reasoning = "";
    this.open = false;
    this.element.addEventListener("toggle", () => this.draw());
    before.before(this.element);
  }

  update(message, answer) {
    this.reasoning = message.reasoning;
    this.open = answer?.phase === "thinking";
    this.element.classList.toggle("live", this.open);
    this.label.textContent = this.open ? `Thinking ${seconds(answer.thinkingMs())}`
      : message.thinkingMs === undefined ? "Thoughts" : `Thought for ${seconds(message.thinkingMs)}`;
    if (!this.decided && (answer || this.wasLive)) this.element.open = this.open;
    this.wasLive = this.open;
    this.draw();
  }

  // Folded thoughts cost nothing until somebody looks.
  draw() {
    if (!this.element.open) return;
    const following = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 40;
    this.markdown.render(this.reasoning, this.open);
    if (this.open && following) this.text.scrollTop = this.text.scrollHeight;
  }
}

export class AnswerView {
  constructor(entry, actions) {
    this.message = entry.message;
    this.entry = entry;
    this.actions = actions;
    this.element = h("article", { class: "message answer", "aria-label": "Answer" });
    this.filled = false;
  }

  fill() {
    if (this.filled) return;
    this.filled = true;
    this.status = h("p", { class: "status", hidden: true }, icon("bird"), h("span"));
    this.prose = h("div", { class: "prose" });
    this.notes = h("div", { class: "notes" });
    this.tools = h("footer", { class: "tools" });
    this.element.append(this.status, this.prose, this.notes, this.tools);
    this.markdown = new Markdown(this.prose);
    this.update(this.actions.answerOf(this.message));
  }

  /** @param {import("./answer.js").Answer|null} answer  while it runs */
  update(answer) {
    if (!this.filled) return;
    const { message } = this;
    const running = answer !== null;
    this.element.classList.toggle("running", running);
    this.element.setAttribute("aria-busy", String(running));
    if (message.reasoning) {
      this.thinking ??= new Thinking(this.prose);
      this.thinking.update(message, answer);
    }
    const waiting = running && !message.reasoning && message.content === "";
    this.status.hidden = !waiting;
    if (waiting) this.status.lastChild.textContent = answer.phase === "queued" ? "In the queue…" : "Reading the question…";
    this.markdown.render(message.content, running);
    if (running) {
      if (this.shownFinal !== false) {
        this.shownFinal = false;
        this.notes.replaceChildren();
        this.facts?.remove();
      }
      const speed = answer.speed();
      this.tools.replaceChildren(h("span", { class: "tabular stats" }, answer.deltas > 0 ? `${count(answer.deltas, "token")}${speed ? ` · ${speed.toFixed(1)} tokens/s` : ""}` : ""));
    } else if (!this.shownFinal) {
      this.shownFinal = true;
      this.notes.replaceChildren(...this.finalNotes());
      this.tools.replaceChildren(siblingNavigation(this.entry, "Answer", this.actions) ?? "", message.content === "" ? "" : copyButton("Copy answer", () => message.content),
        iconButton("again", "Answer again", () => this.actions.regenerate(message)), this.stats());
    }
  }

  stats() {
    const { usage, tokensPerSecond, deltas } = this.message;
    const tokens = usage?.completion_tokens ?? deltas;
    const parts = [];
    if (tokens) parts.push(`${usage ? "" : "≈ "}${count(tokens, "token")}`);
    if (tokensPerSecond) parts.push(`${tokensPerSecond.toFixed(1)} tokens/s`);
    if (parts.length === 0) return "";
    const facts = [
      ["Model", this.message.model], ["Question", usage?.prompt_tokens !== undefined && `${count(usage.prompt_tokens, "token")}${usage.cached_tokens ? `, ${usage.cached_tokens} of them from the cache` : ""}`],
      ["Answer", usage?.completion_tokens !== undefined && `${count(usage.completion_tokens, "token")}${usage.reasoning_tokens ? `, ${usage.reasoning_tokens} of them thoughts` : ""}`],
      ["First token after", this.message.firstMs !== undefined && seconds(this.message.firstMs)], ["Speed", tokensPerSecond && `${tokensPerSecond.toFixed(1)} tokens/s after the first`],
      ["Fingerprint", this.message.fingerprint],
    ].filter(([, value]) => value);
    const list = h("dl", { class: "facts", hidden: true }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    const button = h("button", { type: "button", class: "tabular stats", "aria-expanded": "false", title: "More about this answer" }, parts.join(" · "));
    button.addEventListener("click", () => {
      list.hidden = !list.hidden;
      button.setAttribute("aria-expanded", String(!list.hidden));
    });
    this.notes.after(this.tools, list);
    this.facts?.remove();
    this.facts = list;
    return button;
  }

  finalNotes() {
    const { message } = this;
    const notes = [];
    if (message.error) {
      notes.push(errorNote(explain(message.error), { ...this.actions, retry: () => this.actions.retry(message) }));
    } else {
      const finish = message.finish === undefined ? "This answer is not complete: the page was closed while it came." : explainFinish(message.finish);
      if (finish) notes.push(h("p", { class: "note" }, finish));
      else if (message.content === "") notes.push(h("p", { class: "note" }, "The answer is empty."));
    }
    return notes;
  }
}

/** A form for the API key; it is kept until the tab is closed. */
function keyForm(useKey) {
  const field = h("input", { type: "password", autocomplete: "off", spellcheck: "false", "aria-label": "API key", placeholder: "API key", required: true });
  const form = h("form", { class: "key-form" }, field, h("button", { class: "button primary" }, "Use key"), h("span", { class: "hint" }, "Kept until this tab is closed."));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim() !== "") useKey(field.value.trim());
  });
  return form;
}

/** An error in words, with what can be done about it. */
export function errorNote({ title, advice, action, wait }, { retry, useKey }) {
  const note = h("div", { class: "note error", role: "alert" }, h("p", {}, h("strong", {}, title), " ", advice));
  if (action === "key") {
    note.append(keyForm((key) => {
      useKey(key);
      retry();
    }));
  } else if (action !== null) {
    const button = h("button", { type: "button", class: "button", onclick: retry }, "Try again");
    note.append(button);
    if (wait) {
      const until = Date.now() + wait * 1000;
      const tick = () => {
        const left = Math.ceil((until - Date.now()) / 1000);
        button.disabled = left > 0;
        button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
        if (left > 0 && (note.isConnected || left > wait - 1)) setTimeout(tick, 250);
      };
      tick();
    }
  }
  return note;
}
