// The row of the matrix under the crosshair as bars, in the x grid of the map; linear, its range is printed above.

import { hover, leave, pin, view } from "./bus.js";
import { hatch } from "./colors.js";
import { el, sizeCanvas } from "./dom.js";

const NICE = [1, 2, 5, 10];

// The smallest 1, 2 or 5 times a power of ten that holds every signed value of row t, over all columns.
export function signedRange(maps, t) {
  let top = 0;
  for (const map of maps) {
    if (!map?.data || map.meta.kind !== "signed" || t >= map.n) continue;
    for (let s = 0; s <= t; s++) if (!map.outside(t, s)) top = Math.max(top, Math.abs(map.at(t, s)));
  }
  if (!(top > 0) || !Number.isFinite(top)) return 1;
  const power = 10 ** Math.floor(Math.log10(top));
  return power * NICE.find((step) => step * power >= top * 0.999);
}

export class Profile {
  constructor(map, height = 44) {
    this.map = map;
    this.height = height;
    this.node = el("canvas", { class: "ba-profile", data: { column: map.id }, aria: { hidden: "true" } });
    const at = (event) => {
      const box = this.node.getBoundingClientRect();
      const { k } = map.grid;
      const col = Math.floor(((event.clientX - box.left) / box.width) * map.grid.cells);
      const s = k === 1 || view.t >= map.n ? col : map.largest(view.t, view.t + 1, col * k, col * k + k).s;
      return s >= 0 && s <= view.t && view.t < map.n ? s : null;
    };
    this.node.addEventListener("pointermove", (event) => {
      const s = map.data && at(event);
      if (s !== null && s !== false) hover(view.t, s, "profile");
    });
    this.node.addEventListener("pointerleave", leave);
    this.node.addEventListener("click", (event) => {
      const s = map.data && at(event);
      if (s !== null && s !== false) pin(view.t, s, "profile");
    });
  }

  resize() {
    const { width, dpr } = this.map.grid;
    sizeCanvas(this.node, width, Math.round(this.height * dpr), dpr);
  }

  cursor(t, s, range) {
    const map = this.map;
    if (!map.data) return;
    const { cell, cells, k, dpr, width } = map.grid;
    const colors = map.colors;
    const pen = this.node.getContext("2d");
    const tall = this.node.height;
    const line = Math.max(1, Math.round(dpr));
    const signed = map.meta.kind === "signed";
    const zero = signed ? Math.round(tall / 2) : tall - line;
    const unit = (signed ? tall / 2 - line : tall - 2 * line) / range;
    const gap = cell >= 3 ? Math.max(1, Math.min(Math.round(2 * dpr), Math.floor(cell / 4))) : 0;
    pen.clearRect(0, 0, width, tall);
    if (map.meta.window && t >= map.meta.window) {
      pen.fillStyle = hatch(pen, colors, dpr);
      const high = Math.round(6 * dpr);
      pen.fillRect(0, zero - high, Math.floor((t - map.meta.window + 1) / k) * cell, high);
    }
    pen.fillStyle = colors.line2;
    pen.fillRect(0, zero, width, line);
    const at = Math.floor(s / k) * cell;
    pen.fillRect(at + Math.floor((cell - line) / 2), 0, line, tall);
    if (t >= map.n) return; // this column's text has no such row
    for (let col = 0; col < cells && col * k <= t; col++) {
      const best = k === 1 ? col : map.largest(t, t + 1, col * k, Math.min(map.n, col * k + k)).s;
      if (map.outside(t, best)) continue;
      const v = map.at(t, best);
      const high = Math.min(Math.max(Math.round(Math.abs(v) * unit), line), signed ? tall / 2 : tall);
      pen.fillStyle = col * cell === at ? colors.ink : signed ? (v < 0 ? colors.minus : colors.plus) : colors.bar;
      if (signed && v < 0) pen.fillRect(col * cell, zero, cell - gap, high);
      else pen.fillRect(col * cell, zero - high + line, cell - gap, high);
    }
  }
}
