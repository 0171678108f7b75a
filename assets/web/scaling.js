// The Scaling page below the controls: latency, memory and state against the length, in a table and four charts.

import { ChartPage, keyItem, sample } from "./chartpage.js";
import { el, setText, svg } from "./dom.js";
import { grouped, THIN } from "./format.js";

const MEASURES = ["prefill", "peak", "decode", "cache"];
const COLUMNS = { prefill: "Prefill", peak: "Peak memory", decode: "Decode", cache: "Cache" };

const lengthWords = (n) => (n >= 1024 ? `${n / 1024}k` : String(n));
const pointAt = (series, measure, n) => series.points[measure].find((point) => point.n === n);

// What a cell of the table says: [value, unit] of a point, or why there is none (`whole`: in as many words as it takes).
function said(point, running, whole = false) {
  if (!point) return [running ? "…" : "–", ""];
  return point.words ? ["✕", whole ? point.words : point.needs || point.words] : [point.text, point.unit];
}

class ScalingPage extends ChartPage {
  get empty() {
    return "Choose architectures and the longest sequence, then press Run. The curves grow while you watch.";
  }

  build() {
    const head = (text, name) => el("th", { scope: "col", class: name, text });
    const columns = MEASURES.flatMap((m) => [head(COLUMNS[m], "sc-number"), head(m === "cache" ? "computed" : "slope", `sc-side sc-side-${m}`)]);
    this.charts = Object.fromEntries(MEASURES.map((measure) => [measure, this.chart(measure)]));
    this.frame(columns, el("section", { class: "sc-section sc-pictures", aria: { label: "Curves" } }, this.keys(),
      el("div", { class: "sc-grid" }, ...MEASURES.map((measure) => this.charts[measure].node))));
  }

  keys() {
    const live = sample({ marker: "circle", color: "var(--ink)", length: 36 });
    const computed = sample({ color: "var(--ink-2)", dash: "5 4", width: 1.2, length: 34 });
    const cross = svg("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" },
      svg("path", { d: "M-4.5-4.5 4.5 4.5M4.5-4.5-4.5 4.5", stroke: "var(--ink)", "stroke-width": 2.5 }));
    return el("div", { class: "sc-keys" }, keyItem(live, "live, this machine, median with min and max"), keyItem(computed, "computed"), keyItem(cross, "did not fit"));
  }

  // One row a series; the numbers in it are set by paintGuide.
  painted() {
    const { series, titles } = this.payload;
    this.paintRows(() => Object.fromEntries(MEASURES.flatMap((m) => [
      [m, el("td", { class: "sc-number", data: { label: COLUMNS[m] } })], [`${m} side`, el("td", { class: `sc-side sc-side-${m}` })],
    ])));
    series.forEach((s, i) => MEASURES.forEach((m) => {
      const side = this.rows[i].cells[`${m} side`];
      if (m === "cache") setText(side, s.law);
      else if (s.slopes[m]) side.replaceChildren(el("b", { text: s.slopes[m].text }), ` ${s.slopes[m].error_text}`);
      else setText(side, "");
    }));
    for (const measure of MEASURES) {
      setText(this.charts[measure].title, titles[measure][0]);
      setText(this.charts[measure].detail, titles[measure][1]);
    }
  }

  measured() {
    const seen = new Set(this.payload.series.flatMap((s) => s.points.prefill.map((point) => point.n)));
    return this.payload.lengths.filter((n) => seen.has(n));
  }

  paintGuide() {
    const { payload, guide } = this;
    const running = payload.status === "running";
    setText(this.title, `At N = ${grouped(guide)}`);
    setText(this.caption, payload.slopes);
    payload.series.forEach((s, i) => MEASURES.forEach((m) => {
      const point = pointAt(s, m, guide);
      const [value, unit] = said(point, running);
      const cell = this.rows[i].cells[m];
      cell.replaceChildren(value, ...(unit ? [el("small", { text: `${THIN}${unit}` })] : []));
      cell.classList.toggle("sc-absent", Boolean(point?.words));
      cell.title = point?.spread || point?.words || "";
    }));
    for (const measure of MEASURES) {
      const values = payload.series.map((s) => `${s.label} ${said(pointAt(s, measure, guide), running, true).join(" ")}`);
      this.placeGuide(this.charts[measure], lengthWords(guide), `${payload.titles[measure].join(", ")}; length N`, `N = ${guide}: ${values.join(", ")}`);
    }
  }

  figureOf(name, payload) {
    return payload.figures[name];
  }
}

export function mountScaling(element) {
  const page = new ScalingPage(element, "scaling");
  return { update: (payload) => page.update(payload), draw: () => page.redraw(), page };
}
