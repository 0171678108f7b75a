// Keyboard for the whole page. Keys become bus events: "key" {action} for views, "run", "copy", "toggle-theme" for the shell.
// Single letters can be switched off in the list that "?" opens (WCAG 2.1.4).

import { emit } from "./bus.js";
import { el } from "./dom.js";

const STORE = "ba-letter-keys";
const LIST = [
  ["← →  or  , .", "one token, or one step of a run"],
  ["Shift with ← →", "next question"],
  ["Space", "play or pause"],
  ["↑ ↓", "layer"],
  ["[ ]", "head"],
  ["R", "run"],
  ["C", "copy link"],
  ["D", "light or dark"],
  ["P", "present"],
  ["?", "this list"],
  ["arrows in a map", "move the crosshair"],
  ["Delete in a text", "mask the word again (Diffusion)"],
];
const STEPS = {
  ArrowLeft: "previous",
  ArrowRight: "next",
  ",": "previous",
  ".": "next",
  "<": "previous-question",
  ">": "next-question",
  ArrowUp: "layer-up",
  ArrowDown: "layer-down",
  "[": "head-down",
  "]": "head-up",
  " ": "play",
};
const LETTERS = { r: "run", c: "copy", d: "toggle-theme", p: "present", "?": "help" };
const TYPING = "input, textarea, select, [contenteditable]:not([contenteditable=false])";
const OWNS_ARROWS =
  "[role=radio], [role=slider], [role=tab], [role=listbox], [role=option], [role=combobox], [role=application], [role=menu], dialog";
const OWNS_SPACE = "button, a, summary, [role=button], [role=radio], [role=tab], [role=option], dialog";

export function lettersOn() {
  try {
    return localStorage.getItem(STORE) !== "off";
  } catch {
    return true;
  }
}

function setLetters(on) {
  try {
    localStorage.setItem(STORE, on ? "on" : "off");
  } catch {
    // a browser without storage keeps the letters on
  }
}

export function showKeys() {
  if (document.querySelector(".ba-keys-list")) return;
  const box = el("input", { type: "checkbox" });
  box.checked = lettersOn();
  box.addEventListener("change", () => setLetters(box.checked));
  const close = el("button", {
    class: "ba-button",
    type: "button",
    text: "Close",
    on: { click: () => dialog.close() },
  });
  const dialog = el(
    "dialog",
    { class: "ba ba-keys-list", aria: { label: "Keyboard" } },
    el("h3", { text: "Keyboard" }),
    el(
      "dl",
      {},
      ...LIST.map(([keys, does]) => el("div", {}, el("dt", {}, el("kbd", { text: keys })), el("dd", { text: does }))),
    ),
    el("label", {}, box, " Single letters (R C D P ?) act as keys"),
    close,
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

const typing = (node) =>
  Boolean(node?.closest?.(TYPING)) && !(node.matches?.("input") && /^(radio|checkbox|button)$/.test(node.type));

function actionOf(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const letter = LETTERS[key.toLowerCase()];
  if (letter) return lettersOn() && !target.closest?.("dialog") ? letter : null;
  if (key.startsWith("Arrow") && (target.closest?.(OWNS_ARROWS) || target.matches?.("input"))) return null;
  if (key === " " && (target.closest?.(OWNS_SPACE) || target.matches?.("input"))) return null;
  if (target.closest?.("dialog")) return null;
  const action = STEPS[key];
  if (!action) return null;
  return event.shiftKey && /^(previous|next)$/.test(action) ? `${action}-question` : action;
}

let installed = false;

export function installKeys() {
  if (installed) return;
  installed = true;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector(".ba-present") || typing(event.target)) return;
    const action = actionOf(event);
    if (!action) return;
    if (action === "help") showKeys();
    else if (["run", "copy", "toggle-theme"].includes(action)) emit(action);
    // A view that uses the key calls claim(); otherwise the page scrolls as usual.
    else emit("key", { action, claim: () => event.preventDefault() });
  });
}
