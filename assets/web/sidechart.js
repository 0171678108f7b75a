// A small chart drawn as SVG from numbers and ticks: live curves with markers and whiskers, their names at the line ends.

import { sample } from "./chartpage.js";
import { resolve } from "./curves.js";
import { el, svg } from "./dom.js";
import { pushedApart } from "./stepchart.js";

const [TOP, BOTTOM, LEFT, NAMES, HEIGHT] = [12, 30, 52, 128, 250];

const words = (x, y, text, name, anchor = "start") => {
  const node = svg("text", { x, y, class: name, "text-anchor": anchor });
  node.textContent = text;
  return node;
};

export class SideChart {
  constructor(root) {
    this.root = root;
    this.picture = svg("svg", { class: "df-chart", role: "img" });
    this.title = el("figcaption");
    this.node = el("figure", { class: "df-figure-box" }, this.title, this.picture);
  }

  // data: {title, x: {range, ticks, unit}, y: {range, ticks}, series: [{label, value, family, shade, marker, points}]}
  draw(data) {
    const width = Math.floor(this.node.clientWidth);
    if (!width) return;
    this.title.textContent = data.title;
    const narrow = width < 420;
    const right = width - (narrow ? 100 : NAMES);
    const low = HEIGHT - BOTTOM;
    const scale = ([from, to], start, end) => (value) => start + ((end - start) * (value - from)) / (to - from || 1);
    const x = scale(data.x.range, LEFT + 10, right - 6);
    const y = scale(data.y.range, low, TOP);
    const parts = [];
    for (const [value, text] of data.y.ticks) {
      parts.push(svg("line", { x1: LEFT, x2: right, y1: y(value), y2: y(value), class: "df-grid" }), words(LEFT - 8, y(value) + 4, text, "df-tick", "end"));
    }
    parts.push(svg("line", { x1: LEFT, x2: right, y1: low, y2: low, class: "df-axis" }));
    for (const [value, text] of data.x.ticks) parts.push(words(x(value), low + 18, text, "df-tick", "middle"));
    parts.push(words(right + 10, low + 18, data.x.unit, "df-tick"));
    const drawn = data.series.filter(({ points }) => points.length);
    for (const one of drawn) parts.push(...this.curve(one, x, y));
    const places = pushedApart(drawn.map(({ points }) => y(points.at(-1)[1])), TOP, low - 6);
    drawn.forEach(({ label, value, points }, i) => {
      const end = x(points.at(-1)[0]);
      const leads = end < right - 20;
      if (leads) parts.push(svg("line", { x1: end + 8, x2: right + 6, y1: y(points.at(-1)[1]), y2: places[i], class: "df-lead" }));
      const name = words(right + 10, places[i] + 4, label, "df-name");
      const told = svg("tspan", { class: "df-value", dx: 5 });
      told.textContent = value;
      name.append(told);
      parts.push(name);
    });
    const said = drawn.map(({ label, value }) => `${label} ${value}`).join("; ");
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-label": `${data.title}: ${said || "nothing measured yet"}` })) this.picture.setAttribute(name, value);
    this.picture.replaceChildren(...parts);
  }

  *curve({ family, shade, marker, points }, x, y) {
    const color = resolve(`@fam-${family}${shade ? `~${shade}` : ""}`, this.root);
    const path = points.map(([px, py], i) => `${i ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
    yield svg("path", { d: path, stroke: color, class: "df-line" });
    for (const [px, , from, to] of points) {
      if (to > from) yield svg("path", { d: `M${x(px)} ${y(from)}V${y(to)}m-3 0h6M${x(px) - 3} ${y(from)}h6`, stroke: color, class: "df-whisker" });
    }
    for (const [px, py] of points) {
      const mark = sample({ marker, color, length: 16 });
      mark.firstChild.remove(); // the piece of line
      for (const [name, value] of Object.entries({ x: x(px) - 8, y: y(py) - 8 })) mark.setAttribute(name, value);
      yield mark;
    }
  }
}
