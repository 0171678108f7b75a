// What it costs: four lines a column, bars from zero on one scale over all columns, the smallest of a line in bold.

import { el } from "./dom.js";
import { bytes, milliseconds } from "./format.js";
import { columnName } from "./layers.js";

const spread = (cost) => (cost ? `${milliseconds(cost.min)} to ${milliseconds(cost.max)} ms` : "");

const LINES = [
  {
    key: "prefill",
    label: "Prefill",
    value: (c) => c.prefill_ms?.value,
    say: (v) => [milliseconds(v), "ms"],
    spread: (c) => spread(c.prefill_ms),
  },
  {
    key: "decode",
    label: "Decode",
    value: (c) => c.decode_ms?.value,
    say: (v) => [milliseconds(v), "ms/tok"],
    spread: (c) => spread(c.decode_ms),
  },
  { key: "cache", label: "Cache", value: (c) => c.cache_bytes, say: bytes, spread: () => "" },
  { key: "peak", label: "Peak", value: (c) => c.peak_bytes, say: bytes, spread: () => "" },
];

// For each line: the largest value, and the smallest as it is printed (equal print is a tie).
export function costScales(columns) {
  return Object.fromEntries(
    LINES.map((line) => {
      const values = columns
        .map(({ col }) => (col.cost ? line.value(col.cost) : null))
        .filter((v) => v !== null && v !== undefined);
      const least = values.length > 1 ? line.say(Math.min(...values)).join(" ") : null;
      return [line.key, { most: Math.max(0, ...values), least }];
    }),
  );
}

export class CostCell {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    const { col } = ctx.columns[index];
    this.list = el("dl", { class: "ba-cost-list" });
    this.node = el(
      "div",
      { class: "ba-cell ba-cost", data: { column: col.id, family: col.family } },
      columnName(col),
      this.list,
    );
  }

  paint() {
    const { col } = this.ctx.columns[this.index];
    const { scales } = this.ctx;
    if (this.shown === col && this.scales === scales) return;
    Object.assign(this, { shown: col, scales });
    this.node.dataset.state = col.status;
    this.list.replaceChildren(
      ...LINES.map((line) => {
        const value = col.cost ? line.value(col.cost) : undefined;
        const known = value !== undefined && value !== null;
        const { most, least } = scales[line.key];
        const [figure, unit] = known ? line.say(value) : ["–", ""];
        const smallest = known && [figure, unit].join(" ") === least;
        return el(
          "div",
          { class: "ba-cost-line", data: { line: line.key }, title: known ? line.spread(col.cost) || null : null },
          el("dt", { text: line.label }),
          el(
            "span",
            { class: "ba-bar", aria: { hidden: "true" } },
            el("i", { style: { width: known && most ? `${(100 * value) / most}%` : "0" } }),
          ),
          el(
            "dd",
            {},
            el(smallest ? "b" : "span", { class: "ba-figure", text: figure }),
            unit ? el("span", { class: "ba-unit", text: `\u2009${unit}` }) : null,
          ),
        );
      }),
    );
  }
}
