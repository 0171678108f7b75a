// A few choices drawn as one bar: a radio group whose arrows move within it.

import { el } from "./dom.js";

export function segments(label, choices, choose) {
  const buttons = Object.entries(choices).map(([value, text]) =>
    el("button", { type: "button", role: "radio", text, data: { value }, on: { click: () => choose(value) } }));
  const onKey = (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const open = buttons.filter((button) => !button.hidden);
    const next = open[(open.indexOf(document.activeElement) + by + open.length) % open.length];
    next.focus();
    choose(next.dataset.value);
  };
  const node = el("span", { class: "ba-segments", role: "radiogroup", aria: { label }, on: { keydown: onKey } }, ...buttons);
  const paint = (value) => {
    for (const button of buttons) {
      const on = button.dataset.value === value;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
    }
  };
  return { node, paint };
}
