// A mixing matrix in which a row may read in both directions: whole device pixels a cell, crosshair over the whole square.

import { MatrixMap } from "./matrixmap.js";
import { hatch, lut, shade } from "./colors.js";

export class SquareMap extends MatrixMap {
  // The token pair under the pointer, also above the diagonal.
  cellAt(event) {
    if (!this.grid || !this.data) return null;
    const box = this.plane.getBoundingClientRect();
    const s = Math.floor(((event.clientX - box.left) / box.width) * this.grid.n);
    const t = Math.floor(((event.clientY - box.top) / box.height) * this.grid.n);
    return t >= 0 && s >= 0 && t < this.n && s < this.n ? { t, s } : null;
  }

  at(t, s) {
    return this.data[(this.head * this.n + t) * this.n + s];
  }

  outside(t) {
    return t < this.rows[0] || t >= this.rows[1];
  }

  // meta: {kind, range, n, rows: [from, to) that were read in this pass, causal}
  paint({ data, head, meta, colors, scale, label, layer }) {
    Object.assign(this, { data, head, meta, colors, n: meta.n, rows: meta.rows });
    this.node.dataset.layer = layer;
    this.node.dataset.head = head;
    this.node.setAttribute("aria-label", label);
    const { cells, cell, dpr } = this.grid;
    const table = lut(meta.kind === "signed" ? "signed" : "magnitude");
    const image = new ImageData(cells, cells);
    const words = new Uint32Array(image.data.buffer);
    for (let t = meta.rows[0]; t < meta.rows[1]; t++) {
      for (let s = 0; s < (meta.causal ? t + 1 : meta.rows[1]); s++) words[t * cells + s] = table[shade(this.at(t, s), meta.range, meta.kind === "signed", scale)];
    }
    const small = document.createElement("canvas");
    small.width = small.height = cells;
    small.getContext("2d").putImageData(image, 0, 0);
    const pen = this.base.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, this.base.width, this.base.height);
    pen.fillStyle = meta.causal ? colors.sunken : hatch(pen, colors, dpr); // not written yet, or not read in this pass
    if (meta.rows[0] > 0) pen.fillRect(0, 0, cells * cell, meta.rows[0] * cell);
    if (meta.rows[1] < cells) pen.fillRect(0, meta.rows[1] * cell, cells * cell, (cells - meta.rows[1]) * cell);
    pen.drawImage(small, 0, 0, cells * cell, cells * cell);
  }

  // Lines over the whole width and height, with a gap at the cell.
  crosshair(t, s) {
    super.crosshair(t, s);
    const { cell, dpr, width } = this.grid;
    const pen = this.over.getContext("2d");
    const line = Math.max(1, Math.round(this.thick * dpr));
    const middle = (start) => start + Math.floor((cell - line) / 2);
    const frame = Math.max(Math.min(3 * cell, cell + Math.round(10 * this.thick * dpr)), Math.round(9 * dpr));
    const edge = Math.ceil(frame / 2 + line);
    pen.fillStyle = this.colors.ink;
    const [x, y] = [(s + 0.5) * cell, (t + 0.5) * cell];
    if (x + edge < width) pen.fillRect(x + edge, middle(t * cell), width - x - edge, line);
    if (y - edge > 0) pen.fillRect(middle(s * cell), 0, line, y - edge);
    if (y + edge < width) pen.fillRect(middle(s * cell), y + edge, line, width - y - edge);
  }
}
