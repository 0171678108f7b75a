// Steps down, places across: the confidence (or entropy) of the best guess until the step that commits a place, which gets
// an ink square; sunken after that, and nothing below the step that is shown.

import { home, hover, leave, view } from "./bus.js";
import { css, hatch, lut } from "./colors.js";
import { el, setText, sizeCanvas } from "./dom.js";
import { fixed, quoted } from "./format.js";

const [CELL, WIDE_CELL, WIDE, TALLEST, LEAST] = [14, 18, 700, 448, 5];

export class CommitMap {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    this.canvas = el("canvas", { class: "df-commit", aria: { hidden: "true" } });
    this.twin = el("span", { class: "ba-sr" });
    this.first = el("div", { class: "ba-cap" }, el("span", { text: "step 1" }), (this.places = el("span")));
    this.lastStep = el("div", { class: "ba-cap" }, (this.end = el("span")), (this.said = el("span")));
    this.node = el("div", { class: "df-commit-box" }, this.first, this.canvas, this.lastStep, this.twin);
    this.canvas.addEventListener("pointermove", (event) => {
      const at = this.cellAt(event);
      if (at) hover(at.place, home.s, "commit");
    });
    this.canvas.addEventListener("pointerleave", leave);
    this.canvas.addEventListener("click", (event) => {
      const at = this.cellAt(event);
      if (at) ctx.history.pick(at.step);
    });
  }

  cellAt(event) {
    if (!this.grid) return null;
    const box = this.canvas.getBoundingClientRect();
    const place = 1 + Math.floor(((event.clientX - box.left) / box.width) * (this.n - 1));
    const step = 1 + Math.floor(((event.clientY - box.top) / box.height) * this.steps);
    return place >= 1 && place < this.n && step >= 1 && step <= this.steps ? { place, step } : null;
  }

  paint(side, step, colors, room) {
    const dpr = devicePixelRatio || 1;
    const [n, steps] = [side.n, this.ctx.last];
    const cell = room > WIDE ? WIDE_CELL : CELL;
    const wide = Math.max(1, Math.floor(Math.min(cell, room / (n - 1)) * dpr));
    const tall = Math.max(1, Math.round(Math.max(LEAST, Math.min(cell, TALLEST / steps)) * dpr));
    Object.assign(this, { side, step, n, steps, colors, grid: { wide, tall, dpr } });
    const pen = sizeCanvas(this.canvas, wide * (n - 1), tall * steps, dpr);
    pen.fillStyle = colors.page;
    pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    const entropy = this.ctx.measure === "entropy";
    const table = lut("magnitude");
    const hatched = hatch(pen, colors, dpr);
    for (let row = 1; row <= Math.min(step, steps); row++) {
      for (let place = 1; place < n; place++) this.paintCell(pen, side, row, place, { table, hatched, entropy });
    }
    this.paintRest(pen, step);
    setText(this.places, `place 1 to ${n - 1}`);
    setText(this.end, `step ${steps}`);
    this.cursor();
  }

  paintCell(pen, side, row, place, { table, hatched, entropy }) {
    const { wide, tall, dpr } = this.grid;
    const [x, y] = [(place - 1) * wide, (row - 1) * tall];
    const { state, word, p, entropy: nats, at } = side.cell(row, place);
    const value = entropy ? nats / this.ctx.mostNats : p;
    const now = state === "committed" && at === row;
    if ((state === "masked" && word) || now) pen.fillStyle = css(table[Math.round(255 * Math.min(1, value))]);
    else if (state === "unseen" || state === "masked") pen.fillStyle = hatched;
    else if (state === "committed" || state === "given") pen.fillStyle = this.colors.sunken;
    else return;
    pen.fillRect(x, y, wide, tall);
    if (!now) return;
    const line = Math.max(1, Math.round(Math.min(wide, tall) / 7));
    pen.strokeStyle = this.colors.ink;
    pen.lineWidth = line;
    pen.strokeRect(x + line / 2, y + line / 2, wide - line, tall - line);
    if (Math.min(wide, tall) < 8 * dpr) return;
    pen.strokeStyle = this.colors.page; // a halo, so that the square is seen on dark colours
    pen.lineWidth = Math.max(1, dpr);
    pen.strokeRect(x + 1.5 * line, y + 1.5 * line, wide - 3 * line, tall - 3 * line);
  }

  paintRest(pen, step) {
    const { tall, dpr } = this.grid;
    const { width, height } = this.canvas;
    const top = Math.min(step, this.steps) * tall;
    pen.fillStyle = this.colors.line;
    for (let y = top + tall; y < height; y += tall) pen.fillRect(0, y, width, Math.max(1, Math.floor(dpr)));
    if (height - top > 20 * dpr) {
      pen.font = `${12 * dpr}px ${getComputedStyle(this.ctx.root).fontFamily}`;
      const words = "not shown yet";
      const room = pen.measureText(words).width + 12 * dpr;
      pen.fillStyle = this.colors.page;
      pen.fillRect(2 * dpr, top + (height - top) / 2 - 9 * dpr, room, 18 * dpr);
      pen.fillStyle = this.colors.ink3;
      pen.textBaseline = "middle";
      pen.fillText(words, 8 * dpr, top + (height - top) / 2);
    }
    pen.fillStyle = this.colors.ink;
    if (step) pen.fillRect(0, top - Math.round(dpr), width, Math.max(2, Math.round(2 * dpr)));
  }

  // What stands under the pointer, in words; the column of the place is marked above and below.
  cursor() {
    if (!this.side) return;
    const place = Math.min(view.t, this.n - 1);
    const { word, p, entropy, state, at } = this.side.cell(this.step, place);
    const value = this.ctx.measure === "entropy" ? `${fixed(entropy, 2)} nats` : fixed(p, 2);
    const says = { committed: `${quoted(word)} from step ${at} on, ${value}`, masked: word ? `guess ${quoted(word)} ${value}` : "masked", given: `${quoted(word)}, given`, unread: `${quoted(word)} never read` }[state] ?? "nothing yet";
    setText(this.said, place ? `place ${place}: ${says}` : "");
    setText(this.twin, `${this.side.writer.name}, step ${this.step}, place ${place}: ${says}`);
    const { wide, dpr } = this.grid;
    this.node.style.setProperty("--df-x", `${((place - 1) * wide) / dpr}px`);
    this.node.style.setProperty("--df-w", `${wide / dpr}px`);
    this.node.classList.toggle("df-nowhere", !place);
  }
}
