// A conversation is a tree: an edited question or another answer is a sibling, and nothing is lost. Pure functions over plain data.

import { randomId } from "./dom.js";

/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string} conversation
 * @property {string|null} parent   null for a first question
 * @property {"user"|"assistant"} role
 * @property {string} content
 * @property {string} [reasoning]
 * @property {number} created       ms since 1970; orders siblings
 * @property {string} [model]
 * @property {number} [thinkingMs]  how long it thought
 * @property {number} [firstMs]     from the question to the first token
 * @property {number} [tokensPerSecond]
 * @property {object} [usage]       as the server counted
 * @property {string} [fingerprint]
 * @property {string} [finish]      finish_reason, or "stopped"
 * @property {object} [error]       see ApiError
 *
 * @typedef {object} Conversation
 * @property {string} id
 * @property {string} title
 * @property {number} created
 * @property {number} updated
 * @property {Object<string, string>} chosen  of each parent ("" for the root) the child that is shown; without one, the newest
 * @property {object} parameters
 */

const TITLE_MAX = 80;

export function newConversation(parameters) {
  const now = Date.now();
  return { id: randomId(), title: "", created: now, updated: now, chosen: {}, parameters: { ...parameters } };
}

export function newMessage(conversation, parent, role, content) {
  return { id: randomId(), conversation: conversation.id, parent, role, content, created: Date.now() };
}

/** The first line of the first question, cut at a word. */
export function titleOf(text) {
  const line = text.trim().split("\n", 1)[0].replace(/\s+/g, " ");
  if (line.length <= TITLE_MAX) return line;
  const cut = line.slice(0, TITLE_MAX);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), TITLE_MAX / 2)).trimEnd()}…`;
}

/** Messages by their parents ("" for the root), siblings in the order they were made. */
export function childrenByParent(messages) {
  const children = new Map();
  for (const message of [...messages].sort((a, b) => a.created - b.created)) {
    const parent = message.parent ?? "";
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(message);
  }
  return children;
}

/**
 * The branch that is shown, from the first question on, each with its siblings.
 * @returns {{message: Message, siblings: Message[]}[]}
 */
export function shownPath(conversation, messages) {
  const children = childrenByParent(messages);
  const path = [];
  for (let parent = ""; children.has(parent); parent = path.at(-1).message.id) {
    const siblings = children.get(parent);
    path.push({ message: siblings.find((each) => each.id === conversation.chosen[parent]) ?? siblings.at(-1), siblings });
  }
  return path;
}

/** What the model is asked: the messages up to `last`. Earlier thoughts are left out, as DeepSeek's API has it. */
export function requestMessages(messages, last, system) {
  const byId = new Map(messages.map((message) => [message.id, message]));
  const list = [];
  for (let at = last; at; at = at.parent === null ? null : byId.get(at.parent)) {
    if (at.role === "user" || at.content !== "") list.unshift({ role: at.role, content: at.content });
  }
  if (system?.trim()) list.unshift({ role: "system", content: system });
  return list;
}
