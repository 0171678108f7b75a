// The Diffusion page below the controls: one step bar for two columns, the denoiser and its twin (or a branch of the run):
// the text, one place of it, the order in which it came, and what each pass looked at.

import { begin, bus, emit, setView } from "./bus.js";
import { gradient, palette } from "./colors.js";
import { CommitMap } from "./commitmap.js";
import { Edits } from "./diffusionedits.js";
import { absent, header, stepTools } from "./diffusionhead.js";
import { MixCell, mixTools } from "./diffusionmix.js";
import { opened } from "./diffusionstore.js";
import { el, setText } from "./dom.js";
import { fixed } from "./format.js";
import { History } from "./history.js";
import { segments } from "./segments.js";
import { section } from "./sections.js";
import { PlacePanel } from "./placepanel.js";
import { TokenCanvas } from "./tokencanvas.js";
import { historyActions } from "./traintools.js";

const [GAP, NARROW] = [40, 720];

class DiffusionPage {
  constructor(root) {
    this.root = root;
    this.runs = []; // the first run and its branches, as they came
    Object.assign(this, { payload: null, twin: null, left: null, right: null, running: false, step: 0, colours: "confidence", measure: "confidence" });
    this.history = new History((step) => this.showStep(step), "Denoising step");
    this.edits = new Edits(this);
    root.classList.add("ba", "ba-diffusion");
    root.dataset.view = "diffusion";
    this.showEmpty();
    bus.addEventListener("view", (event) => this.onView(event.detail));
    bus.addEventListener("theme", () => this.payload && this.schedule("paint"));
    bus.addEventListener("key", (event) => this.onKey(event.detail));
    new ResizeObserver(() => this.schedule("place")).observe(root);
  }

  showEmpty() {
    const button = el("button", { class: "ba-button", type: "button", text: "Run", on: { click: () => emit("run") } });
    const words = el("p", { text: "Press Run: a canvas of hidden words is filled step by step, beside a twin that writes one word after another." });
    this.root.replaceChildren(el("div", { class: "ba-box ba-empty" }, el("h4", { text: "Nothing written yet" }), words, button));
  }

  // ---- payloads

  async update(payload) {
    if (!payload?.writers) return;
    this.running = payload.status === "running";
    this.told = payload;
    if (payload.missing) return this.lost(payload);
    if (!payload.base) return this.tell();
    const parent = payload.branch ? (this.edits.takeParent() ?? null) : null;
    if (payload.branch && !parent) return; // of a page that was left meanwhile
    const { run, twin } = await opened(payload, parent);
    if (this.told !== payload) return;
    const fresh = !this.built || payload.n !== this.payload.n;
    this.payload = payload;
    if (parent) this.runs.push(run);
    else Object.assign(this, { runs: [run], twin, lookAt: payload.look_at });
    this.edits.clear();
    if (fresh) this.build();
    this.mostNats = Math.max(0.1, ...this.runs.map(({ entropies }) => (8 * entropies.reduce((a, b) => Math.max(a, b), 0)) / 65535));
    if (!parent) this.begin();
    this.beside = parent ? this.runs.length - 1 : 0;
    this.arrange();
    this.history.stop();
    this.step = parent ? run.since : this.last;
    this.tell();
    this.place();
    this.paint();
    this.root.dataset.ready = `${payload.key}:${payload.status}`;
    if (parent) this.history.toggle();
  }

  // The server could not write the frames: what was written is in the payload, how it came about is not.
  lost(payload) {
    if (payload.branch) this.edits.takeParent();
    this.told = { ...payload, error: { title: "No pictures", text: `${payload.missing} Written: ${payload.text}` } };
    this.tell();
    this.root.dataset.ready = `${payload.key}:${payload.status}`;
  }

  begin() {
    const { n, denoiser, twin, opening } = this.payload;
    const heads = Math.max(1, ...[...denoiser.maps, ...(twin?.maps ?? [])].map((one) => one.names.length));
    begin({ n, layers: Math.max(1, denoiser.maps.length), heads, questions: [], square: true }, { t: Math.max(1, opening.findIndex((_, place) => !this.runs[0].stood(place))), s: 0 }, "diffusion");
  }

  // Who stands where: beside the first run its twin (0), or beside the run it left the branch of this number.
  arrange() {
    const branch = this.beside ? this.runs[this.beside] : null;
    this.left = branch ? branch.parent : this.runs[0];
    this.right = branch ?? this.twin;
    this.last = Math.max(this.left.last, this.right?.last ?? 0);
    if (this.twin) this.twin.pace = this.pace ?? "passes";
    this.history.perSecond = this.last > 24 ? 8 : 4;
  }

  get sides() {
    return [this.left, this.right].filter(Boolean);
  }

  tell() {
    if (!this.built) {
      const { text, done, of } = this.told.progress;
      const box = el("div", { class: "ba-box ba-empty" }, el("h4", { text: this.running ? "Writing" : "Nothing written" }), el("p", { text: this.told.error?.text ?? text }));
      if (this.running) box.append(el("i", { class: "ba-progress", style: { width: `${(100 * done) / Math.max(1, of)}%` } }));
      else box.append(el("button", { class: "ba-button", type: "button", text: "Run again", on: { click: () => emit("run") } }));
      return this.root.replaceChildren(box);
    }
    const { error, progress } = this.told;
    this.root.classList.toggle("df-running", this.running);
    this.progress.style.width = `${this.running ? (100 * progress.done) / Math.max(1, progress.of) : 0}%`;
    this.error.hidden = !error;
    if (error) this.error.replaceChildren(el("b", { text: error.title }), el("span", { text: error.text }));
    return undefined;
  }

  // ---- structure

  build() {
    this.built = true;
    const { payload } = this;
    const note = (word, name, text) => el("p", { class: `ba-note ba-${name}` }, el("b", { text: word }), el("span", { text }));
    const legend = (kind) => el("span", { class: "ba-legend" }, (this[`${kind}Low`] = el("span")), (this[kind] = el("i")), (this[`${kind}High`] = el("span")));
    this.headTools = stepTools(this);
    this.mixTools = mixTools(this);
    this.colourTool = segments("Colour of the text", { confidence: "confidence", order: "order" }, (value) => this.set({ colours: value }));
    this.measureTool = segments("Measure of the map", { confidence: "confidence", entropy: "entropy" }, (value) => this.set({ measure: value }));
    const row = (...parts) => el("span", { class: "df-tools" }, ...parts);
    this.parts = {
      step: section("step", "Step", "", this.history.node),
      header: section("header"),
      text: section("text", "Text", "ringed: committed in this step; hatched: still masked, with its best guess", row(this.colourTool.node, legend("textScale"))),
      place: section("place", "Place", "what could stand there; choose a word to pin it, then continue from this step"),
      order: section("order", "Order", "step by place; the best guess until a square marks the step that commits it; click a row for its step", row(this.measureTool.node, legend("mapScale"))),
      mixing: section("mixing", "Token mixing", "which places each place read in this step, left of it and right of it", this.mixTools.node),
      end: section("end", "When finished", "the recogniser's verdict on this text"),
    };
    const head = this.parts.step.node.querySelector(".ba-head");
    this.parts.step.row.replaceWith((this.error = el("div", { class: "df-error", role: "alert", hidden: true })));
    head.append(this.headTools.node);
    this.parts.step.node.prepend((this.progress = el("i", { class: "ba-progress" })));
    const two = (make) => [0, 1].map(make);
    this.heads = two(() => el("div", { class: "ba-cell ba-header" }));
    this.canvases = two((i) => new TokenCanvas(this, i));
    this.panels = two((i) => new PlacePanel(this, i));
    this.commits = two((i) => new CommitMap(this, i));
    this.mixes = two((i) => new MixCell(this, i));
    this.ends = two(() => el("div", { class: "ba-cell df-end" }));
    this.names = { text: two(() => el("div")), order: two(() => el("div")) };
    const cell = (name) => (one, i) => el("div", { class: "ba-cell" }, this.names[name][i], one.node);
    this.parts.header.row.append(...this.heads);
    this.parts.text.row.append(...this.canvases.map(cell("text")));
    this.parts.place.row.append(...this.panels.map((one) => one.node));
    this.parts.order.row.append(...this.commits.map(cell("order")));
    this.parts.mixing.row.append(...this.mixes.map((one) => one.node));
    this.parts.end.row.append(...this.ends);
    this.footer = el("footer", { class: "ba-foot-page" });
    this.live = el("div", { class: "ba-sr", role: "status" });
    const notes = el("div", { class: "ba-notes" }, note("Look for", "look", payload.look), note("Not shown", "not-shown", payload.not_shown));
    this.root.replaceChildren(notes, ...Object.values(this.parts).map((part) => part.node), this.footer, this.live);
    this.placed = "";
  }

  place() {
    if (!this.built || !this.root.clientWidth) return;
    const phone = this.root.clientWidth < NARROW;
    const room = this.root.clientWidth - 2 * (phone ? 16 : 32);
    const col = phone ? room : Math.floor((room - GAP) / 2);
    const key = `${room} ${col}`;
    if (key === this.placed) return;
    this.placed = key;
    this.col = col;
    this.phone = phone;
    for (const name of ["ba-phone", "ba-stacked"]) this.root.classList.toggle(name, phone);
    this.root.style.setProperty("--ba-tracks", phone ? `${col}px` : `${col}px ${col}px`);
    this.paint();
  }

  // ---- drawing

  paint() {
    if (!this.built || !this.col) return;
    this.colors = palette(this.root);
    const { step, sides } = this;
    this.history.paint(Array.from({ length: this.last + 1 }, (_, i) => i), step, Array.from({ length: this.last }, (_, i) => i + 1));
    this.headTools.paint();
    this.paintScales();
    sides.forEach((side, i) => {
      header(this, i, side, step);
      this.canvases[i].paint(side, step);
      this.panels[i].paint(side, step);
      this.commits[i].paint(side, step, this.colors, this.col);
      this.mixes[i].paint(side, step, this.colors, this.col);
    });
    this.leaveOut(sides.length < 2);
    this.mixTools.paint();
    setText(this.parts.end.node.querySelector(".ba-caption"), `the recogniser's verdict; ${this.payload.caption}`);
    this.footer.replaceChildren(...this.payload.footer.map((text) => el("span", { text })));
    this.root.dataset.step = String(step);
    this.speak();
  }

  // Without a twin (its checkpoint is damaged) the right column says why, and nothing else.
  leaveOut(alone) {
    for (const name of ["text", "place", "order", "mixing", "end"]) this.parts[name].row.children[1].style.visibility = alone ? "hidden" : "";
    if (!alone) return;
    for (const parts of [this.panels, this.commits, this.mixes]) parts[1].side = null;
    absent(this, this.payload.writers[1], this.payload.twin_error);
  }

  paintScales() {
    this.colourTool.paint(this.colours);
    this.measureTool.paint(this.measure);
    const ends = { textScale: this.colours === "order" ? ["last", "first"] : ["0", "1"], mapScale: this.measure === "entropy" ? ["0", `${fixed(this.mostNats, 1)} nats`] : ["0", "1"] };
    for (const [name, [low, high]] of Object.entries(ends)) {
      this[name].style.backgroundImage = gradient("magnitude");
      setText(this[`${name}Low`], low);
      setText(this[`${name}High`], high);
    }
  }

  cursor() {
    for (const parts of [this.canvases, this.panels, this.commits, this.mixes]) for (const part of parts) part.cursor();
  }

  speak() {
    const words = this.sides.map((side) => `${side.writer.short}: ${side.figures(this.step).stands} of ${side.n - 1} places`);
    if (!this.history.timer) setText(this.live, `step ${this.step}. ${words.join(", ")}`);
  }

  schedule(what) {
    this.due = this.due === "place" || what === "place" ? "place" : this.due === "paint" ? "paint" : what;
    this.frame ||= requestAnimationFrame(() => {
      const { due } = this;
      this.frame = 0;
      this.due = "";
      if (this.built) this[due]();
    });
  }

  // ---- what a person does

  set(patch) {
    Object.assign(this, patch);
    if ("pace" in patch || "beside" in patch) this.arrange();
    this.step = Math.min(this.step, this.last);
    this.schedule("paint");
  }

  showStep(step) {
    this.step = this.history.at = step; // at once: keys may come faster than pictures
    this.schedule("paint");
  }

  choose(index, place) {
    setView({ t: place, pinned: true }, "canvas");
    this.edits.look(index);
    if (this.phone) this.parts.place.node.scrollIntoView({ block: "nearest" });
  }

  steered = (index) => this.edits.steers(this.sides[index]);
  editsOf = (index) => this.edits.of(this.sides[index]);
  pin = (index, place, word) => this.edits.set(this.sides[index], place, word);
  mask = (index, place) => this.edits.set(this.sides[index], place, "");
  undo = () => this.edits.clear();
  open = (index) => this.edits.leavesOpen(this.sides[index]);
  from = (index) => Math.min(this.step, this.sides[index].last);
  goOn = (index) => this.edits.goOn(this.sides[index], this.from(index));

  onView({ changed }) {
    if (!this.built || !this.root.offsetParent) return;
    this.schedule(["layer", "head", "scale"].some((name) => changed.includes(name)) ? "paint" : "cursor");
  }

  onKey({ action, claim }) {
    if (!this.built || !this.root.offsetParent) return;
    const act = { ...historyActions(this.history), "layer-up": () => this.mixTools.turn(-1), "layer-down": () => this.mixTools.turn(1) }[action];
    if (!act) return;
    claim();
    act();
  }
}

export function mountDiffusion(element) {
  const page = new DiffusionPage(element);
  return { update: (payload) => page.update(payload), choices: () => page.edits.choices(), page };
}
