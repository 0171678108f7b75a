// One place of a text: what could stand there, best first, and on the denoiser's side what a person may do about it.

import { view } from "./bus.js";
import { el, setText } from "./dom.js";
import { fixed, quoted, token } from "./format.js";
import { columnName } from "./layers.js";

const ROWS = 8;

export class PlacePanel {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    this.left = el("span");
    this.right = el("span");
    this.rows = Array.from({ length: ROWS }, (_, i) => this.row(i));
    this.list = el("div", { class: "ba-next-list", role: "list" }, ...this.rows.map(({ node }) => node));
    this.pin = this.act("Pin", () => ctx.pin(index, this.place, this.word), "df-pin");
    this.again = this.act("Mask again", () => ctx.mask(index, this.place), "df-again");
    this.undo = this.act("Undo", () => ctx.undo(), "df-undo");
    this.go = this.act("Continue", () => ctx.goOn(index), "df-go");
    this.says = el("span", { class: "df-pending", role: "status" });
    this.acts = el("div", { class: "df-acts" }, this.pin, this.again, this.go, this.undo, this.says);
    this.name = el("div");
    this.node = el("div", { class: "ba-cell df-place" }, this.name, el("div", { class: "ba-cap" }, this.left, this.right), this.list, this.acts);
  }

  act(text, run, name) {
    return el("button", { class: `ba-button ${name}`, type: "button", text, on: { click: run } });
  }

  row(i) {
    const word = el("span", { class: "ba-next-word" });
    const fill = el("i");
    const p = el("span", { class: "ba-p" });
    const bar = el("span", { class: "ba-bar", aria: { hidden: "true" } }, fill);
    const pin = () => this.choices.words[i] && this.ctx.pin(this.index, this.place, this.choices.words[i]);
    const node = el("button", { class: "ba-next-row", type: "button", on: { click: pin } }, word, bar, p);
    return { node: el("div", { role: "listitem" }, node), button: node, word, fill, p };
  }

  paint(side, step) {
    this.side = side;
    this.step = step;
    this.name.replaceChildren(columnName(side.writer));
    this.node.dataset.family = side.writer.family;
    this.list.setAttribute("aria-label", `${side.writer.name}: most probable words of the place`);
    this.acts.hidden = !this.ctx.steered(this.index);
    this.cursor();
  }

  cursor() {
    if (!this.side) return;
    const { side, step } = this;
    this.place = Math.min(Math.max(1, view.t), side.n - 1);
    const cell = side.cell(step, this.place);
    this.choices = side.choices(step, this.place);
    this.word = this.ctx.editsOf(this.index)?.get(this.place) || cell.word;
    const { state, p, at } = cell;
    const said = {
      committed: `${quoted(cell.word)} committed in step ${at} with ${fixed(p, 2)}`,
      given: `${quoted(cell.word)} was given`,
      masked: step && cell.word ? `masked, best guess ${quoted(cell.word)} ${fixed(p, 2)}` : "masked, nothing guessed yet",
      unseen: "masked: this step looked at another block",
      unread: `${quoted(cell.word)} was given here, and is never read`,
      unfilled: "not written yet",
    }[state];
    setText(this.left, `place ${this.place}: ${said}`);
    setText(this.right, this.choices.words.length ? `as step ${this.choices.step} saw it, 0 to 1` : "");
    const steered = this.ctx.steered(this.index);
    this.rows.forEach((row, i) => {
      const word = this.choices.words[i];
      const chosen = word !== undefined && word === this.choices.word;
      row.button.classList.toggle("said", chosen);
      row.node.hidden = word === undefined;
      row.button.disabled = !steered;
      setText(row.word, word === undefined ? "" : token(word, 12));
      setText(row.p, word === undefined ? "" : fixed(this.choices.p[i], 2));
      if (word !== undefined) row.button.setAttribute("aria-label", `${word} ${fixed(this.choices.p[i], 2)}${chosen ? ", committed" : ""}${steered ? ", pin it" : ""}`);
      row.fill.style.width = `${word === undefined ? 0 : 100 * this.choices.p[i]}%`;
    });
    if (steered) this.paintActs(state);
  }

  paintActs(state) {
    const edits = this.ctx.editsOf(this.index);
    const busy = this.ctx.running;
    this.pin.disabled = busy || !this.word || edits?.get(this.place) === this.word;
    this.again.disabled = busy || (state !== "committed" && state !== "given" && !edits?.get(this.place));
    this.undo.hidden = !edits?.size;
    this.go.disabled = busy || !edits?.size || !this.ctx.open(this.index);
    setText(this.pin, this.word ? `Pin ${quoted(this.word)}` : "Pin");
    setText(this.go, `Continue from step ${this.ctx.from(this.index)}`);
    const [pinned, masked] = [[...(edits?.values() ?? [])].filter(Boolean).length, [...(edits?.values() ?? [])].filter((word) => !word).length];
    const words = [pinned ? `${pinned} pinned` : "", masked ? `${masked} masked again` : ""].filter(Boolean).join(", ");
    const closed = edits?.size && !this.ctx.open(this.index) ? "; nothing is hidden, so mask a word again" : "";
    setText(this.says, edits?.size ? words + closed : "");
  }
}
