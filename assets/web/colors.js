// Families (name, marker, colour), colour look-up tables and the palette that canvases draw with.

import { svg } from "./dom.js";

export const FAMILIES = {
  attention: { name: "Full attention", marker: "circle" },
  local: { name: "Local and sparse", marker: "diamond" },
  linear: { name: "Linear and delta", marker: "pentagon" },
  ssm: { name: "State space", marker: "triangle" },
  recurrent: { name: "Recurrent revival", marker: "triangle-down" },
  hybrid: { name: "Hybrid", marker: "square" },
  diffusion: { name: "Text diffusion", marker: "plus" },
  recursive: { name: "Recursive and tracing", marker: "ring" },
};

const STOPS = {
  magnitude: {
    light: "#FAFAF7 #CFE5C5 #95D1AE #4FBBA7 #0E9EA2 #0C7E95 #086084 #014178 #101D6C",
    dark: "#161A20 #12274A #044E6E #086D81 #0F8E92 #12B09A #4CD292 #ACE78E #FCF6A2",
  },
  signed: {
    light: "#853F02 #B36128 #CF906A #E9BFA7 #F3F4F4 #ADCDED #74A6D5 #387FBC #005894",
    dark: "#FEAF80 #D6814A #9B603B #64412C #20252C #314D68 #4575A1 #599FDF #94CAFD",
  },
};

export const theme = () =>
  document.documentElement.dataset.theme === "dark" || document.body.classList.contains("dark") ? "dark" : "light";

const toLinear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const toSrgb = (c) => (c <= 0.0031308 ? c * 12.92 : 1.055 * c ** (1 / 2.4) - 0.055);

function toOklab(hex) {
  const [r, g, b] = [1, 3, 5].map((i) => toLinear(parseInt(hex.slice(i, i + 2), 16) / 255));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function fromOklab([L, a, b]) {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((c) => Math.round(255 * Math.min(1, Math.max(0, toSrgb(c)))));
}

const tables = new Map();

// 256 colours between the nine stops, straight lines in OKLab: equal steps of value are equal steps of lightness.
// Returned as little-endian RGBA words, ready for an ImageData seen as Uint32Array.
export function lut(kind, mode = theme()) {
  const key = `${kind}/${mode}`;
  if (!tables.has(key)) {
    const stops = STOPS[kind][mode].split(" ").map(toOklab);
    const table = new Uint32Array(256);
    for (let i = 0; i < 256; i++) {
      const at = (i / 255) * (stops.length - 1);
      const low = Math.min(stops.length - 2, Math.floor(at));
      const mix = stops[low].map((c, j) => c + (stops[low + 1][j] - c) * (at - low));
      const [r, g, b] = fromOklab(mix);
      table[i] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    tables.set(key, table);
  }
  return tables.get(key);
}

export const css = (word) => `rgb(${word & 255} ${(word >> 8) & 255} ${(word >> 16) & 255})`;

export const gradient = (kind) => `linear-gradient(90deg in oklab, ${STOPS[kind][theme()].split(" ").join(", ")})`;

// Index into a look-up table. `range` is [low, high]; signed ranges are symmetric.
export function shade(value, range, signed, scale) {
  const top = Math.max(Math.abs(range[0]), Math.abs(range[1])) || 1;
  const size = Math.min(1, Math.abs(value) / top);
  const grown = scale === "sqrt" ? Math.sqrt(size) : size;
  if (!signed) return Math.round(255 * (value < 0 ? 0 : grown));
  return Math.round(127.5 + 127.5 * (value < 0 ? -grown : grown));
}

// The colours canvases need, read once per theme from the style sheet.
export function palette(root) {
  const style = getComputedStyle(root);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["page", "panel", "sunken", "line", "line-2", "ink", "ink-2", "ink-3"];
  const colors = Object.fromEntries(names.map((name) => [name.replace("-", ""), read(name)]));
  const signed = lut("signed");
  return {
    ...colors,
    family: (name) => read(`fam-${name}`) || colors.ink,
    bar: css(lut("magnitude")[160]),
    minus: css(signed[32]),
    plus: css(signed[223]),
  };
}

const hatches = new Map();

// 135° hatch at screen scale: out of reach, dropped, masked.
export function hatch(context, colors, dpr) {
  const key = `${colors.sunken}/${colors.line2}/${dpr}`;
  if (!hatches.has(key)) {
    const size = Math.max(4, Math.round(5 * dpr));
    const tile = document.createElement("canvas");
    tile.width = tile.height = size;
    const pen = tile.getContext("2d");
    pen.fillStyle = colors.sunken;
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = colors.line2;
    pen.globalAlpha = 0.5;
    pen.lineWidth = Math.max(1, dpr * 0.75);
    for (const shift of [-size, 0, size]) {
      pen.beginPath();
      pen.moveTo(shift - 1, size + 1);
      pen.lineTo(shift + size + 1, -1);
      pen.stroke();
    }
    hatches.set(key, tile);
  }
  return context.createPattern(hatches.get(key), "repeat");
}

const OUTLINES = {
  diamond: "8,1 15,8 8,15 1,8",
  pentagon: "8,1 15,6.3 12.3,14.4 3.7,14.4 1,6.3",
  triangle: "8,1.5 15,14 1,14",
  "triangle-down": "8,14.5 15,2 1,2",
  square: "2,2 14,2 14,14 2,14",
  plus: "5.5,1 10.5,1 10.5,5.5 15,5.5 15,10.5 10.5,10.5 10.5,15 5.5,15 5.5,10.5 1,10.5 1,5.5 5.5,5.5",
};

export function marker(family, size = 12) {
  const shape = FAMILIES[family]?.marker ?? "circle";
  const fill = `var(--fam-${family in FAMILIES ? family : "recursive"})`;
  const mark = OUTLINES[shape]
    ? svg("polygon", { points: OUTLINES[shape], fill })
    : svg("circle", {
        cx: 8,
        cy: 8,
        ...(shape === "ring" ? { r: 5.5, fill: "none", stroke: fill, "stroke-width": 3 } : { r: 7, fill }),
      });
  return svg(
    "svg",
    { viewBox: "0 0 16 16", width: size, height: size, class: "ba-marker", "aria-hidden": "true" },
    mark,
  );
}
