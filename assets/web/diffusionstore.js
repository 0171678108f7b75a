// What the Diffusion page has heard: frames unpacked, and what stands at a place after a step. The denoiser's runs and the
// twin's text answer the same questions, so every picture can be drawn of either.
//
// A cell: {state, word, p, entropy, at, fresh}. States: given (by the person), committed, masked (word: the best guess),
// unseen (masked, and not looked at in this step), unread (given, but the twin cannot know), unfilled (not written).

import { loadState } from "./blobs.js";

const [TOP, SHARE, NATS] = [8, 65535, 8];
const HIDDEN = "<mask>";

class Reader {
  constructor(bytes) {
    this.words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1);
    this.at = 0;
  }

  take(count) {
    this.at += count;
    return this.words.subarray(this.at - count, this.at);
  }
}

const sums = (values) => values.reduce((all, value) => [...all, all.at(-1) + value], [0]);

// One run of the denoiser. A branch (`parent`: the run it left) shows its parent's frames up to the step it left it at.
export class Run {
  constructor(payload, reader, parent) {
    const { n, denoiser, opening, given, branch } = payload;
    const steps = denoiser.passes.length;
    const all = steps * n;
    Object.assign(this, { payload, n, parent, opening, since: branch?.since ?? 0, writer: payload.writers[0] });
    this.vocabulary = payload.vocabulary.split(" ");
    this.fixed = new Set(given);
    this.last = this.since + steps;
    [this.tokens, this.guesses, this.fresh, this.confidence, this.entropies] = Array.from({ length: 5 }, () => reader.take(all));
    [this.top, this.chances] = [reader.take(all * TOP), reader.take(all * TOP)];
    this.ms = sums(denoiser.ms);
    this.committed = new Uint8Array(n); // the step that committed a place; 0: none of this run's
    for (let i = 0; i < all; i++) if (this.fresh[i]) this.committed[i % n] = this.since + Math.floor(i / n) + 1;
  }

  index(step, place) {
    return (step - this.since - 1) * this.n + place;
  }

  stood(place) {
    return this.vocabulary[this.opening[place]] !== HIDDEN;
  }

  cell(step, place) {
    if (step < this.since) return this.parent.cell(step, place);
    if (this.stood(place)) {
      const word = this.vocabulary[this.opening[place]];
      if (this.fixed.has(place) || !this.parent) return { state: "given", word, p: 1, entropy: 0, at: 0, fresh: false };
      return { ...this.parent.cell(this.since, place), fresh: false };
    }
    const at = this.committed[place];
    const seen = at && at <= step ? at : Math.min(step, this.last);
    if (seen === this.since) {
      const before = this.parent?.cell(seen, place);
      return before?.state === "masked" ? before : { state: "masked", word: "", p: 0, entropy: 0, at: 0, fresh: false };
    }
    const i = this.index(seen, place);
    const [p, entropy] = [this.confidence[i] / SHARE, (NATS * this.entropies[i]) / SHARE];
    if (at && at <= step) return { state: "committed", word: this.vocabulary[this.tokens[i]], p, entropy, at, fresh: at === step };
    const word = this.vocabulary[this.guesses[i]];
    return word === HIDDEN ? { state: "unseen", word: "", p: 0, entropy: 0, at: 0, fresh: false } : { state: "masked", word, p, entropy, at: 0, fresh: false };
  }

  // What could have stood at a place, as the step said that committed it, or as this one says.
  choices(step, place) {
    const { state, at, word } = this.cell(step, place);
    if (state === "given" || state === "unseen" || !step) return { words: [], p: [], word, step: 0 };
    const seen = at || Math.min(step, this.last);
    if (seen <= this.since) return this.parent && at ? this.parent.choices(this.since, place) : { words: [], p: [], word, step: 0 };
    const i = this.index(seen, place) * TOP;
    const known = [...this.chances.subarray(i, i + TOP)].filter(Boolean);
    return { words: known.map((_, k) => this.vocabulary[this.top[i + k]]), p: known.map((chance) => chance / SHARE), word: at ? word : "", step: seen };
  }

  // After a step: places that stand, passes, milliseconds, bytes kept.
  figures(step) {
    if (step < this.since) return this.parent.figures(step);
    const own = Math.min(step, this.last) - this.since;
    const { denoiser } = this.payload;
    const before = this.parent?.figures(this.since) ?? { passes: 0, ms: 0 };
    const places = Array.from({ length: this.n - 1 }, (_, i) => this.cell(step, i + 1).state);
    const stands = places.filter((state) => state === "given" || state === "committed").length;
    return { stands, passes: before.passes + (own ? denoiser.passes[own - 1] : 0), ms: before.ms + this.ms[own], held: own ? (denoiser.held[own - 1] ?? 0) : 0, of: before.passes + (denoiser.passes.at(-1) ?? 0) };
  }

  get verdict() {
    return this.payload.denoiser.verdict;
  }

  // Of a branch: the words that were pinned where it left its parent.
  get pinned() {
    return [...this.fixed].filter((place) => this.parent?.cell(this.since, place).state !== "given").map((place) => this.vocabulary[this.opening[place]]);
  }

  // The maps of a step: {blob, n, from, to (rows that were read), layers}; null where there are none.
  maps(step) {
    if (step <= this.since && this.parent) return this.parent.maps(step);
    const own = Math.max(1, Math.min(step, this.last) - this.since);
    const { denoiser } = this.payload;
    if (!denoiser.maps.length) return null;
    const [from, to] = denoiser.rows[own - 1];
    return { base: `${this.payload.base}d-${own}-`, n: this.n, from, to: Math.min(to, this.n), layers: denoiser.maps, step: this.since + own };
  }

  get mapLayers() {
    return this.payload.denoiser.maps;
  }
}

// The twin's text, as far as it has come after as many passes as the denoiser's (or in as much time).
export class Twin {
  constructor(payload, reader, run) {
    const { twin, n } = payload;
    const count = twin.ms.length;
    Object.assign(this, { payload, twin, n, run, writer: payload.writers[1], vocabulary: run.vocabulary, last: run.last, count });
    [this.confidence, this.entropies] = [reader.take(count), reader.take(count)];
    [this.top, this.chances] = [reader.take(count * TOP), reader.take(count * TOP)];
    this.unread = new Map(twin.unread);
    this.ms = sums(twin.ms);
    this.pace = "passes";
  }

  set pace(pace) {
    const steps = Array.from({ length: this.last + 1 }, (_, step) => this.run.figures(step));
    const within = ({ passes, ms }) => (pace === "passes" ? passes : Math.max(0, this.ms.findLastIndex((spent) => spent <= ms)));
    this.written = steps.map((figures) => Math.min(this.count, within(figures)));
  }

  stepOf(word) {
    return this.written.findIndex((written) => written > word);
  }

  cell(step, place) {
    const { given, tokens } = this.twin;
    const word = this.vocabulary[tokens[place]];
    if (place < given) return { state: "given", word, p: 1, entropy: 0, at: 0, fresh: false };
    const i = place - given;
    const written = this.written[Math.min(step, this.last)];
    if (i < written) {
      const at = this.stepOf(i);
      const off = this.unread.has(place) && this.unread.get(place) !== tokens[place] ? this.vocabulary[this.unread.get(place)] : "";
      return { state: "committed", word, p: this.confidence[i] / SHARE, entropy: (NATS * this.entropies[i]) / SHARE, at, fresh: at === step, off };
    }
    const unread = this.unread.get(place);
    return unread === undefined ? { state: "unfilled", word: "", p: 0, entropy: 0, at: 0, fresh: false } : { state: "unread", word: this.vocabulary[unread], p: 0, entropy: 0, at: 0, fresh: false };
  }

  choices(step, place) {
    const { state, word, at } = this.cell(step, place);
    if (state !== "committed") return { words: [], p: [], word, step: 0 };
    const i = (place - this.twin.given) * TOP;
    const known = [...this.chances.subarray(i, i + TOP)].filter(Boolean);
    return { words: known.map((_, k) => this.vocabulary[this.top[i + k]]), p: known.map((chance) => chance / SHARE), word, step: at };
  }

  figures(step) {
    const written = this.written[Math.min(step, this.last)];
    const { held, given } = this.twin;
    return { stands: written + given - 1, passes: written, ms: this.ms[written], held: written ? (held[written - 1] ?? 0) : 0, of: this.written.at(-1) };
  }

  get verdict() {
    return this.written.at(-1) === this.count ? this.twin.verdict_whole : this.written.at(-1) === this.twin.allowed ? this.twin.verdict : null;
  }

  // All passes are in one map: a row is read in the pass that needs it, and stays.
  maps(step) {
    if (!this.twin.maps.length) return null;
    const { given, tokens } = this.twin;
    const read = Math.max(1, this.written[Math.min(step, this.last)]) + given - 1;
    return { base: `${this.payload.base}t-1-`, n: tokens.length, from: 0, to: read, layers: this.twin.maps, step };
  }

  get mapLayers() {
    return this.twin.maps;
  }
}

// {run, twin} of a finished payload.
export async function opened(payload, parent) {
  const reader = new Reader(await loadState(`${payload.base}frames`));
  const run = new Run(payload, reader, parent);
  return { run, twin: payload.twin ? new Twin(payload, reader, run) : null };
}
