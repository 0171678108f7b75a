// What the shell does for Diffusion alone: a denoiser and its sampler go together.

const BLOCKWISE = "bd3lm";
const IN_BLOCKS = ["semi", "block"]; // its samplers, of which the last is its alone

/** The sampler that goes with the denoiser just chosen (in a list, because it is one output). */
export function samplerFor([denoiser, sampler]) {
  if (denoiser === BLOCKWISE) return [IN_BLOCKS.includes(sampler) ? sampler : "block"];
  return [sampler === "block" ? "confidence" : sampler];
}

/** The denoiser that goes with the sampler just chosen. */
export function denoiserFor([denoiser, sampler]) {
  if (sampler === "block") return [BLOCKWISE];
  return [denoiser === BLOCKWISE && !IN_BLOCKS.includes(sampler) ? "llada" : denoiser];
}

/** Only one sampler takes the canvas in stretches, and only whole canvases can be guided. */
export function processChosen([denoiser, sampler]) {
  Object.assign(document.documentElement.dataset, { denoiser, sampler });
}
