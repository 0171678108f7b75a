// Numbers of the memory pictures as colours: bytes of a state, and norms of a cache.

import { lut } from "./colors.js";

// Words of colour for the 256 bytes of a state (128 is zero, the square root is already in the byte).
export function words(scale) {
  const table = lut("signed");
  const out = new Uint32Array(256);
  for (let b = 0; b < 256; b++) {
    const root = Math.max(-1, Math.min(1, (b - 128) / 127));
    const value = scale === "sqrt" ? root : root * Math.abs(root);
    out[b] = table[Math.round(127.5 + 127.5 * value)];
  }
  return out;
}

// One pixel a cell of the grid, in the colour of its largest norm.
export function stripePicture(norms, cells, k, top) {
  const picture = document.createElement("canvas");
  picture.width = cells;
  picture.height = 1;
  const image = new ImageData(cells, 1);
  const out = new Uint32Array(image.data.buffer);
  const table = lut("magnitude");
  for (let col = 0; col * k < norms.length; col++) {
    const most = Math.max(...norms.slice(col * k, col * k + k));
    out[col] = table[Math.round(255 * Math.min(1, most / top))];
  }
  picture.getContext("2d").putImageData(image, 0, 0);
  return picture;
}
