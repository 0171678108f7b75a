// The shell: header, pages, theme, Run and Stop, and the link that says what is on the screen.
import { bus, enter, home, view } from "./bus.js";
import { adoptGradio, watchGradio } from "./gradio.js";
import { notify } from "./messages.js";
import { offerLink } from "./offer.js";
import { enterPresent } from "./present.js";
import { setExample, showScenario } from "./texts.js";
import { firstTheme, setTheme, toggleTheme } from "./theme.js";
import { TurnLine } from "./turnline.js";

const TAKES_LOOKS = "compare"; // the page whose link carries layer, head, t and s
const LOOKS = ["layer", "head", "t", "s"];
const NAMES = ["compare", "recall", "train", "diffusion", "scaling", "family"];
const RUNS_WHEN_OPENED = ["compare", "diffusion", "family"]; // cheap enough to run without being asked
const pages = {}; // page -> {handle, payload, running, warned, closeError}
let config = { title: "", pages: {}, chips: {}, defaults: {}, fields: {}, example: "", device: "", problems: [] };
let current = pageOfAddress();

const pageState = (page) => (pages[page] ??= { handle: null, payload: null, running: false, warned: false });
const root = document.documentElement;
root.dataset.plotly = new URL("./plotly.min.js", import.meta.url).href; // curves load it when the first one opens

function pageOfAddress() {
  const query = new URLSearchParams(location.search);
  const asked = query.get("tab") ?? query.get("page");
  return NAMES.includes(asked) ? asked : "compare";
}

// ---------------------------------------------------------------------------------------------------- payloads

/** Wrap a view's handle so that the shell sees its payloads: it knows from them what the pictures show. */
export function follow(kind, handle, place) {
  if (kind === "header") return handle;
  const state = pageState(kind);
  state.handle = handle;
  const turn = () => (state.turn ??= new TurnLine(place));
  return {
    update(payload) {
      if (!payload.status) return handle.update(payload); // what a page shows before anything ran
      if (payload.status === "waiting") return turn().waiting(payload.ahead);
      if (state.turn || payload.shared_s !== undefined) turn().shown(payload);
      if (payload.notice) notify({ key: `notice-${kind}`, title: "Ended early", text: payload.notice });
      state.payload = payload;
      if (payload.status !== "running") setRunning(kind, false);
      handle.update(payload);
      return writeAddress();
    },
  };
}

// ------------------------------------------------------------------------------------------------ run and stop

function setRunning(page, running) {
  pageState(page).running = running;
  root.toggleAttribute(`data-running-${page}`, running);
  document.querySelector(page === "train" ? "#pause-train" : `#stop-${page}`)?.removeAttribute("aria-busy");
}

/** A run begins: Run becomes Stop, and the run keeps the layer, head and pinned cell that are on the screen. */
export function start(page, values) {
  const state = pageState(page);
  if (page === "compare") showScenario(values[config.fields.compare.indexOf("scenario")]);
  state.warned = false;
  state.closeError?.();
  state.busy = true; // until Gradio says so: it drops a press that comes before
  setRunning(page, true);
  const fields = config.fields[page] ?? [];
  const put = (name, value) => fields.includes(name) && (values[fields.indexOf(name)] = value);
  for (const [name, value] of Object.entries(state.handle?.choices?.() ?? {})) put(name, value); // drawn in the view itself
  if (page !== TAKES_LOOKS || !state.payload) return values;
  put("layer", view.layer + 1);
  put("head", view.head + 1);
  const cell = samePrompt(values, fields, state.payload.query) ? chosenCell(state.payload) : null;
  put("t", cell?.t ?? -1);
  put("s", cell?.s ?? -1);
  return values;
}

/** The cell where the crosshair rests, if a person or a link put it there. */
function chosenCell(payload) {
  const moved = home.t !== payload.view.t || home.s !== payload.view.s;
  return moved || new URLSearchParams(payload.query).has("t") ? { t: home.t, s: home.s } : null;
}

function samePrompt(values, fields, query) {
  const before = new URLSearchParams(query);
  const shown = { scenario: "phonebook", text: "", length: "96", seed: "0", temperature: "0.5", top_k: "0" };
  return Object.keys(shown).every(
    (name) => String(values[fields.indexOf(name)] ?? "").trim() === (before.get(name) ?? shown[name]).trim(),
  );
}

/** The server is done with a run, for whatever reason. A picture that still says "running" is stopped. */
export function ended(page) {
  const state = pageState(page);
  state.busy = false;
  state.turn?.ended();
  setRunning(page, false);
  if (state.payload?.status === "running") {
    state.payload = { ...state.payload, status: "stopped" };
    state.handle?.update(state.payload);
  }
  if (state.again) {
    state.again = false;
    document.querySelector(`#run-${page}`)?.click();
  }
}

export function stopping(page) {
  pageState(page).again = false;
  document.querySelector(`#stop-${page}`)?.setAttribute("aria-busy", "true");
}

/** Run the page on the screen, if it is not running. */
export function runCurrent() {
  if (!pageState(current).running) document.querySelector(`#run-${current}`)?.click();
}

/** Run the page on the screen with the choices of now: after the run that is going on, if there is one. */
function runNext() {
  if (pageState(current).busy) pageState(current).again = true;
  else runCurrent();
}

let elsewhere = []; // architectures chosen on another page, on their way into Compare

/** Show Compare with these architectures; a hidden button of Gradio's carries them into its control. */
function openInCompare({ architectures }) {
  elsewhere = architectures;
  document.querySelector("#open-compare")?.click();
}

/** For that button: the new value of Compare's choice (in a list, because it is one output). */
export const chosenElsewhere = () => [elsewhere];

/** The choice has arrived: show the page and run it. */
export function runChosen() {
  showPage("compare");
  scrollTo(0, 0);
  document.querySelector("#tab-compare")?.focus({ preventScroll: true });
  runNext();
}

/** Draw a story again from the same first words; a hidden button of Gradio's carries them and the next seed. */
function resample() {
  if (pageState("compare").payload?.story) document.querySelector("#resample")?.click();
}

/** For that button: the new values of text and seed. */
export function nextDraw() {
  const { prompt, story } = pageState("compare").payload;
  return [prompt.tokens.join(" "), story.seed < config.last_seed ? story.seed + 1 : 0];
}

/** They have arrived. */
export const runAgain = () => runNext();

/** A choice was changed by hand and not run yet: say once that the pictures are older. */
export function changed(page) {
  const state = pageState(page);
  if (!state.payload || state.running || state.warned) return;
  state.warned = true;
  notify({
    key: "changed",
    title: "Choices changed",
    text: "The pictures still show the previous run.",
    action: { label: "Run", run: () => document.querySelector(`#run-${page}`)?.click() },
  });
}

// ------------------------------------------------------------------------------------------------------- links

/** The query that brings back what is on the screen. */
export function query(page = current) {
  const payload = pageState(page).payload;
  const parameters = new URLSearchParams(payload?.query ?? "");
  parameters.set("tab", page);
  for (const [name, value] of Object.entries((payload && pageState(page).handle?.moved?.()) ?? {})) parameters.set(name, value); // since the run
  if (page === TAKES_LOOKS && payload) {
    const seen = { layer: view.layer + 1, head: view.head + 1, ...chosenCell(payload) };
    for (const name of LOOKS) {
      if (seen[name] === undefined || seen[name] === config.defaults[name]) parameters.delete(name);
      else parameters.set(name, seen[name]);
    }
  }
  return parameters.toString().replaceAll("%2C", ",");
}

let writing = 0;
function writeAddress() {
  clearTimeout(writing);
  writing = setTimeout(() => {
    if (!pageState(current).payload && pageOfAddress() === current) return; // a link not run yet stays as it came
    const kept = new URLSearchParams(location.search);
    const extra = [...kept].filter(([name]) => name.startsWith("__")); // Gradio's own, such as __theme
    const rest = new URLSearchParams(extra).toString();
    const next = `?${query()}${rest ? `&${rest}` : ""}${location.hash}`;
    if (next !== location.search + location.hash) history.replaceState(history.state, "", next);
  }, 150);
}

/** The whole link to the clipboard; where there is none, in a field to copy from. */
export async function copyLink(page = current) {
  const link = `${location.origin}${location.pathname}?${query(page)}`;
  try {
    await navigator.clipboard.writeText(link);
    notify({ kind: "info", title: "Link copied", text: "It opens this page with the same choices." });
  } catch {
    offerLink(link);
  }
}

// ------------------------------------------------------------------------------------------------------- pages

export function showPage(page) {
  current = page;
  root.dataset.page = page;
  enter(page);
  for (const tab of document.querySelectorAll("#header [role=tab]")) {
    const chosen = tab.dataset.page === page;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
  }
  document.title = `${config.pages[page] ?? ""} · ${config.title}`;
  bus.dispatchEvent(new CustomEvent("page", { detail: { page } }));
  window.dispatchEvent(new Event("resize")); // what was hidden may measure itself now
  writeAddress();
}

function choosePage(page) {
  showPage(page);
  const state = pageState(page);
  if (RUNS_WHEN_OPENED.includes(page) && !state.payload && !state.running) runCurrent();
}

/** The page is there. If its link says more than which page to show, that page's controls have to learn of it first. */
export function loaded() {
  const said = [...new URLSearchParams(location.search)].filter(([name]) => !name.startsWith("__"));
  const plain = said.every(([name, value]) => ["tab", "page"].includes(name) && NAMES.includes(value));
  if (plain) opened();
  else document.querySelector(`#restore-${current}`)?.click();
}

/** For that button: what the link says. */
export const link = () => [location.search];

/** The controls say what the link said: run it. */
export function opened() {
  setTimeout(runCurrent, 0);
}

// ------------------------------------------------------------------------------------------------------ header

export function present() {
  if (!enterPresent()) notify({ key: "present", title: "Nothing to present yet", text: "Run a comparison first." });
}

const HEADER = `
  <div class="shell-brand"></div>
  <nav role="tablist" aria-label="Pages"></nav>
  <div class="shell-device"></div>
  <div class="shell-buttons">
    <button type="button" id="theme-button">Dark</button>
    <button type="button" id="present-button">Present</button>
  </div>`;

export function mountHeader(place) {
  place.classList.add("shell-header");
  place.setAttribute("role", "banner");
  place.innerHTML = HEADER;
  place.querySelector("#theme-button").addEventListener("click", toggleTheme);
  place.querySelector("#present-button").addEventListener("click", present);
  const hears = { run: runCurrent, "run-next": runNext, resume: runCurrent, resample, copy: () => copyLink(), "open-compare": openInCompare,
    "toggle-theme": toggleTheme, view: writeAddress, moved: writeAddress };
  for (const [event, act] of Object.entries(hears)) bus.addEventListener(event, ({ detail }) => act(detail));
  setTheme(firstTheme(), false);
  watchGradio((close) => (pageState(current).closeError = close));
  return { update: (value) => updateHeader(place, value) };
}

function updateHeader(place, value) {
  config = value;
  setExample(value.example);
  place.querySelector(".shell-brand").textContent = value.title;
  place.querySelector(".shell-device").textContent = value.device;
  const tabs = place.querySelector("nav");
  if (!tabs.children.length) {
    for (const [page, name] of Object.entries(value.pages)) if (value.offered.includes(page) || page === current) tabs.append(tab(page, name));
    tabs.addEventListener("keydown", stepTabs);
  }
  showPage(current);
  adoptGradio(config.chips);
  if (value.problems.length) {
    notify({ kind: "info", title: "Parts of the link could not be used", text: value.problems.join(" ") });
  }
}

function tab(page, name) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: name, id: `tab-${page}` });
  button.setAttribute("role", "tab");
  button.setAttribute("aria-controls", `page-${page}`);
  button.dataset.page = page;
  button.addEventListener("click", () => choosePage(page));
  return button;
}

function stepTabs(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  const all = [...event.currentTarget.children];
  const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
  next.focus();
  choosePage(next.dataset.page);
  event.preventDefault();
  event.stopPropagation();
}
