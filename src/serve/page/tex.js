// TeX → MathML, which browsers draw themselves. The part of TeX that models use; whatever is not known here is shown as its source.

import { h, math } from "./dom.js";
import { ACCENTS, ALPHABETS, DELIMITERS, FUNCTIONS, LETTERS, LIMITS, OPERATORS, SPACES } from "./tex_symbols.js";

class TexError extends Error {}

const has = Object.hasOwn;

// No formula is nested deeper; recursion ends here whatever a model writes.
const DEPTH_MAX = 60;

const FENCES = { matrix: ["", ""], pmatrix: ["(", ")"], bmatrix: ["[", "]"], Bmatrix: ["{", "}"], vmatrix: ["|", "|"], Vmatrix: ["‖", "‖"],
  cases: ["{", ""], dcases: ["{", ""], rcases: ["", "}"] };
const ALIGNED = new Set(["align", "aligned", "alignat", "split", "eqnarray", "alignedat"]);
const COLUMNS = new Set(["gather", "gathered", "multline", "equation", "array", "smallmatrix", "subarray"]);

const TOKEN = /\\(?:[a-zA-Z]+\*?|[^])|[^]/uy;

function tokens(source) {
  const list = [];
  // A comment runs to the end of its line.
  const text = source.replace(/(?<!\\)%.*$/gm, "");
  TOKEN.lastIndex = 0;
  for (let found; (found = TOKEN.exec(text)); ) list.push(found[0]);
  return list;
}

// A letter of another alphabet: MathML Core has no attribute for it, Unicode has the characters.
function styled(text, alphabet) {
  const table = ALPHABETS[alphabet];
  if (table === undefined) return text;
  return Array.from(text, (c) => {
    if (table.holes?.[c]) return table.holes[c];
    for (const [first, last, start] of table.ranges) {
      if (c >= first && c <= last) return String.fromCodePoint(start + c.codePointAt(0) - first.codePointAt(0));
    }
    return c;
  }).join("");
}

const mo = (text, attributes) => math("mo", attributes, text);
const row = (nodes) => (nodes.length === 1 ? nodes[0] : math("mrow", {}, ...nodes));
const space = (width) => math("mspace", { width });

class Parser {
  constructor(source, display) {
    this.tokens = tokens(source);
    this.at = 0;
    this.display = display;
    this.depth = 0;
  }

  peek() {
    while (/^\s$/.test(this.tokens[this.at] ?? "x")) ++this.at;
    return this.tokens[this.at];
  }

  next() {
    const token = this.peek();
    if (token === undefined) throw new TexError("the formula ends too early");
    ++this.at;
    return token;
  }

  expect(token) {
    if (this.next() !== token) throw new TexError(`${token} is missing`);
  }

  // The text of a group as it stands, spaces and all: \text, names of environments, sizes.
  raw() {
    if (this.next() !== "{") return this.tokens[this.at - 1];
    let text = "";
    for (let depth = 1; ; ++this.at) {
      const token = this.tokens[this.at];
      if (token === undefined) throw new TexError("} is missing");
      if (token === "{") ++depth;
      if (token === "}" && --depth === 0) break;
      text += /^\\[^a-zA-Z]$/u.test(token) ? token.slice(1) : token;
    }
    ++this.at;
    return text;
  }

  optional() {
    if (this.peek() !== "[") return null;
    ++this.at;
    const nodes = this.until((token) => token === "]");
    this.expect("]");
    return row(nodes);
  }

  argument(alphabet) {
    if (this.peek() === "{") {
      ++this.at;
      const nodes = this.until((token) => token === "}", alphabet);
      this.expect("}");
      return row(nodes);
    }
    // Without braces the argument is one digit: \frac12 is a half.
    if (/^[0-9]$/.test(this.peek() ?? "")) return math("mn", {}, styled(this.next(), alphabet));
    const node = this.atom(alphabet);
    if (node === null) throw new TexError("an argument is missing");
    return node;
  }

  // Nodes up to, not including, a token that stops. Between a function's name and what it is of there is a thin space.
  until(stops, alphabet) {
    if (++this.depth > DEPTH_MAX) throw new TexError("nested too deeply");
    const nodes = [];
    let afterFunction = false;
    for (let token; (token = this.peek()) !== undefined && !stops(token); ) {
      if (token === "\\over" || token === "\\choose") {
        ++this.at;
        const rest = this.until(stops, alphabet);
        --this.depth;
        return token === "\\over" ? [math("mfrac", {}, row(nodes), row(rest))] : this.binomial(row(nodes), row(rest));
      }
      const isFunction = FUNCTIONS.has(token.slice(1)) || token === "\\operatorname";
      if (nodes.length > 0 && (isFunction || afterFunction) && !/^(?:[([{|^_,.;)\]}]|\\left|\\,|\\big.*)$/i.test(token)) {
        if (afterFunction || nodes.at(-1).localName !== "mo") nodes.push(space("0.167em"));
      }
      const node = this.scripted(alphabet);
      // Switches of size and the like leave nothing.
      if (node !== null) nodes.push(node);
      afterFunction = isFunction;
    }
    --this.depth;
    return nodes;
  }

  binomial(top, bottom) {
    return [mo("(", { stretchy: "true" }), math("mfrac", { linethickness: "0" }, top, bottom), mo(")", { stretchy: "true" })];
  }

  // An atom with its subscript, superscript and primes.
  scripted(alphabet) {
    const token = this.peek();
    const name = token.slice(1);
    let base = token === "^" || token === "_" || token === "'" ? math("mrow") : this.atom(alphabet);
    if (base === null) return null;
    let limits = token.startsWith("\\") && LIMITS.has(name) && !name.includes("int");
    if (/^\\(?:over|under)brace$/.test(token) || token === "\\operatorname*") limits = true;
    let sub = null;
    let sup = null;
    let forced = false;
    for (;;) {
      const mark = this.peek();
      if (mark === "\\limits" || mark === "\\nolimits") {
        ++this.at;
        limits = mark === "\\limits";
        forced = limits;
      } else if (mark === "'") {
        let primes = "";
        for (; this.peek() === "'"; ++this.at) primes += "′";
        sup = sup === null ? mo(primes) : math("mrow", {}, sup, mo(primes));
      } else if (mark === "_" && sub === null) {
        ++this.at;
        sub = this.argument(alphabet);
      } else if (mark === "^" && (sup === null || sup.textContent.startsWith("′"))) {
        ++this.at;
        const power = this.argument(alphabet);
        sup = sup === null ? power : math("mrow", {}, sup, power);
      } else if (mark === "^" || mark === "_") {
        throw new TexError(`two ${mark} on one base`);
      } else {
        break;
      }
    }
    if (sub === null && sup === null) return base;
    if (forced && base.localName === "mo") base.setAttribute("movablelimits", "false");
    if (sub !== null && sup !== null) return math(limits ? "munderover" : "msubsup", {}, base, sub, sup);
    if (sub !== null) return math(limits ? "munder" : "msub", {}, base, sub);
    return math(limits ? "mover" : "msup", {}, base, sup);
  }

  atom(alphabet) {
    const token = this.next();
    if (token.length > 1 && token[0] === "\\") return this.command(token.slice(1), alphabet);
    if (token === "{") {
      const nodes = this.until((each) => each === "}", alphabet);
      this.expect("}");
      return math("mrow", {}, ...nodes);
    }
    if (/^[0-9]$/.test(token)) {
      let number = token;
      while (/^[0-9]$/.test(this.tokens[this.at] ?? "") || (/^[.,]$/.test(this.tokens[this.at] ?? "") && /^[0-9]$/.test(this.tokens[this.at + 1] ?? ""))) {
        // A comma groups thousands only before three digits; elsewhere it separates.
        if (this.tokens[this.at] === "," && !/^[0-9]{3}(?![0-9])/.test(this.tokens.slice(this.at + 1, this.at + 5).join(""))) break;
        number += this.tokens[this.at++];
      }
      return math("mn", {}, styled(number, alphabet));
    }
    if (token === "\\") throw new TexError("the formula ends too early");
    if (token === "}") throw new TexError("} without {");
    if (token === "&" || token === "#" || token === "$") throw new TexError(`${token} has no meaning here`);
    if (token === "~") return space("0.333em");
    if (/^\p{L}$/u.test(token)) return this.identifier(token, alphabet);
    if (token === "|") return mo("|", { stretchy: "false", lspace: "0", rspace: "0" });
    if (/^[()[\]]$/.test(token)) return mo(token, { stretchy: "false" });
    // The dictionary of operators sets a slash wide, as between words; TeX sets it close.
    if (token === "/") return mo("/", { lspace: "0", rspace: "0", stretchy: "false" });
    return mo({ "-": "−", "*": "∗", ":": "∶", "`": "‘" }[token] ?? token);
  }

  identifier(letter, alphabet) {
    if (alphabet === "normal") return math("mi", { mathvariant: "normal" }, letter);
    return math("mi", {}, styled(letter, alphabet));
  }

  delimiter() {
    const token = this.next();
    const found = token === "." ? "" : (has(DELIMITERS, token) ? DELIMITERS[token] : null) ?? (/^[()[\]|/<>]$/.test(token) ? token : undefined);
    if (found === undefined) throw new TexError(`${token} is not a delimiter`);
    return { "<": "⟨", ">": "⟩" }[found] ?? found;
  }

  leftRight() {
    const left = this.delimiter();
    const nodes = left === "" ? [] : [mo(left, { stretchy: "true", form: "prefix" })];
    for (;;) {
      nodes.push(row(this.until((token) => token === "\\right" || token === "\\middle")));
      const which = this.next();
      const mark = this.delimiter();
      if (mark !== "") nodes.push(mo(mark, { stretchy: "true", form: which === "\\right" ? "postfix" : "infix" }));
      if (which === "\\right") return math("mrow", {}, ...nodes);
    }
  }

  // Cells up to \end{name}.
  environment() {
    const name = this.raw();
    const plain = name.replace("*", "");
    if (!has(FENCES, plain) && !ALIGNED.has(plain) && !COLUMNS.has(plain)) throw new TexError(`${name} is not an environment known here`);
    let columns = null;
    if (plain === "array" || plain === "subarray") columns = this.raw().replace(/[^lcr]/g, "");
    else if (plain === "alignat" || plain === "alignedat") this.raw();
    const rows = [[]];
    for (;;) {
      rows.at(-1).push(this.until((token) => token === "&" || token === "\\\\" || token === "\\end" || token === "\\cr"));
      const stop = this.next();
      if (stop === "\\end") break;
      if (stop !== "&") {
        if (this.peek() === "[") this.optional();
        rows.push([]);
      }
    }
    if (this.raw() !== name) throw new TexError(`\\end{${name}} is missing`);
    if (rows.length > 1 && rows.at(-1).length === 1 && rows.at(-1)[0].length === 0) rows.pop();
    const isAligned = ALIGNED.has(plain);
    const alignOf = (k) => (isAligned ? "rl"[k % 2] : plain.endsWith("cases") ? "l" : columns?.[k] ?? "c");
    const table = math("mtable", { class: isAligned ? "tex-aligned" : `tex-${plain}`, displaystyle: isAligned || plain === "dcases" || plain.startsWith("gather") ? "true" : null },
      ...rows.map((cells) => math("mtr", {}, ...cells.map((nodes, k) => math("mtd", { class: `tex-${alignOf(k)}` }, ...nodes)))));
    const [left, right] = FENCES[plain] ?? ["", ""];
    if (left === "" && right === "") return table;
    return math("mrow", {}, left && mo(left, { stretchy: "true", form: "prefix" }), table, right && mo(right, { stretchy: "true", form: "postfix" }));
  }

  text(attributes) {
    // Dollars inside \text{…} go back to formulas.
    const parts = this.raw().split(/\$([^$]*)\$/);
    return row(parts.map((part, i) => (i % 2 === 1 ? row(new Parser(part, false).all()) : math("mtext", attributes, part.replace(/^ | $/g, "\u00a0")))));
  }

  accent(mark, under) {
    const stretchy = mark.length > 1 ? "true" : "false";
    return math(under ? "munder" : "mover", under ? {} : { accent: "true" }, this.argument(), mo(mark[0], { stretchy }));
  }

  command(name, alphabet) {
    if (has(LETTERS, name)) return this.identifier(LETTERS[name], /^[A-Z]|^(?:infty|emptyset|hbar|partial|nabla|d[a-z]*dots|[lcv]dots|prime)/.test(name) && alphabet === undefined ? "normal" : alphabet);
    if (has(OPERATORS, name)) return mo(OPERATORS[name]);
    if (LIMITS.has(name)) return this.largeOperator(name);
    if (FUNCTIONS.has(name)) return math("mi", {}, name);
    if (has(SPACES, name)) return space(SPACES[name]);
    // A line drawn by the style sheet: few fonts stretch theirs.
    if (name === "overline" || name === "underline") return math("mrow", { class: `tex-${name}` }, this.argument());
    if (has(ACCENTS, name)) return this.accent(ACCENTS[name], name.startsWith("under"));
    if (has(DELIMITERS, `\\${name}`)) return mo(DELIMITERS[`\\${name}`], { stretchy: "false" });
    const alphabetName = /^(?:math|bold|text)?(?:bf|bb|cal|scr|frak|rm|sf|tt|it|normal|symbol|bm)$/.test(name) || name === "bm" ? name : null;
    switch (name) {
      case "frac": case "dfrac": case "tfrac": case "cfrac": {
        const fraction = math("mfrac", {}, this.argument(), this.argument());
        return name === "frac" ? fraction : math("mstyle", { displaystyle: String(name !== "tfrac") }, fraction);
      }
      case "binom": case "dbinom": case "tbinom":
        return math("mrow", {}, ...this.binomial(this.argument(), this.argument()));
      case "sqrt": {
        const index = this.optional();
        const radicand = this.argument();
        return index === null ? math("msqrt", {}, radicand) : math("mroot", {}, radicand, index);
      }
      case "left": return this.leftRight();
      case "begin": return this.environment();
      case "text": case "textrm": case "textsf": case "mbox": case "textnormal": case "hbox": return this.text({});
      case "textbf": return this.text({ class: "tex-bold" });
      case "textit": case "emph": return this.text({ class: "tex-italic" });
      case "texttt": return this.text({ class: "tex-mono" });
      case "boxed": case "fbox": return math("mrow", { class: "tex-boxed" }, name === "boxed" ? this.argument() : this.text({}));
      case "operatorname": case "operatorname*": {
        const text = this.raw().replace(/\\[,;! ]/g, " ");
        return name === "operatorname" ? math("mi", { mathvariant: "normal" }, text) : mo(text, { movablelimits: "true", lspace: "0", rspace: "0.167em" });
      }
      case "overset": case "stackrel": { const top = this.argument(); return math("mover", {}, this.argument(), top); }
      case "underset": { const bottom = this.argument(); return math("munder", {}, this.argument(), bottom); }
      case "substack": return this.substack();
      case "not": return this.negated();
      case "pmod": return math("mrow", {}, space("0.444em"), mo("("), math("mi", {}, "mod"), space("0.333em"), this.argument(), mo(")"));
      case "mod": return math("mrow", {}, space("0.444em"), math("mi", {}, "mod"), space("0.333em"));
      case "bmod": return mo("mod", { lspace: "0.222em", rspace: "0.222em" });
      case "phantom": case "hphantom": case "vphantom": return math("mphantom", {}, this.argument());
      case "cancel": case "bcancel": case "xcancel": return math("mrow", { class: "tex-cancel" }, this.argument());
      case "tag": case "tag*": return math("mrow", {}, space("2em"), math("mtext", {}, `(${this.raw()})`));
      case "label": this.raw(); return null;
      case "color": this.raw(); return null;
      case "textcolor": this.raw(); return this.argument(alphabet);
      case "hspace": case "hspace*": { const width = this.raw(); if (!/^-?[\d.]+(?:em|ex|pt|px|cm|mm)$/.test(width)) throw new TexError("not a length"); return space(width); }
      case "displaystyle": case "textstyle": case "scriptstyle": case "limits": case "nolimits": case "nonumber": case "notag":
      case "hline": case "rm": case "bf": case "it": case "allowbreak": case "small": case "large": return null;
      case "big": case "Big": case "bigg": case "Bigg": case "bigl": case "bigr": case "Bigl": case "Bigr": case "biggl": case "biggr": case "Biggl": case "Biggr":
      case "bigm": case "Bigm": {
        const size = { big: "1.2em", Big: "1.8em", bigg: "2.4em", Bigg: "3em" }[name.replace(/[lrm]$/, "")];
        const mark = this.delimiter();
        return mo(mark, { stretchy: "true", symmetric: "true", minsize: size, maxsize: size });
      }
      case "xrightarrow": case "xleftarrow": {
        const below = this.optional();
        const arrow = mo(name === "xrightarrow" ? "→" : "←", { stretchy: "true" });
        const above = math("mpadded", { lspace: "0.4em", width: "+0.8em" }, this.argument());
        return below === null ? math("mover", {}, arrow, above) : math("munderover", {}, arrow, below, above);
      }
      case "mathop": case "mathbin": case "mathrel": case "mathord": case "mathopen": case "mathclose": case "mathstrut": case "ensuremath":
        return name === "mathstrut" ? null : this.argument(alphabet);
    }
    if (alphabetName !== null) return this.argument({ mathbb: "bb", mathbf: "bf", boldsymbol: "bf", bm: "bf", mathcal: "cal", mathscr: "cal", mathfrak: "frak",
      mathrm: "normal", mathnormal: undefined, mathit: undefined, mathsf: "sf", mathtt: "tt" }[name]);
    if (name.length === 1 && "#$%&_".includes(name)) return math(name === "_" || name === "&" ? "mtext" : "mi", {}, name);
    throw new TexError(`\\${name} is not known here`);
  }

  largeOperator(name) {
    const sign = OPERATORS[`${name} `];
    if (sign !== undefined) return mo(sign, this.display ? { largeop: "true" } : {});
    const text = { limsup: "lim sup", liminf: "lim inf", argmax: "arg max", argmin: "arg min" }[name] ?? name;
    return mo(text, { movablelimits: "true", lspace: "0", rspace: "0.167em", form: "prefix" });
  }

  substack() {
    this.expect("{");
    const rows = [];
    for (let stop = ""; stop !== "}"; stop = this.next()) rows.push(this.until((token) => token === "\\\\" || token === "}"));
    return math("mtable", { class: "tex-substack" }, ...rows.map((nodes) => math("mtr", {}, math("mtd", {}, ...nodes))));
  }

  // A stroke through the next sign: Unicode composes ≠, ∉ and the like.
  negated() {
    const node = this.argument();
    node.textContent = `${node.textContent}\u0338`.normalize("NFC");
    return node;
  }

  all() {
    const nodes = this.until(() => false);
    return nodes;
  }
}

/**
 * The formula, or its source as code where it is not understood. Never throws.
 * @param {string} source
 * @param {boolean} display  on a line of its own
 */
export function renderTex(source, display) {
  try {
    const parser = new Parser(source, display);
    // A bare a \\ b is a table of one column, as AMS's display environments have it.
    const broken = /\\\\/.test(source) && !/\\begin|\\substack/.test(source);
    const nodes = broken ? new Parser(`\\begin{${source.includes("&") ? "aligned" : "gathered"}}${source}\\end{${source.includes("&") ? "aligned" : "gathered"}}`, display).all() : parser.all();
    if (nodes.length === 0) throw new TexError("empty");
    const formula = math("math", { display: display ? "block" : "inline", "aria-label": source.trim() }, math("mrow", {}, ...nodes));
    return display ? h("span", { class: "tex-display" }, formula) : formula;
  } catch (error) {
    if (!(error instanceof TexError)) throw error;
    return h("code", { class: "tex-source", title: `Shown as written: ${error.message}` }, source.trim());
  }
}
