// The Family page: the table of recurrences, those that keep their tokens, the hybrids, Morph, and the timeline.
// What the payload calls a member is an architecture with its place in the family.

import { bus } from "./bus.js";
import { marker } from "./colors.js";
import { el } from "./dom.js";
import { Card, openLink } from "./familycard.js";
import { formula } from "./formula.js";
import { Morph } from "./morph.js";
import { section } from "./sections.js";
import { Timeline } from "./timeline.js";

const GROUPS = [
  ["no decay", 1],
  ["fixed", 2],
  ["chosen by each token", 2],
];

const byDate = (a, b) => a.date.localeCompare(b.date);

class FamilyPage {
  constructor(root) {
    this.root = root;
    root.classList.add("ba", "ba-family");
    root.dataset.view = "family";
    this.card = new Card((member) => this.setMorph(member));
    this.morph = new Morph(root);
    bus.addEventListener("theme", () => this.morph.onTheme());
  }

  update(payload) {
    if (payload.overview) this.build(payload.overview);
    else if (!payload.error) this.morph.update(payload);
  }

  choices() {
    return this.morph.choices();
  }

  // ---- structure

  build(overview) {
    this.overview = overview;
    this.members = overview.members;
    const note = (word, name, text) =>
      el("p", { class: `ba-note ba-${name}` }, el("b", { text: word }), el("span", { text }));
    const notes = el(
      "div",
      { class: "ba-notes" },
      note("Look for", "look", overview.look),
      note("Not shown", "not-shown", overview.not_shown),
    );
    const parts = {
      table: section("recurrences", "Recurrences", "how the old state fades, and what is written: "),
      keeps: section("keeps", "Attention", "keeps tokens, not a state"),
      hybrids: section("hybrids", "Hybrids", "recurrent layers to other layers, as published"),
      morph: section("morph", "Morph", overview.morph_caption, this.morph.tools),
      timeline: section("timeline", "Timeline", "paper or model card, by month"),
    };
    const caption = parts.table.node.querySelector(".ba-caption");
    caption.append(formula("S_t = fade · S_{t−1} + write"));
    parts.table.row.replaceWith(this.table());
    parts.keeps.row.replaceWith(this.keeps());
    parts.hybrids.row.replaceWith(this.hybrids());
    parts.morph.row.replaceWith(this.morph.node);
    this.timeline = new Timeline(this.members, (member) => this.link(member));
    parts.timeline.row.replaceWith(this.timeline.node);
    this.root.replaceChildren(notes, ...Object.values(parts).map((part) => part.node), this.card.node);
    this.morph.build(overview);
    this.timeline.watch();
  }

  // A member as a link into Compare, with its card.
  link(member, text = member.name) {
    const node = openLink(member, marker(member.family, 12), el("span", { class: "fm-name", text }));
    this.card.attach(node, member);
    return node;
  }

  setter(member) {
    return el("button", {
      class: "fm-set",
      type: "button",
      text: "Morph",
      title: "Sets the switches below like this",
      aria: { label: `Morph: set the switches of ${member.name}` },
      on: { click: () => this.setMorph(member) },
    });
  }

  chip(member) {
    const marks = member.marks.map((mark) => el("span", { class: "fm-mark", text: mark }));
    const set = member.switches ? this.setter(member) : null;
    return el(
      "div",
      { class: "fm-chip", data: { member: member.id, family: member.family } },
      el("div", { class: "fm-line" }, this.link(member, member.chip), set),
      marks.length ? el("div", { class: "fm-marks" }, ...marks) : null,
    );
  }

  // Columns: ever finer ways to forget. Rows: whether a write erases first.
  table() {
    const { columns, rows } = this.overview;
    const head = [
      el("div", { class: "fm-corner", role: "presentation" }),
      ...GROUPS.map(([name, span]) =>
        el("div", { class: "fm-group", style: { "grid-column": `span ${span}` } }, el("b", { text: name })),
      ),
      el("div", { class: "fm-corner", role: "presentation" }),
      ...columns.map((column) =>
        el(
          "div",
          { class: "fm-column" },
          el("span", { text: column.name.split(", ")[1] ?? "" }),
          formula(column.formula),
        ),
      ),
    ];
    const body = rows.flatMap((row) => [
      el("div", { class: "fm-row" }, el("b", { text: row.name }), formula(row.formula)),
      ...columns.map((column) => this.cell(row, column)),
    ]);
    return el("div", { class: "fm-table" }, ...head, ...body);
  }

  cell(row, column) {
    const here = this.members
      .filter((m) => m.band === "recurrent" && m.decay === column.key && m.erase === row.erase)
      .sort(byDate);
    const label = `${row.name} · ${column.name}`;
    return el(
      "div",
      { class: here.length ? "fm-cell" : "fm-cell fm-none", role: "group", aria: { label } },
      el("h3", { class: "fm-cell-name", text: label }),
      ...(here.length ? here.map((member) => this.chip(member)) : [this.nobody(row, column)]),
    );
  }

  // A cell in which no architecture stands can still be tried.
  nobody(row, column) {
    const member = { name: `${row.name}, ${column.name}`, switches: { ...this.overview.defaults, decay: column.key, erase: row.erase } };
    return el("div", { class: "fm-line" }, el("span", { text: "none in this zoo" }), this.setter(member));
  }

  keeps() {
    const cells = this.overview.keeps.map((kind) =>
      el(
        "div",
        { class: "fm-kind" },
        el("h3", {}, el("b", { text: kind.name }), el("span", { text: kind.says })),
        ...this.members.filter((m) => m.keeps === kind.key).sort(byDate).map((member) => this.chip(member)),
      ),
    );
    return el("div", { class: "fm-kinds" }, ...cells);
  }

  // A hybrid shows what it combines, in the colours of its parts.
  hybrids() {
    const part = (item) => el("span", { class: "fm-part" }, marker(item.family, 10), el("span", { text: item.name }));
    const found = this.members.filter((m) => m.band === "hybrid").sort(byDate);
    const cells = found.map((member) => {
      const [first, second] = member.parts;
      const between = member.ratio ? member.ratio.replace(":", " : ") : "and";
      const chip = this.chip(member);
      chip.append(el("div", { class: "fm-parts" }, part(first), el("b", { text: between }), part(second)));
      return chip;
    });
    return el("div", { class: "fm-hybrids" }, ...cells);
  }

  setMorph(member) {
    this.card.hide();
    this.morph.set(member.switches);
    this.morph.node.closest("section").scrollIntoView({ block: "start", behavior: "auto" });
    this.morph.node.querySelector("[role=radio][aria-checked=true]")?.focus({ preventScroll: true });
  }
}

export function mountFamily(element) {
  const page = new FamilyPage(element);
  return { update: (payload) => page.update(payload), choices: () => page.choices(), page };
}
