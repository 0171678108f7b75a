// A curve over training steps, drawn as SVG while it grows: thin what each step said, thick its running mean,
// a ring where the rule was met. Pointing at it chooses the step that all pictures show.

import { el, svg } from "./dom.js";
import { fixed } from "./format.js";

const LABEL = 17; // px between two names at the line ends
const TOP = 14;
const BOTTOM = 26;

// Heights at the line ends, pushed apart where words would overlap; their order stays.
export function pushedApart(wishes, low, high) {
  const order = wishes.map((_, i) => i).sort((a, b) => wishes[a] - wishes[b]);
  const places = [...wishes];
  let floor = low;
  for (const i of order) floor = (places[i] = Math.max(places[i], floor)) + LABEL;
  let ceiling = high;
  for (const i of order.reverse()) ceiling = (places[i] = Math.min(places[i], ceiling)) - LABEL;
  return places;
}

// Round numbers from 0 to `top`, about four of them.
export function ticks(top) {
  const power = 10 ** Math.floor(Math.log10(top / 3));
  const step = [1, 2, 5, 10].map((by) => by * power).find((one) => top / one <= 4.5);
  return Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, i) => i * step);
}

const tickText = (value, all) => fixed(value, all.some((one) => one % 1) ? (all[1] < 0.1 ? 2 : 1) : 0);

export class StepChart {
  constructor({ title, height = 230, onStep = null }) {
    this.title = title;
    this.height = height;
    this.onStep = onStep;
    this.picture = svg("svg", { role: "img", class: "tr-chart" });
    this.node = el("div", { class: "tr-chart-box" }, this.picture);
    const point = (event) => {
      if (!this.shown || !onStep) return;
      const x = event.clientX - this.picture.getBoundingClientRect().left;
      const { left, right, last } = this.shown;
      onStep(Math.round(((x - left) / (right - left)) * last));
    };
    this.picture.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse") this.picture.setPointerCapture(event.pointerId);
      point(event);
    });
    this.picture.addEventListener("pointermove", (event) => event.buttons && point(event));
  }

  // data: {last, top, at, series: [{color, label, value, thin, thick, marks, passed, dot, weak}], guide: {value, text}, names}
  draw(data) {
    const width = this.node.clientWidth;
    if (!width) return;
    const narrow = width < 300;
    const longest = Math.max(0, ...data.series.filter((one) => !one.unnamed).map((one) => one.label.length));
    const room = narrow ? 62 : Math.min(width / 3, Math.max(data.room ?? 96, 7.2 * longest + 52));
    const left = narrow ? 26 : 34;
    const right = width - room;
    const low = this.height - BOTTOM;
    const last = Math.max(1, data.last);
    const x = (step) => left + ((right - left) * step) / last;
    const y = (value) => low - ((low - TOP) * Math.min(value, data.top)) / data.top;
    this.shown = { left, right, last };
    Object.entries({ viewBox: `0 0 ${width} ${this.height}`, width, height: this.height, "aria-label": this.says(data) }).forEach(
      ([name, value]) => this.picture.setAttribute(name, value),
    );
    const parts = [...axes({ data, last, x, y, left, right, low })];
    for (const series of data.series) parts.push(...curve(series, x, y));
    if (data.at !== null && data.at !== undefined) {
      parts.push(svg("line", { x1: x(data.at), x2: x(data.at), y1: TOP - 6, y2: low, class: "tr-at" }));
    }
    for (const series of data.series) parts.push(...passed(series, x, y, low, data));
    parts.push(...names(data.series, x, y, right, low));
    this.picture.replaceChildren(...parts);
  }

  says({ series, at }) {
    const words = series.map(({ label, value, passed: step }) => `${label} ${value}${step ? `, passed at step ${step}` : ""}`);
    return `${this.title}${at === null || at === undefined ? "" : ` at step ${at}`}: ${words.join("; ")}`;
  }
}

function* axes({ data, last, x, y, left, right, low }) {
  const values = ticks(data.top);
  for (const value of values) {
    yield svg("line", { x1: left, x2: right, y1: y(value), y2: y(value), class: value ? "tr-grid" : "tr-axis" });
    yield text(left - 6, y(value) + 4, tickText(value, values), "tr-tick", "end");
  }
  const steps = ticks(last);
  for (const step of steps) yield text(x(step), low + 18, String(step), "tr-tick", step ? "middle" : "start");
  if (right - left > 200) yield text(right + 20, low + 18, "steps", "tr-tick", "start");
  if (data.guide && data.guide.value <= data.top) {
    yield svg("line", { x1: left, x2: right, y1: y(data.guide.value), y2: y(data.guide.value), class: "tr-computed" });
    yield text(right - 2, y(data.guide.value) - 5, data.guide.text, "tr-tick", "end");
  }
}

function text(x, y, words, name, anchor) {
  const node = svg("text", { x, y, class: name, "text-anchor": anchor });
  node.textContent = words;
  return node;
}

function path(values, x, y, from = 1) {
  const every = Math.max(1, Math.floor(values.length / 600));
  let line = "";
  for (let i = 0; i < values.length; i += every) line += `${line ? "L" : "M"}${x(i + from).toFixed(1)} ${y(values[i]).toFixed(1)}`;
  if ((values.length - 1) % every) line += `L${x(values.length - 1 + from).toFixed(1)} ${y(values.at(-1)).toFixed(1)}`;
  return line;
}

function* curve({ color, thin, thick, marks, points, weak }, x, y) {
  const line = (d, name) => svg("path", { d, class: name, stroke: color, fill: "none" });
  if (thin?.length) yield line(path(thin, x, y), "tr-thin");
  if (thick?.length) yield line(path(thick, x, y), "tr-thick");
  if (points?.length > 1) {
    yield line(points.map(([step, value], i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join(""), weak ? "tr-weak" : "tr-thick");
  }
  for (const [step, value] of marks ?? []) {
    yield svg("rect", { x: x(step) - 2.5, y: y(value) - 2.5, width: 5, height: 5, fill: color, class: "tr-mark" });
  }
}

// The step at which the rule was met: a ring on the curve, a leader down to the axis, and its number.
function* passed({ color, passed: step, thick }, x, y, low, data) {
  if (!step || !data.ruled || !thick?.length) return;
  const value = thick[step - 1];
  yield svg("line", { x1: x(step), x2: x(step), y1: y(value), y2: low, class: "tr-passed" });
  yield svg("circle", { cx: x(step), cy: y(value), r: 6, fill: "none", stroke: "var(--ink)", "stroke-width": 2 });
  yield svg("circle", { cx: x(step), cy: y(value), r: 3, fill: color });
  const before = x(step) > 0.6 * x(data.last);
  yield text(x(step) + (before ? -10 : 10), y(value) + 22, `step ${step}`, "tr-name", before ? "end" : "start");
}

function* names(series, x, y, right, low) {
  const ended = series.filter((one) => !one.unnamed && (one.thick?.length || one.points?.length));
  const end = (one) => one.thick?.at(-1) ?? one.points.at(-1)[1];
  const place = pushedApart(ended.map((one) => y(end(one))), TOP, low - 2);
  for (const [i, one] of ended.entries()) {
    const step = one.thick ? one.thick.length : one.points.at(-1)[0];
    yield svg("circle", { cx: x(step), cy: y(end(one)), r: one.weak ? 3 : 4.5, fill: one.color, class: "tr-end" });
    if (one.dot) yield svg("circle", { cx: x(step), cy: y(end(one)), r: 1.75, fill: "var(--page)" });
    const node = text(right + 10, place[i] + 4, one.label, one.weak ? "tr-name tr-name-weak" : "tr-name", "start");
    const value = svg("tspan", { class: "tr-value", dx: 5 });
    value.textContent = one.value;
    node.append(value);
    yield node;
  }
}
