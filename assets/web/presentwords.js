// The words on the presenter's screen: the question as a sentence, the answer, the line to look for.

import { questionAt, view } from "./bus.js";
import { el, icon } from "./dom.js";
import { fixed, quoted, token } from "./format.js";
import { following } from "./nextword.js";
import { beyond, sharedWord, wordsOf } from "./words.js";

const LONG = 60; // letters that fit beside the keys

// "What number did {word} have, {67 tokens ago}?" with the word and the distance of the current question.
export function sentence(payload) {
  const { t, s } = view;
  const { prompt } = payload;
  if (payload.story) {
    const words = Array.from({ length: 6 }, (_, i) => sharedWord(payload, t - 5 + i)).filter(Boolean);
    const shared = sharedWord(payload, t) !== null;
    return shared ? ["What comes after “", el("b", { text: words.join(" ") }), "”?"] : [el("b", { text: `Word ${t + 1}` }), ": what comes next?"];
  }
  const question = questionAt(t);
  if (!question || question.s !== s || !prompt.sentence) {
    const ago = s === t ? [] : [", ", el("b", { text: `${t - s} tokens ago` })];
    const source = el("mark", { class: "source", text: token(prompt.tokens[s]) });
    return [el("mark", { text: token(prompt.tokens[t]) }), " reads ", source, ...ago];
  }
  return prompt.sentence.split(/(\{[^}]*\})/).map((piece) => {
    if (!piece.startsWith("{")) return document.createTextNode(piece);
    const inner = piece.slice(1, -1);
    if (inner === "word") return el("mark", { text: token(question.word) });
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

// The word that the column's story goes on with; only a wrong one has a sign.
function continuation(col) {
  const next = following(col, view.t);
  return next && { answer: next.word, p: next.p, right: !next.wrong };
}

// The last words up to t.
const leading = (tokens, t) => `… ${tokens.slice(Math.max(0, t - 3), t + 1).join(" ")}`;

// Tick or cross, the answer, its probability; redrawn only when the row changes.
export function showAnswer(node, col, payload) {
  const tokens = wordsOf(payload, col);
  const item = payload.story ? continuation(col) : col.answers?.find((answer) => answer.t === view.t);
  const before = payload.story ? [el("span", { class: "ba-p-before", text: leading(tokens, view.t) })] : [];
  const key = item ? `${view.t}/${item.answer}/${item.right}` : `${view.t}/${col.status}/${tokens.length}`;
  if (node.dataset.shown === key) return;
  node.dataset.shown = key;
  node.classList.toggle("wrong", Boolean(item && !item.right));
  if (!item) {
    const words = col.answers ? `after ${quoted(tokens[view.t])}, no question` : col.story ? beyond(col) : "";
    node.replaceChildren(el("span", { class: "ba-p-none", text: words }));
    return;
  }
  const chance = el(
    "span",
    { class: "ba-p-chance" },
    el("b", { text: fixed(item.p, 2) }),
    el("span", { text: payload.story ? "chance drawn" : "probability" }),
  );
  node.replaceChildren(
    ...before,
    ...(payload.story && item.right ? [] : [icon(item.right ? "tick" : "cross")]),
    el("span", { class: "ba-said", text: token(item.answer) }),
    chance,
  );
}
