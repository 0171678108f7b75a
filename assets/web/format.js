// Numbers and tokens as words: true minus sign, thin spaces, fixed digits (they must not jump while playing).

export const THIN = "\u2009";

export const fixed = (value, digits) => {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
};

// A matrix entry: three decimals below 10, three figures above.
export const entry = (value, digits = 3) => {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return "–";
  return fixed(value, size < 10 ? digits : size < 100 ? Math.min(digits, 1) : 0);
};

// An end of a scale, as short as it can be said.
export const bound = (value) => {
  const size = Math.abs(value);
  const text =
    size === 0 ? "0" : size >= 0.01 && size < 1000 ? String(Number(size.toPrecision(2))) : size.toExponential(0);
  return value < 0 ? `−${text}` : text;
};

export const residual = (value) => (value === 0 ? "0" : Number(value).toExponential(0).replace("e+", "e"));

export function bytes(value) {
  const kib = value / 1024;
  if (kib >= 1024) return [trim(kib / 1024), "MiB"];
  return kib >= 1 || value === 0 ? [trim(kib), "KiB"] : [String(Math.round(value)), "B"];
}

const trim = (value) => {
  if (value === 0) return "0";
  if (value < 10) return value.toFixed(1).replace(/\.0$/, "");
  return grouped(Math.round(value));
};

export const grouped = (value) => String(value).replace(/\B(?=(\d{3})+(?!\d))/g, THIN);

export const milliseconds = (value) =>
  value < 1 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : grouped(Math.round(value));

export const count = (value) =>
  value >= 1e6
    ? `${(value / 1e6).toFixed(1)}\u00a0M`
    : value >= 1e3
      ? `${Math.round(value / 1e3)}\u00a0k`
      : String(value);

const cutter = globalThis.Intl?.Segmenter && new Intl.Segmenter(undefined, { granularity: "grapheme" });

// Characters as people see them: a flag or a letter with its accents is one.
const characters = (text) => (cutter ? Array.from(cutter.segment(text), (one) => one.segment) : [...text]);

const SIGNS = { "\n": "⏎", "\u2028": "⏎", "\u2029": "⏎", "\t": "⇥" };

// A token as it can be seen: blanks and line ends get a sign, a lone accent something to stand on, what cannot be seen
// its number; long ones are cut, between characters.
export function token(text, longest = 14) {
  const given = String(text ?? "");
  if (/^[\p{Cc}\p{Cf}]$/u.test(given) && !(given in SIGNS)) return `U+${given.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  const plain = given.replace(/[\n\u2028\u2029\t]/g, (sign) => SIGNS[sign]).replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, "").trim();
  const seen = (plain || (given === "" ? "" : "␣")).replace(/^\p{M}/u, "◌$&");
  if (seen.length <= longest) return seen;
  const all = characters(seen);
  return all.length > longest ? `${all.slice(0, longest - 1).join("")}…` : seen;
}

export const quoted = (text) => `“${token(text)}”`;
