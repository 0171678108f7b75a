// The recogniser's verdict on a story as a sign and a word.

import { el, icon } from "./dom.js";

export const ICONS = { accepted: "tick", failed: "cross" };
const SHORT = { accepted: "accepted", failed: "rejected" };

/** Beside the name: what became of the story. Nothing while it is written. */
export function verdictMark({ story }) {
  const { verdict, over } = story ?? {};
  if (!over || !SHORT[verdict.kind]) return null;
  const word = el("span", { class: "ba-second", text: SHORT[verdict.kind] });
  return el("span", { class: "ba-score ba-verdict-mark" }, icon(ICONS[verdict.kind], 15), word);
}
