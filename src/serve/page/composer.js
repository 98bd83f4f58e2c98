// The field for the question.

// A browser without field-sizing needs the height set; others ignore this.
const SIZES_ITSELF = CSS.supports("field-sizing", "content");

export class Composer {
  /** @param {{ask: (text: string) => void, editLast: () => void}} actions */
  constructor(form, field, actions) {
    this.field = field;
    const submit = () => {
      if (field.value.trim() === "" || this.blocked) return;
      const text = field.value;
      this.set("");
      actions.ask(text);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      submit();
    });
    field.addEventListener("keydown", (event) => {
      // Enter also ends the choice of a Chinese or Japanese character; that must not send.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
        event.preventDefault();
        submit();
      } else if (event.key === "ArrowUp" && field.value === "") {
        event.preventDefault();
        actions.editLast();
      }
    });
    field.addEventListener("input", () => this.fit());
    form.addEventListener("click", (event) => event.target.closest("button") ?? field.focus());
  }

  set(text) {
    this.field.value = text;
    this.fit();
  }

  fit() {
    if (SIZES_ITSELF) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }
}
