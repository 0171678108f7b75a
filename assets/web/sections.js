// A section of the page: a rule, a title, one caption, tools at the right, and a row of cells.

import { AUTO, emit, setView, turnHead, view } from "./bus.js";
import { el, setText } from "./dom.js";

export function section(name, title, caption, tools = null) {
  const row = el("div", { class: `ba-row ba-row-${name}` });
  const words = caption ? el("span", { class: "ba-caption", text: caption }) : null;
  const head = title
    ? el(
        "div",
        { class: "ba-head" },
        el("h2", { text: title }),
        words,
        tools && el("div", { class: "ba-tools" }, tools),
      )
    : null;
  return {
    node: el(
      "section",
      { class: `ba-section ba-section-${name}`, aria: { label: title ?? "Architectures" } },
      head,
      row,
    ),
    row,
    caption: words,
  };
}

// Before the first run: what to do, and one button.
export function emptyBox() {
  const button = el("button", {
    class: "ba-button",
    type: "button",
    text: "Run the example",
    on: { click: () => emit("run") },
  });
  const words = el("p", { text: "Pick two architectures and press Run. The maps appear here." });
  return el("div", { class: "ba-box ba-empty" }, el("h4", { text: "Nothing run yet" }), words, button);
}

// Head stepper and √ | linear: one choice for all columns.
export function mixingTools(reads = ", where each reads the answers") {
  const layer = el("b");
  const said = el("span");
  const auto = el("button", {
    class: "ba-step ba-auto",
    type: "button",
    text: "auto",
    title: "In each model the layer and head that read the answers most",
    on: { click: () => setView({ layer: AUTO, head: AUTO }, "tools") },
  });
  const head = el("b", { class: "ba-head-number" });
  const turn = (by) => () => turnHead(by, "tools");
  const stepper = (sign, label, by) =>
    el("button", { class: "ba-step", type: "button", text: sign, aria: { label }, on: { click: turn(by) } });
  const option = (value, text, label) =>
    el("button", {
      type: "button",
      role: "radio",
      text,
      data: { scale: value },
      aria: { label },
      on: { click: () => setView({ scale: value }, "tools") },
    });
  const options = [option("sqrt", "√", "square-root scale"), option("linear", "linear", "linear scale")];
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
    el("span", { class: "ba-layer-said" }, "Layer ", layer, said),
    auto,
    el(
      "span",
      { class: "ba-stepper", role: "group", aria: { label: "Head" } },
      el("span", { text: "Head" }),
      stepper("‹", "previous head", -1),
      head,
      stepper("›", "next head", 1),
    ),
    el(
      "span",
      { class: "ba-segments", role: "radiogroup", aria: { label: "Colour scale" }, on: { keydown: flip } },
      ...options,
    ),
  );
  const paint = () => {
    setText(layer, view.layer === AUTO ? "auto" : String(view.layer + 1));
    setText(said, view.layer === AUTO ? reads : ", chosen in the strip");
    setText(head, view.head === AUTO ? "auto" : String(view.head + 1));
    auto.hidden = view.layer === AUTO && view.head === AUTO;
    for (const button of options) {
      const on = button.dataset.scale === view.scale;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
    }
  };
  paint();
  return { node, paint };
}
