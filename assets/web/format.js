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

// A token as it can be seen: blanks and line ends get a sign, long ones are cut.
export function token(text, longest = 14) {
  const seen =
    String(text ?? "")
      .replace(/\n/g, "⏎")
      .trim() || (String(text ?? "") === "" ? "" : "␣");
  return seen.length > longest ? `${seen.slice(0, longest - 1)}…` : seen;
}

export const quoted = (text) => `“${token(text)}”`;
