// What the shell does for Diffusion alone: denoiser, sampler and guidance go together.

const BLOCKWISE = "bd3lm"; // cannot be guided
const IN_BLOCKS = ["semi", "block"]; // its samplers, of which the last is its alone

/** The sampler and the guidance that go with the denoiser just chosen. */
export function samplerFor([denoiser, sampler, guidance]) {
  if (denoiser !== BLOCKWISE) return [sampler === "block" ? "confidence" : sampler, guidance];
  return [IN_BLOCKS.includes(sampler) ? sampler : "block", 0];
}

/** The denoiser and the guidance that go with the sampler just chosen. */
export function denoiserFor([denoiser, sampler, guidance]) {
  if (sampler === "block") return [BLOCKWISE, 0];
  return [denoiser === BLOCKWISE && !IN_BLOCKS.includes(sampler) ? "llada" : denoiser, guidance];
}

/** Only one sampler takes the canvas in stretches, and only whole canvases can be guided. */
export function processChosen([denoiser, sampler]) {
  Object.assign(document.documentElement.dataset, { denoiser, sampler });
}
