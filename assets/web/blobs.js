// Matrices and states arrive as gzipped files beside the payload: fetch, unpack, decode, keep the recent ones.

const KEPT = 64;
const cache = new Map(); // url -> Promise, oldest first

async function unpack(response) {
  const packed = new Uint8Array(await response.arrayBuffer());
  if (packed[0] !== 0x1f || packed[1] !== 0x8b) return packed.buffer; // a server may have unpacked it already
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

let halves = null;

// All 65536 half floats, decoded once (not every browser has Float16Array).
function halfTable() {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) halves[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) halves[bits] = fraction ? NaN : sign * Infinity;
    else halves[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return halves;
}

export function decodeHalf(buffer) {
  const words = new Uint16Array(buffer, 0, buffer.byteLength >> 1);
  const table = halfTable();
  const out = new Float32Array(words.length);
  for (let i = 0; i < words.length; i++) out[i] = table[words[i]];
  return out;
}

async function get(url, decode) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} for ${url.split("/").pop()}`);
  return decode(await unpack(response));
}

function cached(url, decode) {
  if (!cache.has(url)) {
    const job = get(url, decode);
    job.catch(() => cache.delete(url));
    cache.set(url, job);
    if (cache.size > KEPT) cache.delete(cache.keys().next().value);
  }
  return cache.get(url);
}

// heads × n(n+1)/2 values, lower triangle row by row.
export const loadMap = (url) => cached(url, decodeHalf);

// Bytes as they come; of a state n × heads × rows × cols, 128 is zero.
export const loadState = (url) => cached(url, (buffer) => new Uint8Array(buffer));
