// The maps of one model at one step: on the left the head that looks back one token most, on the right the one that
// finds what followed earlier (or the layer and head chosen for all models); below, both scores of every head over time.

import { AUTO, view } from "./bus.js";
import { gradient } from "./colors.js";
import { el, setText } from "./dom.js";
import { bound, fixed } from "./format.js";
import { columnName } from "./layers.js";
import { MatrixMap } from "./matrixmap.js";
import { badge, KINDS } from "./mixing.js";
import { StepChart } from "./stepchart.js";

const SIDES = [
  { name: "previous token", title: "Previous-token score" },
  { name: "induction", title: "Induction score" },
];
const NAMED = 3; // heads that get their name at the line's end
const STICKY = 0.02; // a head must be better by so much to take the place of the one that is shown

export class MapsCell {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    this.chosen = [null, null]; // [layer, head] of the two sides
    this.panels = SIDES.map((side, i) => this.panel(side, i));
    this.node = el(
      "div",
      { class: "ba-cell tr-maps", data: { column: String(index) } },
      (this.name = el("div")),
      el("div", { class: "tr-pair" }, ...this.panels.map((panel) => panel.node)),
    );
  }

  panel(side, i) {
    const panel = {
      side,
      map: new MatrixMap({ id: `${this.index}-${i}` }),
      left: el("span"),
      right: el("span"),
      foot: el("div", { class: "ba-foot" }),
      stage: el("div", { class: "tr-stage" }),
      chart: new StepChart({ title: side.title, height: 132, onStep: (step) => this.ctx.history.pick(step) }),
      caption: el("div", { class: "ba-cap" }, el("span", { text: side.title }), el("span", { class: "ba-second", text: "0 to 1" })),
    };
    panel.node = el(
      "div",
      { class: "tr-panel" },
      el("div", { class: "ba-cap" }, panel.left, panel.right),
      panel.stage,
      panel.foot,
      el("div", { class: "tr-scores" }, panel.caption, panel.chart.node),
    );
    return panel;
  }

  get column() {
    return this.ctx.columns[this.index];
  }

  // [layer, head] that a side shows, judged by the newest snapshot, so that scrubbing back follows one head.
  find(i) {
    const { scores } = this.ctx.store.newest.shots[this.index];
    const { maps } = this.column;
    if (i === 1 && view.layer !== AUTO) {
      const layer = Math.min(view.layer, maps.length - 1);
      const best = scores[layer].reduce((top, score, head) => ((score[1] ?? 0) > (scores[layer][top][1] ?? 0) ? head : top), 0);
      return [layer, Math.min(view.head === AUTO ? best : view.head, Math.max(0, maps[layer].heads - 1))];
    }
    const of = (place) => (place ? (scores[place[0]]?.[place[1]]?.[i] ?? -1) : -1);
    let best = this.chosen[i];
    const margin = best ? STICKY : 0;
    scores.forEach((layer, l) =>
      layer.forEach((score, head) => {
        if (i === 1 && view.head !== AUTO && head !== view.head) return;
        if (of([l, head]) > of(best) + (best === this.chosen[i] ? margin : 0)) best = [l, head];
      }),
    );
    if (i === 1 && view.head !== AUTO) return best ?? [0, 0];
    this.chosen[i] = best;
    return best ?? [maps.findIndex((one) => one.heads) < 0 ? 0 : maps.findIndex((one) => one.heads), 0];
  }

  resize() {
    for (const panel of this.panels) panel.map.resize(this.ctx.layout.grid);
  }

  paint() {
    if (!this.ctx.layout || !this.column) return;
    this.name.replaceChildren(columnName({ ...this.column, name: this.column.short }));
    this.name.firstChild.style.setProperty("--fam", this.ctx.color(this.index));
    this.panels.forEach((panel, i) => this.paintPanel(panel, i));
  }

  paintPanel(panel, i) {
    const { ctx, column } = this;
    const [layer, head] = this.find(i);
    panel.place = [layer, head];
    const info = column.maps[layer];
    const shot = ctx.store.current.shots[this.index];
    const score = shot.scores[layer]?.[head];
    const part = info.names[head] ?? "";
    const tight = ctx.layout.grid.size < 240;
    const short = `L${layer + 1} ${part.replace("head ", "h").replace("channel ", "c")}`;
    setText(panel.left, tight ? short : [`layer ${layer + 1}`, part].filter(Boolean).join(" · "));
    const said = tight && !i ? "previous" : panel.side.name;
    setText(panel.right, score && score[i] !== null ? `${said} ${fixed(score[i], 2)}` : said);
    panel.right.title = `${panel.side.title}: ${i ? "share of the weight on what followed the same token earlier" : "share of the weight on the token before"}`;
    this.paintScores(panel, i);
    if (!info.heads) return this.showNone(panel, info);
    if (panel.stage.firstChild !== panel.map.node) panel.stage.replaceChildren(panel.map.node);
    const values = ctx.store.values(this.index);
    if (values) this.paintMap(panel, values, info, shot);
    else if (ctx.store.lost(this.index)) this.showLost(panel, ctx.store.lost(this.index));
    return undefined; // else the map before stays until this one is here
  }

  paintMap(panel, values, info, shot) {
    const [layer, head] = panel.place;
    const size = (this.ctx.payload.n * (this.ctx.payload.n + 1)) / 2;
    const data = values.subarray(info.offset, info.offset + info.heads * size);
    const kind = KINDS[info.kind] ?? info.kind;
    panel.map.note = `${info.badge.kind} matrix, ${kind}.`;
    const label = `${this.column.name}, layer ${layer + 1}, ${info.names[head]}, after ${this.ctx.store.at} steps. Arrow keys move the crosshair.`;
    panel.map.paint({ data, head, meta: info, colors: this.ctx.colors, scale: view.scale, label, layer });
    panel.foot.replaceChildren(
      badge({ ...info.badge, residual: shot.residuals[layer] }),
      el(
        "span",
        { class: "ba-legend", title: view.scale === "sqrt" ? "square-root scale" : "linear scale" },
        el("span", { text: bound(info.range[0]) }),
        el("i", { style: { "background-image": gradient(info.kind === "signed" ? "signed" : "magnitude") } }),
        el("span", { text: bound(info.range[1]) }),
      ),
    );
    this.cursor();
  }

  showNone(panel, info) {
    panel.map.data = null;
    panel.foot.replaceChildren();
    panel.stage.replaceChildren(el("div", { class: "ba-box ba-none" }, badge({ kind: "none" }), el("p", { text: info.badge.why })));
  }

  showLost(panel, why) {
    panel.map.data = null;
    panel.foot.replaceChildren();
    panel.stage.replaceChildren(el("div", { class: "ba-box ba-none", role: "alert" }, el("p", { text: why })));
  }

  // A line a head; the head whose map is shown is thick, the next best ones are named.
  paintScores(panel, i) {
    const { ctx, index } = this;
    const heads = this.column.maps.flatMap((info, layer) => Array.from({ length: info.heads }, (_, head) => [layer, head]));
    const newest = ctx.store.newest.shots[index].scores;
    const known = heads.filter(([layer, head]) => newest[layer]?.[head]?.[i] !== null);
    known.sort(([a, b], [c, d]) => newest[c][d][i] - newest[a][b][i]);
    const current = ctx.store.current.shots[index].scores;
    const shown = ([layer, head]) => layer === panel.place[0] && head === panel.place[1];
    const series = known.map(([layer, head], rank) => ({
      color: ctx.color(index),
      label: `${layer + 1}.${head + 1}`,
      value: fixed(current[layer]?.[head]?.[i] ?? 0, 2),
      points: ctx.store.steps.map((step) => [step, ctx.store.snapshots.get(step).shots[index].scores[layer]?.[head]?.[i] ?? 0]),
      weak: !shown([layer, head]),
      unnamed: rank >= NAMED && !shown([layer, head]),
    }));
    panel.node.querySelector(".tr-scores").hidden = !series.length;
    series.sort((a, b) => b.weak - a.weak); // the thick one on top
    panel.chart.draw({ last: ctx.payload.step, top: 1, at: ctx.store.at, series, room: 70 });
  }

  cursor() {
    for (const { map } of this.panels) if (map.data) map.cursor(view.t, view.s, this.ctx.payload.prompt.tokens);
  }
}
