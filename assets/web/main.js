// Entry point. Gradio's components mount their views through here, and its events call the shell's functions.
import "./composing.js"; // before any other listener to keys
import { mountCompare } from "./compare.js";
import { mountDiffusion } from "./diffusion.js";
import { mountCost, mountQuality } from "./diffusionmeasure.js";
import { mountFamily } from "./family.js";
import { mountRecall } from "./recall.js";
import { mountHeader, follow } from "./shell.js";
import { mountScaling } from "./scaling.js";
import { mountTrain } from "./train.js";
import { mountUpload } from "./upload.js";

export { start, ended, stopping, changed, chosenElsewhere, copyLink, link, loaded, nextDraw, opened, runAgain, runChosen } from "./shell.js";
export { swapText } from "./texts.js";
export { denoiserFor, processChosen, samplerFor } from "./diffusionshell.js";
export { pausing, taskChosen } from "./trainshell.js";
export { fitted } from "./gradio.js";
export { fileChosen, fileLost, fileRead } from "./upload.js";

const VIEWS = {
  compare: mountCompare,
  recall: mountRecall,
  train: mountTrain,
  diffusion: mountDiffusion,
  "diffusion-quality": mountQuality,
  "diffusion-cost": mountCost,
  scaling: mountScaling,
  family: mountFamily,
  header: mountHeader,
  upload: mountUpload,
};

/** A payload that came as text, with what goes around it. */
function whole({ packed, ...around }) {
  return packed ? { ...JSON.parse(packed), ...around } : around;
}

/** Mount a view into Gradio's element and hand it every value, also the one that was there before this module. */
export function mount(kind, element, props, watch) {
  const place = element.querySelector(".shell-view") ?? element;
  const handle = follow(kind, VIEWS[kind](place), place);
  const show = () => props.value && handle.update(whole(props.value));
  watch("value", show);
  show();
}
