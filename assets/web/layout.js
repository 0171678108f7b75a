// Where columns stand. The map is a whole number of device pixels a cell; gaps are whole CSS pixels, so nothing blurs.

import { grid } from "./matrixmap.js";

const GAP = 16;
const WIDEST_GAP = 96; // columns further apart are no longer compared at a glance
const EDGES = [480, 384, 288];
const HEAD = 507; // what stands above the maps on a wide page: they should end inside the window
const NARROW = 720;
const TIGHT = 288; // below this, badge and legend, figure and law stand on lines of their own
const LEAST = 220; // a header needs this much to stay on one line

export function place(root, n, count) {
  const phone = root.clientWidth < NARROW;
  const room = root.clientWidth - 2 * (phone ? 16 : 32);
  const share = (per) => Math.floor((room - GAP * (per - 1)) / per);
  const per = !phone && share(count) >= LEAST ? count : Math.min(2, count);
  const most = share(per);
  const tall = Math.max(count > 2 ? 288 : 384, innerHeight - HEAD);
  const cap = per < count || phone ? 480 : Math.min(count > 3 ? 384 : 480, tall);
  const base = EDGES.find((edge) => edge <= Math.min(most, cap)) ?? most;
  const map = grid(n, Math.min(most, base + GAP / 2));
  const col = Math.max(Math.ceil(map.size), Math.min(base, most));
  const wide = Math.min(room, per * col + (per - 1) * WIDEST_GAP);
  const gaps = Array.from({ length: per - 1 }, (_, i) => at(i + 1, wide, col, per) - at(i, wide, col, per) - col);
  const tracks = [`${col}px`, ...gaps.flatMap((gap) => [`${gap}px`, `${col}px`])].join(" ");
  root.classList.toggle("ba-phone", phone);
  root.classList.toggle("ba-tight", col < TIGHT);
  root.classList.toggle("ba-stacked", per < count || phone);
  root.style.setProperty("--ba-tracks", tracks);
  root.style.setProperty("--ba-map", `${map.size}px`);
  return { phone, per, col, tracks, grid: map };
}

const at = (i, room, col, per) => Math.round((i * (room - col)) / Math.max(1, per - 1));
