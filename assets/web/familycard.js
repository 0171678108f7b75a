// A member of the family as a link, and the card that says what it is: beside the link while a mouse or the keyboard is
// on it, at the bottom of the screen, with buttons, when a finger has touched it.

import { emit } from "./bus.js";
import { marker } from "./colors.js";
import { el } from "./dom.js";

const WAIT_MS = 120; // a mouse that only passes does not open cards
const WIDTH = 340;
const GAP = 8;

// A true link (it can be copied and opened in a new tab); a plain click opens Compare in this page.
export function openLink(member, ...content) {
  const node = el("a", { class: "fm-open", href: `?${member.open}`, data: { open: member.id } }, ...content);
  node.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    compare(member);
  });
  return node;
}

function compare(member) {
  const architectures = new URLSearchParams(member.open).get("architectures").split(",");
  emit("open-compare", { architectures });
}

function facts(member) {
  if (!member.published) return [];
  const [model, layers, context, caches] = member.published;
  const rows = [["Layers", layers], ["Context", context], ["Holds", caches], ["Source", member.source]];
  return [
    el("p", { class: "fm-model" }, el("b", { text: model }), ", as published"),
    el("dl", {}, ...rows.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value })))),
  ];
}

export class Card {
  constructor(setMorph) {
    this.setMorph = setMorph;
    this.node = el("div", { class: "fm-card", id: "fm-card", role: "tooltip", hidden: true });
    this.clock = 0;
    addEventListener("scroll", () => this.scrolled(), { passive: true });
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.hide());
  }

  attach(link, member) {
    let touched = false;
    link.addEventListener("pointerdown", (event) => {
      touched = event.pointerType === "touch";
    });
    link.addEventListener("click", (event) => {
      if (!touched) return this.hide();
      event.preventDefault();
      event.stopImmediatePropagation();
      return this.sheet(member);
    }, { capture: true });
    link.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.show(link, member, WAIT_MS));
    link.addEventListener("pointerleave", () => this.hide());
    link.addEventListener("focus", () => link.matches(":focus-visible") && this.show(link, member, 0));
    link.addEventListener("blur", () => this.hide());
  }

  content(member) {
    return [
      el("h3", {}, marker(member.family, 14), el("span", { text: member.name })),
      el("p", { class: "fm-when", text: `${member.family_name} · ${member.when}` }),
      el("p", { text: member.summary }),
      ...facts(member),
      el("p", { class: "fm-paper", text: member.paper }),
      member.oracle ? el("p", { class: "fm-paper", text: member.oracle }) : "",
    ];
  }

  show(link, member, wait) {
    clearTimeout(this.clock);
    this.link = link;
    this.clock = setTimeout(() => {
      this.node.replaceChildren(
        ...this.content(member),
        el("p", { class: "fm-does", text: `Opens in Compare, beside ${member.beside}` }),
      );
      this.node.hidden = false;
      link.setAttribute("aria-describedby", this.node.id);
      this.place(link.getBoundingClientRect());
    }, wait);
  }

  // Moving on with the keyboard scrolls the page itself: that card stays beside its link.
  scrolled() {
    if (!this.link?.matches(":focus-visible")) this.hide();
    else if (!this.node.hidden) this.place(this.link.getBoundingClientRect());
  }

  place(at) {
    const wide = Math.min(WIDTH, innerWidth - 2 * GAP);
    this.node.style.width = `${wide}px`;
    const tall = this.node.offsetHeight;
    const below = at.bottom + GAP + tall <= innerHeight;
    const top = below ? at.bottom + GAP : Math.max(GAP, at.top - GAP - tall);
    this.node.style.left = `${Math.max(GAP, Math.min(at.left, innerWidth - wide - GAP))}px`;
    this.node.style.top = `${top}px`;
  }

  hide() {
    clearTimeout(this.clock);
    this.node.hidden = true;
    this.link?.removeAttribute("aria-describedby");
    this.link = null;
  }

  sheet(member) {
    const button = (text, act) =>
      el("button", {
        class: "ba-button",
        type: "button",
        text,
        on: {
          click: () => {
            dialog.close();
            act?.();
          },
        },
      });
    const acts = [button(`Compare with ${member.beside}`, () => compare(member))];
    if (member.switches) acts.push(button("Morph", () => this.setMorph(member)));
    acts.push(button("Close"));
    const dialog = el(
      "dialog",
      { class: "ba fm-sheet", aria: { label: member.name } },
      ...this.content(member),
      el("div", { class: "fm-acts" }, ...acts),
    );
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }
}
