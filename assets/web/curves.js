// A live curve: one Plotly figure, drawn again as points come in. Plotly is 4.8 MB and is fetched when a curve is first seen.
// Colours arrive as tokens ("@ink-2", "@fam-linear~1"), so that a change of theme only asks for the same figure again.

import { el } from "./dom.js";

let loading = null;

export function loadPlotly() {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  loading ??= new Promise((resolve, reject) => {
    const script = el("script", { src: document.documentElement.dataset.plotly || window.BA_PLOTLY_URL, async: true });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null; // the next draw tries again
      script.remove();
      reject(new Error("the drawing library did not arrive"));
    };
    document.head.append(script);
  });
  return loading;
}

// ---- colours

const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const gamma = (c) => (c <= 0.0031308 ? c * 12.92 : 1.055 * c ** (1 / 2.4) - 0.055);
const channels = (hex) => [1, 3, 5].map((i) => linear(parseInt(hex.slice(i, i + 2), 16) / 255));
const luminance = (hex) => channels(hex).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);

function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

// The same hue with OKLCH lightness moved by `by`; null where that leaves sRGB by so much that the hue would change.
function lighter(hex, by) {
  const [r, g, b] = channels(hex);
  const cone = (x, y, z) => Math.cbrt(x * r + y * g + z * b);
  const l = cone(0.4122214708, 0.5363325363, 0.0514459929);
  const m = cone(0.2119034982, 0.6806995451, 0.1073969566);
  const s = cone(0.0883024619, 0.2817188376, 0.6299787005);
  // L alone enters all three cones with weight 1, so moving it leaves a and b (hue and chroma) as they are.
  const [x, y, z] = [l + by, m + by, s + by].map((c) => c ** 3);
  const rgb = [
    4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z,
    -1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z,
    -0.0041960863 * x - 0.7034186147 * y + 1.707614701 * z,
  ].map(gamma);
  if (rgb.some((c) => c < -0.12 || c > 1.04)) return null;
  return `#${rgb.map((c) => Math.round(255 * Math.min(1, Math.max(0, c))).toString(16).padStart(2, "0")).join("")}`;
}

// A token's colour as the style sheet has it around `root`. "~1" is a step of 0.12 in lightness that keeps 3:1 on the page.
export function resolve(token, root) {
  const style = getComputedStyle(root);
  const [name, step] = token.replace(/^@/, "").split("~");
  const base = style.getPropertyValue(`--${name}`).trim();
  if (!step || !/^#[0-9a-f]{6}$/i.test(base)) return base;
  const page = style.getPropertyValue("--page").trim();
  const tries = [-0.12, 0.12].map((by) => lighter(base, by * Number(step))).filter((c) => c && contrast(c, page) >= 3);
  return tries[0] ?? base;
}

const TOKEN = /@[a-z]+(?:-[a-z0-9]+)*(?:~\d)?/g;

// A copy of a figure in which every colour token is a colour.
export function coloured(value, root, known = new Map()) {
  if (typeof value === "string") {
    return value.includes("@") ? value.replace(TOKEN, (token) => {
      if (!known.has(token)) known.set(token, resolve(token, root));
      return known.get(token);
    }) : value;
  }
  if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((part) => coloured(part, root, known));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, coloured(part, root, known)]));
  }
  return value;
}

// ---- the component

const NARROW = 480; // px; below (or below what the figure says), the figure's `narrow` layout takes over
const [WIDE, TALL] = [760, 400]; // px; above, the chart is taller

export class LiveCurve {
  constructor() {
    this.plot = el("div", { class: "curve-plot" });
    this.line = el("div", { class: "curve-guide" });
    this.tick = el("div", { class: "curve-tick" });
    this.node = el("div", { class: "curve" }, this.line, this.plot, this.tick);
    this.figure = null;
    this.guide = null;
  }

  // Draw `figure` ({data, layout, narrow}) at the width the page gives; resolves when it is on the screen.
  async draw(figure = this.figure) {
    this.figure = figure;
    const told = JSON.stringify(figure);
    const Plotly = await loadPlotly();
    const width = this.node.clientWidth;
    if (!width || this.figure !== figure) return;
    const layout = this.layout();
    const known = new Map();
    const shown = coloured({ data: figure.data, layout }, this.node, known);
    const picture = `${width} ${[...known.values()]} ${told}`;
    if (picture === this.picture) return; // drawing costs the machine that measures
    this.picture = picture;
    Object.assign(shown.layout, { width, height: layout.height });
    shown.layout.font = { ...shown.layout.font, family: getComputedStyle(this.node).fontFamily };
    this.width = width;
    this.node.style.height = `${layout.height}px`;
    await Plotly.react(this.plot, shown.data, shown.layout, { staticPlot: true, responsive: false, displayModeBar: false });
    this.placeGuide();
  }

  layout() {
    const { layout, narrow, below = NARROW } = this.figure;
    const width = this.node.clientWidth;
    return width < below ? { ...layout, ...narrow } : width > WIDE ? { ...layout, height: TALL } : layout;
  }

  // Did the page change its width since the last drawing?
  get stale() {
    return Boolean(this.figure) && this.node.clientWidth > 0 && this.node.clientWidth !== this.width;
  }

  // Horizontal pixel of a length, and the length range back from a pixel.
  xOf(n) {
    const { margin, xaxis } = this.layout();
    const [first, last] = xaxis.range;
    return margin.l + ((Math.log10(n) - first) / (last - first)) * (this.node.clientWidth - margin.l - margin.r);
  }

  // n null: nothing measured yet, no guide
  setGuide(n, text) {
    for (const part of [this.line, this.tick]) part.hidden = n === null;
    this.guide = { n, text };
    this.placeGuide();
  }

  placeGuide() {
    if (!this.guide?.n || !this.figure || !this.node.clientWidth) return;
    const { margin, height } = this.layout();
    const x = this.xOf(this.guide.n);
    Object.assign(this.line.style, { left: `${Math.round(x)}px`, top: `${margin.t}px`, height: `${height - margin.t - margin.b}px` });
    this.tick.textContent = this.guide.text;
    Object.assign(this.tick.style, { left: `${x}px`, top: `${height - margin.b + 9}px` });
    const box = this.tick.getBoundingClientRect();
    for (const text of this.plot.querySelectorAll(".xtick text")) {
      const { left, right } = text.getBoundingClientRect(); // words that the guide's would cut give way to them
      text.style.visibility = left < box.right - 4 && right > box.left + 4 ? "hidden" : "";
    }
  }
}
