// What a person changes in a text before it is written on: words pinned, words masked again. Going on is a run of its own,
// from the canvas as it stands after the shown step; it stands beside the run that it left.

import { emit } from "./bus.js";

const [GAP, PINNED] = ["_", "+"];
const FREE = { standing: "", since: 0 };

export class Edits {
  constructor(ctx) {
    this.ctx = ctx;
    this.run = null; // whose text is changed
    this.words = new Map(); // place -> the pinned word, or "" to mask it again
    this.pending = null; // {parent, choices} of the branch that is asked for
    this.parent = null; // of the branch that is being written
  }

  steers(side) {
    return Boolean(side?.committed); // the twin writes on from left to right: there is nothing to steer
  }

  of(side) {
    return side && side === this.run ? this.words : null;
  }

  look(index) {
    const side = this.ctx.sides[index];
    if (this.steers(side) && side !== this.run && !this.words.size) this.run = side;
  }

  set(side, place, word) {
    if (!this.steers(side) || this.ctx.running || !place) return;
    if (side !== this.run) this.words.clear();
    this.run = side;
    const { state } = side.cell(this.ctx.step, place);
    if (!word && (state === "masked" || state === "unseen")) this.words.delete(place); // it is masked anyway
    else this.words.set(place, word);
    this.ctx.schedule("paint");
  }

  clear() {
    this.words.clear();
    this.ctx.schedule?.("paint");
  }

  // The canvas to go on from: a word for every place, or a gap.
  canvas(side, step) {
    return Array.from({ length: side.n - 1 }, (_, i) => {
      const edit = this.of(side)?.get(i + 1);
      if (edit !== undefined) return edit ? PINNED + edit : GAP;
      const { state, word } = side.cell(step, i + 1);
      return state === "given" ? PINNED + word : state === "committed" ? word : GAP;
    });
  }

  leavesOpen(side) {
    return this.canvas(side, this.ctx.from(this.ctx.sides.indexOf(side))).includes(GAP);
  }

  goOn(side, step) {
    if (!this.words.size || !this.leavesOpen(side)) return;
    const standing = this.canvas(side, step).join(" ");
    this.pending = { parent: side, choices: { ...side.payload.choices, standing, since: step } };
    emit("run");
  }

  // For the run that begins now: the branch that is asked for, or a run from the beginning.
  choices() {
    const { pending } = this;
    this.pending = null;
    this.parent = pending?.parent ?? null;
    return pending?.choices ?? FREE;
  }

  takeParent() {
    return this.parent;
  }
}
