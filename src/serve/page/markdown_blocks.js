// Markdown, first half: lines → blocks. Pure; what is inside a line is the business of markdown_inline.js.
//
// CommonMark with GitHub's tables, and these departures, all of them because of how models write:
//   * a list item's content may be indented less than its marker is wide (two spaces under "1."), for models often do;
//   * "---" under a paragraph is a rule, not a heading: while an answer streams, a paragraph must not jump to a heading's size;
//   * four spaces do not make code, only fences do;
//   * HTML is text.

/**
 * @typedef {object} Block
 * @property {"paragraph"|"heading"|"code"|"math"|"list"|"quote"|"table"|"rule"} kind
 * @property {number} end     the line after the block's last
 * @property {string} source  its lines; equal sources make equal blocks
 */

// Deeper nesting than anyone reads; recursion ends here whatever a model writes.
const DEPTH_MAX = 16;

const FENCE = /^ {0,3}(`{3,}(?=[^`]*$)|~{3,})\s*(.*?)\s*$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:( +)(.*)|)$/;
const QUOTE = /^ {0,3}> ?/;
const DELIMITER_ROW = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const MATH_OPEN = /^ {0,3}(?:\$\$|\\\[|\\begin\{(?:equation|align|gather|multline|eqnarray)\*?\})/;
const TASK = /^\[([ xX])\] +/;

const isBlank = (line) => !/\S/.test(line);
const indentOf = (line) => line.length - line.trimStart().length;
const isOrdered = (marker) => marker.length > 1;

function startsTable(lines, i) {
  if (!lines[i].includes("|") || i + 1 >= lines.length || !DELIMITER_ROW.test(lines[i + 1])) return false;
  return lines[i + 1].includes("|") && splitRow(lines[i]).length === splitRow(lines[i + 1]).length;
}

// Whether line i ends a paragraph before it. A number other than 1 does not: a line may begin with "2024." by chance.
function interruptsParagraph(lines, i) {
  const line = lines[i];
  const item = ITEM.exec(line);
  return (
    FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || MATH_OPEN.test(line) ||
    (item !== null && item[4] !== undefined && (!isOrdered(item[2]) || parseInt(item[2], 10) === 1)) || startsTable(lines, i)
  );
}

/** The cells of a table's row. A bar in a code span or behind a backslash is text. */
export function splitRow(line) {
  const row = line.trim().replace(/^\|/, "");
  const cells = [];
  let cell = "";
  for (let i = 0; i < row.length; ++i) {
    if (row[i] === "\\" && row[i + 1] === "|") {
      cell += "|";
      ++i;
    } else if (row[i] === "`") {
      const close = row.indexOf("`", i + 1);
      const end = close < 0 ? i + 1 : close + 1;
      cell += row.slice(i, end);
      i = end - 1;
    } else if (row[i] === "|") {
      cells.push(cell.trim());
      cell = "";
    } else {
      cell += row[i];
    }
  }
  if (cell.trim() !== "" || cells.length === 0) cells.push(cell.trim());
  return cells;
}

function parseFence(lines, i) {
  const [, fence, info] = FENCE.exec(lines[i]);
  const indent = indentOf(lines[i]);
  const close = new RegExp(`^ {0,3}\\${fence[0]}{${fence.length},}[ \\t]*$`);
  const text = [];
  let end = i + 1;
  while (end < lines.length && !close.test(lines[end])) {
    text.push(indent > 0 ? lines[end].replace(new RegExp(`^ {1,${indent}}`), "") : lines[end]);
    ++end;
  }
  const closed = end < lines.length;
  return { kind: "code", language: info.split(/[\s{,]/)[0].toLowerCase(), text: text.join("\n"), closed, end: closed ? end + 1 : end };
}

// A formula on lines of its own. It ends with its delimiter at the end of a line; at a blank line before that it was none.
function parseMath(lines, i) {
  const first = lines[i].trim();
  const environment = /^\\begin\{([a-z]+\*?)\}/.exec(first);
  const open = environment ? "" : first.slice(0, 2);
  const close = environment ? `\\end{${environment[1]}}` : open === "$$" ? "$$" : "\\]";
  const text = [];
  for (let end = i; end < lines.length && !isBlank(lines[end]); ++end) {
    const line = end === i ? first.slice(open.length) : lines[end];
    const at = line.indexOf(close);
    if (at >= 0) {
      if (!/^[\s.,;]*$/.test(line.slice(at + close.length))) return null;
      text.push(line.slice(0, at + (environment ? close.length : 0)));
      return { kind: "math", text: text.join("\n"), closed: true, end: end + 1 };
    }
    text.push(line);
    if (end + 1 === lines.length) return { kind: "math", text: text.join("\n"), closed: false, end: end + 1 };
  }
  return null;
}

function parseTable(lines, i) {
  const align = splitRow(lines[i + 1]).map((cell) => {
    if (cell.endsWith(":")) return cell.startsWith(":") ? "center" : "right";
    return cell.startsWith(":") ? "left" : null;
  });
  let end = i + 2;
  while (end < lines.length && lines[end].includes("|")) ++end;
  return { kind: "table", align, header: splitRow(lines[i]), rows: lines.slice(i + 2, end), end };
}

function parseQuote(lines, i, depth) {
  const inner = [];
  let end = i;
  for (; end < lines.length; ++end) {
    if (QUOTE.test(lines[end])) inner.push(lines[end].replace(QUOTE, ""));
    else if (!isBlank(lines[end]) && !isBlank(inner.at(-1)) && !interruptsParagraph(lines, end)) inner.push(lines[end]);
    else break;
  }
  return { kind: "quote", blocks: parseBlocks(inner, depth + 1), end };
}

// The lines of one item, without its marker and indent; `end` is the line after them.
function itemLines(lines, i, item) {
  const markerIndent = item[1].length;
  const contentIndent = markerIndent + item[2].length + (item[3] !== undefined && item[3].length <= 4 ? item[3].length : 1);
  const continues = Math.min(contentIndent, markerIndent + 2);
  const inner = [lines[i].slice(contentIndent)];
  let fence = FENCE.exec(inner[0])?.[1] ?? null;
  let end = i + 1;
  for (; end < lines.length; ++end) {
    const line = lines[end];
    const indent = indentOf(line);
    if (!isBlank(line) && indent < continues) {
      const lazy = fence === null && !isBlank(inner.at(-1)) && !ITEM.test(line) && !interruptsParagraph(lines, end);
      if (!lazy) break;
    }
    const stripped = line.slice(Math.min(indent, contentIndent));
    const mark = FENCE.exec(stripped)?.[1];
    if (mark !== undefined) {
      if (fence === null) fence = mark;
      else if (mark[0] === fence[0] && mark.length >= fence.length) fence = null;
    }
    inner.push(stripped);
  }
  while (inner.length > 1 && isBlank(inner.at(-1))) {
    inner.pop();
    --end;
  }
  return { inner, end };
}

function parseList(lines, i, depth) {
  const first = ITEM.exec(lines[i]);
  const kindOf = (marker) => (isOrdered(marker) ? marker.at(-1) : "bullet");
  const items = [];
  let loose = false;
  let end = i;
  let at = i;
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (item === null || kindOf(item[2]) !== kindOf(first[2]) || RULE.test(lines[at]) || item[1].length > first[1].length + 3) break;
    const { inner, end: itemEnd } = itemLines(lines, at, item);
    const source = inner.join("\n");
    const task = TASK.exec(inner[0]);
    if (task) inner[0] = inner[0].slice(task[0].length);
    const blocks = parseBlocks(inner, depth + 1);
    if (at > end) loose = true;
    loose ||= blocks.some((block, k) => k > 0 && block.kind === "paragraph" && blocks[k - 1].kind === "paragraph");
    items.push({ source, blocks, checked: task ? task[1] !== " " : null });
    end = itemEnd;
    at = end;
    while (at < lines.length && isBlank(lines[at])) ++at;
  }
  return { kind: "list", ordered: isOrdered(first[2]), start: parseInt(first[2], 10) || 0, loose, items, end };
}

function parseParagraph(lines, i) {
  let end = i + 1;
  while (end < lines.length && !isBlank(lines[end]) && !interruptsParagraph(lines, end)) {
    if (/^ {0,3}=+[ \t]*$/.test(lines[end])) {
      return { kind: "heading", level: 1, text: lines.slice(i, end).join("\n").trim(), end: end + 1 };
    }
    ++end;
  }
  const text = lines.slice(i, end).map((line) => line.trimStart()).join("\n").trimEnd();
  return { kind: "paragraph", text, end };
}

function parseBlock(lines, i, depth) {
  const line = lines[i];
  if (depth < DEPTH_MAX) {
    if (FENCE.test(line)) return parseFence(lines, i);
    const heading = HEADING.exec(line);
    if (heading) return { kind: "heading", level: heading[1].length, text: heading[2] ?? "", end: i + 1 };
    if (RULE.test(line)) return { kind: "rule", end: i + 1 };
    if (QUOTE.test(line)) return parseQuote(lines, i, depth);
    if (ITEM.test(line)) return parseList(lines, i, depth);
    if (startsTable(lines, i)) return parseTable(lines, i);
    const formula = MATH_OPEN.test(line) ? parseMath(lines, i) : null;
    if (formula) return formula;
  }
  return parseParagraph(lines, i);
}

/**
 * @param {string[]} lines
 * @returns {Block[]}
 */
export function parseBlocks(lines, depth = 0) {
  const blocks = [];
  for (let i = 0; i < lines.length; ) {
    if (isBlank(lines[i])) {
      ++i;
      continue;
    }
    const block = parseBlock(lines, i, depth);
    block.source = lines.slice(i, block.end).join("\n");
    blocks.push(block);
    i = block.end;
  }
  return blocks;
}
