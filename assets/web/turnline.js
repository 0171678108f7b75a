// The line above a page's pictures that says when its run has to wait for others, or was measured for somebody else.

import { el, setText } from "./dom.js";

/** "2 runs are before this one." */
export function waitingWords(ahead) {
  if (!ahead) return "Waiting for its turn: this run is the next to begin.";
  return `Waiting for its turn: ${ahead} run${ahead === 1 ? " is" : "s are"} before this one.`;
}

/** Where a result comes from that another visitor asked for first; `seconds` is its age, 0 while it is being made. */
export function sharedWords(seconds) {
  const when = seconds ? `${seconds} s before you` : "just now";
  return `Another visitor asked for the same ${when}, so it was measured once for both. Run again to measure anew.`;
}

export class TurnLine {
  constructor(place) {
    this.node = el("p", { class: "shell-turn", role: "status", hidden: true });
    place.before(this.node);
  }

  say(text) {
    setText(this.node, text);
    this.node.hidden = !text;
  }

  waiting(ahead) {
    this.say(waitingWords(ahead));
  }

  /** A payload has come. */
  shown({ shared_s: seconds }) {
    this.say(seconds === undefined ? "" : sharedWords(seconds));
  }

  /** Nothing more comes: who still waited does so no longer. */
  ended() {
    if (this.node.textContent.startsWith("Waiting")) this.say("");
  }
}
