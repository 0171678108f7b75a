// Answers of one column, one row a question at the same height in every column; only a wrong answer is loud.

import { hover, leave, pin, setView, view } from "./bus.js";
import { el, icon } from "./dom.js";
import { fixed, token } from "./format.js";
import { columnName } from "./layers.js";

export class AnswersCell {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    const { col } = ctx.columns[index];
    this.list = el("div", { class: "ba-answers-list" });
    this.node = el(
      "div",
      { class: "ba-cell ba-answers", data: { column: col.id, family: col.family } },
      columnName(col),
      this.list,
    );
    this.rows = [];
  }

  paint() {
    const { col } = this.ctx.columns[this.index];
    if (this.shown === col) return this.cursor();
    this.shown = col;
    this.node.dataset.state = col.status;
    const questions = col.answers ?? this.ctx.questions();
    this.rows = questions.map((item) => ({ item, node: col.answers ? this.row(item) : this.blank(item) }));
    this.list.replaceChildren(...this.rows.map((row) => row.node));
    return this.cursor();
  }

  row(item) {
    const words = `${token(item.question)}, answered ${token(item.answer)}, ${item.right ? "right" : `wrong, expected ${token(item.expected)}`}, probability ${fixed(item.p, 2)}`;
    const to = (fn) => () => fn(item.t, item.s, "answer");
    return el(
      "button",
      {
        class: item.right ? "ba-answer" : "ba-answer wrong",
        type: "button",
        tabindex: "-1",
        data: { t: item.t, s: item.s, right: item.right },
        title: item.right ? null : `expected ${token(item.expected)}`,
        aria: { label: words },
        on: {
          pointermove: to(hover),
          pointerleave: leave,
          click: (event) =>
            event.pointerType === "mouse"
              ? pin(item.t, item.s, "answer")
              : setView({ t: item.t, s: item.s, pinned: true }, "answer"),
        },
      },
      icon(item.right ? "tick" : "cross"),
      el("span", { class: "ba-asked", text: token(item.question) }),
      el("span", { class: "ba-arrow", text: "→" }),
      el("span", { class: "ba-said", text: token(item.answer) }),
      el("span", { class: "ba-bar" }, el("i", { style: { width: `${100 * Math.min(1, Math.max(0, item.p))}%` } })),
      el("span", { class: "ba-p", text: fixed(item.p, 2) }),
    );
  }

  blank(item) {
    return el(
      "div",
      { class: "ba-answer blank" },
      el("span"),
      el("span", { class: "ba-asked", text: token(item.word ?? item.question) }),
      el("span", { class: "ba-arrow", text: "→" }),
      el("span", { class: "ba-said" }),
      el("span", { class: "ba-bar" }),
      el("span", { class: "ba-p", text: "–" }),
    );
  }

  cursor() {
    for (const { item, node } of this.rows) {
      const now = item.t === view.t;
      if (node.classList.contains("now") !== now) node.classList.toggle("now", now);
    }
  }
}
