// The history of a run: one track over its steps, one play button, one readout; it drives every picture.

import { el, icon, reducedMotion, setText } from "./dom.js";

const PER_SECOND = 8; // steps while it plays, unless a page wants them slower

export class History {
  constructor(choose, label = "Training step") {
    this.choose = choose; // (step, by hand) => …
    this.perSecond = PER_SECOND;
    this.steps = [];
    this.at = 0;
    this.timer = null;
    this.button = el("button", { class: "ba-play", type: "button", aria: { label: "Play" }, on: { click: () => this.toggle() } }, icon("play", 16));
    this.ticks = el("div", { class: "ba-ticks", aria: { hidden: "true" } });
    this.track = el(
      "div",
      { class: "ba-track", role: "slider", tabindex: "0", aria: { label, valuemin: "0", orientation: "horizontal" } },
      el("i", { class: "ba-rail" }),
      this.ticks,
      el("i", { class: "ba-past" }),
      el("i", { class: "ba-handle" }),
    );
    this.now = el("b");
    this.rest = el("span");
    this.readout = el("span", { class: "ba-readout" }, "step ", this.now, this.rest);
    this.node = el("div", { class: "ba-transport tr-history" }, this.button, this.track, this.readout);
    this.listen();
  }

  listen() {
    const to = (event) => {
      const box = this.track.getBoundingClientRect();
      this.pick(Math.round(((event.clientX - box.left) / box.width) * this.last));
    };
    this.track.addEventListener("pointerdown", (event) => {
      this.track.setPointerCapture(event.pointerId);
      to(event);
    });
    this.track.addEventListener("pointermove", (event) => this.track.hasPointerCapture(event.pointerId) && to(event));
    this.track.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5, Home: -1e6, End: 1e6 }[event.key];
      if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
      this.move(by);
      event.preventDefault();
      event.stopPropagation();
    });
  }

  get last() {
    return Math.max(1, this.steps.at(-1) ?? 1);
  }

  // The snapshot nearest to a step, chosen by hand.
  pick(step) {
    if (!this.steps.length) return;
    this.stop();
    this.choose(this.steps.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best)));
  }

  move(by) {
    const now = this.steps.indexOf(this.at);
    if (now < 0) return;
    this.stop();
    this.choose(this.steps[Math.min(this.steps.length - 1, Math.max(0, now + by))]);
  }

  toggle() {
    if (this.timer) return this.stop();
    if (reducedMotion()) return this.move(1);
    if (this.at === this.steps.at(-1)) this.choose(this.steps[0]);
    this.timer = setInterval(() => {
      const next = this.steps[this.steps.indexOf(this.at) + 1];
      if (next === undefined) this.stop();
      else this.choose(next);
    }, 1000 / this.perSecond);
    return this.face();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.face();
  }

  face() {
    const playing = Boolean(this.timer);
    this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.button.replaceChildren(icon(playing ? "pause" : "play", 16));
  }

  paint(steps, at, marks) {
    this.steps = steps;
    this.at = at;
    this.track.style.setProperty("--share", String(at / this.last));
    this.ticks.replaceChildren(...marks.map((step) => el("i", { style: { left: `${(100 * step) / this.last}%` } })));
    setText(this.now, String(at));
    setText(this.rest, ` / ${steps.at(-1) ?? 0}`);
    for (const [name, value] of Object.entries({ valuemax: this.last, valuenow: at, valuetext: `step ${at}` })) {
      this.track.setAttribute(`aria-${name}`, value);
    }
  }
}
