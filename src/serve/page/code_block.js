// A block of code: its language, a copy button, and lines that are drawn once each while the block grows.

import { copyText, h } from "./dom.js";
import { highlightLine, languageRules } from "./highlight.js";

export class CodeBlock {
  constructor(language) {
    this.language = language;
    this.rules = languageRules(language);
    this.text = "";
    this.drawn = 0; // characters whose lines are complete and drawn for good
    this.open = null;
    this.last = h("span"); // the line that is still being written
    this.code = h("code", {}, this.last);
    const copy = h("button", { type: "button", class: "code-copy", "aria-label": "Copy code" }, "Copy");
    copy.addEventListener("click", async () => {
      copy.textContent = (await copyText(this.text)) ? "Copied" : "Not copied";
      setTimeout(() => (copy.textContent = "Copy"), 1600);
    });
    this.element = h("figure", { class: "code" }, h("figcaption", {}, h("span", {}, language || "text"), copy),
      h("pre", { tabindex: "0", "aria-label": language ? `Code in ${language}` : "Code" }, this.code));
  }

  /** Whether the text could be shown by adding to what is there. */
  update(text) {
    if (!text.startsWith(this.text.slice(0, this.drawn))) return false;
    this.text = text;
    for (let end; (end = text.indexOf("\n", this.drawn)) >= 0; this.drawn = end + 1) {
      const { nodes, open } = this.highlight(text.slice(this.drawn, end));
      this.open = open;
      this.last.before(...nodes, "\n");
    }
    this.last.replaceChildren(...this.highlight(text.slice(this.drawn)).nodes);
    return true;
  }

  highlight(line) {
    return this.rules ? highlightLine(this.rules, line, this.open) : { nodes: [line], open: null };
  }
}
