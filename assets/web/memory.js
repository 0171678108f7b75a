// What a column remembers at token t: cache stripes in the x grid of its map, or state heatmaps with ‖S‖ below;
// then the bytes held, the law in words, and a bar on a scale shared by all columns.

import { headOf, layerOf, hover, leave, pin, view } from "./bus.js";
import { hatch } from "./colors.js";
import { el, setText, sizeCanvas } from "./dom.js";
import { bytes } from "./format.js";
import { columnName } from "./layers.js";
import { stripePicture, words } from "./memorycolors.js";
import { cacheFact, rows, stateFacts } from "./memoryfacts.js";
import { lengthOf, wordsOf } from "./words.js";

const SQUARES = 4; // state pictures that fit beside one another

export class MemoryCell {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    const { col } = ctx.columns[index];
    this.caption = el("span");
    this.second = el("span", { class: "ba-second" });
    this.canvas = el("canvas", { class: "ba-memory-picture", data: { column: col.id }, aria: { hidden: "true" } });
    this.fact = el("span");
    this.twin = el("span", { class: "ba-sr" });
    this.held = el("b", { class: "ba-held", data: { column: col.id } });
    this.law = el("span", { class: "ba-law" });
    this.fill = el("i");
    this.node = el(
      "div",
      { class: "ba-cell ba-memory", data: { column: col.id, family: col.family } },
      columnName(col),
      el("div", { class: "ba-cap" }, this.caption, this.second),
      this.canvas,
      this.twin,
      el("div", { class: "ba-cap ba-fact" }, this.fact),
      el(
        "div",
        { class: "ba-bytes" },
        el("span", {}, this.held, el("span", { class: "ba-heldword", text: " held" })),
        this.law,
      ),
      el("div", { class: "ba-bar ba-bytes-bar", aria: { hidden: "true" } }, this.fill),
    );
    this.scratch = document.createElement("canvas");
    this.listen();
  }

  get slot() {
    return this.ctx.columns[this.index];
  }

  // A column whose text is over keeps what it held at its end.
  own() {
    const last = lengthOf(this.ctx.payload, this.slot.col) - 1;
    return { t: Math.min(view.t, last), s: Math.min(view.s, last), over: view.t > last };
  }

  listen() {
    const at = (event) => {
      if (!this.stripes?.length) return null;
      const box = this.canvas.getBoundingClientRect();
      const y = ((event.clientY - box.top) / box.height) * this.canvas.height;
      const { cell, k, n } = this.ctx.layout.grid;
      const x = ((event.clientX - box.left) / box.width) * this.canvas.width;
      const s = Math.min(n - 1, Math.floor(x / cell) * k);
      const on = this.stripes.some((stripe) => y >= stripe.top - 2 && y <= stripe.top + stripe.tall + 2);
      return on && s >= 0 && s <= view.t ? s : null;
    };
    this.canvas.addEventListener("pointermove", (event) => {
      const s = at(event);
      if (s !== null) hover(view.t, s, "memory");
    });
    this.canvas.addEventListener("pointerleave", leave);
    this.canvas.addEventListener("click", (event) => {
      const s = at(event);
      if (s !== null) pin(view.t, s, "memory");
    });
  }

  resize() {
    const {
      col,
      grid: { dpr },
    } = this.ctx.layout;
    sizeCanvas(this.canvas, Math.round(col * dpr), Math.round((col * dpr) / 3), dpr);
  }

  // What to draw: [{layer, head}] heatmaps and [{layer}] stripes; an attention layer of a hybrid leaves its slot empty.
  // A deep hybrid shows the states of its chosen layer, or of the recurrent layers before it.
  plan() {
    const { col } = this.slot;
    const layers = col.memory?.layers ?? [];
    const states = layers.flatMap((item, layer) => (item.kind === "state" ? [layer] : []));
    const caches = layers.flatMap((item, layer) => (item.kind === "cache" ? [layer] : []));
    if (!states.length) return { caches, heats: [], line: null };
    const chosen = layerOf(col);
    if (!caches.length) return { caches, heats: this.heads(chosen), line: chosen };
    const heat = (layer) => ({ layer, head: headOf(col, layer, layers[layer].heads) });
    if (layers.length <= SQUARES)
      return { caches, heats: layers.map((item, layer) => (item.kind === "state" ? heat(layer) : null)), line: null };
    if (layers[chosen].kind === "state") return { caches, heats: this.heads(chosen), line: null };
    const before = states.filter((layer) => layer < chosen);
    return { caches, heats: (before.length ? before : states).slice(-SQUARES).map(heat), line: null };
  }

  // The heads of a layer, up to four of them: those around the chosen one.
  heads(layer) {
    const { col } = this.slot;
    const { heads } = col.memory.layers[layer];
    const first = SQUARES * Math.floor(headOf(col, layer, heads) / SQUARES);
    return Array.from({ length: Math.min(SQUARES, heads - first) }, (_, i) => ({ layer, head: first + i }));
  }

  paint() {
    const { col } = this.slot;
    const done = col.status === "done";
    this.node.dataset.state = col.status;
    setText(this.caption, done ? col.memory.caption : "\u00a0");
    setText(this.law, done ? col.memory.law : "");
    if (!done) return this.rest();
    this.what = this.plan();
    this.words = words(view.scale);
    this.layoutPicture();
    return this.cursor();
  }

  rest() {
    this.what = null;
    this.stripes = [];
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.fillStyle = this.ctx.colors.sunken;
    pen.fillRect(0, 0, this.ctx.layout.grid.width, this.canvas.height);
    for (const node of [this.second, this.fact]) setText(node, "");
    setText(this.held, "–");
    this.fill.style.transform = "scaleX(0)";
  }

  layoutPicture() {
    const { width, height } = this.canvas;
    const { dpr, cells, cell, k } = this.ctx.layout.grid;
    const { heats, caches } = this.what;
    const gap = Math.round(2 * dpr);
    const room = heats.length ? Math.round((height * 2) / 3) : 0;
    const slot = heats.length ? Math.floor((width - (heats.length - 1) * Math.round(4 * dpr)) / heats.length) : 0;
    this.squares = heats.map((heat, i) => {
      const item = this.slot.col.memory.layers[(heat ?? heats.find(Boolean)).layer];
      const pixel = Math.max(1, Math.floor(Math.min(slot / item.cols, room / item.rows)));
      const wide = pixel * item.cols;
      const left = heats.length > 1 ? Math.round((i * (width - wide)) / (heats.length - 1)) : 0;
      return { heat, left, wide, tall: pixel * item.rows };
    });
    const bottom = room ? Math.max(...this.squares.map((square) => square.tall)) : 0;
    const start = room ? bottom + Math.round((height - bottom) * 0.38) : 0;
    const tall = caches.length ? Math.floor((height - start - gap * (caches.length - 1)) / caches.length) : 0;
    this.below = bottom + Math.round(4 * dpr);
    this.stripes = caches.map((layer, i) => {
      const item = this.slot.col.memory.layers[layer];
      const picture = stripePicture(item.norms, cells, k, this.ctx.normTop);
      return { layer, window: item.window, top: start + i * (tall + gap), tall, picture, wide: cells * cell };
    });
  }

  cursor() {
    const { col, states } = this.slot;
    if (col.status !== "done" || !this.what) return;
    const { t, s, over } = this.own();
    const pen = this.canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const stripe of this.stripes) this.stripe(pen, stripe, t, s);
    for (const square of this.squares) this.square(pen, square, t, states);
    if (this.what.line !== null) this.line(pen, t);
    this.say(t, s, over);
  }

  stripe(pen, stripe, t, s) {
    const { cell, k, dpr, width } = this.ctx.layout.grid;
    const { colors } = this.ctx;
    const filled = Math.floor(t / k + 1);
    const dropped = stripe.window ? Math.max(0, Math.floor((t - stripe.window + 1) / k)) : 0;
    pen.fillStyle = colors.sunken;
    pen.fillRect(0, stripe.top, width, stripe.tall);
    pen.drawImage(
      stripe.picture,
      dropped,
      0,
      filled - dropped,
      1,
      dropped * cell,
      stripe.top,
      (filled - dropped) * cell,
      stripe.tall,
    );
    if (dropped) {
      pen.fillStyle = hatch(pen, colors, dpr);
      pen.fillRect(0, stripe.top, dropped * cell, stripe.tall);
    }
    const edge = Math.round(2 * dpr);
    const next = this.stripes[this.stripes.indexOf(stripe) + 1];
    pen.fillStyle = colors.ink;
    pen.fillRect(
      Math.min(filled * cell, width - edge),
      stripe.top,
      edge,
      (next ? next.top : stripe.top + stripe.tall) - stripe.top,
    );
    const line = Math.max(1, Math.round(dpr));
    const at = Math.floor(s / k) * cell + Math.floor((cell - line) / 2);
    if (stripe === this.stripes[0]) pen.fillRect(at - line, stripe.top, 3 * line, 3 * line);
    if (!next) pen.fillRect(at - line, stripe.top + stripe.tall - 3 * line, 3 * line, 3 * line);
  }

  square(pen, { heat, left, wide, tall }, t, states) {
    const { colors, layout } = this.ctx;
    const line = Math.max(1, Math.round(layout.grid.dpr));
    pen.strokeStyle = colors.line2;
    pen.lineWidth = line;
    const data = heat && states.get(heat.layer);
    if (!data) {
      pen.setLineDash([3 * line, 3 * line]);
      pen.globalAlpha = 0.6;
      pen.strokeRect(left + line / 2, line / 2, wide - line, tall - line);
      pen.globalAlpha = 1;
      pen.setLineDash([]);
      return;
    }
    const { rows: lines, cols, heads } = this.slot.col.memory.layers[heat.layer];
    const image = new ImageData(cols, lines);
    const out = new Uint32Array(image.data.buffer);
    const from = (t * heads + heat.head) * lines * cols;
    for (let i = 0; i < out.length; i++) out[i] = this.words[data[from + i]];
    this.scratch.width = cols;
    this.scratch.height = lines;
    this.scratch.getContext("2d").putImageData(image, 0, 0);
    pen.drawImage(this.scratch, left, 0, wide, tall);
    if (this.what.line !== null && heat.head === headOf(this.slot.col, heat.layer, heads)) pen.strokeStyle = colors.ink;
    else pen.globalAlpha = 0.5;
    pen.strokeRect(left + line / 2, line / 2, wide - line, tall - line);
    pen.globalAlpha = 1;
  }

  // ‖S‖ of every head up to t, the chosen head in the colour of its family.
  line(pen, t) {
    const { cell, k, dpr, width } = this.ctx.layout.grid;
    const { colors } = this.ctx;
    const { height } = this.canvas;
    const lines = rows(this.slot.col.memory.layers[this.what.line].norm);
    const top = Math.max(1e-9, ...lines.flat());
    const base = height - Math.max(1, Math.round(dpr));
    const y = (v) => base - (v / top) * (base - this.below - dpr);
    pen.fillStyle = colors.line;
    pen.fillRect(0, base, width, Math.max(1, Math.round(dpr)));
    const chosen = headOf(this.slot.col, this.what.line, lines.length);
    const order = [...lines.keys()].filter((h) => h !== chosen).concat(chosen);
    for (const h of order) {
      pen.strokeStyle = h === chosen ? colors.family(this.slot.col.family) : colors.line;
      pen.lineWidth = (h === chosen ? 2 : 1) * dpr;
      pen.beginPath();
      for (let i = 0; i <= t; i++) pen.lineTo(((i + 0.5) / k) * cell, y(lines[h][i]));
      pen.stroke();
    }
    pen.fillStyle = colors.ink;
    const edge = Math.round(2 * dpr);
    pen.fillRect(Math.min(Math.floor(t / k + 1) * cell, width - edge), this.below, edge, height - this.below);
  }

  say(t, s, over) {
    const { col } = this.slot;
    const { memory } = col;
    const { caches, heats, line } = this.what;
    const tokens = wordsOf(this.ctx.payload, col);
    const window = caches.length ? memory.layers[caches[0]].window : null;
    const slots = window ? Math.min(window, t + 1) : t + 1;
    setText(this.second, line !== null ? `layer ${line + 1}` : heats.length ? "" : `${caches.length} × ${slots}`);
    const layers = line !== null ? [line] : heats.filter(Boolean).map((heat) => heat.layer);
    const fact = heats.length ? stateFacts(col, layers, t, line !== null) : cacheFact(col, caches, t, s, tokens);
    const { missing } = this.ctx.payload;
    if (missing && layers.some((layer) => !this.slot.states.has(layer))) setText(this.fact, missing);
    else setText(this.fact, over ? `text over at t ${t}, ${fact}` : fact);
    const [value, unit] = bytes(memory.bytes[t]);
    setText(this.held, `${value} ${unit}`);
    this.fill.style.transform = `scaleX(${this.ctx.bytesTop ? memory.bytes[t] / this.ctx.bytesTop : 0})`;
    setText(this.twin, `${col.name}: ${memory.caption}. Token ${t}: ${value} ${unit} held. ${this.fact.textContent}`);
  }
}
