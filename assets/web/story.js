// A column's own text: word after word as it is written, the recogniser's verdict, and how fast it came.

import { home, hover, leave, pin, setView, view } from "./bus.js";
import { el, icon, setText } from "./dom.js";
import { grouped, token } from "./format.js";
import { columnName } from "./layers.js";
import { ICONS } from "./verdict.js";

const WORD = 43; // pixels of a word and its space, about
const LINES = 6;
const LINES_PHONE = 11; // narrow columns break a story into more lines

export class StoryCell {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    const { col } = ctx.columns[index];
    this.words = [];
    this.marked = [];
    this.end = el("span", { class: "ba-tale-end" });
    this.box = el(
      "div",
      { class: "ba-tale", tabindex: "0", role: "group", aria: { label: `${col.name} goes on. Arrow keys move the crosshair.` } },
      el("span", { class: "ba-tale-lead", text: "… " }),
      this.end,
    );
    this.mark = el("span", { class: "ba-verdict-icon" });
    this.why = el("span");
    this.rate = el("b", { class: "ba-held", data: { column: col.id } });
    this.unit = el("span", { class: "ba-heldword" });
    this.size = el("span", { class: "ba-law" });
    this.node = el(
      "div",
      { class: "ba-cell ba-story", data: { column: col.id, family: col.family } },
      columnName(col),
      this.box,
      el("p", { class: "ba-verdict" }, this.mark, this.why),
      el("div", { class: "ba-bytes" }, el("span", {}, this.rate, this.unit), this.size),
    );
    this.listen();
  }

  listen() {
    const cell = (event) => {
      const at = event.target.closest?.("[data-token]");
      return at ? { t: Number(at.dataset.token), s: Math.min(home.s, Number(at.dataset.token)) } : null;
    };
    this.box.addEventListener("pointermove", (event) => {
      const to = cell(event);
      if (to) hover(to.t, to.s, "story");
    });
    this.box.addEventListener("pointerleave", leave);
    this.box.addEventListener("click", (event) => {
      const to = cell(event);
      if (!to) return;
      if (event.pointerType === "touch") setView({ ...to, pinned: true }, "story");
      else pin(to.t, to.s, "story");
    });
  }

  get col() {
    return this.ctx.columns[this.index].col;
  }

  // One height from the first word to the last, so that nothing below moves; longer texts scroll.
  resize() {
    const { payload, layout } = this.ctx;
    const room = payload.story.length - payload.prompt.tokens.length;
    const lines = Math.max(2, Math.min(layout.phone ? LINES_PHONE : LINES, Math.ceil((room * WORD) / layout.col)));
    this.box.style.height = `${lines * 22}px`;
  }

  // Words are only added: a text that grows does not flicker.
  grow(story) {
    for (let i = story.given + this.words.length; i < story.tokens.length; i++) {
      const text = story.tokens[i];
      const node = el("span", { class: "ba-token", data: { token: i }, text: token(text, 24) });
      if (text !== "." && this.words.length) this.end.before(" ");
      this.end.before(node);
      this.words.push(node);
    }
  }

  paint() {
    const { story } = this.col;
    this.node.dataset.state = this.col.status;
    this.node.classList.toggle("writing", Boolean(story) && !story.over);
    if (!story) {
      setText(this.why, this.col.error?.text ?? "");
      setText(this.rate, "–");
      return undefined;
    }
    this.grow(story);
    const { verdict } = story;
    const failed = verdict.where ?? Infinity;
    if (this.failed !== failed || this.sized !== this.words.length) {
      Object.assign(this, { failed, sized: this.words.length });
      this.words.forEach((node, i) => {
        node.classList.toggle("wrong", story.given + i === failed);
        node.classList.toggle("past", story.given + i > failed);
      });
      // in the next frame, when all columns have their words: one layout for all
      if (!story.over) requestAnimationFrame(() => (this.box.scrollTop = this.box.scrollHeight));
    }
    setText(this.end, story.end === "<end>" ? "end" : "");
    this.end.classList.toggle("wrong", story.end === "<end>" && failed === story.tokens.length);
    this.judge(verdict);
    setText(this.rate, story.rate === null ? "–" : grouped(Math.round(story.rate)));
    setText(this.unit, " tokens/s");
    this.rate.title = `the median of ${story.steps} steps of model and draw, one token a column in turn`;
    const written = story.tokens.length - story.given;
    const end = { "<end>": ", ended", "": "" }[story.end] ?? `, ${story.end}`;
    setText(this.size, `${written} word${written === 1 ? "" : "s"}${end}`);
    return this.cursor();
  }

  judge({ kind, why }) {
    const key = `${kind}/${why}`;
    if (this.judged === key) return;
    this.judged = key;
    this.node.dataset.verdict = kind;
    this.mark.replaceChildren(...(ICONS[kind] ? [icon(ICONS[kind])] : []));
    setText(this.why, why);
  }

  cursor() {
    const { story } = this.col;
    if (!story) return;
    for (const node of this.marked) node.classList.remove("reader", "source", "follows");
    const at = (i) => this.words[i - story.given];
    const { t, s } = view;
    at(t)?.classList.add("reader");
    if (s !== t) at(s)?.classList.add("source");
    at(t + 1)?.classList.add("follows");
    this.marked = [at(t), at(s), at(t + 1)].filter(Boolean);
    this.box.classList.toggle("playing", view.playing);
    if (view.playing) this.words.forEach((node, i) => node.classList.toggle("later", story.given + i > t));
    if (story.over) this.follow(at(Math.min(t, story.tokens.length - 1)));
  }

  // Long texts scroll inside their box: to the row, once it was moved; before that they are read from their start.
  follow(node) {
    const { box, ctx } = this;
    const rests = home.t === ctx.payload.view.t && home.s === ctx.payload.view.s && !view.playing;
    if (rests && this.rested) return;
    this.rested = rests;
    if (rests) requestAnimationFrame(() => (box.scrollTop = 0));
    if (rests || !node || box.scrollHeight <= box.clientHeight || box.matches(":hover")) return;
    if (node.offsetTop < box.scrollTop || node.offsetTop + 22 > box.scrollTop + box.clientHeight) box.scrollTop = node.offsetTop - box.clientHeight / 2;
  }
}
