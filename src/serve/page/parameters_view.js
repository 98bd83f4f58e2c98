// The form of parameters; what is typed holds from the next question on, and what cannot be is said beside its field.

import { apiKey } from "./api.js";
import { h } from "./dom.js";
import { iconButton } from "./message_view.js";
import { NUMBERS, numberProblem } from "./parameters.js";

const SHORTCUTS = [["Enter", "send"], ["Shift Enter", "new line"], ["Esc", "stop the answer"], ["Ctrl K", "search"], ["Ctrl Shift O", "new chat"], ["↑ in an empty field", "edit the last question"]];

export class ParametersView {
  constructor(panel, chat, onClose) {
    this.chat = chat;
    this.system = h("textarea", { id: "p-system", rows: "4", placeholder: "None" });
    this.system.addEventListener("input", () => chat.setParameters({ system: this.system.value }));
    this.fields = NUMBERS.map((field) => this.numberField(field));
    this.key = h("p", { class: "hint" });
    panel.append(h("header", {}, h("h2", {}, "Parameters"), iconButton("close", "Close parameters", onClose)),
      h("div", { class: "fields" },
        h("div", { class: "field" }, h("label", { for: "p-system" }, "System prompt"), this.system, h("p", { class: "hint" }, "Said to the model before the conversation")),
        ...this.fields.map((each) => each.element), this.key,
        h("h3", {}, "Keys"), h("dl", { class: "shortcuts" }, ...SHORTCUTS.map(([keys, what]) => h("div", {}, h("dt", {}, h("kbd", {}, keys)), h("dd", {}, what))))));
    chat.addEventListener("thread", () => this.show());
    this.show();
  }

  numberField(field) {
    const id = `p-${field.name}`;
    const input = h("input", { id, type: "text", inputmode: field.integer ? "numeric" : "decimal", autocomplete: "off", placeholder: field.default, "aria-describedby": `${id}-hint` });
    const hint = h("p", { class: "hint", id: `${id}-hint` }, field.hint);
    const check = () => {
      const problem = numberProblem(field, input.value);
      input.setAttribute("aria-invalid", String(problem !== null));
      hint.textContent = problem ?? field.hint;
      hint.classList.toggle("problem", problem !== null);
      return problem === null;
    };
    input.addEventListener("input", () => {
      // What cannot be sent is not taken: the last number that could holds.
      if (check()) this.chat.setParameters({ [field.name]: input.value.trim() === "" ? null : Number(input.value) });
    });
    input.addEventListener("keydown", (event) => {
      if ((event.key !== "ArrowUp" && event.key !== "ArrowDown") || field.name === "seed") return;
      event.preventDefault();
      const step = Number(field.step) * (event.key === "ArrowUp" ? 1 : -1);
      const value = Math.min(field.max, Math.max(field.min, Number(input.value || 0) + step));
      input.value = String(Number(value.toFixed(2)));
      input.dispatchEvent(new Event("input"));
    });
    return { field, input, check, element: h("div", { class: "field number" }, h("label", { for: id }, field.label), input, hint) };
  }

  show() {
    const { parameters } = this.chat;
    this.system.value = parameters.system;
    for (const { field, input, check } of this.fields) {
      input.value = parameters[field.name] === null ? "" : String(parameters[field.name]);
      check();
    }
    this.key.replaceChildren(...(apiKey.get() ? ["An API key is in use until this tab is closed. ", h("button", { type: "button", class: "link-button", onclick: () => {
      apiKey.set("");
      this.show();
    } }, "Forget it")] : []));
  }
}
