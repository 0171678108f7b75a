// The canvas of one text, a button a place: committed words in the colour of their confidence, guesses on a hatch.

import { home, hover, leave, setView, view } from "./bus.js";
import { css, lut } from "./colors.js";
import { el, setText } from "./dom.js";
import { fixed, token } from "./format.js";

const SAYS = { given: "given", masked: "masked, best guess", unseen: "masked, not looked at in this step", unread: "given, but never read by the twin", unfilled: "not written" };

// Whether words on a colour of the table have to be dark.
const bright = (word) => 0.2126 * (word & 255) + 0.7152 * ((word >> 8) & 255) + 0.0722 * ((word >> 16) & 255) > 118;

export class TokenCanvas {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    this.cells = [];
    this.node = el("div", { class: "df-canvas", role: "group", on: { pointerleave: leave, keydown: (event) => this.onKey(event) } });
  }

  build(n) {
    if (this.cells.length === n - 1) return;
    this.cells = Array.from({ length: n - 1 }, (_, i) => this.button(i + 1));
    this.node.replaceChildren(...this.cells.map(({ node }) => node));
  }

  button(place) {
    const word = el("span", { class: "df-word" });
    const order = el("small", { class: "df-order", aria: { hidden: "true" } });
    const node = el("button", { class: "df-cell", type: "button", tabindex: place === 1 ? "0" : "-1", data: { place },
      on: { pointermove: () => hover(place, home.s, "canvas"), focus: () => setView({ t: place }, "canvas"), click: () => this.ctx.choose(this.index, place) } }, word, order);
    return { node, word, order };
  }

  onKey(event) {
    const wide = getComputedStyle(this.node).gridTemplateColumns.split(" ").length;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
    const place = Number(document.activeElement?.dataset.place);
    if (!place || event.ctrlKey || event.metaKey || event.altKey) return;
    if (by) this.cells[Math.min(this.cells.length, Math.max(1, place + by)) - 1].node.focus();
    else if (event.key === "Delete" || event.key === "Backspace") this.ctx.mask(this.index, place);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  paint(side, step) {
    this.node.setAttribute("aria-label", `${side.writer.name}: text after step ${step}. Arrow keys move, Enter chooses a place, Delete masks it again.`);
    this.build(side.n);
    const table = lut("magnitude");
    const edits = this.ctx.editsOf(this.index);
    this.cells.forEach((parts, i) => this.paintCell(parts, i + 1, side.cell(step, i + 1), table, edits?.get(i + 1), side.last));
    this.cursor();
  }

  paintCell({ node, word, order }, place, cell, table, edit, last) {
    const { state, p, at, fresh } = cell;
    const filled = state === "committed" && edit === undefined;
    const share = this.ctx.colours === "order" ? 1 - (at - 1) / Math.max(1, last) : p;
    const colour = filled ? table[Math.round(255 * share)] : 0;
    const shown = edit === undefined ? cell.word : edit;
    node.dataset.state = edit === undefined ? state : edit ? "pinned" : "again";
    node.classList.toggle("df-fresh", fresh && edit === undefined);
    node.classList.toggle("df-off", Boolean(cell.off));
    node.classList.toggle("df-on-light", filled && bright(colour));
    node.style.backgroundColor = filled ? css(colour) : "";
    setText(word, token(shown, 12));
    word.classList.toggle("df-long", shown.length > 7);
    setText(order, this.ctx.colours === "order" && filled ? String(at) : "");
    const said = edit === undefined ? (SAYS[state] ?? `committed in step ${at}, ${fixed(p, 2)}`) : edit ? "pinned by you" : "to be masked again";
    const guess = state === "masked" && edit === undefined && cell.word ? ` ${fixed(p, 2)}` : "";
    node.setAttribute("aria-label", `place ${place}, ${shown || "nothing"}, ${said}${guess}${cell.off ? `, where you gave ${cell.off}` : ""}`);
    node.title = cell.off ? `you gave “${cell.off}” here, which the twin never read` : "";
  }

  cursor() {
    this.cells.forEach(({ node }, i) => {
      node.classList.toggle("df-here", i + 1 === view.t);
      node.classList.toggle("df-read", i + 1 === view.s && view.s !== view.t);
      const stop = i + 1 === (home.t || 1) ? 0 : -1;
      if (node.tabIndex !== stop) node.tabIndex = stop;
    });
  }
}
