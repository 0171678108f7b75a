// The timeline: a lane a family, a marker at the month, its name beside it. Names that would touch go to another line of
// their lane; the layout depends on the width alone. On a narrow page the same becomes a list by year.

import { FAMILIES } from "./colors.js";
import { el } from "./dom.js";

const NARROW = 900;
const SIDE = 132; // lane names
const LINE = 24;
const LANE_PAD = 8;
const MARK = 12;
const APART = 10;
const FONT = "13px -apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
const SHORT = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

const months = (date) => {
  const [year, month] = date.split("-").map(Number);
  return 12 * year + month - 1;
};

// Which line each name stands on, and on which side of its marker. Items come in order of their dates.
export function arrange(items, right) {
  const lines = []; // the stretches taken on each line
  return items.map(({ x, wide }) => {
    const half = MARK / 2;
    const toRight = [x - half, x + half + 5 + wide];
    const toLeft = [x - half - 5 - wide, x + half];
    const sides = toRight[1] <= right ? [toRight] : [toLeft];
    for (let line = 0; ; line++) {
      const taken = (lines[line] ??= []);
      const free = sides.find(([from, to]) => taken.every(([a, b]) => to + APART <= a || from >= b + APART));
      if (!free) continue;
      taken.push(free);
      return { line, left: free === toLeft };
    }
  });
}

export class Timeline {
  constructor(members, link) {
    this.members = [...members].sort((a, b) => a.date.localeCompare(b.date));
    this.link = link;
    this.node = el("div", { class: "fm-timeline" });
    this.wide = 0;
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = FONT;
    this.measure = (text) => Math.ceil(pen.measureText(text).width);
    const years = this.members.map((member) => Number(member.date.slice(0, 4)));
    this.years = Array.from({ length: Math.max(...years) - Math.min(...years) + 1 }, (_, i) => Math.min(...years) + i);
  }

  watch() {
    new ResizeObserver(() => this.place()).observe(this.node);
  }

  place() {
    const wide = this.node.clientWidth;
    if (!wide || wide === this.wide) return;
    this.wide = wide;
    if (this.node.contains(document.activeElement)) this.focused = document.activeElement.dataset.open;
    const narrow = wide < NARROW;
    this.node.classList.toggle("fm-list", narrow);
    this.node.replaceChildren(...(narrow ? this.list() : this.lanes(wide)));
    if (this.focused) this.node.querySelector(`[data-open="${CSS.escape(this.focused)}"]`)?.focus();
    this.focused = null;
  }

  lanes(wide) {
    const first = 12 * this.years[0];
    const unit = (wide - SIDE) / (12 * this.years.length);
    const at = (month) => SIDE + (month - first) * unit;
    const present = Object.keys(FAMILIES).filter((family) => this.members.some((member) => member.family === family));
    const lanes = present.map((family) => this.lane(family, at, wide));
    const grid = this.years.map((year) =>
      el("div", { class: "fm-year", style: { left: `${Math.round(at(12 * year))}px` } }, el("span", { text: String(year) })),
    );
    return [el("div", { class: "fm-grid", aria: { hidden: "true" } }, ...grid), ...lanes];
  }

  lane(family, at, wide) {
    const items = this.members
      .filter((member) => member.family === family)
      .map((member) => ({ member, x: Math.round(at(months(member.date) + 0.5)), wide: this.measure(member.name) }));
    const places = arrange(items, wide);
    const count = 1 + Math.max(...places.map((place) => place.line));
    const links = items.map(({ member, x, wide: name }, i) => {
      const { line, left } = places[i];
      const node = this.link(member);
      const start = left ? x - MARK / 2 - 5 - name : x - MARK / 2;
      node.classList.toggle("fm-left", left);
      node.style.left = `${start}px`;
      node.style.top = `${LANE_PAD + line * LINE}px`;
      node.setAttribute("aria-label", `${member.name}, ${member.when}`);
      return node;
    });
    return el(
      "div",
      { class: "fm-lane", role: "group", style: { height: `${2 * LANE_PAD + count * LINE}px` }, aria: { label: FAMILIES[family].name } },
      el("b", { class: "fm-lane-name" }, FAMILIES[family].name),
      ...links,
    );
  }

  list() {
    return this.years.map((year) => {
      const rows = this.members
        .filter((member) => member.date.startsWith(String(year)))
        .map((member) => el("div", { class: "fm-event" }, el("span", { text: SHORT[Number(member.date.slice(5)) - 1] }), this.link(member)));
      return el("div", { class: "fm-list-year" }, el("b", { text: String(year) }), el("div", {}, ...(rows.length ? rows : [el("span", { class: "fm-none", text: "–" })])));
    });
  }
}

