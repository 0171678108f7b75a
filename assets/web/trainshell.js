// What the shell does for Train alone: Gradio's buttons and fields around the view.

import { bus } from "./bus.js";

/** Training pauses when the step that goes on is done. */
export function pausing() {
  document.querySelector("#pause-train")?.setAttribute("aria-busy", "true");
}

/** Only own text needs a place to put it. */
export function taskChosen([task]) {
  document.documentElement.toggleAttribute("data-own-text", task === "characters" || task === "words");
}

/** Show Compare with the models that were just trained; the server knows which. */
bus.addEventListener("open-trained", () => document.querySelector("#open-trained")?.click());
