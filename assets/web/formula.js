// A formula as text: what follows _ is a subscript, one sign or a group in braces ("S_{t−1}").

import { el } from "./dom.js";

export function formula(text) {
  const parts = text.split(/_(\{[^}]*\}|\w)/);
  const nodes = parts.map((part, i) => (i % 2 ? el("sub", { text: part.replace(/[{}]/g, "") }) : part));
  return el("span", { class: "fm-formula" }, ...nodes);
}
