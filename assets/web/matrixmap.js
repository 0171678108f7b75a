// One token-mixing matrix on a canvas: whole device pixels a cell, crosshair on a second canvas above it,
// the hovered value in the empty upper triangle, and a text twin for screen readers.

import { view, home, hover, leave, pin, setView } from "./bus.js";
import { hatch, lut, shade } from "./colors.js";
import { el, setText, sizeCanvas, uid } from "./dom.js";
import { entry, quoted } from "./format.js";

// The pixel grid of n tokens in `room` CSS pixels. k > 1: k tokens share a pixel.
export function grid(n, room, dpr = devicePixelRatio || 1) {
  const device = Math.max(1, Math.floor(room * dpr + 1e-6));
  const k = Math.max(1, Math.ceil(n / device));
  const cells = Math.ceil(n / k);
  const cell = Math.max(1, Math.floor(device / cells));
  return { n, k, cells, cell, dpr, width: cells * cell, size: (cells * cell) / dpr };
}

export class MatrixMap {
  constructor({ id, digits = 3, line = 1, focusable = true, onSecondTap = null } = {}) {
    this.id = id;
    this.thick = line; // of the crosshair, in CSS pixels
    this.digits = digits;
    this.onSecondTap = onSecondTap;
    this.base = el("canvas", { class: "ba-map-base", aria: { hidden: "true" } });
    this.over = el("canvas", { class: "ba-map-over", aria: { hidden: "true" } });
    this.value = el("b", { class: "ba-value", data: { column: id } });
    this.says = el("span", { class: "ba-says" });
    this.twin = el("span", { class: "ba-sr", id: uid("ba-twin") });
    this.plane = el("div", { class: "ba-plane" }, this.base, this.over);
    this.node = el(
      "div",
      { class: "ba-map", data: { column: id }, role: "application", aria: { describedby: this.twin.id } },
      this.plane,
      el("div", { class: "ba-void", aria: { hidden: "true" } }, this.value, this.says),
      this.twin,
    );
    if (focusable) this.node.tabIndex = 0;
    this.data = null;
    this.listen();
  }

  listen() {
    const plane = this.plane;
    plane.addEventListener("pointermove", (event) => {
      const cell = this.cellAt(event);
      if (cell) hover(cell.t, cell.s, "map");
      else leave();
    });
    plane.addEventListener("pointerleave", leave);
    plane.addEventListener("pointercancel", leave);
    plane.addEventListener("click", (event) => {
      const cell = this.cellAt(event);
      if (!cell) return;
      const touch = event.pointerType === "touch" || event.pointerType === "pen";
      if (touch && this.onSecondTap && this.near(cell)) this.onSecondTap();
      else if (touch) setView({ t: cell.t, s: cell.s, pinned: true }, "map");
      else pin(cell.t, cell.s, "map");
    });
    this.node.addEventListener("keydown", (event) => this.onKey(event));
  }

  near(cell) {
    const reach = (18 * this.grid.dpr * this.grid.k) / this.grid.cell;
    return view.pinned && Math.abs(cell.t - home.t) <= reach && Math.abs(cell.s - home.s) <= reach;
  }

  onKey(event) {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Enter") pin(home.t, home.s, "map");
    else if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    else {
      const stride = event.shiftKey ? 8 : 1;
      setView({ t: home.t + by[0] * stride, s: home.s + by[1] * stride }, "map");
    }
    event.preventDefault();
    event.stopPropagation();
  }

  // The token pair under the pointer; a pixel of a pooled map stands for its entry of largest magnitude.
  cellAt(event) {
    if (!this.grid || !this.data) return null;
    const box = this.plane.getBoundingClientRect();
    const { cells, k } = this.grid;
    const col = Math.floor(((event.clientX - box.left) / box.width) * cells);
    const row = Math.floor(((event.clientY - box.top) / box.height) * cells);
    if (row < 0 || col < 0 || row * k >= this.n || col > row) return null;
    if (k === 1) return { t: row, s: col };
    return this.largest(row * k, Math.min(this.n, row * k + k), col * k, col * k + k);
  }

  largest(t0, t1, s0, s1) {
    let best = { t: t0, s: s0, v: 0 };
    for (let t = t0; t < t1; t++) {
      for (let s = s0; s < Math.min(s1, t + 1); s++) {
        const v = this.at(t, s);
        if (Math.abs(v) > Math.abs(best.v)) best = { t, s, v };
      }
    }
    return best;
  }

  at(t, s) {
    return this.data[this.head * ((this.n * (this.n + 1)) / 2) + (t * (t + 1)) / 2 + s];
  }

  outside(t, s) {
    return Boolean(this.meta?.window) && t - s >= this.meta.window;
  }

  resize(geometry) {
    this.grid = geometry;
    sizeCanvas(this.base, geometry.width, geometry.width, geometry.dpr);
    this.margin = Math.ceil(8 * this.thick * geometry.dpr); // the frame may stand over the edge
    sizeCanvas(this.over, geometry.width + 2 * this.margin, geometry.width + 2 * this.margin, geometry.dpr);
    this.over.style.left = this.over.style.top = `${-this.margin / geometry.dpr}px`;
    this.plane.style.width = this.plane.style.height = `${geometry.size}px`;
  }

  // meta: {kind, range, window, n} of the payload; a text may have fewer tokens than the grid has room for.
  paint({ data, head, meta, colors, scale, label, layer }) {
    Object.assign(this, { data, head, meta, colors, n: meta.n ?? this.grid.n });
    this.node.dataset.layer = layer;
    this.node.dataset.head = head;
    this.node.setAttribute("aria-label", label);
    const { cells, cell, k } = this.grid;
    const { n } = this;
    const rows = Math.ceil(n / k);
    const signed = meta.kind === "signed";
    const table = lut(signed ? "signed" : "magnitude");
    const image = new ImageData(cells, cells);
    const words = new Uint32Array(image.data.buffer);
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col <= row; col++) {
        const v = k === 1 ? this.at(row, col) : this.largest(row * k, Math.min(n, row * k + k), col * k, col * k + k).v;
        words[row * cells + col] = table[shade(v, meta.range, signed, scale)];
      }
    }
    const small = document.createElement("canvas");
    small.width = small.height = cells;
    small.getContext("2d").putImageData(image, 0, 0);
    const pen = this.base.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, this.base.width, this.base.height);
    pen.drawImage(small, 0, 0, cells * cell, cells * cell);
    if (meta.window) this.hatchOutside(pen);
    pen.fillStyle = colors.sunken; // the text is over: slots that are not filled
    for (let row = rows; row < cells; row++) pen.fillRect(0, row * cell, (row + 1) * cell, cell);
  }

  hatchOutside(pen) {
    const { cell, k, dpr } = this.grid;
    pen.fillStyle = hatch(pen, this.colors, dpr);
    for (let row = 0; row * k < this.n; row++) {
      const last = Math.min(this.n - 1, row * k + k - 1);
      const gone = Math.floor((last - this.meta.window + 1) / k); // pixels whose every pair is out of reach
      if (gone > 0) {
        pen.clearRect(0, row * cell, gone * cell, cell);
        pen.fillRect(0, row * cell, gone * cell, cell);
      }
    }
  }

  cursor(t, s, tokens, missing = "") {
    if (!this.data) return;
    this.crosshair(t, s);
    if (t >= this.n) {
      setText(this.value, "–");
      setText(this.says, missing);
      setText(this.twin, `Row ${t}: ${missing}. ${this.note ?? ""}`);
      return;
    }
    const away = this.outside(t, s);
    const text = away ? "outside" : entry(this.at(t, s), this.digits);
    const says = `${quoted(tokens[t])} reads ${quoted(tokens[s])}`;
    setText(this.value, text);
    setText(this.says, says);
    setText(this.twin, `Row ${t}, column ${s}: ${away ? "outside the window" : text}. ${says}. ${this.note ?? ""}`);
  }

  // 1 px lines with a gap at the cell, a frame of three cells with a halo in the colour of the page.
  crosshair(t, s) {
    const { cell, k, dpr, width } = this.grid;
    const pen = this.over.getContext("2d");
    const line = Math.max(1, Math.round(this.thick * dpr));
    const x = Math.floor(s / k) * cell;
    const y = Math.floor(t / k) * cell;
    const middle = (start) => start + Math.floor((cell - line) / 2);
    const frame = Math.max(Math.min(3 * cell, cell + Math.round(10 * this.thick * dpr)), Math.round(9 * dpr));
    const left = Math.round(x + cell / 2 - frame / 2);
    const top = Math.round(y + cell / 2 - frame / 2);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.over.width, this.over.height);
    pen.translate(this.margin, this.margin);
    pen.fillStyle = this.colors.ink;
    pen.fillRect(0, middle(y), Math.min(width, y + cell), line);
    pen.fillRect(middle(x), x, line, width - x);
    const halo = line;
    const stroke = Math.max(1, Math.min(2 * line, Math.floor((frame - cell) / 2) - 1));
    pen.fillStyle = this.colors.page;
    pen.fillRect(left - halo, top - halo, frame + 2 * halo, frame + 2 * halo);
    pen.fillStyle = this.colors.ink;
    pen.fillRect(left, top, frame, frame);
    pen.clearRect(left + stroke, top + stroke, frame - 2 * stroke, frame - 2 * stroke);
  }
}
