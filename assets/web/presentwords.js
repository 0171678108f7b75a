// The words on the presenter's screen: the question as a sentence, the answer, the line to look for.

import { questionAt, view } from "./bus.js";
import { el, icon } from "./dom.js";
import { fixed, quoted, token } from "./format.js";

const LONG = 60; // letters that fit beside the keys

// "What number did {lea} have, {67 tokens ago}?" with the word and the distance of the current question.
export function sentence(prompt) {
  const { t, s } = view;
  const question = questionAt(t);
  if (!question || question.s !== s || !prompt.sentence) {
    const ago = s === t ? [] : [", ", el("b", { text: `${t - s} tokens ago` })];
    const source = el("mark", { class: "source", text: token(prompt.tokens[s]) });
    return [el("mark", { text: token(prompt.tokens[t]) }), " reads ", source, ...ago];
  }
  const words = new Set(prompt.questions.map((item) => item.word));
  return prompt.sentence.split(/(\{[^}]*\})/).map((piece) => {
    if (!piece.startsWith("{")) return document.createTextNode(piece);
    const inner = piece.slice(1, -1);
    if (words.has(inner)) return el("mark", { text: question.word });
    return el("b", { text: inner.replace(/\d+/, String(t - s)) });
  });
}

// The question of the line, if the line is long; its row and column follow the question on the screen.
export function lookFor(text, opening) {
  const short = text.length > LONG ? text.match(/[^.!?]+[.!?]*$/)?.[0].trim() || text : text;
  const swap = new Map([
    [opening.t, view.t],
    [opening.s, view.s],
    [opening.t - opening.s, view.t - view.s],
  ]);
  return swap.size < 3 ? short : short.replace(/\d+/g, (number) => swap.get(Number(number)) ?? number);
}

// Tick or cross, the answer, its probability; redrawn only when the row changes.
export function showAnswer(node, col, tokens) {
  const item = col.answers?.find((answer) => answer.t === view.t);
  const key = item ? `${item.t}/${item.answer}` : `${view.t}/${col.status}`;
  if (node.dataset.shown === key) return;
  node.dataset.shown = key;
  node.classList.toggle("wrong", Boolean(item && !item.right));
  if (!item) {
    const words = col.answers ? `after ${quoted(tokens[view.t])}, no question` : "";
    node.replaceChildren(el("span", { class: "ba-p-none", text: words }));
    return;
  }
  const chance = el(
    "span",
    { class: "ba-p-chance" },
    el("b", { text: fixed(item.p, 2) }),
    el("span", { text: "probability" }),
  );
  node.replaceChildren(
    icon(item.right ? "tick" : "cross"),
    el("span", { class: "ba-said", text: token(item.answer) }),
    chance,
  );
}
