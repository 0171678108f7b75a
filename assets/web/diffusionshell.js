// What the shell does for Diffusion alone: a denoiser and its sampler go together.

const BLOCKWISE = ["bd3lm", "block"];

/** The sampler that goes with the denoiser just chosen (in a list, because it is one output). */
export function samplerFor([denoiser, sampler]) {
  const chosen = denoiser === BLOCKWISE[0] ? BLOCKWISE[1] : sampler === BLOCKWISE[1] ? "confidence" : sampler;
  samplerChosen([chosen]);
  return [chosen];
}

/** The denoiser that goes with the sampler just chosen. */
export function denoiserFor([denoiser, sampler]) {
  samplerChosen([sampler]);
  return [sampler === BLOCKWISE[1] ? BLOCKWISE[0] : denoiser === BLOCKWISE[0] ? "llada" : denoiser];
}

/** Only one sampler takes the canvas in stretches, and only whole canvases can be guided. */
export function samplerChosen([sampler]) {
  document.documentElement.dataset.sampler = sampler;
}
