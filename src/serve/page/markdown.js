// Markdown that grows: append text, render, and only what the new text can still change is drawn again.
//
// A block before the last can change no more once two whole lines follow it (a line may turn out to be a table's second, and its own first
// half may have looked like something else); then it is settled, and neither its source is read nor its nodes touched again. Inside the
// open tail, blocks, list items and table rows with the same source keep their nodes.

import { CodeBlock } from "./code_block.js";
import { h } from "./dom.js";
import { parseBlocks, splitRow } from "./markdown_blocks.js";
import { inlineNodes } from "./markdown_inline.js";
import { renderTex } from "./tex.js";

function cells(tag, texts, align) {
  return texts.slice(0, align.length).map((text, i) => h(tag, { class: align[i] && `align-${align[i]}` }, ...inlineNodes(text, false)));
}

class Table {
  constructor(block) {
    this.header = block.header.join("|");
    this.rows = [];
    this.body = h("tbody");
    this.element = h("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table" },
      h("table", {}, h("thead", {}, h("tr", {}, ...cells("th", block.header, block.align))), this.body));
  }

  update(block) {
    if (block.header.join("|") !== this.header) return false;
    block.rows.forEach((line, i) => {
      if (this.rows[i] === line) return;
      this.rows[i] = line;
      const row = h("tr", {}, ...cells("td", splitRow(line), block.align));
      if (this.body.children[i]) this.body.children[i].replaceWith(row);
      else this.body.append(row);
    });
    return block.rows.length === this.rows.length;
  }
}

class List {
  constructor(block) {
    this.ordered = block.ordered;
    this.loose = block.loose;
    this.items = [];
    this.element = h(block.ordered ? "ol" : "ul", { start: block.ordered && block.start !== 1 ? block.start : null, class: block.loose ? null : "tight" });
  }

  update(block, open) {
    if (block.ordered !== this.ordered || block.loose !== this.loose || block.items.length < this.items.length) return false;
    block.items.forEach((item, i) => {
      const itemOpen = open && i === block.items.length - 1;
      const before = this.items[i];
      // "- [" was text until its "x]" came.
      const known = before?.checked === item.checked ? before : undefined;
      if (known && known.source === item.source && known.open === itemOpen) return;
      const li = known?.element ?? h("li", { class: item.checked === null ? null : "task" });
      const inner = known?.inner ?? new Blocks(li, !this.loose);
      if (!known && item.checked !== null) li.append(h("input", { type: "checkbox", disabled: true, checked: item.checked }));
      inner.update(item.blocks, itemOpen);
      if (!before) this.element.append(li);
      else if (before.element !== li) before.element.replaceWith(li);
      this.items[i] = { source: item.source, open: itemOpen, checked: item.checked, element: li, inner };
    });
    return true;
  }
}

class Quote {
  constructor() {
    this.element = h("blockquote");
    this.inner = new Blocks(this.element, false);
  }

  update(block, open) {
    this.inner.update(block.blocks, open);
    return true;
  }
}

class Fence extends CodeBlock {
  constructor(block) {
    super(block.language);
  }

  update(block) {
    return block.language === this.language && super.update(block.text);
  }
}

const GROWING = { code: Fence, list: List, quote: Quote, table: Table };

// Blocks that are drawn anew when they change.
function draw(block, open, tight) {
  switch (block.kind) {
    case "heading": return h(`h${block.level}`, {}, ...inlineNodes(block.text, open));
    case "rule": return h("hr");
    case "math":
      // An unfinished formula would flicker between error and formula with every token.
      return block.closed ? h("div", { class: "formula", tabindex: "0" }, renderTex(block.text, true)) : h("div", { class: "formula" }, h("code", { class: "tex-source" }, block.text));
    default: return tight ? h("span", { class: "tight-text" }, ...inlineNodes(block.text, open)) : h("p", {}, ...inlineNodes(block.text, open));
  }
}

// The blocks of one container, kept in step with what the parser finds.
class Blocks {
  constructor(parent, tight) {
    this.parent = parent;
    this.tight = tight;
    this.drawn = []; // {kind, source, open, element, growing}
  }

  update(blocks, open) {
    blocks.forEach((block, i) => {
      const blockOpen = open && i === blocks.length - 1;
      const known = this.drawn[i];
      if (known && known.kind === block.kind && known.source === block.source && known.open === blockOpen) return;
      const entry = { kind: block.kind, source: block.source, open: blockOpen };
      if (known?.kind === block.kind && known.growing?.update(block, blockOpen)) {
        Object.assign(entry, { growing: known.growing, element: known.element });
      } else if (block.kind in GROWING) {
        entry.growing = new GROWING[block.kind](block);
        entry.growing.update(block, blockOpen);
        entry.element = entry.growing.element;
      } else {
        entry.element = draw(block, blockOpen, this.tight);
      }
      if (!known) this.parent.append(entry.element);
      else if (known.element !== entry.element) known.element.replaceWith(entry.element);
      this.drawn[i] = entry;
    });
    for (const gone of this.drawn.splice(blocks.length)) gone.element.remove();
  }

  settle(count) {
    this.drawn.splice(0, count);
  }
}

export class Markdown {
  /** @param {Element} parent  empty, and the renderer's alone */
  constructor(parent) {
    this.blocks = new Blocks(parent, false);
    this.source = "";
    this.settled = 0; // characters of `source` whose blocks can change no more
    this.rendered = null;
  }

  /** Shows `source`; `open` while more may follow. Cheap when the source has only grown. */
  render(source, open) {
    if (source === this.source && open === this.rendered) return;
    if (!source.startsWith(this.source)) {
      this.blocks.update([], false);
      this.blocks.parent.replaceChildren();
      this.settled = 0;
    }
    this.source = source;
    this.rendered = open;
    const lines = source.slice(this.settled).replaceAll("\t", "    ").replaceAll("\r", "").split("\n");
    const blocks = parseBlocks(lines);
    this.blocks.update(blocks, open);
    if (open) this.settle(blocks, lines.length - 1);
  }

  settle(blocks, wholeLines) {
    let count = blocks.length - 1;
    while (count > 0 && blocks[count - 1].end + 2 > wholeLines) --count;
    if (count <= 0) return;
    // Lines are counted in the source itself: tabs were widened for the parser.
    for (let line = 0; line < blocks[count - 1].end; ++line) this.settled = this.source.indexOf("\n", this.settled) + 1;
    this.blocks.settle(count);
  }
}

/** The nodes of a text that is complete. */
export function renderMarkdown(source, parent) {
  new Markdown(parent).render(source, false);
}
