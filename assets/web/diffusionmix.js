// What the pass of the shown step looked at: one layer and head of one column, fetched when it is on the screen.

import { AUTO, limits, setView, turnHead, view } from "./bus.js";
import { loadState } from "./blobs.js";
import { gradient } from "./colors.js";
import { el, setText } from "./dom.js";
import { bound } from "./format.js";
import { columnName } from "./layers.js";
import { grid } from "./matrixmap.js";
import { badge, KINDS } from "./mixing.js";
import { SquareMap } from "./squaremap.js";
import { Stepper } from "./switches.js";

const [LARGEST, WIDE_LARGEST, WIDE] = [448, 576, 700];

// Bytes as numbers: 128 is zero, finer near it.
const ROOTS = Float32Array.from({ length: 256 }, (_, byte) => Math.sign(byte - 128) * ((byte - 128) / 127) ** 2);
const decoded = (bytes) => Float32Array.from(bytes, (byte) => ROOTS[byte]);

export class MixCell {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    this.map = new SquareMap({ id: `df-${index}` });
    this.left = el("span");
    this.right = el("span", { class: "ba-second" });
    this.foot = el("div", { class: "ba-foot" });
    this.name = el("div");
    this.stage = el("div", { class: "df-map" }, this.map.node);
    this.node = el("div", { class: "ba-cell df-mix" }, this.name, el("div", { class: "ba-cap" }, this.left, this.right), this.stage, this.foot);
    this.shown = "";
  }

  get place() {
    const many = this.side.mapLayers;
    const layer = Math.min(view.layer === AUTO ? this.ctx.lookAt.layer : view.layer, many.length - 1);
    const head = Math.min(view.head === AUTO ? this.ctx.lookAt.head : view.head, (many[layer]?.names.length ?? 1) - 1);
    return [layer, head];
  }

  // Paint what is here; fetch what is missing, a moment after the step has come to rest.
  paint(side, step, colors, room) {
    this.side = side;
    this.colors = colors;
    this.name.replaceChildren(columnName(side.writer));
    const maps = side.maps(step);
    if (!maps) return this.none();
    const shape = grid(side.n, Math.min(room > WIDE ? WIDE_LARGEST : LARGEST, room)); // one size of a cell for both columns
    if (this.map.grid?.n !== shape.n || this.map.grid.width !== shape.width) this.map.resize(shape);
    this.node.style.setProperty("--ba-map", `${shape.size}px`);
    const [layer, head] = this.place;
    const url = `${maps.base}${layer}`;
    Object.assign(this, { maps, layer, head, url });
    if (this.data?.url === url) return this.draw();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.fetch(url), this.data ? 80 : 0);
    return undefined;
  }

  async fetch(url) {
    try {
      const bytes = await loadState(url);
      if (this.url !== url) return;
      this.data = { url, values: decoded(bytes) };
      this.draw();
    } catch (error) {
      setText(this.left, `The map did not arrive: ${error.message}`);
    }
  }

  none() {
    this.map.data = null;
    setText(this.left, "No maps: the run ended before they were recorded");
  }

  draw() {
    const { maps, layer, head, side } = this;
    const info = maps.layers[layer];
    const causal = side.twin !== undefined;
    setText(this.left, `layer ${layer + 1} · ${info.names[head]} · ${info.mixer}`);
    setText(this.right, KINDS[info.kind]);
    this.map.note = `${info.badge.kind} matrix, ${KINDS[info.kind]}.`;
    const label = `${side.writer.name}, token mixing of step ${maps.step}, layer ${layer + 1}, ${info.names[head]}. Arrow keys move the crosshair.`;
    this.map.paint({ data: this.data.values, head, meta: { ...info, n: maps.n, rows: [maps.from, maps.to], causal }, colors: this.colors, scale: view.scale, label, layer });
    this.foot.replaceChildren(badge(info.badge), el("span", { class: "ba-legend", title: view.scale === "sqrt" ? "square-root scale" : "linear scale" },
      el("span", { text: bound(info.range[0]) }), el("i", { style: { "background-image": gradient(info.kind === "signed" ? "signed" : "magnitude") } }), el("span", { text: bound(info.range[1]) })));
    this.node.dataset.url = this.data.url;
    this.cursor();
  }

  cursor() {
    if (!this.map.data || !this.side) return;
    const words = Array.from({ length: this.map.n }, (_, place) => (place ? this.side.cell(this.ctx.step, place).word || "masked" : "start"));
    this.map.cursor(view.t, Math.min(view.s, this.map.n - 1), words, "not read yet");
    if (view.t < this.map.n && this.map.outside(view.t)) setText(this.map.value, "–");
  }
}

// Layer, head and scale: one choice for both columns.
export function mixTools(ctx) {
  const turn = (by) => {
    const now = view.layer === AUTO ? ctx.lookAt.layer : view.layer;
    setView({ layer: (now + by + limits.layers) % limits.layers }, "tools");
  };
  const layer = new Stepper("Layer", turn);
  const head = new Stepper("Head", (by) => {
    if (view.head === AUTO) setView({ head: ctx.lookAt.head }, "tools");
    turnHead(by, "tools");
  });
  const node = el("span", { class: "ba-mixing-tools" }, layer.node, head.node);
  const paint = () => {
    layer.say(String((view.layer === AUTO ? ctx.lookAt.layer : view.layer) + 1));
    head.say(String((view.head === AUTO ? ctx.lookAt.head : view.head) + 1));
  };
  return { node, paint, turn };
}
