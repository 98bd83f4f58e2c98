// The shown branch of a conversation. A long one opens at its end at once; the rest is filled in from there upwards, a few milliseconds at
// a time, and what is off the screen is not laid out (style.css, content-visibility).

import { AnswerView, QuestionView } from "./message_view.js";

const FILL_AT_ONCE = 8;
const SLICE_MS = 8;
// Drawing may take this share of the time; an answer that is slow to draw is drawn more seldom, and the page stays responsive.
const DRAW_SHARE = 0.25;
const PAUSE_MAX_MS = 250;
const NEAR_END_PX = 48;

export class ThreadView {
  /**
   * @param {HTMLElement} thread
   * @param {HTMLElement} scroller
   * @param {object} actions  see message_view.js
   * @param {(pinned: boolean) => void} onPinned  whether the end is in view and is followed
   */
  constructor(thread, scroller, actions, onPinned) {
    Object.assign(this, { thread, scroller, actions, onPinned });
    this.views = [];
    this.pinned = true;
    this.scheduled = false;
    this.generation = 0;
    scroller.addEventListener("scroll", () => this.setPinned(this.distanceToEnd() < NEAR_END_PX), { passive: true });
    // Whatever makes the thread taller (a picture of a formula, a folded block that opens, a phone's keyboard): the end stays in view.
    const follow = new ResizeObserver(() => this.follow());
    follow.observe(thread);
    follow.observe(scroller);
  }

  distanceToEnd() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight;
  }

  setPinned(pinned) {
    if (pinned === this.pinned) return;
    this.pinned = pinned;
    this.onPinned(pinned);
  }

  follow() {
    if (this.pinned) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  toEnd() {
    this.setPinned(true);
    this.follow();
  }

  /**
   * @param {{message: object, siblings: object[]}[]} path
   * @param {boolean} anew  another conversation: nothing is kept, and the end is shown
   */
  show(path, anew) {
    let keep = 0;
    const same = (view, entry) => view.message === entry.message && view.entry.siblings.length === entry.siblings.length;
    if (!anew) while (keep < Math.min(path.length, this.views.length) && same(this.views[keep], path[keep])) ++keep;
    for (const view of this.views.splice(keep)) view.element.remove();
    for (const entry of path.slice(keep)) this.views.push(new (entry.message.role === "user" ? QuestionView : AnswerView)(entry, this.actions));
    this.thread.append(...this.views.slice(keep).map((view) => view.element));
    for (const view of this.views.slice(-FILL_AT_ONCE)) view.fill();
    // What was kept may begin to run again.
    const last = this.views.at(-1);
    last?.update?.(this.actions.answerOf(last.message));
    if (anew) this.pinned = true;
    this.onPinned(this.pinned);
    this.follow();
    this.fillRest(++this.generation, this.views.length - FILL_AT_ONCE - 1);
  }

  fillRest(generation, at) {
    if (at < 0 || generation !== this.generation) return;
    setTimeout(() => {
      if (generation !== this.generation) return;
      const end = performance.now() + SLICE_MS;
      for (; at >= 0 && performance.now() < end; --at) this.views[at].fill();
      this.fillRest(generation, at);
    });
  }

  /** Draws a message that has grown, at the next frame or, where drawing is slow, later. */
  grow(message) {
    if (this.scheduled) return;
    this.scheduled = true;
    const draw = () => {
      const start = performance.now();
      this.draw(message);
      const pause = Math.min(PAUSE_MAX_MS, ((performance.now() - start) * (1 - DRAW_SHARE)) / DRAW_SHARE);
      setTimeout(() => (this.scheduled = false), pause > 16 ? pause : 0);
    };
    requestAnimationFrame(draw);
  }

  /** Draws now; the last draw of an answer must not wait for a frame, which a hidden tab never gets. */
  draw(message) {
    const view = this.views.find((each) => each.message === message);
    if (!view?.update) return;
    view.update(this.actions.answerOf(message));
    this.follow();
  }
}
