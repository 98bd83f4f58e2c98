// The list of conversations: by date, searched by title and by what was said, each to rename, export or remove.

import { h } from "./dom.js";
import { iconButton } from "./message_view.js";

const DAY_MS = 86400000;
const SEARCH_AFTER_MS = 180;

function groupOf(updated, now) {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (updated >= midnight) return "Today";
  if (updated >= midnight - DAY_MS) return "Yesterday";
  if (updated >= midnight - 7 * DAY_MS) return "Last seven days";
  return new Date(updated).toLocaleDateString("en", { month: "long", year: "numeric" });
}

export class Sidebar {
  /**
   * @param {HTMLElement} nav
   * @param {HTMLInputElement} search
   * @param {import("./chat.js").Chat} chat
   * @param {{open: Function, exportOne: Function, remove: Function}} actions
   */
  constructor(nav, search, chat, actions) {
    Object.assign(this, { nav, search, chat, actions });
    this.said = null; // ids of conversations in whose messages the words occur
    this.renaming = null;
    search.addEventListener("input", () => this.find());
    search.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && search.value !== "") {
        event.stopPropagation();
        search.value = "";
        this.find();
      } else if (event.key === "ArrowDown" || event.key === "Enter") {
        event.preventDefault();
        const first = nav.querySelector("a");
        if (event.key === "Enter") first?.click();
        else first?.focus();
      }
    });
    nav.addEventListener("keydown", (event) => this.moveFocus(event));
    chat.addEventListener("list", () => this.show());
  }

  find() {
    this.searching?.abort();
    clearTimeout(this.timer);
    this.said = null;
    this.show();
    const words = this.words();
    if (words.length === 0) return;
    this.searching = new AbortController();
    const { signal } = this.searching;
    this.timer = setTimeout(async () => {
      const found = await this.chat.store.search((message) => {
        const text = message.content.toLowerCase();
        return words.every((word) => text.includes(word));
      }, signal);
      if (signal.aborted) return;
      this.said = found;
      this.show();
    }, SEARCH_AFTER_MS);
  }

  words() {
    return this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
  }

  show() {
    // A field that is being typed in is not torn away by an answer that ends.
    if (this.renaming) return;
    const words = this.words();
    const shown = this.chat.list.filter((each) => words.every((word) => each.title.toLowerCase().includes(word)) || this.said?.has(each.id));
    const focused = this.nav.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.id : null;
    const now = Date.now();
    const sections = [];
    let group = null;
    for (const conversation of shown) {
      const name = words.length > 0 ? "Found" : groupOf(conversation.updated, now);
      if (name !== group) sections.push(h("section", {}, h("h2", {}, name), h("ul")));
      group = name;
      sections.at(-1).lastChild.append(this.row(conversation));
    }
    if (shown.length === 0) sections.push(h("p", { class: "none" }, words.length > 0 ? "Nothing found." : "Conversations stay in this browser."));
    this.nav.replaceChildren(...sections);
    if (focused) this.nav.querySelector(`li[data-id="${CSS.escape(focused)}"] a`)?.focus();
  }

  row(conversation) {
    const current = this.chat.conversation?.id === conversation.id;
    const row = h("li", { "data-id": conversation.id, class: current ? "current" : null },
      h("a", { href: `#${conversation.id}`, "aria-current": current ? "page" : null, title: conversation.title, onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        this.actions.open(conversation.id);
      } }, this.chat.isRunning(conversation.id) ? h("span", { class: "running-dot", role: "img", "aria-label": "Answering" }) : null, h("span", {}, conversation.title)),
      h("span", { class: "row-tools" }, iconButton("edit", "Rename", () => this.rename(conversation, row)), iconButton("down", "Export", () => this.actions.exportOne(conversation)),
        iconButton("bin", "Delete", () => this.actions.remove(conversation))));
    return row;
  }

  rename(conversation, row) {
    const field = h("input", { type: "text", "aria-label": "Name of the conversation", maxlength: "120" });
    field.value = conversation.title;
    this.renaming = conversation.id;
    const end = (take) => {
      if (this.renaming === null) return;
      this.renaming = null;
      if (take) this.chat.rename(conversation, field.value);
      this.show();
      this.nav.querySelector(`li[data-id="${CSS.escape(conversation.id)}"] a`)?.focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) end(true);
      else if (event.key === "Escape") {
        event.stopPropagation();
        end(false);
      }
    });
    field.addEventListener("blur", () => end(true));
    row.replaceChildren(field);
    field.select();
  }

  moveFocus(event) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const links = [...this.nav.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    if (at < 0) return;
    event.preventDefault();
    if (event.key === "ArrowUp" && at === 0) this.search.focus();
    else links[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
  }
}

