// What the keys do on Compare; keys.js says which key asks for what.

import { setView, step, stepQuestion, turnHead, view } from "./bus.js";
import { enterPresent } from "./present.js";
import { togglePlay } from "./scrubber.js";

const moveLayer = (by) => setView({ layer: view.layer + by }, "key");

export const ACTIONS = {
  previous: () => step(-1),
  next: () => step(1),
  "previous-question": () => stepQuestion(-1),
  "next-question": () => stepQuestion(1),
  play: togglePlay,
  "layer-up": () => moveLayer(-1),
  "layer-down": () => moveLayer(1),
  "head-down": () => turnHead(-1),
  "head-up": () => turnHead(1),
  present: enterPresent,
};
