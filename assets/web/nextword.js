// What could follow the word at t, in every column: the most probable words as bars on one scale from 0 to 1.
// A bar is the chance the word was drawn with, its thin line what the model said before temperature and top-k.

import { view } from "./bus.js";
import { el, setText } from "./dom.js";
import { fixed, quoted, token } from "./format.js";
import { columnName } from "./layers.js";
import { beyond, wordsOf } from "./words.js";

const ROWS = 8;

const read = new Map(); // lines of the payload that were read already

/** What could follow word t of a column: {rank, at, words, p, raw}; null where nothing was drawn. */
export function nextOf({ story }, t) {
  const line = story?.next[t];
  if (line === undefined) return null;
  if (!read.has(line)) {
    if (read.size > 64) read.clear();
    const [rank, at, ...rest] = line.split(" ");
    const part = (k) => rest.filter((_, i) => i % 3 === k);
    read.set(line, { rank: Number(rank), at: Number(at), words: part(0), p: part(1).map(Number), raw: part(2).map(Number) });
  }
  return read.get(line);
}

/** The word that does follow it: {word, p, given, wrong}. */
export function following(col, t) {
  const next = nextOf(col, t);
  if (!next) return null;
  const { words, p, at } = next;
  const place = t + 1;
  return { word: words[at], p: p[at], given: place < col.story.given, wrong: place === col.story.verdict.where };
}

export class NextCell {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    const { col } = ctx.columns[index];
    this.after = el("span");
    this.said = el("span", { class: "ba-second" });
    this.rows = Array.from({ length: ROWS }, () => this.row());
    this.list = el("div", { class: "ba-next-list", role: "list", aria: { label: `${col.name}, next word` } }, ...this.rows.map((row) => row.node));
    this.node = el(
      "div",
      { class: "ba-cell ba-next", data: { column: col.id, family: col.family } },
      columnName(col),
      el("div", { class: "ba-cap" }, this.after, this.said),
      this.list,
    );
  }

  row() {
    const word = el("span", { class: "ba-next-word" });
    const fill = el("i");
    const raw = el("i", { class: "ba-next-raw" });
    const p = el("span", { class: "ba-p" });
    const bar = el("span", { class: "ba-bar", aria: { hidden: "true" } }, fill, raw);
    return { node: el("div", { class: "ba-next-row", role: "listitem" }, word, bar, p), word, fill, raw, p };
  }

  paint() {
    this.node.dataset.state = this.ctx.columns[this.index].col.status;
    this.cursor();
  }

  cursor() {
    const { col } = this.ctx.columns[this.index];
    const { t } = view;
    const word = wordsOf(this.ctx.payload, col)[t];
    const next = nextOf(col, t);
    const said = following(col, t);
    setText(this.after, word === undefined ? beyond(col) : `after ${quoted(word)}`);
    setText(this.said, said ? `${said.given ? "given" : "drawn"}: ${token(said.word)}, rank ${next.rank}` : word === undefined ? "" : beyond(col));
    this.rows.forEach((row, i) => {
      const known = next && i < next.words.length;
      const chosen = known && i === next.at;
      row.node.classList.toggle("said", Boolean(chosen));
      row.node.classList.toggle("wrong", Boolean(chosen && said.wrong));
      row.node.setAttribute("aria-current", String(Boolean(chosen)));
      setText(row.word, known ? token(next.words[i], 12) : "");
      setText(row.p, known ? fixed(next.p[i], 2) : "");
      row.node.title = known ? `the model's own probability ${fixed(next.raw[i], 3)}` : "";
      const follows = chosen ? `, ${said.given ? "given" : "drawn"}` : "";
      row.node.setAttribute("aria-label", known ? `${next.words[i]} ${row.p.textContent}${follows}, ${row.node.title}` : "empty");
      row.fill.style.width = `${known ? 100 * next.p[i] : 0}%`;
      row.raw.style.left = `${known ? 100 * next.raw[i] : 0}%`;
      row.raw.hidden = !known || next.raw[i] < 0.005;
    });
  }
}
