// The Train page below the controls: notes, one column a model, loss and accuracy over the steps, mixing maps with a
// history to scrub through, and samples. What comes in is new points and snapshots; what was there is kept here.

import { AUTO, begin, bus, emit } from "./bus.js";
import { palette } from "./colors.js";
import { resolve } from "./curves.js";
import { el, setText } from "./dom.js";
import { count, fixed } from "./format.js";
import { History } from "./history.js";
import { grid } from "./matrixmap.js";
import { notify } from "./messages.js";
import { Prompt } from "./prompt.js";
import { section } from "./sections.js";
import { StepChart } from "./stepchart.js";
import { historyActions, mapTools } from "./traintools.js";
import { MapsCell } from "./trainmaps.js";
import { Store } from "./trainstore.js";

const [GAP, WIDEST, NARROW, LARGEST] = [32, 640, 720, 320];

class TrainPage {
  constructor(root) {
    this.root = root;
    this.payload = null;
    this.store = null;
    this.history = new History((step) => this.choose(step));
    root.classList.add("ba", "ba-train");
    root.dataset.view = "train";
    this.showEmpty();
    bus.addEventListener("view", (event) => this.onView(event.detail));
    bus.addEventListener("theme", () => this.onTheme());
    bus.addEventListener("key", (event) => this.onKey(event.detail));
    new ResizeObserver(() => this.schedule("place")).observe(root);
    addEventListener("resize", () => this.schedule("place"));
    document.addEventListener("click", ({ target }) => (this.resetPressed ||= Boolean(target.closest?.("#reset-train"))), true);
  }

  showEmpty() {
    const button = el("button", { class: "ba-button", type: "button", text: "Train", on: { click: () => emit("run") } });
    const words = el("p", { text: "Press Train and watch tiny models learn. With the choices that the page opens with, one of two layers and one of one learn to repeat patterns: only one of them gets it, within seconds." });
    this.root.replaceChildren(el("div", { class: "ba-box ba-empty" }, el("h4", { text: "Nothing trained yet" }), words, button));
  }

  // ---- payloads

  update(payload) {
    if (!payload?.columns) return;
    const fresh = this.store?.key !== payload.key;
    if (fresh) this.tellGone(this.payload, payload);
    if (fresh) this.reset(payload);
    this.payload = payload;
    this.columns = payload.columns;
    this.store.take(payload);
    if (fresh) this.build();
    this.tell(payload);
    this.place();
    this.soon();
  }

  reset(payload) {
    this.store = new Store(payload);
    this.history.stop();
    const heads = Math.max(1, ...payload.columns.flatMap((column) => column.maps.map((one) => one.heads)));
    const layers = Math.max(1, ...payload.columns.map((column) => column.maps.length));
    begin({ n: payload.n, layers, heads, questions: [] }, { ...payload.look_at, layer: AUTO, head: AUTO }, "train");
  }

  // A training that could go on is gone, and not because somebody wanted another one.
  tellGone(before, payload) {
    const text = document.querySelector("#corpus textarea")?.value ?? "";
    const same = before?.query === payload.query && this.textBefore === text;
    this.textBefore = text;
    const paused = before && ["paused", "running"].includes(before.status) && before.step > 0;
    const wanted = this.resetPressed;
    this.resetPressed = false;
    if (!paused || !same || wanted || payload.said) return;
    const words = "The server no longer has this page's training: it was restarted, or another copy of the app answers. This one starts from the beginning.";
    notify({ key: "train", title: "Started again", text: words });
  }

  tell({ said, note, error, key }) {
    if (said && this.saidOf !== key) notify({ key: "train", title: "Started again", text: said });
    if (said) this.saidOf = key;
    if (note && this.notedOf !== key) notify({ key: "train", title: "Training ended", text: note });
    if (note) this.notedOf = key;
    if (error) notify({ kind: "error", title: error.title, text: error.text });
  }

  // Fetch the maps of the shown step, then draw the newest of everything. While that goes on, later payloads only wait,
  // and drawing takes no more than about a third of the time: the machine that draws may be the one that trains.
  async soon() {
    this.waiting = true;
    if (this.drawing) return;
    this.drawing = true;
    try {
      while (this.waiting) {
        this.waiting = false;
        await this.drawNow();
      }
    } finally {
      this.drawing = false;
    }
  }

  async drawNow() {
    const { payload } = this;
    await this.store.fetch();
    const begun = performance.now();
    this.paint();
    this.root.dataset.step = String(payload.step);
    this.root.dataset.ready = `${payload.key}:${payload.status}`;
    if (payload.status === "running") await new Promise((done) => setTimeout(done, 2 * (performance.now() - begun)));
  }

  color(i) {
    const { family, shade } = this.columns[i];
    return resolve(`@fam-${family}${shade ? `~${shade}` : ""}`, this.root);
  }

  // ---- structure

  build() {
    const { payload } = this;
    const note = (word, name, text) => el("p", { class: `ba-note ba-${name}` }, el("b", { text: word }), el("span", { text }));
    this.prompt = new Prompt(this);
    this.tools = mapTools(() => this.payload);
    this.state = el("span", { class: "tr-state" });
    this.live = el("div", { class: "ba-sr", role: "status" }); // says only what a person must hear
    this.open = el("button", { class: "ba-button", type: "button", text: "Open in Compare", hidden: true, on: { click: () => emit("open-trained") } });
    const step = (at) => this.history.pick(at);
    const own = Boolean(payload.figure); // a person's text, a part of it held out
    const titles = [own ? "Loss, training and held out" : "Loss", "Accuracy"];
    this.charts = titles.map((title) => new StepChart({ title, onStep: step }));
    this.parts = {
      header: section("header"),
      curves: section("curves", "Learning", `thin: each step; thick: running mean over about ten${own ? "; squares: held out" : ""}`, el("span", { class: "tr-progress" }, this.state, this.open)),
      mixing: section("mixing", "Token mixing", "", this.history.node),
      samples: section("samples", "Samples", "the beginning is given, the rest is drawn, with the same luck every time"),
    };
    this.parts.curves.row.replaceWith(
      el("div", { class: "tr-charts" }, ...this.charts.map((chart, i) => el("figure", {}, el("figcaption", { text: titles[i] }), chart.node))),
    );
    const about = el("div", { class: "tr-about" }, el("span", { class: "ba-caption", text: payload.prompt.caption }), this.prompt.ends, this.tools.node);
    this.parts.mixing.row.before(about, this.prompt.box);
    this.heads = payload.columns.map((column, i) => el("div", { class: "ba-cell ba-header", data: { column: String(i), family: column.family } }));
    this.maps = payload.columns.map((_, i) => new MapsCell(this, i));
    this.samples = payload.columns.map((_, i) => el("div", { class: "ba-cell tr-sample", data: { column: String(i) } }));
    this.parts.header.row.append(...this.heads);
    this.parts.mixing.row.append(...this.maps.map((cell) => cell.node));
    this.parts.samples.row.append(...this.samples);
    this.parts.samples.node.hidden = !payload.samples;
    this.footer = el("footer", { class: "ba-foot-page" });
    const notes = el("div", { class: "ba-notes" }, note("Look for", "look", payload.look), note("Not shown", "not-shown", payload.not_shown));
    this.root.replaceChildren(notes, ...Object.values(this.parts).map((part) => part.node), this.footer, this.live);
    this.colors = palette(this.root);
    this.prompt.build();
    this.placed = "";
  }

  place() {
    if (!this.payload || !this.root.clientWidth) return;
    const phone = this.root.clientWidth < NARROW;
    const room = this.root.clientWidth - 2 * (phone ? 16 : 32);
    const many = this.columns.length;
    const gap = phone ? 12 : GAP;
    const col = Math.min(many > 1 ? Math.floor((room - gap) / 2) : room, phone ? room : WIDEST);
    const beside = col >= 340;
    const map = grid(this.payload.n, Math.min(LARGEST, beside ? Math.floor((col - 16) / 2) : col));
    const key = JSON.stringify([room, col, map]);
    if (key === this.placed) return;
    this.placed = key;
    this.layout = { phone, col, grid: map };
    this.root.classList.toggle("ba-phone", phone);
    this.root.classList.toggle("ba-stacked", phone);
    this.root.classList.toggle("ba-tight", map.size < 240);
    this.root.classList.toggle("tr-beside", beside);
    this.root.style.setProperty("--ba-tracks", many > 1 ? `${col}px ${col}px` : `${col}px`);
    this.root.style.setProperty("--tr-gap", `${gap}px`);
    this.root.style.setProperty("--ba-map", `${map.size}px`);
    for (const cell of this.maps) cell.resize();
    this.paint();
  }

  // ---- drawing

  paint() {
    if (!this.layout || !this.store?.current) return;
    const { payload, store } = this;
    this.tools.paint();
    this.history.paint(store.steps, store.at, this.columns.map((column) => column.passed).filter(Boolean));
    const doing = { running: "training", paused: "paused (Train goes on)", done: "done", stopped: "stopped", failed: "failed" }[payload.status];
    setText(this.state, `Step ${payload.step} of ${payload.steps}, ${doing}, ${fixed(payload.seconds, 1)} s of computing`);
    const got = this.columns.filter((column) => column.passed).map((column) => `${column.short} at step ${column.passed}`);
    setText(this.live, `${doing}. ${got.length ? `Accuracy above ${fixed(payload.passes, 1)}: ${got.join(", ")}.` : ""}`);
    this.open.hidden = !payload.opens || payload.status === "running";
    this.columns.forEach((column, i) => this.paintHead(column, i));
    this.paintCharts();
    for (const cell of this.maps) cell.paint();
    this.paintSamples();
    this.footer.replaceChildren(...payload.facts.map((text) => el("span", { text })));
    this.prompt.cursor();
  }

  // The decisive figure of a model at the shown step: accuracy, or what held-out text costs it.
  figure(i) {
    const { figure } = this.payload;
    const held = this.columns[i].held_out.findLast(([step]) => step <= this.store.at);
    if (figure && held) return figure === "perplexity" ? [fixed(Math.exp(held[1]), 1), figure] : [fixed(held[1] / Math.LN2, 2), figure];
    const value = this.store.running(i, "accuracy");
    return [value === undefined ? "–" : fixed(value, 2), "accuracy"];
  }

  paintHead(column, i) {
    const [value, unit] = this.figure(i);
    const size = column.active < column.parameters ? `${count(column.parameters)}, ${count(column.active)} active` : `${count(column.parameters)} params`;
    const layers = `${column.depth} layer${column.depth > 1 ? "s" : ""}`;
    const loss = this.store.running(i, "loss");
    const rule = el("i", { class: "ba-rule", style: { background: this.color(i) } });
    const passed = column.passed ? `accuracy above ${fixed(this.payload.passes, 1)} from step ${column.passed} on` : `accuracy not above ${fixed(this.payload.passes, 1)}`;
    const held = column.held_out.findLast(([step]) => step <= this.store.at);
    const words = held ? `training loss ${fixed(loss ?? 0, 2)}, held-out loss ${fixed(held[1], 2)}` : `loss ${fixed(loss ?? 0, 2)}, ${passed}`;
    const now = loss === undefined ? "untrained" : words;
    this.heads[i].replaceChildren(
      rule,
      el(
        "div",
        { class: "ba-title" },
        el("h3", { text: this.layout.phone ? column.short : column.name, title: column.summary }),
        el("span", { class: "ba-score" }, el("b", { text: value }), el("span", { class: "ba-unit", text: ` ${unit}` })),
      ),
      el("p", { class: "ba-facts" }, [this.layout.phone ? "" : column.family_name, layers, this.layout.phone ? "" : `width ${column.width}`, size].filter(Boolean).join(" · ")),
      el("p", { class: "tr-now", text: now }),
    );
  }

  paintCharts() {
    const { payload } = this;
    const bring = (name, ruled) =>
      this.columns.map((column, i) => {
        const thick = this.store.series[i][`running_${name}`];
        const marks = name === "loss" ? column.held_out : [];
        const value = this.store.running(i, name);
        return { color: this.color(i), dot: column.shade > 0, label: column.short, value: value === undefined ? "" : fixed(value, 2),
          thin: this.store.series[i][name], thick, marks, passed: ruled ? column.passed : null };
      });
    const losses = this.store.series.flatMap((kept) => kept.loss);
    const top = Math.max(payload.uniform.loss * 1.08, Math.min(losses.reduce((a, b) => Math.max(a, b), 0), payload.uniform.loss * 1.6));
    const rest = { last: Math.max(payload.step, payload.status === "running" ? payload.steps : 1), at: this.store.at };
    const guide = { value: payload.uniform.loss, text: payload.uniform.text };
    this.charts[0].draw({ ...rest, top, series: bring("loss", false), guide });
    this.charts[1].draw({ ...rest, top: 1, series: bring("accuracy", true), ruled: true });
  }

  paintSamples() {
    const { store } = this;
    if (!this.payload.samples) return;
    this.samples.forEach((node, i) => {
      const step = store.steps.findLast((one) => one <= store.at && store.snapshots.get(one).shots[i].sample);
      const sample = step === undefined ? null : store.snapshots.get(step).shots[i].sample;
      if (node.dataset.step === String(step)) return;
      node.dataset.step = String(step);
      const words = sample ? [el("span", { class: "tr-given", text: sample[0] }), el("span", { text: sample[1] })] : [el("span", { text: "–" })];
      node.replaceChildren(el("div", { class: "ba-cap" }, el("span", { text: step === undefined ? "" : `after ${step} steps` })), el("p", { class: "tr-words" }, ...words));
    });
  }

  schedule(what) {
    this.due = this.due === "place" ? "place" : what;
    this.frame ||= requestAnimationFrame(() => {
      const { due } = this;
      this.frame = 0;
      this.due = "";
      if (!this.payload) return;
      if (due === "place") this.place();
      else this[due]();
    });
  }

  draw() {
    this.prompt.cursor();
    for (const cell of this.maps) cell.cursor();
  }

  // ---- events

  choose(step) {
    this.store.choose(step);
    this.soon();
  }

  get visible() {
    return Boolean(this.payload && this.root.offsetParent);
  }

  onView({ changed }) {
    if (this.visible) this.schedule(["layer", "head", "scale"].some((name) => changed.includes(name)) ? "paint" : "draw");
  }

  onTheme() {
    if (!this.payload) return;
    this.colors = palette(this.root);
    this.schedule("paint");
  }

  onKey({ action, claim }) {
    const act = this.visible && historyActions(this.history)[action];
    if (!act) return;
    claim();
    act();
  }
}

export function mountTrain(element) {
  const page = new TrainPage(element);
  return { update: (payload) => page.update(payload), draw: () => page.paint(), page };
}
