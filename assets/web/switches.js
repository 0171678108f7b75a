// The switches of Morph: one choice of decay, and five that are on or off.

import { el, setText } from "./dom.js";
import { formula } from "./formula.js";

// ‹ 3 ›
export class Stepper {
  constructor(name, turn) {
    this.number = el("b", { class: "ba-head-number" });
    const button = (sign, by, label) =>
      el("button", { class: "ba-step", type: "button", text: sign, aria: { label }, on: { click: () => turn(by) } });
    this.node = el(
      "span",
      { class: "ba-stepper", role: "group", aria: { label: name } },
      el("span", { text: name }),
      button("‹", -1, `previous ${name.toLowerCase()}`),
      this.number,
      button("›", 1, `next ${name.toLowerCase()}`),
    );
  }

  say(text) {
    setText(this.number, text);
  }
}

export class Switches {
  constructor({ columns, switches }, set) {
    this.set = set;
    this.decays = columns.map((column) =>
      el(
        "button",
        { class: "fm-decay", type: "button", role: "radio", data: { decay: column.key }, on: { click: () => set({ decay: column.key }) } },
        el("span", { text: column.name }),
        formula(column.formula),
      ),
    );
    this.flags = switches.map((item) =>
      el(
        "button",
        {
          class: "fm-switch",
          type: "button",
          role: "switch",
          data: { flag: item.key },
          on: { click: (event) => set({ [item.key]: event.currentTarget.getAttribute("aria-checked") !== "true" }) },
        },
        el("i", { class: "fm-toggle", aria: { hidden: "true" } }),
        el("span", {}, el("b", { text: item.name }), el("small", { text: item.says })),
      ),
    );
    this.node = el(
      "div",
      { class: "fm-switches" },
      el("h4", { text: "Decay" }),
      el("div", { class: "fm-decays", role: "radiogroup", aria: { label: "Decay" }, on: { keydown: (event) => this.onKey(event) } }, ...this.decays),
      el("div", { class: "fm-flags" }, ...this.flags),
    );
  }

  onKey(event) {
    const by = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const now = this.decays.findIndex((node) => node.getAttribute("aria-checked") === "true");
    const next = this.decays[(now + by + this.decays.length) % this.decays.length];
    this.set({ decay: next.dataset.decay });
    next.focus();
  }

  paint(values) {
    for (const node of this.decays) {
      const on = node.dataset.decay === values.decay;
      node.setAttribute("aria-checked", String(on));
      node.tabIndex = on ? 0 : -1;
    }
    for (const node of this.flags) node.setAttribute("aria-checked", String(values[node.dataset.flag]));
  }
}
