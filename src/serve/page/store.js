// Conversations in the browser's IndexedDB. A message is a record of its own, so that saving one while it streams writes only that one.
//
// Where the browser refuses (private windows of some), they are kept in memory, and `persistent` says so.

const NAME = "godwit";
const VERSION = 1;
export const EXPORT_FORMAT = "godwit-conversations/1";

const promised = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

function openDatabase() {
  const request = indexedDB.open(NAME, VERSION);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("conversations", { keyPath: "id" });
    request.result.createObjectStore("messages", { keyPath: "id" }).createIndex("conversation", "conversation");
  };
  return promised(request);
}

// The same few operations over maps.
class Memory {
  persistent = false;
  conversations = new Map();
  messages = new Map();
  async list() { return [...this.conversations.values()]; }
  async messagesOf(id) { return [...this.messages.values()].filter((message) => message.conversation === id); }
  async putConversation(conversation) { this.conversations.set(conversation.id, structuredClone(conversation)); }
  async putMessages(messages) { for (const message of messages) this.messages.set(message.id, structuredClone(message)); }
  async remove(id) {
    this.conversations.delete(id);
    for (const message of await this.messagesOf(id)) this.messages.delete(message.id);
  }
  async search(test) { return new Set([...this.messages.values()].filter(test).map((message) => message.conversation)); }
}

class Database {
  persistent = true;
  constructor(database) {
    this.database = database;
    // Another tab with a newer page may need to change the shape; holding on would block it.
    database.onversionchange = () => database.close();
  }

  #write(names, work) {
    const transaction = this.database.transaction(names, "readwrite");
    work(...names.map((name) => transaction.objectStore(name)));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  }

  #read(name) {
    return this.database.transaction(name).objectStore(name);
  }

  list() { return promised(this.#read("conversations").getAll()); }
  messagesOf(id) { return promised(this.#read("messages").index("conversation").getAll(id)); }
  putConversation(conversation) { return this.#write(["conversations"], (store) => store.put(conversation)); }
  putMessages(messages) { return this.#write(["messages"], (store) => messages.forEach((message) => store.put(message))); }

  remove(id) {
    return this.#write(["conversations", "messages"], (conversations, messages) => {
      conversations.delete(id);
      messages.index("conversation").openKeyCursor(id).onsuccess = ({ target: { result: cursor } }) => {
        if (!cursor) return;
        messages.delete(cursor.primaryKey);
        cursor.continue();
      };
    });
  }

  /** The conversations with a message that passes; one message in memory at a time, so a large history stays where it is. */
  search(test, signal) {
    return new Promise((resolve, reject) => {
      const found = new Set();
      const request = this.#read("messages").openCursor();
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor || signal?.aborted) return resolve(found);
        if (!found.has(cursor.value.conversation) && test(cursor.value)) found.add(cursor.value.conversation);
        cursor.continue();
      };
    });
  }
}

export async function openStore() {
  try {
    return new Database(await openDatabase());
  } catch {
    return new Memory();
  }
}

/** Everything, or the conversations named, as one JSON document. */
export async function exportJson(store, ids) {
  const conversations = (await store.list()).filter((conversation) => !ids || ids.includes(conversation.id));
  const list = [];
  for (const conversation of conversations) list.push({ ...conversation, messages: await store.messagesOf(conversation.id) });
  return JSON.stringify({ format: EXPORT_FORMAT, exported: new Date().toISOString(), conversations: list }, null, 1);
}

const text = (value) => (typeof value === "string" ? value : "");
const number = (value, otherwise) => (Number.isFinite(value) ? value : otherwise);
const object = (value) => (value !== null && typeof value === "object" && !Array.isArray(value) ? value : {});

// Only the fields known, each of its type: the file may come from anywhere.
function checkedMessage(value, conversation) {
  const m = object(value);
  // Without an id a message would be its own parent: "" stands for the root.
  if (typeof m.id !== "string" || m.id === "" || (m.role !== "user" && m.role !== "assistant") || typeof m.content !== "string") return null;
  const message = { id: m.id, conversation, parent: typeof m.parent === "string" ? m.parent : null, role: m.role, content: m.content, created: number(m.created, 0) };
  for (const name of ["reasoning", "model", "fingerprint", "finish"]) if (typeof m[name] === "string") message[name] = m[name];
  for (const name of ["thinkingMs", "firstMs", "tokensPerSecond"]) if (Number.isFinite(m[name])) message[name] = m[name];
  if (m.usage) message.usage = Object.fromEntries(Object.entries(object(m.usage)).filter(([, count]) => Number.isFinite(count)));
  if (m.error) message.error = { status: number(m.error.status, 0), code: text(m.error.code) || null, message: text(m.error.message) };
  return message;
}

/**
 * Takes conversations from an exported file; of one that is here already the newer stays.
 * @returns {Promise<number>} how many were taken
 */
export async function importJson(store, json) {
  let file;
  try {
    file = JSON.parse(json);
  } catch {
    throw new Error("The file is not JSON. Choose one that “Export” of this page has written.");
  }
  if (file?.format !== EXPORT_FORMAT || !Array.isArray(file.conversations)) {
    throw new Error(`The file is not of the form ${EXPORT_FORMAT}. Choose one that “Export” of this page has written.`);
  }
  const here = new Map((await store.list()).map((conversation) => [conversation.id, conversation.updated]));
  let taken = 0;
  for (const value of file.conversations) {
    const c = object(value);
    // The id becomes part of the address.
    if (typeof c.id !== "string" || !/^[\w-]{1,64}$/.test(c.id) || !Array.isArray(c.messages) || (here.get(c.id) ?? -1) >= number(c.updated, 0)) continue;
    const messages = c.messages.map((message) => checkedMessage(message, c.id)).filter((message) => message !== null);
    await store.putMessages(messages);
    await store.putConversation({
      id: c.id, title: text(c.title) || "Untitled", created: number(c.created, 0), updated: number(c.updated, 0), parameters: object(c.parameters),
      chosen: Object.fromEntries(Object.entries(object(c.chosen)).filter(([, id]) => typeof id === "string")),
    });
    ++taken;
  }
  return taken;
}
