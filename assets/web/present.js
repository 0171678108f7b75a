// Presenter mode: one screen without controls, drawn for 1920 × 1080 and scaled to the window it gets.

import { headOf, layerOf, turnHead, bus, emit, leave, limits, setView, step, stepQuestion, view } from "./bus.js";
import { el, setText } from "./dom.js";
import { bytes, milliseconds } from "./format.js";
import { grid, MatrixMap } from "./matrixmap.js";
import { lookFor, sentence, showAnswer } from "./presentwords.js";
import { Profile } from "./profile.js";
import { togglePlay } from "./scrubber.js";
import { beyond, lengthOf, wordsOf } from "./words.js";

let source = null; // the Compare page: its payload, columns, colours
let stage = null;

export const setSource = (page) => {
  source = page;
};
export const refreshPresent = () => stage?.refresh();
export const presenting = () => stage !== null;

export function enterPresent() {
  if (stage || !source?.payload) return false;
  stage = new Stage(source);
  emit("present", { on: true });
  return true;
}

export function leavePresent() {
  if (!stage) return;
  stage.close();
  stage = null;
  emit("present", { on: false });
}

const KEYS = [
  [["←", "→"], "question", "word"],
  [["Space"], "play"],
  [["1", "4"], "solo"],
  [["Esc"], "leave"],
];

class Stage {
  constructor(page) {
    this.page = page;
    this.solo = null;
    this.notShown = false;
    this.before = document.activeElement;
    this.node = el("div", {
      class: "ba ba-present",
      tabindex: "-1",
      role: "dialog",
      aria: { modal: "true", label: "Presenter" },
    });
    document.body.append(this.node);
    document.documentElement.classList.add("ba-presenting");
    this.onKey = (event) => this.key(event);
    this.onSize = () => this.build();
    document.addEventListener("keydown", this.onKey, true);
    addEventListener("resize", this.onSize);
    bus.addEventListener("theme", this.onSize);
    this.build();
    this.node.focus();
  }

  close() {
    document.removeEventListener("keydown", this.onKey, true);
    removeEventListener("resize", this.onSize);
    bus.removeEventListener("theme", this.onSize);
    document.documentElement.classList.remove("ba-presenting");
    setView({ playing: false }, "present");
    leave();
    this.node.remove();
    this.before?.focus?.();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const digit = /^[1-4]$/.test(event.key) ? Number(event.key) - 1 : null;
    const does = {
      ArrowLeft: () => this.move(-1),
      ArrowRight: () => this.move(1),
      ArrowUp: () => setView({ layer: view.layer - 1 }),
      ArrowDown: () => setView({ layer: view.layer + 1 }),
      ",": () => this.move(-1),
      ".": () => this.move(1),
      PageUp: () => this.move(-1),
      PageDown: () => this.move(1),
      " ": togglePlay,
      Escape: leavePresent,
      p: leavePresent,
      i: () => this.toggleNote(),
      "[": () => turnHead(-1),
      "]": () => turnHead(1),
      d: () => emit("toggle-theme"),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (digit !== null && digit < this.page.columns.length) this.only(digit);
    else if (does) does();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  // Without questions in the prompt the arrows step tokens.
  move(by) {
    if (limits.questions.length) stepQuestion(by);
    else step(by);
  }

  only(index) {
    this.solo = this.solo === index ? null : index;
    this.build();
  }

  toggleNote() {
    this.notShown = !this.notShown;
    this.refresh();
  }

  build() {
    const { payload, columns } = this.page;
    const unit = Math.min(innerWidth / 1920, innerHeight / 1080);
    this.node.style.setProperty("--u", `${unit}px`);
    const shown = columns.map((slot, i) => ({ slot, i })).filter(({ i }) => this.solo === null || i === this.solo);
    this.edge = grid(payload.n, unit * (this.solo !== null ? 768 : columns.length > 3 ? 384 : 480));
    this.room = unit * (this.solo !== null ? 768 : columns.length > 3 ? 384 : 480);
    this.title = el("h1", { class: "ba-p-question" });
    this.parts = shown.map(({ slot }) => this.column(slot, unit));
    this.line = el("p", { class: "ba-p-look" });
    const keys = el(
      "p",
      { class: "ba-p-keys" },
      ...KEYS.map(([names, does, told]) =>
        el(
          "span",
          {},
          ...names.flatMap((name, i) => [
            i && name === "4" ? "–" : i ? " " : "",
            el("kbd", { text: name === "4" ? String(columns.length) : name }),
          ]),
          ` ${payload.story && told ? told : does}`,
        ),
      ),
    );
    this.node.classList.toggle("solo", this.solo !== null);
    this.node.replaceChildren(
      el(
        "div",
        { class: "ba-p-stage" },
        el(
          "header",
          {},
          this.title,
          el("span", { text: [payload.scenario_name, `${payload.n} tokens`].filter(Boolean).join(", ") }),
        ),
        el("div", { class: "ba-p-columns" }, ...this.parts.map((part) => part.node)),
        el("footer", {}, this.line, keys),
      ),
    );
    this.painted = this.asked = "";
    this.refresh();
  }

  column(slot, unit) {
    const { col } = slot;
    const map = new MatrixMap({ id: col.id, digits: 2, line: 2 * unit, focusable: false });
    const profile = new Profile(map, 64 * unit);
    map.resize(this.edge);
    profile.resize();
    const parts = { slot, map, profile, answer: el("div", { class: "ba-p-answer" }), held: el("b"), speed: el("b") };
    const fact = (value, words) => el("div", {}, value, el("span", { text: words }));
    parts.state = el("div", { class: "ba-p-state" });
    parts.node = el(
      "section",
      {
        class: "ba-p-column",
        data: { column: col.id, family: col.family },
        style: { width: this.solo === null ? `${this.room}px` : "auto" },
      },
      el(
        "div",
        { class: "ba-p-head" },
        el("i", { class: "ba-rule" }),
        el("h2", { text: col.name }),
        parts.answer,
        this.solo !== null
          ? el("div", { class: "ba-p-facts" }, fact(parts.held, "memory held"), fact(parts.speed, "a token"))
          : null,
      ),
      el(
        "div",
        { class: "ba-p-map", style: { width: `${this.room}px`, "min-height": `${this.room + 78 * unit}px` } },
        map.node,
        profile.node,
        parts.state,
      ),
      this.solo === null
        ? el("div", { class: "ba-p-facts" }, fact(parts.held, "memory held"), fact(parts.speed, "a token"))
        : null,
    );
    return parts;
  }

  paint() {
    const key = [
      view.layer,
      view.head,
      view.scale,
      this.page.payload.status,
      ...this.parts.map(({ slot }) => `${slot.col.status}${slot.maps.size}`),
    ].join();
    if (key === this.painted) return;
    this.painted = key;
    for (const { slot, map, state } of this.parts) {
      const { col } = slot;
      const layer = layerOf(col);
      const meta = col.maps?.[layer];
      const data = slot.maps.get(layer);
      const ready = col.status === "done" && meta?.blob && data;
      map.node.hidden = !ready;
      setText(
        state,
        ready
          ? ""
          : col.status === "done"
            ? meta?.badge?.why || "no matrix"
            : col.error?.title || (col.status === "running" && this.page.payload.progress?.text) || "Waiting",
      );
      if (ready)
        map.paint({
          data,
          head: headOf(col, layer, meta.heads),
          meta,
          colors: this.page.colors,
          scale: view.scale,
          label: `${col.name}, layer ${layer + 1}`,
          layer,
        });
      else map.data = null;
    }
  }

  refresh() {
    const { payload } = this.page;
    if (this.parts.some(({ slot }) => !this.page.columns.includes(slot))) return this.build(); // a new run
    this.paint();
    const { t, s } = view;
    if (this.asked !== `${t}/${s}`) {
      this.asked = `${t}/${s}`;
      this.title.replaceChildren(...sentence(payload));
    }
    const note = this.notShown
      ? ["Not shown", payload.not_shown]
      : ["Look for", lookFor(payload.look ?? "", payload.view)];
    if (this.line.dataset.said !== note.join()) {
      this.line.dataset.said = note.join();
      this.line.replaceChildren(el("b", { text: note[0] }), el("span", { text: note[1] ?? "" }));
    }
    const range = this.page.rowRange(t);
    for (const { slot, map, profile, answer, held, speed } of this.parts) {
      const { col } = slot;
      showAnswer(answer, col, payload);
      const done = col.status === "done";
      setText(held, done ? bytes(col.memory.bytes[Math.min(t, lengthOf(payload, col) - 1)]).join(" ") : "–");
      setText(speed, col.cost?.decode_ms ? `${milliseconds(col.cost.decode_ms.value)} ms` : "–");
      if (!map.data) continue;
      map.cursor(t, s, wordsOf(payload, col), beyond(col));
      profile.cursor(t, s, map.meta.kind === "signed" ? range : 1);
    }
    return undefined;
  }
}
