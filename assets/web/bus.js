// One event bus and one view state for all columns: layer, head, crosshair (t, s), scale, playback.
// `view` is what is shown now; `home` is where the crosshair rests when nothing is hovered (what a link stores).
// Events: "view" {changed, source, lasting}, "theme", "run", "resume", "copy", "toggle-theme", "key" {action}, "present" {on}.

export const bus = new EventTarget();
export const view = { layer: -1, head: -1, t: 0, s: 0, pinned: false, scale: "sqrt", playing: false };
export const home = { t: 0, s: 0 };
// Layer or head AUTO: in each column the one that reads the answers most.
export const AUTO = -1;
export const limits = { n: 1, layers: 1, heads: 1, questions: [], square: false }; // square: a row may read any column

let start = { t: 0, s: 0 };
let begun = false;
let wanted = 0; // the column asked for, kept while t passes below it

export const emit = (name, detail = {}) => bus.dispatchEvent(new CustomEvent(name, { detail }));

const clamp = (value, low, high) => Math.min(high, Math.max(low, Math.round(Number(value) || 0)));

const reach = (row, column) => (limits.square ? column : Math.min(column, row));

export const questionAt = (t) => limits.questions.find((question) => question.t === t);

function apply(next, source, lasting) {
  const changed = Object.keys(next).filter((key) => view[key] !== next[key]);
  if (!changed.length) return;
  Object.assign(view, next);
  emit("view", { changed, source, lasting });
}

// A lasting change. A new t without an s takes the source of its question, or keeps the column.
export function setView(patch, source = "") {
  const next = { ...patch };
  if ("layer" in next) next.layer = clamp(next.layer, AUTO, limits.layers - 1);
  if ("head" in next) next.head = clamp(next.head, AUTO, limits.heads - 1);
  if ("t" in next || "s" in next) {
    next.t = clamp(next.t ?? home.t, 0, limits.n - 1);
    if ("s" in patch) wanted = clamp(patch.s, 0, limits.n - 1);
    else wanted = questionAt(next.t)?.s ?? wanted;
    next.s = reach(next.t, wanted);
    Object.assign(home, { t: next.t, s: next.s });
  }
  apply(next, source, true);
}

export function hover(t, s, source = "hover") {
  const row = clamp(t, 0, limits.n - 1);
  apply({ t: row, s: reach(row, clamp(s, 0, limits.n - 1)) }, source, false);
}

export const leave = () => apply({ t: home.t, s: home.s }, "leave", false);

// A click pins a cell; a click on the pinned cell frees it and the crosshair rests where the run put it.
export function pin(t, s, source = "pin") {
  if (view.pinned && home.t === t && home.s === s) setView({ ...start, pinned: false }, source);
  else setView({ t, s, pinned: true }, source);
}

// Pages with a crosshair each have a view of their own: the one on the screen is live, the others are put away here.
const away = new Map(); // page -> what `view`, `home`, `limits` and the rest were
let shown = "compare";

export function enter(page) {
  if (page === shown) return;
  away.set(shown, { view: { ...view, playing: false }, home: { ...home }, limits: { ...limits }, start, begun, wanted });
  shown = page;
  const kept = away.get(page);
  view.playing = false;
  if (kept) {
    for (const [live, old] of [[view, kept.view], [home, kept.home], [limits, kept.limits]]) Object.assign(live, old);
    ({ start, begun, wanted } = kept);
  } else begun = false;
  emit("view", { changed: Object.keys(view), source: "page", lasting: false });
}

// A new run: its sizes, and the view it opens with. A page that is not on the screen gets them for later.
export function begin(sizes, opening, page = "compare") {
  if (page !== shown) {
    const now = shown;
    enter(page);
    begin(sizes, opening, page);
    return enter(now);
  }
  Object.assign(limits, { square: false }, sizes);
  start = { t: clamp(opening.t, 0, limits.n - 1), s: clamp(opening.s, 0, limits.n - 1) };
  const { layer = AUTO, head = AUTO, pinned = false } = opening;
  const scale = begun ? view.scale : (opening.scale ?? view.scale); // a person's choice outlives the run
  begun = true;
  return setView({ layer, head, scale, pinned, playing: false, ...start }, "run");
}

// A text that grows, or is complete: there are n tokens, and the crosshair rests elsewhere. It stays where somebody has
// pinned it, and under the pointer of whoever points at something.
export function rest(n, opening, page = "compare") {
  if (page !== shown) {
    const now = shown;
    enter(page);
    rest(n, opening, page);
    return enter(now);
  }
  limits.n = n;
  start = { t: clamp(opening.t, 0, n - 1), s: clamp(opening.s, 0, n - 1) };
  if (view.pinned) return setView({ t: home.t, s: home.s }, "run");
  const points = view.t !== home.t || view.s !== home.s;
  Object.assign(home, start);
  wanted = start.s;
  return points ? hover(view.t, view.s, "run") : apply({ ...start }, "run", true);
}

/** The layer that a column shows. */
export const layerOf = (col) =>
  view.layer === AUTO ? (col.reader?.layer ?? 0) : Math.min(view.layer, (col.layers?.length ?? 1) - 1);

/** The head that a column shows of one of its layers, which has `heads` of them. */
export const headOf = (col, layer, heads) =>
  Math.min(view.head === AUTO ? (col.reader?.heads?.[layer] ?? 0) : view.head, heads - 1);

/** One head on or back; AUTO lies between the last and the first. */
export function turnHead(by, source = "key") {
  const stops = limits.heads + 1;
  setView({ head: ((view.head + 1 + by + stops) % stops) - 1 }, source);
}

export const step = (by) => setView({ t: home.t + by, playing: false }, "step");

export function stepQuestion(by) {
  const rows = limits.questions.map((question) => question.t).sort((a, b) => a - b);
  const next = by > 0 ? rows.find((t) => t > home.t) : rows.findLast((t) => t < home.t);
  if (next !== undefined) setView({ t: next, playing: false }, "question");
}
