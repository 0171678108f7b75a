// Tools of the Train page: which layer and head the right-hand maps show, the colour scale, and what keys do.

import { AUTO, limits, setView, turnHead, view } from "./bus.js";
import { el } from "./dom.js";
import { Stepper } from "./switches.js";

const turnLayer = (by) => {
  const stops = limits.layers + 1; // AUTO lies between the last and the first
  setView({ layer: ((view.layer + 1 + by + stops) % stops) - 1 }, "tools");
};

const said = (value) => (value === AUTO ? "auto" : String(value + 1));

export function mapTools() {
  const layer = new Stepper("Layer", turnLayer);
  const head = new Stepper("Head", (by) => turnHead(by, "tools"));
  const options = ["sqrt", "linear"].map((value) =>
    el("button", {
      type: "button",
      role: "radio",
      text: value === "sqrt" ? "√" : "linear",
      data: { scale: value },
      aria: { label: value === "sqrt" ? "square-root scale" : "linear scale" },
      on: { click: () => setView({ scale: value }, "tools") },
    }),
  );
  const flip = (event) => {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    event.stopPropagation();
    setView({ scale: view.scale === "sqrt" ? "linear" : "sqrt" }, "tools");
    options.find((node) => node.dataset.scale === view.scale).focus();
  };
  const node = el(
    "div",
    { class: "ba-mixing-tools" },
    el("span", { class: "ba-second", text: "Right-hand map" }),
    layer.node,
    head.node,
    el("span", { class: "ba-segments", role: "radiogroup", aria: { label: "Colour scale" }, on: { keydown: flip } }, ...options),
  );
  const paint = () => {
    layer.say(said(view.layer));
    head.say(said(view.head));
    for (const button of options) {
      const on = button.dataset.scale === view.scale;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
    }
  };
  return { node, paint };
}

export const historyActions = (history) => ({
  previous: () => history.move(-1),
  next: () => history.move(1),
  "previous-question": () => history.move(-5),
  "next-question": () => history.move(5),
  play: () => history.toggle(),
  "layer-up": () => turnLayer(-1),
  "layer-down": () => turnLayer(1),
  "head-down": () => turnHead(-1),
  "head-up": () => turnHead(1),
});
