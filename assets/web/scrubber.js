// The transport: one play button, one track with a tick at every question, one readout; it drives every column.

import { bus, home, limits, setView, step, stepQuestion, view } from "./bus.js";
import { el, icon, reducedMotion, setText } from "./dom.js";
import { quoted, token } from "./format.js";
import { sharedWord, wordsOf } from "./words.js";

const TOKENS_PER_SECOND = 8;

let timer = null;

// Play from the crosshair on; at the end, from the start. With reduced motion one press is one step.
export function togglePlay() {
  if (view.playing) return setView({ playing: false }, "play");
  if (home.t >= limits.n - 1) setView({ t: 0 }, "play");
  else if (reducedMotion()) return setView({ t: home.t + 1 }, "play");
  if (reducedMotion()) return undefined;
  return setView({ playing: true }, "play");
}

function advance() {
  if (home.t >= limits.n - 1) setView({ playing: false }, "play");
  else setView({ t: home.t + 1 }, "play");
}

bus.addEventListener("view", () => {
  if (view.playing && timer === null) timer = setInterval(advance, 1000 / TOKENS_PER_SECOND);
  if (!view.playing && timer !== null) {
    clearInterval(timer);
    timer = null;
  }
});

export class Transport {
  constructor(ctx) {
    this.ctx = ctx;
    this.button = el(
      "button",
      { class: "ba-play", type: "button", aria: { label: "Play" }, on: { click: togglePlay } },
      icon("play", 16),
    );
    this.ticks = el("div", { class: "ba-ticks", aria: { hidden: "true" } });
    this.past = el("i", { class: "ba-past" });
    this.handle = el("i", { class: "ba-handle" });
    this.track = el(
      "div",
      {
        class: "ba-track",
        role: "slider",
        tabindex: "0",
        aria: { label: "Token t", valuemin: "0", orientation: "horizontal" },
      },
      el("i", { class: "ba-rail" }),
      this.ticks,
      this.past,
      this.handle,
    );
    this.now = el("b");
    this.rest = el("span");
    this.readout = el("span", { class: "ba-readout" }, "t ", this.now, this.rest);
    this.node = el("div", { class: "ba-transport" }, this.button, this.track, this.readout);
    this.listen();
  }

  listen() {
    const to = (event) => {
      const box = this.track.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      setView({ t: Math.round(share * (limits.n - 1)), playing: false }, "scrubber");
    };
    this.track.addEventListener("pointerdown", (event) => {
      this.track.setPointerCapture(event.pointerId);
      to(event);
    });
    this.track.addEventListener("pointermove", (event) => {
      if (this.track.hasPointerCapture(event.pointerId)) to(event);
    });
    this.track.addEventListener("keydown", (event) => {
      const does = {
        ArrowLeft: () => (event.shiftKey ? stepQuestion(-1) : step(-1)),
        ArrowDown: () => step(-1),
        ArrowRight: () => (event.shiftKey ? stepQuestion(1) : step(1)),
        ArrowUp: () => step(1),
        PageDown: () => stepQuestion(-1),
        PageUp: () => stepQuestion(1),
        Home: () => setView({ t: 0, playing: false }, "scrubber"),
        End: () => setView({ t: limits.n - 1, playing: false }, "scrubber"),
      }[event.key];
      if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
      does();
      event.preventDefault();
      event.stopPropagation();
    });
  }

  build() {
    const { n, prompt } = this.ctx.payload;
    const span = Math.max(1, n - 1);
    this.track.setAttribute("aria-valuemax", String(n - 1));
    this.ticks.replaceChildren(
      ...prompt.questions.map((question) => el("i", { style: { left: `${(100 * question.t) / span}%` } })),
    );
    const longest = Math.max(...prompt.tokens.map((text) => token(text).length));
    this.readout.style.width = `${2 * String(n).length + longest + 4}ch`;
  }

  cursor() {
    const { payload, columns } = this.ctx;
    const { n } = payload;
    const { t, playing } = view;
    const word = sharedWord(payload, t);
    // Where each column has its own word, the eye finds it in the column; for the ear all are named.
    const each = () => columns.map(({ col }) => `${wordsOf(payload, col)[t] ?? "nothing"} in ${col.short || col.name}`).join(", ");
    this.track.setAttribute("aria-valuemax", String(n - 1));
    this.track.style.setProperty("--share", String(t / Math.max(1, n - 1)));
    setText(this.now, String(t));
    setText(this.rest, ` / ${n - 1}${word === null ? "" : ` ${quoted(word)}`}`);
    this.track.setAttribute("aria-valuenow", String(t));
    this.track.setAttribute("aria-valuetext", `token ${t}, ${word === null ? each() : token(word)}`);
    if (this.playing !== playing) {
      this.playing = playing;
      this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
      this.button.replaceChildren(icon(playing ? "pause" : "play", 16));
    }
  }
}
