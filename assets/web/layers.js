// Column headers: family rule, name and score, one line of facts, and the layer strip in which one layer is chosen for all.

import { AUTO, layerOf, setView, view } from "./bus.js";
import { el } from "./dom.js";
import { count, residual } from "./format.js";
import { verdictMark } from "./verdict.js";

const WORD = 36; // pixels that a layer's word needs

// Swatch and name: heads every cell when two models stand in one row of a narrow page.
export function columnName(col) {
  return el(
    "div",
    { class: "ba-name", data: { family: col.family } },
    el("i", { class: "ba-swatch", aria: { hidden: "true" } }),
    el("span", { text: shortName(col) }),
  );
}

export const shortName = (col) => (col.name.length <= 14 ? col.name : col.short || col.name);

function facts(col, room) {
  if (col.status !== "done") return col.family_name;
  const size =
    col.active && col.active < col.parameters
      ? `${count(col.parameters)}, ${count(col.active)} active`
      : `${count(col.parameters)} params`;
  const words = col.kind === "untrained" ? `${size.replace(" params", "")}, untrained` : size;
  const layers = col.active < col.parameters && room < 320 ? [] : [`${col.layers.length} layers`];
  return [col.family_name, ...layers, words].join(" · ");
}

// How closely the architecture agrees with an independent implementation; which one, in the tooltip.
function oracle(col) {
  if (!col.oracle || col.status !== "done") return null;
  const error = residual(col.oracle.error);
  return el("span", { class: "ba-oracle", title: col.oracle.text, tabindex: "0", aria: { label: col.oracle.text } }, `✓ ${error}`);
}

function experts(layer) {
  const loads = layer.chosen ?? [];
  const even = loads.reduce((a, b) => a + b, 0) / Math.max(1, loads.length);
  const words = loads.map((load, i) => `expert ${i + 1}: ${load.toFixed(2)}`).join(", ");
  return el(
    "span",
    { class: "ba-dots", title: words },
    ...Array.from({ length: layer.experts }, (_, i) =>
      el("i", { class: (loads[i] ?? 0) > 0 && loads[i] >= even ? "on" : "" }),
    ),
  );
}

export class Header {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    const { id, family } = ctx.columns[index].col;
    this.node = el("div", { class: "ba-cell ba-header", data: { column: id, family } });
  }

  paint() {
    const { col } = this.ctx.columns[this.index];
    const { layout } = this.ctx;
    const long = col.name.length > 20 && layout.col < 340;
    const name = layout.col < 165 ? col.short || col.name : layout.col < 250 || long ? shortName(col) : col.name;
    const score = col.score
      ? el(
          "span",
          { class: "ba-score" },
          el("b", { text: `${col.score.right} / ${col.score.of}` }),
          el("span", { class: "ba-second", text: " right" }),
        )
      : verdictMark(col);
    const held = this.node.contains(document.activeElement);
    this.node.dataset.state = col.status;
    this.node.replaceChildren(
      el("i", { class: "ba-rule" }),
      el("div", { class: "ba-title" }, el("h3", { text: name, title: [col.summary, col.paper].filter(Boolean).join(" ") }), score),
      el("p", { class: "ba-facts" }, facts(col, layout.col), oracle(col)),
      col.status === "done" ? this.strip(col) : this.blank(),
    );
    if (held) this.node.querySelector('[aria-checked="true"]')?.focus();
  }

  blank() {
    return el(
      "div",
      { class: "ba-strip ba-strip-blank", aria: { hidden: "true" } },
      ...Array.from({ length: this.ctx.payload.layers || 4 }, () => el("i", { class: "ba-layer" })),
    );
  }

  strip(col) {
    const chosen = layerOf(col);
    const words = this.ctx.layout.col / col.layers.length >= WORD;
    const cells = col.layers.map((layer, i) => {
      const cell = el(
        "button",
        {
          class: "ba-layer",
          type: "button",
          role: "radio",
          data: { layer: i, family: layer.family },
          tabindex: i === chosen ? "0" : "-1",
          aria: { checked: String(i === chosen), label: `layer ${i + 1}, ${[layer.mixer, layer.ffn].filter(Boolean).join(", ")}` },
          title: `layer ${i + 1}: ${[layer.mixer, layer.ffn].filter(Boolean).join(", ")}`,
          on: { click: () => setView({ layer: view.layer === i ? AUTO : i }, "strip") },
        },
        el("span", { class: "ba-mixer", text: words ? layer.mixer : "" }),
      );
      const ffn = el(
        "span",
        { class: layer.ffn ? "ba-ffn" : "ba-ffn ba-ffn-none" },
        words ? el("span", { class: layer.experts ? "ba-moe" : "", text: layer.ffn }) : null,
        layer.experts && words ? experts(layer) : null,
      );
      cell.append(ffn);
      return cell;
    });
    return el(
      "div",
      {
        class: "ba-strip",
        role: "radiogroup",
        data: { column: col.id },
        aria: { label: `${col.name}: layer for all columns` },
        on: { keydown: (event) => this.onKey(event, col) },
      },
      ...cells,
    );
  }

  onKey(event, col) {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const now = layerOf(col);
    setView({ layer: (now + by + col.layers.length) % col.layers.length }, "strip");
  }
}
