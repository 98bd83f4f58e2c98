// Markdown, second half: the text of a block → DOM nodes.
//
// Code spans, formulas and links are found first; emphasis is what is left, by CommonMark's delimiter stack, with these departures:
//   * __init__ and __FILE__ are names, not emphasis; 2*3*4 and 2**n are arithmetic;
//   * next to Chinese and Japanese characters ** opens and closes as if there were spaces: those languages have none;
//   * a line break is a line break;
//   * pictures are links: a page that loads what a model names tells the outside what was asked.

import { h } from "./dom.js";
import { renderTex } from "./tex.js";

const PROTOCOLS = new Set(["http:", "https:", "mailto:"]);
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", "#39": "'" };

// How far a closing delimiter is looked for: what is longer is no link and no inline formula, and a line of brackets stays linear.
const LABEL_MAX = 1000;
const FORMULA_MAX = 4000;
const OPENERS_MAX = 100;

const PUNCTUATION = /[\p{P}\p{S}]/u;
const CJK = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff00-\uffef]/u;
const DUNDER = /__(?:[a-z0-9]+(?:_+[a-z0-9]+)*|[A-Z0-9]+(?:_+[A-Z0-9]+)*)__(?![A-Za-z0-9_])/y;
const BARE_URL = /https?:\/\/[^\s<>"'`\\|]+/y;
const PLAIN = /[^\\`*_~$[\]!<&\nh]+|h(?!ttps?:\/\/)/y;

/** The address if it may be followed, else null. */
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return PROTOCOLS.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function link(url, children) {
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}

function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

class Scanner {
  constructor(text, open) {
    this.text = text;
    this.open = open;
    this.at = 0;
    this.parts = []; // nodes, strings, and delimiters {char, count, canOpen, canClose}
    this.missing = new Set(); // closing delimiters already looked for in vain: the rest of the text has none
  }

  push(part) {
    if (typeof part === "string" && typeof this.parts.at(-1) === "string") this.parts[this.parts.length - 1] += part;
    else this.parts.push(part);
  }

  find(close, from, limit) {
    if (this.missing.has(close)) return -1;
    const found = this.text.indexOf(close, from);
    if (found < 0) this.missing.add(close);
    return found >= 0 && found - from <= limit ? found : -1;
  }

  escape() {
    const next = this.text[this.at + 1];
    if (next === "(" || next === "[") {
      const close = next === "(" ? "\\)" : "\\]";
      const end = this.find(close, this.at + 2, FORMULA_MAX);
      if (end >= 0) {
        this.parts.push(renderTex(this.text.slice(this.at + 2, end), next === "["));
        this.at = end + 2;
        return;
      }
    }
    if (next === "\n") this.parts.push(h("br"));
    else this.push(next !== undefined && /[!-/:-@[-`{-~]/.test(next) ? next : `\\${next ?? ""}`);
    this.at += 2;
  }

  code() {
    const run = matchAt(/`+/y, this.text, this.at)[0];
    const start = this.at + run.length;
    let end = start;
    for (;;) {
      end = this.find(run, end, Infinity);
      if (end < 0) break;
      let stop = end;
      while (this.text[stop] === "`") ++stop;
      if (stop - end === run.length) break;
      end = stop;
    }
    if (end < 0 && !this.open) {
      this.push(run);
      this.at = start;
      return;
    }
    let inner = this.text.slice(start, end < 0 ? undefined : end).replaceAll("\n", " ");
    if (/^ .*\S.* $/.test(inner)) inner = inner.slice(1, -1);
    if (inner !== "") this.parts.push(h("code", {}, inner));
    this.at = end < 0 ? this.text.length : end + run.length;
  }

  dollars() {
    const run = this.text.startsWith("$$", this.at) ? "$$" : "$";
    const start = this.at + run.length;
    for (let end = start; ; end += run.length) {
      end = this.find(run, end, FORMULA_MAX);
      if (end < 0 || end - start > FORMULA_MAX) break;
      if (this.text[end - 1] === "\\") continue;
      const inner = this.text.slice(start, end);
      // One dollar may be money: a formula has no space inside its dollars and no digit behind them.
      const formula = inner.trim() !== "" && (run === "$$" || (!/^\s|\s$|\n\n/.test(inner) && !/\d/.test(this.text[end + 1] ?? "")));
      if (!formula) break;
      this.parts.push(renderTex(inner, run === "$$"));
      this.at = end + run.length;
      return;
    }
    this.push(run);
    this.at = start;
  }

  // [label](address "title"), or, with a ! before it, a picture: a link of its description.
  bracket(picture) {
    const start = this.at + (picture ? 2 : 1);
    let depth = 1;
    let end = start;
    for (; end < this.text.length && end - start < LABEL_MAX; ++end) {
      if (this.text[end] === "\\") ++end;
      else if (this.text[end] === "[") ++depth;
      else if (this.text[end] === "]" && --depth === 0) break;
    }
    const target = depth === 0 ? matchAt(/\]\(\s*(?:<([^<>\n]*)>|((?:[^\s()\\]|\\.|\([^\s()]*\))*))(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/y, this.text, end) : null;
    if (target === null) {
      this.push(this.text.slice(this.at, start));
      this.at = start;
      return;
    }
    const label = this.text.slice(start, end);
    const url = safeUrl((target[1] ?? target[2]).replace(/\\([!-/:-@[-`{-~])/g, "$1"));
    const children = picture ? [label || "picture"] : inlineNodes(label, false);
    this.parts.push(url === null ? h("span", { class: "dead-link", title: "The address is not one this page opens" }, ...children)
      : link(url, children));
    this.at = end + target[0].length;
  }

  angle() {
    const autolink = matchAt(/<((?:https?:\/\/|mailto:)[^\s<>]*)>/y, this.text, this.at);
    const lineBreak = matchAt(/<br\s*\/?>/iy, this.text, this.at);
    const url = autolink && safeUrl(autolink[1]);
    if (url) this.parts.push(link(url, [autolink[1]]));
    else if (lineBreak) this.parts.push(h("br"));
    else this.push("<");
    this.at += url ? autolink[0].length : lineBreak ? lineBreak[0].length : 1;
  }

  bareUrl() {
    const found = matchAt(BARE_URL, this.text, this.at);
    let text = found === null ? "h" : found[0].replace(/[.,:;!?*_~]+$/, "");
    // A bracket that closes what was opened before the address is not part of it.
    while (/[)\]]$/.test(text) && text.split(text.at(-1)).length > text.split(text.at(-1) === ")" ? "(" : "[").length) text = text.slice(0, -1);
    const url = found === null ? null : safeUrl(text);
    if (url) this.parts.push(link(url, [text]));
    else this.push(text);
    this.at += text.length;
  }

  delimiters() {
    const char = this.text[this.at];
    if (char === "_" && !/[A-Za-z0-9_]/.test(this.text[this.at - 1] ?? "")) {
      const name = matchAt(DUNDER, this.text, this.at);
      if (name) {
        this.push(name[0]);
        this.at += name[0].length;
        return;
      }
    }
    let end = this.at;
    while (this.text[end] === char) ++end;
    const before = this.text[this.at - 1] ?? " ";
    const after = this.text[end] ?? " ";
    const count = end - this.at;
    this.at = end;
    if (char === "~" && count !== 2) {
      this.push("~".repeat(count));
      return;
    }
    const soft = (c) => /\s/.test(c) || PUNCTUATION.test(c) || CJK.test(c);
    const left = !/\s/.test(after) && (!PUNCTUATION.test(after) || soft(before));
    const right = !/\s/.test(before) && (!PUNCTUATION.test(before) || soft(after));
    const word = /[A-Za-z0-9]/;
    const inWord = char === "_" ? /[\p{L}\p{N}]/u.test(before) && /[\p{L}\p{N}]/u.test(after) : word.test(before) && word.test(after);
    const canOpen = left && !inWord && (char !== "_" || !right || PUNCTUATION.test(before));
    const canClose = right && (char !== "_" || !left || PUNCTUATION.test(after)) && !(char === "_" && inWord);
    this.parts.push({ char, count, canOpen, canClose });
  }

  scan() {
    while (this.at < this.text.length) {
      const plain = matchAt(PLAIN, this.text, this.at);
      if (plain) {
        this.push(plain[0]);
        this.at += plain[0].length;
        continue;
      }
      switch (this.text[this.at]) {
        case "\\": this.escape(); break;
        case "`": this.code(); break;
        case "$": this.dollars(); break;
        case "[": this.bracket(false); break;
        case "<": this.angle(); break;
        case "h": this.bareUrl(); break;
        case "*": case "_": case "~": this.delimiters(); break;
        case "\n":
          this.parts.push(h("br"));
          ++this.at;
          while (this.text[this.at] === " ") ++this.at;
          break;
        case "&": {
          const entity = matchAt(/&(amp|lt|gt|quot|apos|nbsp|#39);/y, this.text, this.at);
          this.push(entity ? ENTITIES[entity[1]] : "&");
          this.at += entity ? entity[0].length : 1;
          break;
        }
        default:
          if (this.text.startsWith("![", this.at)) {
            this.bracket(true);
          } else {
            this.push(this.text[this.at]);
            ++this.at;
          }
      }
    }
    return this.parts;
  }
}

// Wraps parts[from+1 … to) in an element, in place.
function wrap(parts, from, to, tag) {
  const inner = parts.slice(from + 1, to).map((part) => (isDelimiter(part) ? part.char.repeat(part.count) : part));
  parts.splice(from + 1, to - from - 1, h(tag, {}, ...inner));
}

function isDelimiter(part) {
  return typeof part === "object" && !(part instanceof Node);
}

const tagOf = (char, count) => (char === "~" ? "del" : count === 2 ? "strong" : "em");

function findOpener(parts, at) {
  const closer = parts[at];
  for (let i = at - 1, looked = 0; i >= 0 && looked < OPENERS_MAX; --i) {
    const opener = parts[i];
    if (!isDelimiter(opener)) continue;
    ++looked;
    if (opener.char !== closer.char || !opener.canOpen || opener.count === 0) continue;
    // CommonMark's rule of three: ***a** must not close ** with part of a run that opens too.
    const ambiguous = (opener.canClose || closer.canOpen) && (opener.count + closer.count) % 3 === 0;
    if (!ambiguous || (opener.count % 3 === 0 && closer.count % 3 === 0)) return i;
  }
  return -1;
}

function emphasize(parts, open) {
  for (let at = 0; at < parts.length; ++at) {
    while (isDelimiter(parts[at]) && parts[at].canClose && parts[at].count > 0) {
      const from = findOpener(parts, at);
      if (from < 0) break;
      const count = parts[from].count >= 2 && parts[at].count >= 2 ? 2 : 1;
      parts[from].count -= count;
      parts[at].count -= count;
      wrap(parts, from, at, tagOf(parts[at].char, count));
      at = from + 2;
    }
  }
  if (!open) return;
  // While a block still grows, what is bold so far is shown bold.
  for (let from = parts.length - 1; from >= 0; --from) {
    if (!isDelimiter(parts[from]) || parts[from].char !== "*" || parts[from].count !== 2) continue;
    if (from === parts.length - 1) parts.pop();
    else if (parts[from].canOpen) {
      wrap(parts, from, parts.length, "strong");
      parts[from].count = 0;
    }
  }
}

/**
 * @param {string} text
 * @param {boolean} open  more of it may follow: what is not closed yet is shown as if it were
 * @returns {(Node|string)[]}
 */
export function inlineNodes(text, open) {
  const parts = new Scanner(text, open).scan();
  emphasize(parts, open);
  return parts.map((part) => (isDelimiter(part) ? part.char.repeat(part.count) : part));
}
