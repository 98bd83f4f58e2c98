// Joins the parts: the store and the server to the chat, the chat to what is on the page.

import { apiKey, listModels } from "./api.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { h } from "./dom.js";
import { explain } from "./errors.js";
import { errorNote } from "./message_view.js";
import { ParametersView } from "./parameters_view.js";
import { Sidebar } from "./sidebar.js";
import { exportJson, importJson, openStore } from "./store.js";
import { ThreadView } from "./thread_view.js";

const TOAST_MS = 7000;
const PROGRESS_MS = 100;

const $ = (id) => document.getElementById(id);
const narrow = matchMedia("(max-width: 820px)");

function toast(text, action) {
  const element = h("div", { class: "toast" }, h("span", {}, text));
  if (action) element.append(h("button", { type: "button", class: "link-button", onclick: () => {
    element.remove();
    action.run();
  } }, action.name));
  $("toasts").append(element);
  setTimeout(() => element.remove(), TOAST_MS);
}

const announce = (text) => ($("announcer").textContent = text);

function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

const today = () => new Date().toISOString().slice(0, 10);

function setUpDrawers() {
  const show = (id, button, open) => {
    $(id).hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    document.body.classList.toggle(`${id}-open`, open);
  };
  const sidebar = (open) => show("sidebar", $("open-sidebar"), open);
  const parameters = (open) => show("parameters", $("open-parameters"), open);
  $("open-sidebar").addEventListener("click", () => {
    sidebar($("sidebar").hidden);
    if (narrow.matches && !$("sidebar").hidden) $("close-sidebar").focus();
  });
  $("open-parameters").addEventListener("click", () => {
    parameters($("parameters").hidden);
    if (!$("parameters").hidden) $("parameters").querySelector("textarea").focus({ preventScroll: true });
  });
  $("close-sidebar").addEventListener("click", () => sidebar(false));
  $("scrim").addEventListener("click", () => {
    sidebar(false);
    parameters(false);
  });
  const arrange = () => {
    sidebar(!narrow.matches);
    if (narrow.matches) parameters(false);
  };
  narrow.addEventListener("change", arrange);
  arrange();
  return { sidebar, parameters };
}

// On a phone the field would bring up the keyboard over what is to be read.
function focusQuestion() {
  if (!narrow.matches) $("question").focus({ preventScroll: true });
}

const drawers = setUpDrawers();
const store = await openStore();
const chat = new Chat(store);
let models = [];

const actions = {
  answerOf: (message) => (chat.answer()?.message === message ? chat.answer() : null),
  choose: (message) => chat.choose(message),
  edit: (message, text) => {
    thread.setPinned(true);
    focusQuestion();
    chat.edit(message, text);
  },
  regenerate: (message) => chat.regenerate(message),
  retry: (message) => chat.retry(message),
  useKey: (key) => {
    apiKey.set(key);
    parametersView.show();
    if (models.length === 0) loadModels();
  },
};
const thread = new ThreadView($("thread"), $("scroller"), actions, (pinned) => ($("to-end").hidden = pinned));
const parametersView = new ParametersView($("parameters"), chat, () => {
  drawers.parameters(false);
  $("open-parameters").focus();
});

const composer = new Composer($("composer"), $("question"), {
  ask: (text) => {
    thread.setPinned(true);
    focusQuestion();
    chat.ask(text);
  },
  editLast: () => thread.views.findLast((view) => view.message.role === "user")?.edit?.(),
});

function closeOnPhone() {
  if (narrow.matches) drawers.sidebar(false);
}

function newChat() {
  chat.newChat();
  closeOnPhone();
  $("question").focus();
}

async function openConversation(id) {
  closeOnPhone();
  if (await chat.open(id)) focusQuestion();
}

new Sidebar($("conversations"), $("search"), chat, {
  open: openConversation,
  exportOne: async (conversation) => download(`godwit-${today()}-${conversation.id.slice(0, 8)}.json`, await exportJson(store, [conversation.id])),
  remove: async (conversation) => {
    const undo = await chat.remove(conversation);
    toast("Conversation deleted.", { name: "Undo", run: undo });
  },
});

function showModels() {
  const select = $("model");
  const known = models.map((model) => model.id);
  if (!known.includes(chat.parameters.model)) chat.parameters.model = known[0] ?? chat.parameters.model;
  select.replaceChildren(...(known.length > 0 ? known : [chat.parameters.model || "no model"]).map((id) => h("option", { value: id }, id)));
  select.value = chat.parameters.model;
  select.disabled = known.length < 2;
  $("empty-line").textContent = known.length > 0 ? `${chat.parameters.model} ${chat.parameters.thinking ? "thinks before it answers" : "answers at once"}. What you write stays in this browser and on your server.` : "";
}

async function loadModels() {
  $("notice-slot").replaceChildren();
  try {
    models = await listModels();
    if (models.length === 0) throw Object.assign(new Error("The server lists no model."), { status: 0 });
  } catch (error) {
    models = [];
    $("notice-slot").replaceChildren(errorNote(explain(error), { retry: loadModels, useKey: apiKey.set }));
  }
  showModels();
}

function showRunning() {
  const running = chat.answer() !== null;
  composer.blocked = running;
  $("send").hidden = running;
  $("stop").hidden = !running;
  clearInterval(showRunning.timer);
  // Chunks draw themselves; between them the clock of the thoughts goes on.
  if (running) showRunning.timer = setInterval(() => chat.answer() && thread.grow(chat.answer().message), PROGRESS_MS);
}

function showThinking() {
  $("thinking").setAttribute("aria-pressed", String(chat.parameters.thinking));
}

let shownId = null;
chat.addEventListener("thread", () => {
  const id = chat.conversation?.id ?? null;
  const path = chat.path();
  thread.show(path, id !== shownId);
  shownId = id;
  $("empty").hidden = path.length > 0;
  const address = id === null ? location.pathname + location.search : `#${id}`;
  if (location.hash !== (id === null ? "" : `#${id}`)) history.pushState(null, "", address);
  showRunning();
  showThinking();
  showModels();
});
chat.addEventListener("list", () => {
  const title = chat.conversation?.title ?? "";
  $("title").textContent = title;
  document.title = title ? `${title} · godwit` : "godwit";
});
chat.addEventListener("running", showRunning);
chat.addEventListener("progress", ({ detail: message }) => chat.answer()?.message === message && thread.grow(message));
chat.addEventListener("ended", ({ detail: message }) => {
  thread.draw(message);
  others?.postMessage("changed");
  if (chat.conversation?.id !== message.conversation) return;
  announce(message.error ? explain(message.error).title : message.finish === "stopped" ? "Stopped." : "The answer is complete.");
});
chat.addEventListener("notkept", ({ detail: error }) => toast(`This could not be stored in the browser (${error?.name ?? "unknown error"}). Export what matters before you close the page.`));
chat.addEventListener("running", () => chat.answer() && announce("The answer begins."));

// Another tab of this page may have added or removed conversations.
const others = "BroadcastChannel" in window ? new BroadcastChannel("godwit") : null;
others?.addEventListener("message", () => chat.refresh());

$("model").addEventListener("change", () => {
  chat.setParameters({ model: $("model").value });
  showModels();
});
$("thinking").addEventListener("click", () => {
  chat.setParameters({ thinking: !chat.parameters.thinking });
  showThinking();
  showModels();
});
$("new-chat").addEventListener("click", newChat);
$("stop").addEventListener("click", () => {
  chat.stop();
  focusQuestion();
});
$("to-end").addEventListener("click", () => thread.toEnd());
$("export").addEventListener("click", async () => download(`godwit-${today()}.json`, await exportJson(store)));
$("import").addEventListener("click", () => $("import-file").click());
$("import-file").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  try {
    const taken = await importJson(store, await file.text());
    await chat.refresh();
    toast(taken === 0 ? "Nothing new in this file." : `${taken} conversation${taken === 1 ? "" : "s"} imported.`);
  } catch (error) {
    toast(error.message);
  }
  target.value = "";
});

document.addEventListener("keydown", (event) => {
  const control = event.ctrlKey || event.metaKey;
  if (control && !event.shiftKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    drawers.sidebar(true);
    $("search").focus();
    $("search").select();
  } else if (control && event.shiftKey && event.key.toLowerCase() === "o") {
    event.preventDefault();
    newChat();
  } else if (event.key === "Escape") {
    if (narrow.matches && !($("sidebar").hidden && $("parameters").hidden)) {
      drawers.sidebar(false);
      drawers.parameters(false);
    } else if (chat.answer()) {
      chat.stop();
      $("question").focus();
    }
  }
});

async function followAddress() {
  const id = location.hash.slice(1);
  if (id === "" && chat.conversation) chat.newChat();
  else if (id !== "" && !(await chat.open(id))) history.replaceState(null, "", location.pathname);
}
addEventListener("popstate", followAddress);

if (!store.persistent) toast("This browser does not let the page store anything: conversations are gone when it is closed.");
await chat.refresh();
await followAddress();
// A link may suggest a question; only the reader sends it.
const suggested = new URLSearchParams(location.search).get("q");
if (suggested) composer.set(suggested);
showThinking();
showRunning();
await loadModels();
