// The small line below a memory picture: the hovered key's norm, or norm, decay and write of the chosen head at t.

import { headOf, layerOf } from "./bus.js";
import { entry, quoted } from "./format.js";

export const rows = (values) => (Array.isArray(values?.[0]) ? values : [values ?? []]);

export function cacheFact(col, caches, t, s, tokens) {
  const { memory } = col;
  const layer = caches.includes(layerOf(col)) ? layerOf(col) : caches[caches.length - 1];
  const item = memory.layers[layer];
  if (item.window && t - s >= item.window) return `layer ${layer + 1}: ${quoted(tokens[s])} dropped`;
  return `layer ${layer + 1}: ‖${item.what}‖ ${entry(item.norms[s], 2)} of ${quoted(tokens[s])}`;
}

// A hybrid says them for each of its recurrent layers; its norms would be too many.
export function stateFacts(col, layers, t, withNorm) {
  const { memory } = col;
  const read = (name) => {
    const values = layers.map((layer) => {
      const heads = memory.layers[layer][name] && rows(memory.layers[layer][name]);
      return heads?.[headOf(col, layer, heads.length)]?.[t];
    });
    return values.filter((value) => value !== undefined && value !== null).map((value) => entry(value, 2));
  };
  const says = (word, values) => (values.length ? `${word} ${values.join(" ")}` : "");
  const facts = [withNorm ? says("‖S‖", read("norm")) : "", says("decay", read("decay")), says("write", read("write"))];
  return facts.filter(Boolean).join(" · ");
}
