// The Recall page below the controls: accuracy against the load and the bytes held, live; and recorded training runs.

import { emit } from "./bus.js";
import { ChartPage, keyItem, sample } from "./chartpage.js";
import { el, setText } from "./dom.js";
import { THIN } from "./format.js";

const GUIDED = ["accuracy", "state"];
const FREE = ["distance", "tradeoff"];
const SWEEPS = ["capacity", "ratio"];
const COLUMNS = { accuracy: "Accuracy", interval: "95 % interval", asked: "Answers", state: "State", holds: "≥ 0.98 up to", half: "below ½ from" };

const pointAt = (series, n) => series.points.find((point) => point.n === n);
const items = (texts) => texts.map((text) => el("li", { text }));

class RecallPage extends ChartPage {
  get empty() {
    return "Choose architectures and a task, then press Run. They answer fresh texts that ask for more and more.";
  }

  build() {
    const head = Object.entries(COLUMNS).map(([name, text]) => el("th", { scope: "col", class: `sc-number rc-${name}`, text }));
    this.charts = Object.fromEntries([...GUIDED.map((name) => [name, this.chart(name)]), ...[...FREE, ...SWEEPS].map((name) => [name, this.chart(name, false)])]);
    const { accuracy, state, distance, tradeoff } = this.charts;
    this.absent = el("ul", { class: "rc-absent", aria: { label: "What is left out" } });
    this.claims = el("ul", { class: "rc-claims" });
    this.values = el("table");
    tradeoff.node.classList.add("rc-wide");
    tradeoff.node.append(el("details", { class: "rc-values" }, el("summary", { text: "The values of this chart" }), this.values));
    for (const name of ["distance", ...SWEEPS]) this.charts[name].node.append((this.charts[name].said = el("p", { class: "rc-said" })));
    this.frame(head, this.absent,
      el("section", { class: "sc-section sc-pictures", aria: { label: "Live curves" } }, this.keys(),
        el("div", { class: "sc-grid" }, accuracy.node, state.node, distance.node,
          el("div", { class: "rc-words" }, el("h3", { text: "In words" }), this.claims), tradeoff.node)),
      el("section", { class: "sc-section sc-pictures", aria: { label: "Recorded training runs" } },
        el("div", { class: "sc-head" }, el("h2", { text: "With several seeds" }), el("span", { class: "sc-caption", text: "recorded: separate trainings on this task alone, which rank what a state can hold" })),
        (this.unrecorded = el("p", { class: "rc-said" })), (this.sweeps = el("div", { class: "sc-grid" }, ...SWEEPS.map((name) => this.charts[name].node)))));
  }

  keys() {
    const live = sample({ marker: "circle", color: "var(--ink)", length: 36 });
    const recorded = sample({ marker: "circle", color: "var(--ink)", hollow: true, width: 1.25, length: 34 });
    const computed = sample({ color: "var(--ink-2)", dash: "5 4", width: 1.2, length: 34 });
    return el("div", { class: "sc-keys" }, keyItem(live, "live, this machine, with 95 % interval"), keyItem(recorded, "recorded"), keyItem(computed, "computed"));
  }

  // ---- payloads

  painted() {
    const { payload } = this;
    this.paintRows(() => Object.fromEntries(Object.entries(COLUMNS).map(([name, text]) => [name, el("td", { class: `sc-number rc-${name}`, data: { label: text } })])));
    payload.series.forEach((s, i) => {
      for (const name of ["holds", "half"]) setText(this.rows[i].cells[name], s[name]);
    });
    for (const [name, words] of Object.entries(payload.titles)) {
      setText(this.charts[name].title, words[0]);
      if (words[1]) setText(this.charts[name].detail, words[1]);
    }
    this.absent.hidden = !payload.absent.length;
    this.absent.replaceChildren(...items(payload.absent));
    const waiting = payload.status === "running" ? ["The sentences come with the last answers."] : ["Nothing was answered."];
    this.claims.replaceChildren(...items(payload.claims.length ? payload.claims : waiting));
    setText(this.unrecorded, payload.unrecorded);
    this.unrecorded.hidden = !payload.unrecorded;
    this.sweeps.hidden = Boolean(payload.unrecorded);
    for (const sweep of payload.sweeps) {
      const chart = this.charts[sweep.kind];
      setText(chart.title, sweep.title);
      chart.curve.node.hidden = Boolean(sweep.missing);
    }
  }

  measured() {
    return this.payload.lengths;
  }

  // Where the guide stands is the load of a link and of the next run.
  setGuide(n) {
    if (n === this.guide) return;
    super.setGuide(n);
    this.redraw();
    emit("moved");
  }

  get chosen() {
    return this.payload && this.touched ? this.guide : null;
  }

  paintGuide() {
    const { payload, guide } = this;
    const running = payload.status === "running";
    setText(this.title, `At ${guide} ${payload.unit}`);
    setText(this.caption, `${payload.task_name.toLowerCase()}; values at the guide line, move it over a chart or with the arrow keys`);
    payload.series.forEach((s, i) => {
      const point = pointAt(s, guide);
      const { cells } = this.rows[i];
      const none = running ? "…" : "–";
      cells.accuracy.replaceChildren(el("b", { text: point?.text ?? none }));
      setText(cells.interval, point?.interval ?? none);
      setText(cells.asked, point?.asked ?? none);
      cells.state.replaceChildren(...(point ? [point.state[0], el("small", { text: `${THIN}${point.state[1]}` })] : [none]));
    });
    const tell = { accuracy: (point) => `${point.text}, ${point.interval}`, state: (point) => point.state.join(" ") };
    for (const name of GUIDED) {
      const values = payload.series.map((s) => `${s.label} ${pointAt(s, guide) ? tell[name](pointAt(s, guide)) : "not measured"}`);
      this.placeGuide(this.charts[name], String(guide), `${payload.titles[name].join(", ")}; ${payload.unit}`, `${guide} ${payload.unit}: ${values.join("; ")}`);
    }
    this.paintSaid();
  }

  // Captions, sentences and text twins of the charts that show one load.
  paintSaid() {
    const { payload } = this;
    const { distance, tradeoff } = this.charts;
    const guide = this.single(payload);
    const at = `${guide} ${payload.unit}`;
    setText(distance.detail, `at ${at}: ${payload.titles.distance[1]}`);
    setText(distance.said, payload.said.distance[guide] ?? "");
    setText(tradeoff.detail, payload.said.tradeoff[guide] ?? "");
    const rows = [
      ...payload.series.filter((s) => pointAt(s, guide)).map((s) => [s.name, pointAt(s, guide).text, pointAt(s, guide).state.join(" "), "live"]),
      ...payload.others.filter((other) => other.points[guide]).map((other) => [other.name, ...other.points[guide], "recorded"]),
    ];
    this.values.replaceChildren(el("tbody", {}, ...rows.map(([name, ...rest]) => el("tr", {}, el("th", { scope: "row", text: name }), ...rest.map((text) => el("td", { text }))))));
    distance.curve.node.setAttribute("aria-label", `Accuracy by distance at ${at}. ${payload.said.distance[guide] ?? ""}`);
    tradeoff.curve.node.setAttribute("aria-label", `Accuracy against memory at ${at}: ${rows.map((row) => row.join(" ")).join("; ")}`);
    for (const sweep of payload.sweeps) this.paintSweep(sweep);
  }

  paintSweep(sweep) {
    const { detail, said, curve } = this.charts[sweep.kind];
    const load = this.nearest(sweep);
    setText(detail, sweep.missing ? "" : sweep.details[load]);
    const words = sweep.missing ? [sweep.missing] : [sweep.words[load], el("br"), el("small", { text: `${sweep.what}; ${sweep.source}` })];
    said.replaceChildren(...words);
    curve.node.setAttribute("aria-label", sweep.missing || `${sweep.title}. ${sweep.words[load]}`);
  }

  // The load of the charts that show one: where the guide stands; while a run goes on, the load it was asked for.
  single({ figures, guide }) {
    return this.guide in figures.distance ? this.guide : guide;
  }

  nearest({ loads = [] }) {
    return loads.length ? loads.reduce((best, load) => (Math.abs(load - this.guide) < Math.abs(best - this.guide) ? load : best)) : null;
  }

  figureOf(name, { figures, sweeps }) {
    if (GUIDED.includes(name)) return figures[name];
    if (FREE.includes(name)) return figures[name][this.single(this.payload)];
    const sweep = sweeps.find(({ kind }) => kind === name);
    return sweep?.figures?.[this.nearest(sweep)];
  }
}

export function mountRecall(element) {
  const page = new RecallPage(element, "recall");
  const choices = () => (page.chosen === null ? {} : { load: page.chosen });
  return { update: (payload) => page.update(payload), draw: () => page.redraw(), choices, moved: choices, page };
}
