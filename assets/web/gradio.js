// What Gradio draws by itself: chips, radio groups and messages, made to look and behave as ours do.

import { notify } from "./messages.js";

let known = {}; // chip's words -> {family, summary}
let onError = () => {}; // hears how to close an error that Gradio told

/** Chips get their family's colour, radio groups behave as one, and Gradio's messages appear as ours do. */
export function adoptGradio(chips = known) {
  known = chips;
  for (const chip of document.querySelectorAll(".shell-architectures .token")) {
    const family = known[chip.textContent.replace("×", "").trim()]?.family ?? "";
    if (chip.dataset.family !== family) chip.dataset.family = family;
  }
  for (const list of document.querySelectorAll(".shell-architectures .options")) group(list);
  for (const [i, bar] of document.querySelectorAll("fieldset.shell-segmented").entries()) {
    for (const input of bar.querySelectorAll("input")) {
      if (input.name !== `segmented-${i}`) input.name = `segmented-${i}`; // one name: arrows move within the bar
    }
  }
  for (const toast of document.querySelectorAll(".toast-body:not([data-told])")) tell(toast);
}

// Every option says what it is, the first of a family also which family it is.
function group(list) {
  let before = null;
  for (const option of list.querySelectorAll("li")) {
    const { family = "", family_name = "", summary = "" } = known[option.ariaLabel] ?? {};
    const first = family === before ? "" : `${family_name} · `;
    before = family;
    if (option.dataset.family !== family) Object.assign(option, { title: summary }).dataset.family = family;
    if (option.dataset.first !== first) option.dataset.first = first;
  }
}

/** For the picker: one more than a page can show takes the place of the last one before it. */
export function fitted(most, [chosen]) {
  if (!chosen || chosen.length <= Number(most)) return [chosen];
  notify({ key: "fitted", title: `${most} at most`, text: "The new one took the place of the last one." });
  return [[...chosen.slice(0, most - 1), chosen.at(-1)]];
}

export function watchGradio(told) {
  onError = told;
  const element = (node) => (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement);
  const ours = (node) => element(node)?.closest(".shell-controls, .toast-wrap") || element(node)?.querySelector(".toast-body");
  const observer = new MutationObserver((changes) => {
    if (changes.some(({ target, addedNodes }) => element(target)?.closest(".shell-controls") || [...addedNodes].some(ours))) adoptGradio();
  });
  observer.observe(document.body, { childList: true, characterData: true, attributeFilter: ["name"], subtree: true });
}

function tell(toast) {
  toast.dataset.told = "";
  const kind = toast.classList.contains("error") ? "error" : "info";
  const text = [...toast.querySelectorAll(".toast-message-text")].map((node) => node.textContent.trim()).join(" ");
  const close = notify({ kind, title: kind === "error" ? "Not run" : "Note", text, key: `gradio-${kind}` });
  if (kind === "error") onError(close);
  toast.querySelector(".toast-close")?.click();
}
