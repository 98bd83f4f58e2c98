// Light highlighting: comments, strings, numbers, keywords, names that are called. By lines, carrying what is open over the line's end, so
// that a code block that grows is never read again from its start.

import { h } from "./dom.js";

const words = (text) => new Set(text.trim().split(/\s+/));

const C_LIKE = words(`auto bool break case catch char class const constexpr const_cast continue co_await co_return co_yield default delete do double dynamic_cast else enum
  explicit export extern false final float for friend goto if inline int long mutable namespace new noexcept nullptr operator override private protected public
  register reinterpret_cast requires return short signed sizeof static static_assert static_cast struct switch template this throw true try typedef typename union unsigned using virtual void
  volatile while NULL size_t concept module import
  abstract boolean byte extends implements instanceof interface native package super synchronized throws transient null var
  chan defer fallthrough func go map range select type nil string error
  fn let mut pub impl trait use mod match loop move ref self Self crate where as async await dyn in unsafe i8 i16 i32 i64 u8 u16 u32 u64 usize f32 f64 str
  fun val when object is
  __global__ __device__ __shared__ __host__`);
const JAVASCRIPT = words(`async await break case catch class const continue debugger default delete do else export extends false finally for from function get if import in instanceof
  interface let new null of return set static super switch this throw true try type typeof undefined var void while yield enum implements readonly as keyof declare namespace
  string number boolean any unknown never`);
const PYTHON = words(`and as assert async await break class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise
  return self True try while with yield case`);
const SHELL = words(`if then else elif fi for while until do done case esac function in return local export readonly declare set unset shift exit source eval exec trap echo cd`);
const SQL = words(`select from where and or not insert into values update set delete create table alter drop index view join left right inner outer full on as group by order having limit
  offset union all distinct case when then else end null is in exists between like primary key foreign references default with recursive over partition asc desc int integer text varchar boolean`);
const RUBY = words(`def end class module if elsif else unless while until do return yield begin rescue ensure nil true false self then case when and or not require include`);

// What begins at a place: [kind, pattern]. A pattern with `until` stays open over lines until that is met.
const LINE = { slash: ["comment", /\/\/.*/y], hash: ["comment", /#.*/y], dash: ["comment", /--.*/y], semicolon: ["comment", /;.*/y] };
const BLOCK_COMMENT = ["comment", /\/\*/y, "*/"];
const DOUBLE = ["string", /"(?:[^"\\]|\\.)*(?:"|$)/y];
const SINGLE = ["string", /'(?:[^'\\]|\\.)*(?:'|$)/y];
const CHARACTER = ["string", /'(?:[^'\\]|\\.[^']*)'/y];
const NUMBER = ["number", /(?:0[xX][\da-fA-F_']+|0[bB][01_]+|\d[\d_']*(?:\.[\d_]+)?(?:[eE][+-]?\d+)?)[a-zA-Z%]*/y];
const PREPROCESSOR = ["meta", /#\s*(?:include|define|if|ifdef|ifndef|else|elif|endif|pragma|undef|error)\b/y];
const KEY = ["key", /"(?:[^"\\]|\\.)*"(?=\s*:)/y];

const LANGUAGES = {
  c: { keywords: C_LIKE, rules: [LINE.slash, BLOCK_COMMENT, PREPROCESSOR, DOUBLE, CHARACTER, NUMBER] },
  javascript: { keywords: JAVASCRIPT, rules: [LINE.slash, BLOCK_COMMENT, ["string", /`/y, "`"], DOUBLE, SINGLE, NUMBER] },
  python: { keywords: PYTHON, rules: [LINE.hash, ["string", /[rbfuRBFU]{0,2}"""/y, '"""'], ["string", /[rbfuRBFU]{0,2}'''/y, "'''"],
    ["string", /[rbfuRBFU]{1,2}(?=["'])/y], DOUBLE, SINGLE, ["meta", /@[\w.]+/y], NUMBER] },
  shell: { keywords: SHELL, rules: [["comment", /(?:^|(?<=\s))#.*/y], DOUBLE, SINGLE, ["variable", /\$(?:\w+|\{[^}]*\}|[@#?*!$])/y], ["option", /(?<=\s)--?[\w-]+/y]] },
  json: { keywords: words("true false null"), rules: [KEY, DOUBLE, NUMBER] },
  yaml: { keywords: words("true false null yes no"), rules: [["comment", /(?:^|(?<=\s))#.*/y], ["key", /[\w.-]+(?=\s*:(?:\s|$))/y], DOUBLE, SINGLE, NUMBER] },
  toml: { keywords: words("true false"), rules: [LINE.hash, ["meta", /^\s*\[.*\]/y], ["key", /[\w.-]+(?=\s*=)/y], ["string", /"""/y, '"""'], DOUBLE, SINGLE, NUMBER] },
  sql: { keywords: SQL, caseless: true, rules: [LINE.dash, BLOCK_COMMENT, SINGLE, DOUBLE, NUMBER] },
  ruby: { keywords: RUBY, rules: [LINE.hash, DOUBLE, SINGLE, NUMBER] },
  html: { keywords: new Set(), rules: [["comment", /<!--/y, "-->"], ["keyword", /<\/?[\w:-]+|\/?>/y], ["key", /[\w:-]+(?==)/y], DOUBLE] },
  css: { keywords: new Set(), rules: [BLOCK_COMMENT, ["meta", /@[\w-]+/y], ["key", /[\w-]+(?=\s*:[^:])/y], DOUBLE, SINGLE, ["number", /#[\da-fA-F]{3,8}\b/y], NUMBER] },
  diff: { keywords: new Set(), rules: [["meta", /^(?:@@.*|(?:---|\+\+\+|diff|index) .*)/y], ["inserted", /^\+.*/y], ["deleted", /^-.*/y]] },
};
const ALIASES = { "c++": "c", cpp: "c", cc: "c", h: "c", hpp: "c", cuda: "c", cu: "c", opencl: "c", java: "c", go: "c", golang: "c", rust: "c", rs: "c", csharp: "c", cs: "c", kotlin: "c", swift: "c",
  scala: "c", dart: "c", js: "javascript", jsx: "javascript", ts: "javascript", tsx: "javascript", typescript: "javascript", mjs: "javascript", py: "python", python3: "python", sh: "shell", bash: "shell",
  zsh: "shell", console: "shell", jsonc: "json", json5: "json", jsonl: "json", yml: "yaml", ini: "toml", conf: "toml", xml: "html", svg: "html", vue: "html", scss: "css", patch: "diff", rb: "ruby" };

const WORD = /[A-Za-z_$][\w$]*/y;
const OTHER = /\s+|[^\sA-Za-z_$]/y;
// Beyond this a line is data, not code, and is left plain.
const LINE_MAX = 2000;

/** The rules for a language by any of its names; undefined for one that is not known. */
export function languageRules(name) {
  const key = Object.hasOwn(ALIASES, name) ? ALIASES[name] : name;
  return Object.hasOwn(LANGUAGES, key) ? LANGUAGES[key] : undefined;
}

function stickyMatch(pattern, line, at) {
  pattern.lastIndex = at;
  return pattern.exec(line)?.[0];
}

/**
 * The spans of one line, and what is still open at its end.
 * @param {{keywords: Set<string>, rules: Array, caseless?: boolean}} language
 * @param {string} line
 * @param {{kind: string, until: string}|null} open
 */
export function highlightLine(language, line, open) {
  if (line.length > LINE_MAX) return { nodes: [line], open };
  const nodes = [];
  let plain = "";
  const add = (kind, text) => {
    if (kind === null) {
      plain += text;
      return;
    }
    if (plain !== "") nodes.push(plain);
    plain = "";
    nodes.push(h("span", { class: `hl-${kind}` }, text));
  };
  let at = 0;
  const runOpen = (from) => {
    const end = line.indexOf(open.until, from);
    const stop = end < 0 ? line.length : end + open.until.length;
    add(open.kind, line.slice(at, stop));
    if (end >= 0) open = null;
    at = stop;
  };
  if (open) runOpen(0);
  scan: while (at < line.length) {
    for (const [kind, pattern, until] of language.rules) {
      const text = stickyMatch(pattern, line, at);
      if (!text) continue;
      if (until) {
        open = { kind, until };
        runOpen(at + text.length);
      } else {
        add(kind, text);
        at += text.length;
      }
      continue scan;
    }
    const word = stickyMatch(WORD, line, at);
    if (word) {
      const isKeyword = language.keywords.has(language.caseless ? word.toLowerCase() : word);
      add(isKeyword ? "keyword" : /^\s*\(/.test(line.slice(at + word.length, at + word.length + 3)) ? "call" : null, word);
      at += word.length;
    } else {
      const other = stickyMatch(OTHER, line, at);
      add(null, other);
      at += other.length;
    }
  }
  if (plain !== "") nodes.push(plain);
  return { nodes, open };
}
