// The token-mixing cell of one column: caption, map, row profile, badge and legend, or the state it is in.

import { headOf, layerOf, emit, view } from "./bus.js";
import { gradient } from "./colors.js";
import { el, setText } from "./dom.js";
import { bound, residual } from "./format.js";
import { grid, MatrixMap } from "./matrixmap.js";
import { Profile, signedRange } from "./profile.js";
import { columnName } from "./layers.js";
import { beyond, wordsOf } from "./words.js";

export const KINDS = {
  stochastic: "row-stochastic",
  signed: "signed, share of its row",
  jacobian: "sensitivity, share of its row",
};

export function badge(info) {
  const kind = info?.kind ?? "none";
  const word = { exact: "exact", approximate: "approximate", jacobian: "Jacobian", none: "no matrix" }[kind] ?? kind;
  const why = { exact: () => `‖Mv−o‖ ${residual(info.residual)}`, jacobian: () => "|∂h/∂x|" }[kind]?.() ?? info?.why ?? "";
  return el(
    "span",
    { class: `ba-badge ba-badge-${kind}`, title: [word, why, info?.why].filter(Boolean).join(", ") },
    el("i", { class: "ba-badge-mark", aria: { hidden: "true" } }),
    el("span", { text: word }),
    el("span", { class: "ba-badge-why", text: why }),
  );
}

export class MixingCell {
  constructor(ctx, index) {
    this.ctx = ctx;
    this.index = index;
    const { id } = ctx.columns[index].col;
    this.map = new MatrixMap({ id, onSecondTap: () => this.enlarge() });
    this.profile = new Profile(this.map);
    this.left = el("span", { class: "ba-cap-map" });
    this.right = el("span", { class: "ba-cap-kind ba-second" });
    this.row = el("span");
    this.range = el("span", { class: "ba-second" });
    this.foot = el("div", { class: "ba-foot" });
    this.under = el(
      "div",
      { class: "ba-under" },
      el("div", { class: "ba-cap" }, this.row, this.range),
      this.profile.node,
      this.foot,
    );
    this.stage = el("div", { class: "ba-stage" });
    this.node = el(
      "div",
      { class: "ba-cell ba-mixing", data: { column: id } },
      columnName(ctx.columns[index].col),
      el("div", { class: "ba-cap" }, this.left, this.right),
      this.stage,
    );
  }

  get slot() {
    return this.ctx.columns[this.index];
  }

  tokens() {
    return wordsOf(this.ctx.payload, this.slot.col);
  }

  layer() {
    return layerOf(this.slot.col);
  }

  resize() {
    this.map.resize(this.ctx.layout.grid);
    this.profile.resize();
  }

  paint() {
    const { col, maps } = this.slot;
    this.node.dataset.state = col.status;
    if (col.status !== "done") return this.showState();
    const layer = this.layer();
    const info = col.maps?.[layer];
    if (!info?.blob) return this.showNone(info);
    const data = maps.get(layer);
    if (!data && this.slot.errors.has(layer)) return this.showFailed(this.slot.errors.get(layer));
    if (!data) return undefined; // the picture of the layer before stays until this one is here
    const head = headOf(col, layer, info.heads);
    if (this.stage.firstChild !== this.map.node) this.stage.replaceChildren(this.map.node, this.under);
    setText(this.left, this.caption(layer, head));
    setText(this.right, KINDS[info.kind] ?? info.kind);
    this.map.note = `${info.badge?.kind ?? "no"} matrix, ${KINDS[info.kind] ?? ""}.`;
    const label = `${col.name}, token mixing, layer ${layer + 1}, ${info.names?.[head] ?? `head ${head + 1}`}. Arrow keys move the crosshair.`;
    this.map.paint({ data, head, meta: info, colors: this.ctx.colors, scale: view.scale, label, layer });
    this.foot.replaceChildren(
      badge(info.badge),
      el(
        "span",
        { class: "ba-legend", title: view.scale === "sqrt" ? "square-root scale" : "linear scale" },
        el("span", { text: bound(info.range[0]) }),
        el("i", { style: { "background-image": gradient(info.kind === "signed" ? "signed" : "magnitude") } }),
        el("span", { text: bound(info.range[1]) }),
      ),
    );
    this.remember();
    return this.cursor();
  }

  caption(layer, head) {
    const {
      col,
      grid: { k },
    } = this.ctx.layout;
    const part = this.slot.col.maps[layer].names?.[head] ?? `head ${head + 1}`;
    if (k === 1) return `layer ${layer + 1} · ${part}`;
    const short = part.replace("head ", "h").replace("channel ", "c");
    const where = col < 240 ? `L${layer + 1} ${short}` : `layer ${layer + 1} · ${part}`;
    return `${where} · ${k} tokens a pixel`;
  }

  // The picture a later run shows, faint, while it measures.
  remember() {
    const copy = document.createElement("canvas");
    copy.width = this.map.base.width;
    copy.height = this.map.base.height;
    copy.getContext("2d").drawImage(this.map.base, 0, 0);
    this.ctx.previous.set(this.slot.col.id, copy);
  }

  cursor() {
    if (this.slot.col.status !== "done" || !this.map.data) return;
    const { t, s } = view;
    this.map.cursor(t, s, this.tokens(), beyond(this.slot.col));
    const signed = this.map.meta.kind === "signed";
    const range = signed ? this.ctx.rowRange(t) : 1;
    this.profile.cursor(t, s, range);
    setText(this.row, `row ${t}`);
    setText(this.range, signed ? `−${bound(range)} to ${bound(range)}, linear` : "0 to 1, linear");
  }

  showNone(info) {
    setText(this.left, `layer ${this.layer() + 1}`);
    setText(this.right, "");
    this.map.data = null;
    this.stage.replaceChildren(
      el(
        "div",
        { class: "ba-box ba-none" },
        badge({ kind: "none" }),
        el("p", { text: info?.badge?.why || "There is no token-to-token matrix to show." }),
      ),
    );
  }

  showFailed(error) {
    this.map.data = null;
    this.stage.replaceChildren(
      el(
        "div",
        { class: "ba-box ba-failed", role: "alert" },
        el("h4", { text: error?.title || "This column failed" }),
        el("p", { text: error?.text || "The other columns ran." }),
        el("button", { class: "ba-button", type: "button", text: "Try again", on: { click: () => emit("run") } }),
      ),
    );
  }

  showState() {
    const { col } = this.slot;
    const { payload } = this.ctx;
    setText(this.left, "");
    setText(this.right, "");
    if (col.status === "failed") return this.showFailed(col.error);
    const over = payload.status === "stopped" || payload.status === "failed";
    const running = !over && col.status === "running";
    const words = over ? "Stopped before this column" : running ? payload.progress?.text || "Running" : "Waiting";
    const before = this.ctx.previous.get(col.id);
    if (before) before.className = "ba-before";
    const share = running ? Math.max(0.02, (payload.progress?.done ?? 0) / Math.max(1, payload.progress?.of ?? 1)) : 0;
    const right = over
      ? el("button", { class: "ba-button", type: "button", text: "Resume", on: { click: () => emit("run") } })
      : el("span", { class: "ba-seconds", text: running ? this.ctx.seconds() : "" });
    this.stage.replaceChildren(
      el(
        "div",
        { class: "ba-box ba-loading" },
        el("div", { class: "ba-loading-picture" }, before ?? null),
        el("i", { class: "ba-progress", style: { width: `${100 * share}%` } }),
        el("div", { class: "ba-strip-words" }, el("span", { text: words }), right),
      ),
    );
    return undefined;
  }

  tick() {
    const node = this.slot.col.status === "running" && this.stage.querySelector(".ba-seconds");
    if (node) setText(node, this.ctx.seconds());
  }

  // Phones: the same map at the full width of the screen.
  enlarge() {
    if (!this.ctx.layout.phone || !this.map.data) return;
    const { col } = this.slot;
    const map = new MatrixMap({ id: col.id });
    const profile = new Profile(map);
    const draw = () => {
      map.cursor(view.t, view.s, this.tokens(), beyond(col));
      profile.cursor(view.t, view.s, map.meta.kind === "signed" ? signedRange([map], view.t) : 1);
    };
    const close = el("button", {
      class: "ba-button",
      type: "button",
      text: "Close",
      on: { click: () => dialog.close() },
    });
    const dialog = el(
      "dialog",
      { class: "ba ba-sheet", aria: { label: `${col.name}, map at full width` } },
      el("div", { class: "ba-sheet-head" }, columnName(col), close),
      map.node,
      profile.node,
    );
    dialog.addEventListener("close", () => {
      this.ctx.extras.delete(draw);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
    map.resize(grid(this.ctx.payload.n, dialog.clientWidth - 32));
    profile.resize();
    const { data, head, meta } = this.map;
    map.paint({
      data,
      head,
      meta,
      colors: this.ctx.colors,
      scale: view.scale,
      label: `${col.name}, map at full width`,
      layer: this.layer(),
    });
    this.ctx.extras.add(draw);
    draw();
  }
}
