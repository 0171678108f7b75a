// What the Train page has heard of a run: its series, its snapshots, the maps fetched so far, and which step is shown.

import { loadMap } from "./blobs.js";

const SERIES = ["loss", "accuracy", "running_loss", "running_accuracy"];

export class Store {
  constructor(payload) {
    this.key = payload.key;
    this.series = payload.columns.map(() => Object.fromEntries(SERIES.map((name) => [name, []])));
    this.snapshots = new Map(); // step -> snapshot
    this.steps = [];
    this.blobs = new Map(); // blob -> Float32Array, or an error
    this.at = 0;
    this.follows = true; // the pictures show the newest snapshot
  }

  take(payload) {
    this.payload = payload;
    payload.columns.forEach((column, i) => this.extend(this.series[i], column, payload.from));
    for (const one of payload.snapshots) this.snapshots.set(one.step, one);
    if (!payload.missing) for (const [blob, held] of [...this.blobs]) if (held.unwritten) this.blobs.delete(blob);
    for (const [step, { shots }] of [...this.snapshots]) {
      if (payload.kept.includes(step)) continue;
      this.snapshots.delete(step);
      for (const { blob } of shots) this.blobs.delete(blob);
    }
    this.steps = [...this.snapshots.keys()].sort((a, b) => a - b);
    if (this.follows) this.at = this.steps.at(-1) ?? 0;
    else this.at = this.nearest(this.at);
  }

  // Points that would leave a gap are left out: the last payload of a run brings the whole.
  extend(kept, column, from) {
    for (const name of SERIES) {
      if (from > kept[name].length) return;
      kept[name].length = from;
      for (const value of column[name]) kept[name].push(value);
    }
  }

  choose(step) {
    this.at = step;
    this.follows = step === this.steps.at(-1);
  }

  nearest(step) {
    return this.steps.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best), this.steps[0] ?? 0);
  }

  get newest() {
    return this.snapshots.get(this.steps.at(-1));
  }

  get current() {
    return this.snapshots.get(this.at);
  }

  // The maps of the shown step, of every model.
  fetch() {
    const jobs = this.current?.shots.map(({ blob }) => {
      if (this.blobs.has(blob)) return null;
      const keep = (value) => this.blobs.set(blob, value);
      if (this.payload.missing) return keep(Object.assign(new Error(this.payload.missing), { unwritten: true }));
      return loadMap(this.payload.base + blob).then(keep, keep);
    });
    return Promise.all(jobs ?? []);
  }

  held(i) {
    return this.blobs.get(this.current.shots[i].blob);
  }

  values(i) {
    return this.held(i) instanceof Float32Array ? this.held(i) : null;
  }

  // Why there is no map, where the server could not write it or it did not arrive.
  lost(i) {
    const held = this.held(i);
    return held instanceof Error ? (held.unwritten ? held.message : "This map did not arrive") : "";
  }

  // The running mean of a model at the shown step.
  running(i, name) {
    return this.series[i][`running_${name}`][this.at - 1];
  }
}
