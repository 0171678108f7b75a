// Morph: one trained recurrent layer on a prompt, drawn with Compare's own parts, and the switches that change it.
// The switches live here; pressing one asks the server for the picture they make, and the answer names what they spell.

import { AUTO, begin, bus, emit, headOf, step, stepQuestion, turnHead, view } from "./bus.js";
import { decodeHalf } from "./blobs.js";
import { palette } from "./colors.js";
import { el, setText } from "./dom.js";
import { entry } from "./format.js";
import { openLink } from "./familycard.js";
import { formula } from "./formula.js";
import { grid } from "./matrixmap.js";
import { MemoryCell } from "./memory.js";
import { MixingCell } from "./mixing.js";
import { signedRange } from "./profile.js";
import { Prompt } from "./prompt.js";
import { mixingTools } from "./sections.js";
import { Stepper, Switches } from "./switches.js";
import { Written } from "./written.js";

const MAP = 384; // px, 8 a token
const NARROW = 720;
const SEEDS = 2 ** 31;
const KEPT = 64; // pictures of earlier settings

const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const NAMES = ["decay", "erase", "normaliser", "early", "conv", "gate", "layer", "seed"];
const keyOf = (switches) => NAMES.map((name) => switches[name]).join();

export class Morph {
  constructor(root) {
    this.root = root;
    this.wanted = null; // the switches as they stand; null until a link or a person has set them
    this.payload = null;
    this.seen = new Map();
    this.previous = new Map();
    this.extras = new Set();
    this.columns = [{ col: { id: "morph", name: "Morph", family: "linear" }, maps: new Map(), states: new Map(), errors: new Map() }];
    this.node = el("div", { class: "fm-morph" });
    this.mixingTools = mixingTools();
    this.layer = new Stepper("Layer", (by) => this.turnLayer(by));
    this.seed = new Stepper("Prompt", (by) => this.set({ seed: (this.wanted.seed + by + SEEDS) % SEEDS }));
    const copy = el("button", { class: "ba-button", type: "button", text: "Copy link", on: { click: () => emit("copy") } });
    this.tools = el("div", { class: "fm-tools" }, this.seed.node, this.layer.node, this.mixingTools.node, copy);
    this.frame = 0;
    bus.addEventListener("view", (event) => this.onView(event.detail));
    bus.addEventListener("key", (event) => this.onKey(event.detail));
  }

  // ---- structure

  build(overview) {
    this.overview = overview;
    this.members = new Map(overview.members.map((member) => [member.id, member]));
    this.switches = new Switches(overview, (patch) => this.set(patch));
    this.prompt = new Prompt(this);
    this.label = el("span", { class: "fm-label" });
    this.name = el("h3");
    this.note = el("span", { class: "fm-note" });
    this.links = el("span", { class: "fm-links" });
    this.formulas = el("div", { class: "fm-formulas" });
    this.said = el(
      "div",
      { class: "fm-said" },
      el("i", { class: "ba-rule" }),
      el("div", { class: "fm-spelling", role: "status" }, this.label, this.name, el("p", {}, this.note, this.links)),
      this.formulas,
    );
    this.refusal = el("div", { class: "ba-box fm-refusal", hidden: true });
    this.mixing = new MixingCell(this, 0);
    this.memory = new MemoryCell(this, 0);
    this.written = new Written(this);
    this.reach = el("b");
    this.reachSays = el("span");
    this.foot = el("footer", { class: "fm-foot" });
    this.look = el("p", { class: "ba-note fm-look" }, el("b", { text: "Look for" }), (this.lookText = el("span")));
    const reach = el("div", { class: "fm-reach" }, this.reach, this.reachSays, this.look);
    this.pictures = el("div", { class: "fm-pictures" }, this.mixing.node, el("div", { class: "fm-side" }, this.memory.node, this.written.node, reach));
    this.body = el("div", { class: "fm-body" }, this.switches.node, this.refusal, this.pictures);
    const prompt = el("div", { class: "fm-prompt" }, this.prompt.box, this.prompt.ends);
    this.node.replaceChildren(this.said, prompt, this.body, this.foot);
    this.switches.paint(overview.defaults);
    new ResizeObserver(() => this.place()).observe(this.node);
    addEventListener("resize", () => this.place());
  }

  // ---- switches

  choices() {
    return this.wanted;
  }

  // What was shown before is shown at once; the answer brings the link and, the first time, the picture.
  set(patch) {
    this.wanted = { ...(this.wanted ?? { ...this.overview.defaults, layer: 0, seed: 0 }), ...patch };
    this.switches.paint(this.wanted);
    const before = this.seen.get(keyOf(this.wanted));
    if (before) this.show(before);
    emit("run-next");
  }

  turnLayer(by) {
    if (!this.payload) return;
    const { layer, layers } = this.payload;
    this.set({ layer: ((layer + by + layers) % layers) + 1 });
  }

  // ---- payloads

  update(payload) {
    if (!this.wanted || keyOf(this.wanted) === keyOf(payload.switches)) this.wanted = payload.switches;
    this.switches.paint(this.wanted);
    this.seen.set(keyOf(payload.switches), payload);
    if (this.seen.size > KEPT) this.seen.delete(this.seen.keys().next().value);
    if (this.wanted === payload.switches) this.show(payload); // else another press is on its way
    this.root.dataset.ready = `${payload.key}:${payload.status}`;
  }

  show(payload) {
    const before = this.payload;
    this.refuse(payload);
    if (payload.refused) return;
    this.payload = payload;
    this.take(payload, before);
  }

  // No engine computes these switches: the sentence stands in the place of the pictures, with the ways out.
  refuse({ refused, ways }) {
    this.refusal.hidden = !refused;
    this.pictures.hidden = Boolean(refused);
    this.said.classList.toggle("fm-mute", Boolean(refused));
    if (!refused) return;
    const name = (key) => this.overview.switches.find((item) => item.key === key).name;
    const buttons = ways.map((key) =>
      el("button", { class: "ba-button", type: "button", text: `${name(key)} off`, on: { click: () => this.set({ [key]: false }) } }),
    );
    this.refusal.replaceChildren(el("h4", { text: "Not computed" }), el("p", { text: refused }), el("div", { class: "fm-acts" }, ...buttons));
    setText(this.label, "No picture for these switches");
    setText(this.name, ways.map(name).join(" with ").replace(/ with (.)/, (_, first) => ` with ${first.toLowerCase()}`));
    setText(this.note, "");
    this.links.replaceChildren();
    this.formulas.replaceChildren();
  }

  take(payload, before) {
    const { layer, head, matrix, memory, spelling } = payload;
    this.colors ??= palette(this.root);
    const slot = this.columns[0];
    const at = (item) => Object.assign([], { [layer]: item }); // only this layer of the model is drawn
    slot.col = {
      id: "morph", name: spelling.name, short: spelling.name, family: spelling.family, status: "done",
      layers: Array.from({ length: payload.layers }, () => ({})),
      reader: { layer, heads: Object.assign([], { [layer]: head }) },
      maps: at({ ...matrix, blob: payload.key }),
      memory: { ...memory, layers: at(memory.layer) },
    };
    slot.maps = new Map([[layer, decodeHalf(bytes(matrix.data).buffer)]]);
    slot.states = new Map([[layer, bytes(memory.data)]]);
    this.bytesTop = memory.most; // over all settings
    this.normTop = 1;
    this.say(payload);
    const tokens = payload.prompt.tokens.join(" ");
    if (before?.prompt.tokens.join(" ") !== tokens) {
      const sizes = { n: payload.n, layers: 1, heads: payload.heads, questions: payload.prompt.questions };
      begin(sizes, { ...payload.view, head: before ? view.head : AUTO }, "family");
      this.prompt.build();
    }
    this.place();
    this.paint();
  }

  say({ spelling, formula: lines, layer, switches, foot }) {
    this.said.dataset.family = spelling.family;
    this.said.dataset.kind = spelling.kind;
    setText(this.label, spelling.label);
    setText(this.name, spelling.name);
    setText(this.note, spelling.note);
    this.links.replaceChildren(
      ...spelling.members.map((id) => openLink(this.members.get(id), el("span", { text: `${this.members.get(id).short} in Compare` }))),
    );
    this.formulas.replaceChildren(...lines.map((line) => el("p", {}, formula(line))));
    this.foot.replaceChildren(...foot.map((text) => el("span", { text })));
    this.layer.say(String(layer + 1));
    this.seed.say(String(switches.seed));
  }

  // ---- drawing

  place() {
    const room = this.body?.clientWidth;
    if (!room || !this.payload) return;
    const phone = this.root.clientWidth < NARROW;
    const map = grid(this.payload.n, phone ? room : MAP);
    const layout = { phone, per: 1, col: Math.ceil(map.size), grid: map };
    const key = JSON.stringify(layout);
    if (key === this.placed) return;
    this.placed = key;
    this.layout = layout;
    this.root.classList.toggle("ba-phone", phone);
    this.node.style.setProperty("--ba-map", `${map.size}px`);
    for (const part of [this.mixing, this.memory, this.written]) part.resize();
    this.paint();
  }

  paint() {
    if (!this.layout) return;
    this.mixingTools.paint();
    for (const part of [this.mixing, this.memory]) part.paint();
    this.draw();
  }

  draw() {
    if (!this.layout) return;
    const { reach, layer, prompt } = this.payload;
    const shown = headOf({ reader: this.columns[0].col.reader }, layer, reach.length);
    setText(this.reach, entry(reach[shown]));
    setText(this.reachSays, `of the weight in the rows of the ${prompt.questions.length} questions lies on their answers (head ${shown + 1})`);
    setText(this.lookText, this.payload.look);
    this.look.hidden = this.payload.switches.layer !== 0 || view.head !== AUTO; // it speaks of the layer and head shown first
    this.prompt.cursor();
    for (const part of [this.mixing, this.memory, this.written]) part.cursor();
    for (const extra of this.extras) extra();
  }

  schedule(what) {
    this.due = this.due === "paint" ? "paint" : what;
    this.frame ||= requestAnimationFrame(() => {
      const { due } = this;
      this.frame = 0;
      this.due = "";
      this[due]();
    });
  }

  rowRange(t) {
    return signedRange([this.mixing.map], t);
  }

  // ---- events

  get visible() {
    return Boolean(this.payload && this.root.offsetParent);
  }

  onView({ changed }) {
    if (!this.visible) return;
    this.schedule(changed.includes("head") || changed.includes("scale") ? "paint" : "draw");
  }

  onTheme() {
    if (!this.payload) return;
    this.colors = palette(this.root);
    this.schedule("paint");
  }

  onKey({ action, claim }) {
    if (!this.visible || this.pictures.hidden) return;
    const does = {
      previous: () => step(-1),
      next: () => step(1),
      "previous-question": () => stepQuestion(-1),
      "next-question": () => stepQuestion(1),
      "head-down": () => turnHead(-1),
      "head-up": () => turnHead(1),
      "layer-up": () => this.turnLayer(-1),
      "layer-down": () => this.turnLayer(1),
    }[action];
    if (!does || !this.inSight()) return;
    claim();
    does();
  }

  // Arrow keys scroll the page while Morph is not on the screen.
  inSight() {
    const box = this.node.getBoundingClientRect();
    return box.top < innerHeight * 0.8 && box.bottom > innerHeight * 0.2;
  }
}

