// What the page can do: open, ask, stop, ask again, edit, choose a branch, rename, remove. Knows the store and the server, not the DOM.
//
// Events: "list" (conversations changed), "thread" (another branch or conversation is shown), "progress" (detail: the message that grew),
// "running" (an answer began or ended in the shown conversation), "ended" (detail: message).

import { Answer } from "./answer.js";
import { newConversation, newMessage, requestMessages, shownPath, titleOf } from "./conversation.js";
import { checkedParameters, loadParameters, requestBody, saveParameters } from "./parameters.js";

// A crash of the browser loses at most this much of an answer.
const SAVE_EVERY_MS = 2000;

export class Chat extends EventTarget {
  constructor(store) {
    super();
    this.store = store;
    this.list = [];
    this.conversation = null; // null: a new chat that has no question yet
    this.messages = [];
    this.running = new Map(); // conversation id → {answer, conversation, messages}
    this.parameters = loadParameters();
  }

  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  async refresh() {
    // The objects in use stay the same ones: a stream writes into them.
    const inUse = new Map([...this.running.values()].map((run) => [run.conversation.id, run.conversation]));
    if (this.conversation) inUse.set(this.conversation.id, this.conversation);
    this.list = (await this.store.list()).map((conversation) => inUse.get(conversation.id) ?? conversation).sort((a, b) => b.updated - a.updated);
    this.emit("list");
  }

  path() {
    return this.conversation ? shownPath(this.conversation, this.messages) : [];
  }

  answer() {
    return this.conversation ? this.running.get(this.conversation.id)?.answer ?? null : null;
  }

  isRunning(id) {
    return this.running.has(id);
  }

  newChat() {
    this.opening = null;
    this.conversation = null;
    this.messages = [];
    this.parameters = { ...loadParameters(), model: this.parameters.model };
    this.emit("thread");
    this.emit("list");
  }

  /** @returns {Promise<boolean>} whether there is such a conversation */
  async open(id) {
    if (this.conversation?.id === id) return true;
    const run = this.running.get(id);
    const conversation = run?.conversation ?? this.list.find((each) => each.id === id);
    if (!conversation) return false;
    this.opening = id;
    const messages = run?.messages ?? (await this.store.messagesOf(id));
    // Something else was opened meanwhile.
    if (this.opening !== id) return true;
    this.conversation = conversation;
    this.messages = messages;
    this.parameters = { ...checkedParameters(conversation.parameters), model: conversation.parameters?.model || this.parameters.model };
    this.emit("thread");
    this.emit("list");
    return true;
  }

  setParameters(changes) {
    Object.assign(this.parameters, changes);
    saveParameters(this.parameters);
    if (this.conversation) {
      this.conversation.parameters = { ...this.parameters };
      this.keep(this.store.putConversation(this.conversation));
    }
  }

  // A write that fails (a full disk, a database closed under the page) must be seen, and must not stop the answer.
  keep(write) {
    return write.catch((error) => this.emit("notkept", error));
  }

  async ask(text) {
    if (this.answer() || text.trim() === "") return;
    const parent = this.path().at(-1)?.message ?? null;
    await this.askUnder(parent, text);
  }

  /** The same place in the tree, another question; the first one stays as a sibling. */
  async edit(question, text) {
    if (this.answer() || text.trim() === "") return;
    await this.askUnder(this.messages.find((message) => message.id === question.parent) ?? null, text);
  }

  async askUnder(parent, text) {
    if (!this.conversation) {
      this.conversation = newConversation(this.parameters);
      this.conversation.title = titleOf(text);
      this.messages = [];
      this.list.unshift(this.conversation);
    }
    const question = newMessage(this.conversation, parent?.id ?? null, "user", text);
    this.messages.push(question);
    this.conversation.chosen[parent?.id ?? ""] = question.id;
    await this.reply(question);
  }

  /** Another answer to the same question. */
  async regenerate(answer) {
    const question = this.messages.find((message) => message.id === answer.parent);
    if (!this.answer() && question) await this.reply(question);
  }

  /** The same answer once more, after an error: what failed before a word came gives way. */
  async retry(answer) {
    if (this.answer()) return;
    const question = this.messages.find((message) => message.id === answer.parent);
    if (!question) return;
    if (answer.content === "" && !answer.reasoning) {
      Object.assign(answer, { error: undefined, finish: undefined, created: Date.now() });
      await this.run(question, answer);
    } else {
      await this.reply(question);
    }
  }

  async reply(question) {
    const message = newMessage(this.conversation, question.id, "assistant", "");
    this.messages.push(message);
    await this.run(question, message);
  }

  async run(question, message) {
    const { conversation, messages } = this;
    conversation.chosen[question.id] = message.id;
    conversation.updated = Date.now();
    conversation.parameters = { ...this.parameters };
    const request = requestBody(this.parameters, requestMessages(messages, question, this.parameters.system));
    message.model = request.model;
    const answer = new Answer(message, request, () => this.emit("progress", message));
    this.running.set(conversation.id, { answer, conversation, messages });
    this.list.sort((a, b) => b.updated - a.updated);
    this.emit("thread");
    this.emit("running");
    this.emit("list");
    const save = () => this.keep(this.store.putMessages([message]));
    this.keep(this.store.putMessages([question, message]).then(() => this.store.putConversation(conversation)));
    const saving = setInterval(save, SAVE_EVERY_MS);
    await answer.run();
    clearInterval(saving);
    this.running.delete(conversation.id);
    // It may have been removed while it ran.
    if (this.list.some((each) => each.id === conversation.id)) await save();
    this.emit("ended", message);
    this.emit("running");
    this.emit("list");
  }

  stop() {
    this.answer()?.stop();
  }

  choose(message) {
    this.conversation.chosen[message.parent ?? ""] = message.id;
    this.keep(this.store.putConversation(this.conversation));
    this.emit("thread");
  }

  rename(conversation, title) {
    conversation.title = title.trim() || conversation.title;
    this.keep(this.store.putConversation(conversation));
    this.emit("list");
  }

  /** Removes; what it returns puts everything back. */
  async remove(conversation) {
    const run = this.running.get(conversation.id);
    run?.answer.stop();
    const messages = run?.messages ?? (await this.store.messagesOf(conversation.id));
    this.list = this.list.filter((each) => each.id !== conversation.id);
    await this.keep(this.store.remove(conversation.id));
    if (this.conversation?.id === conversation.id) this.newChat();
    this.emit("list");
    return async () => {
      await this.keep(this.store.putMessages(messages).then(() => this.store.putConversation(conversation)));
      await this.refresh();
    };
  }
}
