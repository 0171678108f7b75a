// The Scaling page below the controls: notes, the table at the guide, the key, four charts that share one guide.

import { bus, emit } from "./bus.js";
import { coloured, LiveCurve } from "./curves.js";
import { el, setText, svg } from "./dom.js";

const MEASURES = ["prefill", "peak", "decode", "cache"];
const COLUMNS = { prefill: "Prefill", peak: "Peak memory", decode: "Decode", cache: "Cache" };
const THIN = "\u2009";

const grouped = (n) => String(n).replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
const lengthWords = (n) => (n >= 1024 ? `${n / 1024}k` : String(n));
const pointAt = (series, measure, n) => series.points[measure].find((point) => point.n === n);

// What a cell of the table says: [value, unit] of a point, or why there is none.
function said(point, running) {
  if (!point) return [running ? "…" : "–", ""];
  return point.words ? ["✕", point.words] : [point.text, point.unit];
}

const OUTLINES = {
  diamond: "0,-6 6,0 0,6 -6,0", pentagon: "0,-6 5.7,-1.9 3.5,4.9 -3.5,4.9 -5.7,-1.9", "triangle-up": "0,-5.5 5.5,4.5 -5.5,4.5",
  "triangle-down": "0,5.5 5.5,-4.5 -5.5,-4.5", square: "-4.5,-4.5 4.5,-4.5 4.5,4.5 -4.5,4.5",
  cross: "-2,-6 2,-6 2,-2 6,-2 6,2 2,2 2,6 -2,6 -2,2 -6,2 -6,-2 -2,-2",
};

// A piece of a curve as a sample: line, marker and, for the second of a family, its dot.
function sample({ marker, color, dot, dash = null, width = 3, length = 44 }) {
  const parts = [svg("line", { x1: -length / 2, x2: length / 2, stroke: color, "stroke-width": width, ...(dash ? { "stroke-dasharray": dash } : {}) })];
  if (marker === "circle-open") parts.push(svg("circle", { r: 4.5, fill: "var(--page)", stroke: color, "stroke-width": 2.5 }));
  else if (marker === "circle") parts.push(svg("circle", { r: 5, fill: color, stroke: "var(--page)" }));
  else if (marker) parts.push(svg("polygon", { points: OUTLINES[marker], fill: color, stroke: "var(--page)" }));
  if (dot) parts.push(svg("circle", { r: 1.75, fill: "var(--page)" }));
  return svg("svg", { viewBox: `${-length / 2} -8 ${length} 16`, width: length, height: 16, class: "sc-sample", "aria-hidden": "true" }, ...parts);
}

class ScalingPage {
  constructor(root) {
    this.root = root;
    this.payload = null;
    this.touched = false; // the guide stays where somebody put it
    this.pending = null;
    this.drawing = Promise.resolve();
    root.classList.add("ba", "ba-scaling");
    root.dataset.view = "scaling";
    this.showEmpty();
    bus.addEventListener("theme", () => this.redraw());
    bus.addEventListener("key", (event) => this.onKey(event.detail));
    new ResizeObserver(() => this.resized()).observe(root);
  }

  showEmpty() {
    this.root.replaceChildren(el("div", { class: "sc-empty" }, el("h3", { text: "Nothing measured yet" }),
      el("p", { text: "Choose architectures and the longest sequence, then press Run. The curves grow while you watch." }),
      el("button", { class: "sc-button", type: "button", text: "Run", on: { click: () => emit("run") } })));
  }

  // ---- structure

  build() {
    const note = (word, name) => el("p", { class: `sc-note sc-${name}` }, el("b", { text: word }), (this[name] = el("span")));
    this.title = el("h2");
    this.caption = el("span", { class: "sc-caption" });
    this.progress = el("div", { class: "sc-progress", role: "status" });
    this.track = el("div", { class: "sc-track" }, el("i"));
    this.count = el("span", { class: "sc-count" });
    this.error = el("div", { class: "sc-error", role: "alert", hidden: true });
    this.body = el("tbody");
    this.keys = el("div", { class: "sc-keys" });
    this.foot = el("footer", { class: "sc-foot" });
    this.charts = Object.fromEntries(MEASURES.map((measure) => [measure, this.chart(measure)]));
    const head = (text, name, wide = 1) => el("th", { scope: "col", class: name, text, ...(wide > 1 ? { colspan: wide } : {}) });
    const columns = MEASURES.flatMap((m) => [head(COLUMNS[m], "sc-number"), head(m === "cache" ? "computed" : "slope", `sc-side sc-side-${m}`)]);
    this.root.replaceChildren(
      el("div", { class: "sc-notes" }, note("Look for", "look"), note("Not shown", "hidden")), this.error,
      el("section", { class: "sc-section sc-values", aria: { label: "Values at the guide" } },
        el("div", { class: "sc-head" }, this.title, this.caption, el("div", { class: "sc-run" }, this.progress, this.track, this.count)),
        el("table", {}, el("thead", {}, el("tr", {}, head("Architecture", "sc-name"), ...columns)), this.body)),
      el("section", { class: "sc-section sc-pictures", aria: { label: "Curves" } }, this.keys,
        el("div", { class: "sc-grid" }, ...MEASURES.map((measure) => this.charts[measure].node))), this.foot);
    this.paintKeys();
  }

  chart(measure) {
    const curve = new LiveCurve();
    const name = el("h3");
    const detail = el("span", { class: "sc-caption" });
    Object.assign(curve.node, { tabIndex: 0, role: "slider" });
    curve.node.dataset.measure = measure;
    curve.node.addEventListener("pointermove", (event) => this.hover(curve, event));
    curve.node.addEventListener("pointerdown", (event) => this.hover(curve, event));
    curve.node.addEventListener("keydown", (event) => this.onArrow(event));
    return { curve, name, detail, node: el("figure", { class: "sc-chart" }, el("figcaption", {}, name, detail), curve.node) };
  }

  paintKeys() {
    const item = (picture, text) => el("span", { class: "sc-key" }, picture, text);
    const live = sample({ marker: "circle", color: "var(--ink)", length: 36 });
    const computed = sample({ color: "var(--ink-2)", dash: "5 4", width: 1.2, length: 34 });
    const cross = svg("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" },
      svg("path", { d: "M-4.5-4.5 4.5 4.5M4.5-4.5-4.5 4.5", stroke: "var(--ink)", "stroke-width": 2.5 }));
    this.keys.replaceChildren(item(live, "live, this machine, median with min and max"), item(computed, "computed"), item(cross, "did not fit"));
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
    this.paintRows();
    for (const measure of MEASURES) {
      const { name, detail } = this.charts[measure];
      setText(name, payload.titles[measure][0]);
      setText(detail, payload.titles[measure][1]);
    }
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

  // One row a series; the numbers in it are set by paintGuide.
  paintRows() {
    const { series } = this.payload;
    const shape = series.map((s) => s.key).join();
    if (shape !== this.shape) {
      this.shape = shape;
      this.rows = series.map((s) => {
        const cells = Object.fromEntries(MEASURES.map((m) => [m, { value: el("td", { class: "sc-number", data: { label: COLUMNS[m] } }), side: el("td", { class: `sc-side sc-side-${m}` }) }]));
        const mark = el("span", { class: "sc-mark" });
        const name = el("th", { scope: "row", class: "sc-name" }, mark, el("b", { text: s.name }), s.variant ? el("span", { class: "sc-variant", text: s.variant }) : null);
        return { cells, mark, node: el("tr", { data: { series: s.key } }, name, ...MEASURES.flatMap((m) => [cells[m].value, cells[m].side])) };
      });
      this.body.replaceChildren(...this.rows.map((row) => row.node));
      this.paintMarks();
    }
    series.forEach((s, i) => MEASURES.forEach((m) => {
      const { side } = this.rows[i].cells[m];
      if (m === "cache") setText(side, s.law);
      else if (s.slopes[m]) side.replaceChildren(el("b", { text: s.slopes[m].text }), ` ${s.slopes[m].error_text}`);
      else setText(side, "");
    }));
  }

  paintMarks() {
    this.payload.series.forEach((s, i) => {
      this.rows[i].mark.replaceChildren(sample({ marker: s.marker, color: coloured(s.color, this.root), dot: s.dot }));
    });
  }

  // ---- the guide

  measured() {
    const seen = new Set(this.payload.series.flatMap((s) => s.points.prefill.map((point) => point.n)));
    return this.payload.lengths.filter((n) => seen.has(n));
  }

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

  paintGuide() {
    const { payload, guide } = this;
    const running = payload.status === "running";
    setText(this.title, `At N = ${grouped(guide)}`);
    setText(this.caption, payload.slopes);
    payload.series.forEach((s, i) => MEASURES.forEach((m) => {
      const point = pointAt(s, m, guide);
      const [value, unit] = said(point, running);
      const cell = this.rows[i].cells[m].value;
      cell.replaceChildren(value, ...(unit ? [el("small", { text: `${THIN}${unit}` })] : []));
      cell.classList.toggle("sc-absent", Boolean(point?.words));
      cell.title = point?.spread ? `${point.spread}` : "";
    }));
    const all = this.measured();
    for (const measure of MEASURES) {
      const { curve } = this.charts[measure];
      curve.setGuide(all.length ? guide : null, lengthWords(guide));
      const values = payload.series.map((s) => `${s.label} ${said(pointAt(s, measure, guide), running).join(" ")}`);
      const told = { label: `${payload.titles[measure].join(", ")}; length N`, valuemin: 0, valuemax: Math.max(0, all.length - 1), valuenow: Math.max(0, all.indexOf(guide)), valuetext: `N = ${guide}: ${values.join(", ")}` };
      for (const [name, value] of Object.entries(told)) curve.node.setAttribute(`aria-${name}`, value);
    }
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
    if (this.payload && (this.missed || MEASURES.some((m) => this.charts[m].curve.stale))) this.redraw();
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
      for (const measure of MEASURES) {
        await this.charts[measure].curve.draw(payload.figures[measure]);
        await new Promise((done) => setTimeout(done)); // between charts the page stays awake
      }
    } catch (error) {
      setText(this.caption, `${payload.slopes}; no curves: ${error.message}`);
    }
    this.root.dataset.ready = `${payload.key}:${payload.status}`;
  }
}

export function mountScaling(element) {
  const page = new ScalingPage(element);
  return { update: (payload) => page.update(payload), draw: () => page.redraw(), page };
}
