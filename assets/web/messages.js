// Messages at the bottom right: notes go after six seconds, errors stay until closed.

import { el } from "./dom.js";

const SECONDS = 6;

function place() {
  return document.querySelector(".ba-messages") ?? document.body.appendChild(el("div", { class: "ba ba-messages" }));
}

// notify({kind: "info" | "error", title, text, action: {label, run}, key}) returns a function that closes the message.
// A message with the key of one that is open replaces it.
export function notify({ kind = "info", title, text = "", action = null, key = null }) {
  const host = place();
  let clock = null;
  const close = () => {
    clearTimeout(clock);
    node.remove();
  };
  const act =
    action &&
    el("button", {
      class: "ba-button",
      type: "button",
      text: action.label,
      on: {
        click: () => {
          close();
          action.run?.();
        },
      },
    });
  const shut =
    kind === "error" || !action
      ? el("button", { class: "ba-button ba-quiet", type: "button", text: "Close", on: { click: close } })
      : null;
  const node = el(
    "div",
    { class: `ba-message ba-message-${kind}`, role: kind === "error" ? "alert" : "status", data: { key: key ?? "" } },
    el("div", { class: "ba-message-text" }, el("b", { text: title }), text ? el("p", { text }) : null),
    el("div", { class: "ba-message-acts" }, act, shut),
  );
  const wait = () => {
    clearTimeout(clock);
    if (kind !== "error") clock = setTimeout(close, SECONDS * 1000);
  };
  for (const name of ["pointerenter", "focusin"]) node.addEventListener(name, () => clearTimeout(clock));
  for (const name of ["pointerleave", "focusout"]) node.addEventListener(name, wait);
  node.addEventListener("keydown", (event) => event.key === "Escape" && close());
  if (key) host.querySelector(`[data-key="${CSS.escape(key)}"]`)?.remove();
  host.append(node);
  wait();
  return close;
}
