// What the layer adds to the residual stream, token by token: the length of its output, with the gate and without.

import { hover, leave, pin, view } from "./bus.js";
import { el, setText, sizeCanvas } from "./dom.js";
import { entry } from "./format.js";

const HIGH = 56;

export class Written {
  constructor(ctx) {
    this.ctx = ctx;
    this.left = el("span");
    this.right = el("span");
    this.canvas = el("canvas", { class: "ba-profile", aria: { hidden: "true" } });
    this.fact = el("div", { class: "ba-cap ba-fact" }, el("span"));
    this.node = el("div", { class: "fm-written" }, el("div", { class: "ba-cap" }, this.left, this.right), this.canvas, this.fact);
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const { n } = ctx.layout.grid;
      return Math.max(0, Math.min(n - 1, Math.floor(((event.clientX - box.left) / box.width) * n)));
    };
    this.canvas.addEventListener("pointermove", (event) => hover(at(event), view.s, "written"));
    this.canvas.addEventListener("pointerleave", leave);
    this.canvas.addEventListener("click", (event) => pin(at(event), view.s, "written"));
  }

  resize() {
    const { width, dpr } = this.ctx.layout.grid;
    sizeCanvas(this.canvas, width, Math.round(HIGH * dpr), dpr);
  }

  cursor() {
    const { written } = this.ctx.payload;
    const { cell, dpr, width } = this.ctx.layout.grid;
    const { colors } = this.ctx;
    const { t } = view;
    const pen = this.canvas.getContext("2d");
    const tall = this.canvas.height;
    const line = Math.max(1, Math.round(dpr));
    const now = written.gate ? written.on : written.off;
    const other = written.gate ? written.off : written.on;
    const top = Math.max(...written.on, ...written.off);
    const y = (value) => Math.round((value / top) * (tall - 2 * line));
    const gap = Math.max(1, Math.round(2 * dpr));
    pen.clearRect(0, 0, width, tall);
    now.forEach((value, i) => {
      pen.fillStyle = i === t ? colors.ink : colors.bar;
      pen.fillRect(i * cell, tall - line - y(value), cell - gap, y(value));
      pen.fillStyle = colors.line2;
      pen.fillRect(i * cell, tall - line - y(other[i]), cell - gap, line);
    });
    pen.fillStyle = colors.line2;
    pen.fillRect(0, tall - line, width, line);
    setText(this.left, "Written to the stream, ‖y‖ by token");
    setText(this.right, `0 to ${entry(top, 1)}, linear`);
    const both = `with the gate ${entry(written.on[t], 2)}, without ${entry(written.off[t], 2)}`;
    setText(this.fact.firstChild, `t ${t}: ${both}. Thin line: the other of the two`);
  }
}
