// A page of live charts: notes, a table at the guide, a key line, charts that share one guide. Scaling and Recall are
// such pages; they say what stands in the table and which charts there are.

import { bus, emit } from "./bus.js";
import { coloured, LiveCurve } from "./curves.js";
import { el, setText, svg } from "./dom.js";

const OUTLINES = {
  diamond: "0,-6 6,0 0,6 -6,0", pentagon: "0,-6 5.7,-1.9 3.5,4.9 -3.5,4.9 -5.7,-1.9", "triangle-up": "0,-5.5 5.5,4.5 -5.5,4.5",
  "triangle-down": "0,5.5 5.5,-4.5 -5.5,-4.5", square: "-4.5,-4.5 4.5,-4.5 4.5,4.5 -4.5,4.5",
  cross: "-2,-6 2,-6 2,-2 6,-2 6,2 2,2 2,6 -2,6 -2,2 -6,2 -6,-2 -2,-2",
};

// A piece of a curve as a sample: line, marker and, for the second of a family, its dot.
export function sample({ marker, color, dot, hollow = false, dash = null, width = 3, length = 44 }) {
  const parts = [svg("line", { x1: -length / 2, x2: length / 2, stroke: color, "stroke-width": width, ...(dash ? { "stroke-dasharray": dash } : {}) })];
  const inside = hollow ? { fill: "var(--page)", stroke: color, "stroke-width": 1.5 } : { fill: color, stroke: "var(--page)" };
  if (marker === "circle-open") parts.push(svg("circle", { r: 4.5, fill: "var(--page)", stroke: color, "stroke-width": 2.5 }));
  else if (marker === "circle") parts.push(svg("circle", { r: 5, ...inside }));
  else if (marker) parts.push(svg("polygon", { points: OUTLINES[marker], ...inside }));
  if (dot) parts.push(svg("circle", { r: 1.75, fill: "var(--page)" }));
  return svg("svg", { viewBox: `${-length / 2} -8 ${length} 16`, width: length, height: 16, class: "sc-sample", "aria-hidden": "true" }, ...parts);
}

export const keyItem = (picture, text) => el("span", { class: "sc-key" }, picture, text);

// Subclasses have: empty (words), build(), painted(), paintGuide(), measured(), guided (names of charts with the guide),
// figureOf(name, payload), and fill `this.charts`.
export class ChartPage {
  constructor(root, name) {
    this.root = root;
    this.name = name;
    this.payload = null;
    this.touched = false; // the guide stays where somebody put it
    this.pending = null;
    root.classList.add("ba", "ba-charts", `ba-${name}`);
    root.dataset.view = name;
    this.showEmpty();
    bus.addEventListener("theme", () => this.redraw());
    bus.addEventListener("key", (event) => this.onKey(event.detail));
    new ResizeObserver(() => this.resized()).observe(root);
  }

  showEmpty() {
    this.root.replaceChildren(el("div", { class: "sc-empty" }, el("h3", { text: "Nothing measured yet" }), el("p", { text: this.empty }),
      el("button", { class: "sc-button", type: "button", text: "Run", on: { click: () => emit("run") } })));
  }

  // ---- structure

  // Notes, error, the table with its head and progress, then what else the page has, then the foot.
  frame(columns, ...rest) {
    const note = (word, name) => el("p", { class: `sc-note sc-${name}` }, el("b", { text: word }), (this[name] = el("span")));
    this.title = el("h2");
    this.caption = el("span", { class: "sc-caption" });
    this.progress = el("div", { class: "sc-progress", role: "status" });
    this.track = el("div", { class: "sc-track" }, el("i"));
    this.count = el("span", { class: "sc-count" });
    this.error = el("div", { class: "sc-error", role: "alert", hidden: true });
    this.body = el("tbody");
    this.foot = el("footer", { class: "sc-foot" });
    const head = el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "sc-name", text: "Architecture" }), ...columns));
    this.root.replaceChildren(
      el("div", { class: "sc-notes" }, note("Look for", "look"), note("Not shown", "hidden")), this.error,
      el("section", { class: "sc-section sc-values", aria: { label: "Values at the guide" } },
        el("div", { class: "sc-head" }, this.title, this.caption, el("div", { class: "sc-run" }, this.progress, this.track, this.count)),
        el("table", {}, head, this.body)),
      ...rest, this.foot);
  }

  chart(name, guided = true) {
    const curve = new LiveCurve();
    const title = el("h3");
    const detail = el("span", { class: "sc-caption" });
    curve.node.dataset.measure = name;
    if (guided) {
      Object.assign(curve.node, { tabIndex: 0, role: "slider" });
      curve.node.addEventListener("pointermove", (event) => this.hover(curve, event));
      curve.node.addEventListener("pointerdown", (event) => this.hover(curve, event));
      curve.node.addEventListener("keydown", (event) => this.onArrow(event));
    } else {
      curve.node.setAttribute("role", "img");
      curve.setGuide(null, "");
    }
    return { curve, title, detail, node: el("figure", { class: "sc-chart" }, el("figcaption", {}, title, detail), curve.node) };
  }

  // ---- payloads

  update(payload) {
    if (!payload?.figures) return;
    if (!this.payload) this.build();
    if (this.payload?.key !== payload.key) this.touched = false;
    this.payload = payload;
    if (!this.touched || !this.measured().includes(this.guide)) this.guide = payload.guide;
    setText(this.look, payload.look);
    setText(this.hidden, payload.not_shown);
    this.foot.replaceChildren(...payload.footer.map((text) => el("span", { text })));
    this.paintProgress();
    this.paintError();
    this.painted();
    this.paintGuide();
    this.redraw();
  }

  paintProgress() {
    const { status, summary, progress: { done, of, name, detail } } = this.payload;
    const running = name ? ["Measuring ", el("b", { text: name }), ` ${detail}`] : ["Preparing the models"];
    // A run that the page stopped hearing of keeps its last payload: the shell marks it stopped.
    this.progress.replaceChildren(...(status === "running" ? running : [status === "stopped" ? summary.replace("Measured", "Stopped") : summary]));
    this.root.dataset.status = status;
    this.track.firstChild.style.width = `${(100 * done) / of}%`;
    setText(this.count, `${done} of ${of}`);
  }

  paintError() {
    const { error } = this.payload;
    this.error.hidden = !error;
    if (error) this.error.replaceChildren(el("b", { text: error.title }), el("span", { text: error.text }),
      el("button", { class: "sc-button", type: "button", text: "Run again", on: { click: () => emit("run") } }));
  }

  // One row a series, made anew when the series change; `cellsOf` gives the cells by name.
  paintRows(cellsOf) {
    const { series } = this.payload;
    const shape = series.map((s) => s.key).join();
    if (shape === this.shape) return;
    this.shape = shape;
    this.rows = series.map((s) => {
      const cells = cellsOf(s);
      const mark = el("span", { class: "sc-mark" });
      const name = el("th", { scope: "row", class: "sc-name" }, mark, el("b", { text: s.name }), s.variant ? el("span", { class: "sc-variant", text: s.variant }) : null);
      return { cells, mark, node: el("tr", { data: { series: s.key } }, name, ...Object.values(cells)) };
    });
    this.body.replaceChildren(...this.rows.map((row) => row.node));
    this.paintMarks();
  }

  paintMarks() {
    this.payload.series.forEach((s, i) => {
      this.rows[i].mark.replaceChildren(sample({ marker: s.marker, color: coloured(s.color, this.root), dot: s.dot }));
    });
  }

  // ---- the guide

  setGuide(n) {
    if (n === this.guide) return;
    this.guide = n;
    this.touched = true;
    this.paintGuide();
  }

  moveGuide(by) {
    const all = this.measured();
    const at = all.indexOf(this.guide);
    if (all.length) this.setGuide(all[Math.min(all.length - 1, Math.max(0, (at < 0 ? 0 : at) + by))]);
  }

  // The guide in one chart, as a slider that says the values there.
  placeGuide({ curve }, words, label, values) {
    const all = this.measured();
    curve.setGuide(all.length ? this.guide : null, words);
    const told = { label, valuemin: 0, valuemax: Math.max(0, all.length - 1), valuenow: Math.max(0, all.indexOf(this.guide)), valuetext: values };
    for (const [name, value] of Object.entries(told)) curve.node.setAttribute(`aria-${name}`, value);
  }

  hover(curve, event) {
    const all = this.payload ? this.measured() : [];
    if (!all.length || !curve.figure) return;
    const x = event.clientX - curve.node.getBoundingClientRect().left;
    this.setGuide(all.reduce((best, n) => (Math.abs(curve.xOf(n) - x) < Math.abs(curve.xOf(best) - x) ? n : best)));
  }

  onArrow(event) {
    const by = { ArrowLeft: -1, ArrowDown: -1, ",": -1, ArrowRight: 1, ArrowUp: 1, ".": 1, Home: -99, End: 99 }[event.key];
    if (!by || !this.payload) return;
    event.preventDefault();
    event.stopPropagation();
    this.moveGuide(by);
  }

  onKey({ action, claim }) {
    const by = { previous: -1, next: 1 }[action];
    if (!by || !this.payload || !this.root.offsetParent) return;
    claim();
    this.moveGuide(by);
  }

  // ---- drawing

  resized() {
    if (this.payload && (this.missed || Object.values(this.charts).some(({ curve }) => curve.stale))) this.redraw();
  }

  // Draws the newest payload; while a drawing runs, later payloads replace each other.
  redraw() {
    if (!this.payload) return;
    if (this.pending) {
      this.again = true;
      return;
    }
    this.pending = this.draw().finally(() => {
      this.pending = null;
      if (this.again) {
        this.again = false;
        this.redraw();
      }
    });
  }

  async draw() {
    this.missed = !this.root.clientWidth; // in a hidden page; the resize that shows it draws
    if (this.missed) return;
    const { payload } = this;
    this.paintMarks();
    try {
      for (const [name, { curve }] of Object.entries(this.charts)) {
        const figure = this.figureOf(name, payload);
        if (figure) await curve.draw(figure);
        await new Promise((done) => setTimeout(done)); // between charts the page stays awake
      }
    } catch (error) {
      setText(this.caption, `No curves: ${error.message}`);
    }
    this.root.dataset.ready = `${payload.key}:${payload.status}`;
  }
}
