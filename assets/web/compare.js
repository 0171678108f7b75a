// The Compare page below the controls: sections laid out row by row, the same heights in every column,
// one crosshair, one scrubber, one layer and one head for all of them.

import { ACTIONS } from "./actions.js";
import { AUTO, begin, bus, emit, rest, view } from "./bus.js";
import { palette } from "./colors.js";
import { costCaption, partsOf, sectionsOf } from "./comparesections.js";
import { costScales } from "./cost.js";
import { el, setText } from "./dom.js";
import { fixed, token } from "./format.js";
import { installKeys } from "./keys.js";
import { place } from "./layout.js";
import { notify } from "./messages.js";
import { fetchNeeded } from "./needed.js";
import { following } from "./nextword.js";
import { refreshPresent, setSource } from "./present.js";
import { signedRange } from "./profile.js";
import { Prompt } from "./prompt.js";
import { Transport } from "./scrubber.js";
import { emptyBox } from "./sections.js";
import { unpacked } from "./words.js";

class ComparePage {
  constructor(root) {
    this.root = root;
    this.previous = new Map(); // id -> canvas of the last map, shown faint while the next run measures
    this.extras = new Set(); // further pictures that follow the crosshair (the enlarged map)
    this.columns = [];
    this.payload = null;
    this.frame = 0;
    root.classList.add("ba", "ba-compare");
    root.dataset.view = "compare";
    root.replaceChildren(emptyBox());
    this.listen();
    installKeys();
    setSource(this);
  }

  listen() {
    bus.addEventListener("view", (event) => this.onView(event.detail));
    bus.addEventListener("theme", () => this.onTheme());
    bus.addEventListener("key", (event) => this.onKey(event.detail));
    new ResizeObserver(() => this.schedule("place")).observe(this.root);
    addEventListener("resize", () => this.schedule("place"));
    setInterval(() => this.payload?.status === "running" && this.each("mixing", (cell) => cell.tick()), 200);
  }

  // ---- payloads

  async update(given) {
    const payload = unpacked(given);
    if (!payload?.columns?.length) return this.tellError(payload);
    const before = this.payload;
    this.payload = payload;
    this.since = performance.now();
    const fresh = !before || before.key !== payload.key;
    const same = before && !fresh && before.columns.map((c) => c.id).join() === payload.columns.map((c) => c.id).join();
    if (fresh) {
      const sizes = { n: payload.n, layers: payload.layers, heads: payload.heads, questions: payload.prompt.questions };
      begin(sizes, { ...payload.view, pinned: payload.view.pinned ?? /(^|&)t=/.test(payload.query ?? "") });
    } else if (before.n !== payload.n || before.view.t !== payload.view.t || before.view.s !== payload.view.s) {
      rest(payload.n, payload.view);
    }
    if (!same) this.build();
    this.merge(payload);
    this.tellError(payload);
    await fetchNeeded(this.columns, this.payload);
    if (this.payload !== payload) return undefined;
    this.paint();
    this.root.dataset.ready = `${payload.key}:${payload.status}`;
    return undefined;
  }

  merge(payload) {
    payload.columns.forEach((col, i) => {
      this.columns[i].col = col;
    });
    const done = payload.columns.filter((col) => col.status === "done");
    this.bytesTop = Math.max(0, ...done.flatMap((col) => col.memory.bytes));
    this.normTop = Math.max(1e-9, ...done.flatMap((col) => col.memory.layers.flatMap((layer) => layer.norms ?? [])));
    this.scales = costScales(this.columns);
    this.texts();
    this.widths(done);
    this.place();
    this.paint();
  }

  // One width for all questions and one for all answers, so that bars start in one line.
  widths(done) {
    const longest = (words, least) => Math.max(least, ...words.map((word) => token(word).length));
    this.root.style.setProperty(
      "--ba-asked",
      longest(
        this.questions().map((item) => item.word),
        3,
      ),
    );
    this.root.style.setProperty(
      "--ba-said",
      longest(
        done.flatMap((col) => (col.answers ?? []).map((item) => item.answer)),
        2,
      ),
    );
  }

  tellError({ error, key } = {}) {
    if (!error || this.errorShown === key) return;
    this.errorShown = key;
    notify({
      kind: "error",
      title: error.title,
      text: error.text,
      action: { label: "Try again", run: () => emit("run") },
    });
  }

  // ---- structure

  build() {
    const { payload } = this;
    this.columns = payload.columns.map((col) => ({
      col,
      maps: new Map(),
      states: new Map(),
      errors: new Map(),
      parts: {},
    }));
    this.prompt = new Prompt(this);
    this.transport = new Transport(this);
    this.live = el("div", { class: "ba-sr", role: "status", aria: { live: "polite" } });
    const look = (word, name) =>
      el("p", { class: `ba-note ba-${name}` }, el("b", { text: word }), (this[`${name}Text`] = el("span")));
    const notes = el("div", { class: "ba-notes" }, look("Look for", "look"), look("Not shown", "not-shown"));
    this.parts = partsOf(payload);
    this.sections = sectionsOf(this);
    this.sections.prompt.row.replaceWith(this.prompt.box);
    this.footer = el("footer", { class: "ba-foot-page" });
    this.columns.forEach((slot, i) => {
      for (const [name, Part] of Object.entries(this.parts)) {
        slot.parts[name] = new Part(this, i);
        this.sections[name].row.append(slot.parts[name].node);
      }
    });
    this.root.replaceChildren(notes, ...Object.values(this.sections).map((part) => part.node), this.footer, this.live);
    this.colors = palette(this.root);
    this.prompt.build();
    this.transport.build();
    this.placed = "";
  }

  texts() {
    const { payload } = this;
    setText(this.lookText, payload.look ?? "");
    setText(this["not-shownText"], payload.not_shown ?? "");
    setText(this.sections.cost.caption, costCaption(payload));
    if (payload.story) this.resample.disabled = payload.status === "running";
    const rounds = payload.columns.find((col) => col.cost)?.cost.rounds;
    const { status, progress } = payload;
    const measuring =
      status === "running" && payload.columns.every((col) => col.status === "done" || col.status === "failed");
    setText(
      this.rounds,
      rounds
        ? `median of ${rounds}, interleaved`
        : measuring
          ? progress.text
          : status === "running"
            ? "measured last"
            : "not measured",
    );
    this.footer.replaceChildren(
      el("span", {
        text: `Measured live on this machine: ${[payload.device, payload.versions].filter(Boolean).join(", ")}`,
      }),
      el("span", { text: "Bars share one scale across columns; the smallest value is bold" }),
    );
  }

  each(name, act) {
    for (const slot of this.columns) act(slot.parts[name]);
  }

  place() {
    if (!this.payload || !this.root.clientWidth) return;
    this.layout = place(this.root, this.payload.n, this.columns.length);
    const key = JSON.stringify(this.layout);
    if (key === this.placed) return;
    this.placed = key;
    const { per } = this.layout;
    for (const name of Object.keys(this.parts)) {
      this.each(name, (part) => {
        part.node.style.gridColumn = String(2 * (part.index % per) + 1);
        part.node.style.gridRow = String(Math.floor(part.index / per) + 1);
        part.resize?.();
      });
    }
    this.paint();
  }

  // ---- drawing

  paint() {
    if (!this.layout) return;
    this.tools.paint();
    for (const slot of this.columns) for (const part of Object.values(slot.parts)) part.paint();
    this.draw();
    this.prompt.follow();
  }

  // Everything that follows the crosshair; runs at most once a frame.
  draw() {
    if (!this.layout) return;
    this.prompt.cursor();
    this.transport.cursor();
    for (const slot of this.columns) for (const part of Object.values(slot.parts)) part.cursor?.();
    for (const extra of this.extras) extra();
    refreshPresent();
  }

  schedule(what) {
    this.due = { ...this.due, [what]: true };
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      const { due } = this;
      this.frame = 0;
      this.due = {};
      if (!this.payload) return;
      if (due.place) this.place();
      if (due.paint) this.paint();
      else if (due.draw) this.draw();
      if (due.follow) this.prompt.follow();
    });
  }

  rowRange(t) {
    return signedRange(
      this.columns.map((slot) => slot.col.status === "done" && slot.parts.mixing.map),
      t,
    );
  }

  seconds() {
    return `${((this.payload.progress?.seconds ?? 0) + (performance.now() - this.since) / 1000).toFixed(1)} s`;
  }

  questions() {
    return this.payload.prompt.questions.slice(-8);
  }

  // ---- events

  async onView({ changed, lasting, source }) {
    if (!this.payload || !this.root.offsetParent) return; // another page has the crosshair
    const heavy = ["layer", "head", "scale"].some((key) => changed.includes(key));
    this.schedule(heavy ? "paint" : "draw");
    if (lasting) this.schedule("follow");
    if (lasting && !view.playing && source !== "run") this.speak();
    if (changed.includes("layer")) {
      await fetchNeeded(this.columns, this.payload);
      this.schedule("paint");
    }
  }

  // For screen readers: after a lasting move, the value of every column in one sentence.
  speak() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      const chosen = (name) => `${name} ${view[name] === AUTO ? "auto" : view[name] + 1}`;
      const next = ({ col }) => following(col, view.t);
      const says = this.columns.filter(next).map((slot) => `${slot.col.short || slot.col.name} goes on with ${next(slot).word} ${fixed(next(slot).p, 2)}`);
      const parts = this.columns
        .filter(({ col }) => col.status === "done")
        .map(({ col, parts: { mixing } }) => `${col.short || col.name} ${mixing.map.value.textContent}`);
      setText(
        this.live,
        `${this.prompt.ends.textContent}, ${chosen("layer")}, ${chosen("head")}. ${[...parts, ...says].join(", ")}`,
      );
    }, 400);
  }

  onTheme() {
    if (!this.payload) return;
    this.colors = palette(this.root);
    this.schedule("paint");
  }

  onKey({ action, claim }) {
    if (!this.payload || !this.root.offsetParent) return;
    if (!ACTIONS[action]) return;
    claim();
    ACTIONS[action]();
  }
}

export function mountCompare(element) {
  const page = new ComparePage(element);
  return { update: (payload) => page.update(payload), draw: () => page.draw(), page };
}
