// Which blobs the pictures on the screen need: one map a column, the states on show; the rest waits until asked for.

import { layerOf } from "./bus.js";
import { loadMap, loadState } from "./blobs.js";

// `missing`: why the server could not write this run's blobs; then none is asked for.
export async function fetchNeeded(columns, { base, missing }) {
  const jobs = [];
  for (const slot of columns) {
    const { col, maps, states, errors } = slot;
    if (col.status !== "done") continue;
    const keep = (store, layer, load, blob) => {
      if (!blob || store.has(layer)) return;
      const done = (data) => {
        store.set(layer, data);
        errors.delete(layer);
      };
      const failed = (error) => {
        const text = `${error.message}. The numbers below are complete; a new run brings it back.`;
        errors.set(layer, { title: "The picture did not arrive", text });
      };
      if (missing) errors.set(layer, { title: "No picture", text: missing });
      else jobs.push(load(base + blob).then(done, failed));
    };
    const layer = layerOf(col);
    keep(maps, layer, loadMap, col.maps?.[layer]?.blob);
    const kept = col.memory.layers;
    const hybrid = kept.some((item) => item.kind === "cache");
    kept.forEach((item, i) => {
      if (item.kind === "state" && (hybrid || i === layer)) keep(states, i, loadState, item.blob);
    });
  }
  await Promise.all(jobs);
}
