// Small helpers for building elements. Text always goes through textContent: prompts are user input.

const SVG = "http://www.w3.org/2000/svg";

// el("button", {class: "x", text: "Run", data: {column: "mha"}, aria: {label: "…"}, on: {click}}, child, …)
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key === "data") Object.assign(node.dataset, value);
    else if (key === "aria") for (const [name, v] of Object.entries(value)) node.setAttribute(`aria-${name}`, v);
    else if (key === "on") for (const [name, fn] of Object.entries(value)) node.addEventListener(name, fn);
    else if (key === "style") for (const [name, v] of Object.entries(value)) node.style.setProperty(name, v);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const SHAPES = {
  tick: { d: "M2 7.4 5.4 10.8 12 3.2", stroke: 2.2 },
  cross: { d: "M3 3 11 11 M11 3 3 11", stroke: 2.8 },
  play: { d: "M3 1.5 12.5 7 3 12.5Z", fill: true },
  pause: { d: "M3 2H6V12H3Z M8 2H11V12H8Z", fill: true },
};

export function icon(name, size = 14) {
  const shape = SHAPES[name];
  const path = svg(
    "path",
    shape.fill
      ? { d: shape.d, fill: "currentColor" }
      : { d: shape.d, fill: "none", stroke: "currentColor", "stroke-width": shape.stroke },
  );
  return svg(
    "svg",
    { viewBox: "0 0 14 14", width: size, height: size, class: `ba-icon ba-icon-${name}`, "aria-hidden": "true" },
    path,
  );
}

// Writes only when something changes, so that hover does not invalidate layout for nothing.
export function setText(node, text) {
  const first = node.firstChild;
  if (first && first === node.lastChild && first.nodeType === 3) {
    if (first.nodeValue !== text) first.nodeValue = text;
  } else if (node.textContent !== text) node.textContent = text;
}

// A canvas of whole device pixels; returns its 2d context.
export function sizeCanvas(canvas, width, height, dpr) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.style.width = `${width / dpr}px`;
  canvas.style.height = `${height / dpr}px`;
  return canvas.getContext("2d");
}

export const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

let counter = 0;
export const uid = (prefix) => `${prefix}-${++counter}`;
