// The prompt, once for all columns: the reader is inverted, its source framed; they are the two ends of the crosshair.

import { home, hover, leave, pin, questionAt, setView, view } from "./bus.js";
import { el, setText } from "./dom.js";
import { quoted, token } from "./format.js";
import { sharedWord } from "./words.js";

const PAIR = 3; // groups up to this many tokens never break across lines

export class Prompt {
  constructor(ctx) {
    this.ctx = ctx;
    this.ends = el("span", { class: "ba-ends" });
    this.box = el("div", { class: "ba-tokens" });
    this.tokens = [];
    this.marked = [];
    const cell = (event) => {
      const at = event.target.closest?.("[data-token]");
      return at ? this.cellOf(Number(at.dataset.token)) : null;
    };
    this.box.addEventListener("pointermove", (event) => {
      const to = cell(event);
      if (to) hover(to.t, to.s, "prompt");
    });
    this.box.addEventListener("pointerleave", leave);
    this.box.addEventListener("click", (event) => {
      const to = cell(event);
      if (!to) return;
      if (event.pointerType === "touch") setView({ ...to, pinned: true }, "prompt");
      else pin(to.t, to.s, "prompt");
    });
  }

  // In a story the word pointed at is the row: what could follow it? Elsewhere a question is read with its source; an earlier token is read by the current row; a later one becomes the row.
  cellOf(i) {
    if (this.ctx.payload.story) return { t: i, s: Math.min(home.s, i) };
    const question = questionAt(i);
    if (question) return { t: question.t, s: question.s };
    return i <= home.t ? { t: home.t, s: i } : { t: i, s: Math.min(home.s, i) };
  }

  build() {
    const { prompt, story } = this.ctx.payload;
    const apart = story || this.ctx.payload.scenario === "copy"; // words that are read as words
    const between = (next) => (apart && next !== "." ? document.createTextNode(" ") : el("wbr"));
    const asked = new Set(prompt.questions.map((question) => question.t));
    this.tokens = prompt.tokens.map((text, i) =>
      el("span", {
        class: /^\d+$/.test(text) ? "ba-token num" : "ba-token",
        data: { token: i },
        text: token(text, 24),
      }),
    );
    const groups = prompt.groups?.length ? prompt.groups : prompt.tokens.map((_, i) => [i, i + 1]);
    this.box.replaceChildren(
      ...groups.flatMap(([from, to]) => {
        const tokens = this.tokens.slice(from, to);
        const ask = tokens.filter((_, j) => asked.has(from + j));
        if (story || to - from > PAIR) {
          // a sentence: its lines break between tokens, and only the asking tokens stand out
          for (const node of ask) node.classList.add("ask");
          return [
            el("span", { class: "ba-sentence" }, ...tokens.flatMap((node, j) => [node, between(prompt.tokens[from + j + 1])])),
            document.createTextNode(" "),
          ];
        }
        return [
          el("span", { class: ask.length ? "ba-group ask" : "ba-group" }, ...tokens),
          document.createTextNode(" "),
        ];
      }),
    );
    this.marked = [];
  }

  cursor() {
    const { t, s } = view;
    const at = (i) => ["t", i, sharedWord(this.ctx.payload, i) && quoted(sharedWord(this.ctx.payload, i))].filter((part) => part !== null).join(" ");
    for (const node of this.marked) node.classList.remove("reader", "source");
    this.marked = [this.tokens[t], this.tokens[s]].filter(Boolean);
    this.tokens[t]?.classList.add("reader");
    if (s !== t) this.tokens[s]?.classList.add("source");
    const asks = questionAt(t)?.s === s;
    setText(this.ends, `${at(t)} ${asks ? "asks for" : "reads"} ${at(s)}`);
  }

  // Long prompts scroll inside their box: keep the row in sight after a lasting move.
  follow() {
    const node = this.tokens[view.t];
    if (!node || this.box.scrollHeight <= this.box.clientHeight) return;
    const top = node.offsetTop; // the box is positioned
    if (top < this.box.scrollTop || top + 22 > this.box.scrollTop + this.box.clientHeight)
      this.box.scrollTop = top - this.box.clientHeight / 2;
  }
}
