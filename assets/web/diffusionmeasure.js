// What is measured below a diffusion run when somebody asks for it: a head with one button, charts, sentences, a table.

import { bus } from "./bus.js";
import { el, setText } from "./dom.js";
import { SideChart } from "./sidechart.js";

const SECTIONS = {
  "diffusion-quality": {
    title: "Quality against steps",
    caption: "fresh texts out of nothing, judged by the recogniser; and how likely both models find held-out stories",
    empty: "Press Measure: every sampler and the twin write 64 texts at each number of steps. About a minute.",
  },
  "diffusion-cost": {
    title: "Cost of a whole answer",
    caption: "one word a pass: the twin behind its cache, masked diffusion without one, block diffusion behind finished blocks",
    empty: "Press Measure: whole answers of 16 to 128 words, in interleaved rounds. About half a minute.",
  },
};

class Measured {
  constructor(root, name) {
    Object.assign(this, { root, name, payload: null, charts: [] });
    const { title, caption, empty } = SECTIONS[name];
    root.classList.add("ba", "ba-diffusion", "df-measured");
    root.dataset.view = name;
    const press = (what) => document.querySelector(`#${what}-${name}`)?.click();
    this.button = el("button", { class: "ba-button", type: "button", text: "Measure", on: { click: () => press(this.running ? "stop" : "run") } });
    this.progress = el("span", { class: "df-pending", role: "status" });
    this.track = el("i", { class: "ba-progress" });
    this.empty = el("p", { class: "df-nothing", text: empty });
    this.grid = el("div", { class: "df-charts" });
    this.said = el("ul", { class: "df-said" });
    this.table = el("div", { class: "df-table" });
    this.foot = el("footer", { class: "ba-foot-page" });
    root.replaceChildren(el("section", { class: "ba-section", aria: { label: title } }, this.track,
      el("div", { class: "ba-head" }, el("h2", { text: title }), el("span", { class: "ba-caption", text: caption }), el("div", { class: "ba-tools df-tools" }, this.progress, this.button)),
      this.empty, this.grid, this.said, this.table, this.foot));
    bus.addEventListener("theme", () => this.paint());
    new ResizeObserver(() => this.paint()).observe(root);
  }

  get running() {
    return this.payload?.status === "running";
  }

  update(payload) {
    if (!payload?.charts) return;
    this.payload = payload;
    if (this.charts.length !== payload.charts.length) {
      this.charts = payload.charts.map(() => new SideChart(this.root));
      this.grid.replaceChildren(...this.charts.map((chart) => chart.node));
    }
    this.empty.hidden = true;
    this.paint();
    this.root.dataset.ready = `${payload.key}:${payload.status}`;
  }

  paint() {
    if (!this.payload || !this.root.clientWidth) return;
    const { status, progress, charts, said, table, footer, error } = this.payload;
    setText(this.button, this.running ? "Stop" : "Measure again");
    const words = { running: `${progress.text}, ${Math.floor((100 * progress.done) / Math.max(1, progress.of))} %`, stopped: `stopped after ${progress.seconds} s`, failed: error ? `${error.title}: ${error.text}` : "failed" };
    setText(this.progress, words[status] ?? `measured in ${progress.seconds} s`);
    this.track.style.width = `${this.running ? (100 * progress.done) / Math.max(1, progress.of) : 0}%`;
    charts.forEach((chart, i) => this.charts[i].draw(chart));
    this.said.replaceChildren(...said.map((text) => el("li", { text })));
    this.table.replaceChildren(...(table.rows.length ? [tableOf(table)] : []));
    this.foot.replaceChildren(...footer.map((text) => el("span", { text })));
  }
}

function tableOf({ caption, head, rows }) {
  const line = (cells, first) => el("tr", {}, ...cells.map((text, i) => el(i && !first ? "td" : "th", { scope: first ? "col" : i ? null : "row", text })));
  return el("table", {}, el("caption", { text: caption }), el("thead", {}, line(head, true)), el("tbody", {}, ...rows.map((cells) => line(cells, false))));
}

const mount = (name) => (element) => {
  const view = new Measured(element, name);
  return { update: (payload) => view.update(payload), draw: () => view.paint() };
};
export const mountQuality = mount("diffusion-quality");
export const mountCost = mount("diffusion-cost");
