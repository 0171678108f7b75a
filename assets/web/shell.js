// The shell: header, pages, theme, Run and Stop, and the link that says what is on the screen.
import { bus, home, view } from "./bus.js";
import { notify } from "./messages.js";
import { enterPresent } from "./present.js";

const TAKES_LOOKS = "compare"; // the page whose link carries layer, head, t and s
const LOOKS = ["layer", "head", "t", "s"];
const pages = {}; // page -> {handle, payload, running, warned, closeError}
let config = { title: "", pages: {}, chips: {}, defaults: {}, fields: {}, example: "", device: "", problems: [] };
let current = pageOfAddress();
const texts = {}; // scenario -> what the person wrote there
let textScenario = "phonebook";
let swapped = null; // the text that the last swap put away

const pageState = (page) => (pages[page] ??= { handle: null, payload: null, running: false, warned: false });
const root = document.documentElement;
root.dataset.plotly = new URL("./plotly.min.js", import.meta.url).href; // curves load it when the first one opens

function pageOfAddress() {
  const asked = new URLSearchParams(location.search);
  return (asked.get("tab") ?? asked.get("page")) === "scaling" ? "scaling" : "compare";
}

// ---------------------------------------------------------------------------------------------------- payloads

/** Wrap a view's handle so that the shell sees its payloads: it knows from them what the pictures show. */
export function follow(kind, handle) {
  if (kind === "header") return handle;
  const state = pageState(kind);
  state.handle = handle;
  return {
    update(payload) {
      state.payload = payload;
      if (payload.status !== "running") setRunning(kind, false);
      handle.update(payload);
      writeAddress();
    },
  };
}

// ------------------------------------------------------------------------------------------------ run and stop

function setRunning(page, running) {
  pageState(page).running = running;
  root.toggleAttribute(`data-running-${page}`, running);
  document.querySelector(`#stop-${page}`)?.removeAttribute("aria-busy");
}

/** A run begins: Run becomes Stop, and the run keeps the layer, head and pinned cell that are on the screen. */
export function start(page, values) {
  const state = pageState(page);
  if (page === "compare") textScenario = values[config.fields.compare.indexOf("scenario")];
  swapped = null;
  state.warned = false;
  state.closeError?.();
  setRunning(page, true);
  if (page !== TAKES_LOOKS || !state.payload) return values;
  const fields = config.fields[page] ?? [];
  const put = (name, value) => fields.includes(name) && (values[fields.indexOf(name)] = value);
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
  const shown = { scenario: "phonebook", text: "", length: "96", seed: "0" };
  return Object.keys(shown).every(
    (name) => String(values[fields.indexOf(name)] ?? "").trim() === (before.get(name) ?? shown[name]),
  );
}

/** The server is done with a run, for whatever reason. A picture that still says "running" is stopped. */
export function ended(page) {
  const state = pageState(page);
  setRunning(page, false);
  if (state.payload?.status === "running") {
    state.payload = { ...state.payload, status: "stopped" };
    state.handle?.update(state.payload);
  }
}

export function stopping(page) {
  document.querySelector(`#stop-${page}`)?.setAttribute("aria-busy", "true");
}

/** Run the page on the screen, if it is not running. */
export function runCurrent() {
  if (!pageState(current).running) document.querySelector(`#run-${current}`)?.click();
}

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

/** Each scenario keeps its own text; own text starts with an example that runs. (Gradio may tell of a change twice.) */
export function swapText([scenario, text]) {
  if (scenario !== textScenario) {
    texts[textScenario] = text;
    texts[scenario] ??= scenario === "text" ? config.example : "";
    swapped = text;
    textScenario = scenario;
  }
  return [scenario, text === swapped ? texts[scenario] : text];
}

// ------------------------------------------------------------------------------------------------------- links

/** The query that brings back what is on the screen. */
export function query(page = current) {
  const payload = pageState(page).payload;
  const parameters = new URLSearchParams(payload?.query ?? "");
  parameters.set("tab", page);
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

function offerLink(link) {
  document.querySelector("#link-offer")?.remove();
  const box = document.createElement("dialog");
  box.id = "link-offer";
  box.innerHTML = '<form method="dialog"><label>Copy this link<input readonly></label><button>Close</button></form>';
  const field = box.querySelector("input");
  field.value = link;
  document.body.append(box);
  box.addEventListener("close", () => box.remove());
  box.showModal();
  field.select();
}

// ------------------------------------------------------------------------------------------------------- pages

export function showPage(page) {
  current = page;
  root.dataset.page = page;
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
  if (page === "compare" && !state.payload && !state.running) runCurrent();
}

/** The controls say what the link said: run it. */
export function opened() {
  setTimeout(runCurrent, 0);
}

// ------------------------------------------------------------------------------------------------------- theme

const stored = () => {
  try {
    return localStorage.getItem("beyond-attention-theme");
  } catch {
    return null;
  }
};

export function setTheme(theme, remember = true) {
  root.dataset.theme = theme;
  document.body.classList.toggle("dark", theme === "dark");
  const button = document.querySelector("#theme-button");
  if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
  if (remember) {
    try {
      localStorage.setItem("beyond-attention-theme", theme);
    } catch {
      // private windows may refuse; the theme then lasts as long as the page
    }
  }
  bus.dispatchEvent(new CustomEvent("theme", { detail: { theme } }));
}

export function toggleTheme() {
  setTheme(root.dataset.theme === "dark" ? "light" : "dark");
}

function firstTheme() {
  const asked = new URLSearchParams(location.search).get("__theme");
  if (asked === "dark" || asked === "light") return asked;
  return stored() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
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
  const hears = { run: runCurrent, resume: runCurrent, copy: () => copyLink(), "toggle-theme": toggleTheme, view: writeAddress };
  for (const [event, act] of Object.entries(hears)) bus.addEventListener(event, act);
  setTheme(firstTheme(), false);
  watchGradio();
  return { update: (value) => updateHeader(place, value) };
}

function updateHeader(place, value) {
  config = value;
  place.querySelector(".shell-brand").textContent = value.title;
  place.querySelector(".shell-device").textContent = value.device;
  const tabs = place.querySelector("nav");
  if (!tabs.children.length) {
    for (const [page, name] of Object.entries(value.pages)) tabs.append(tab(page, name));
    tabs.addEventListener("keydown", stepTabs);
  }
  showPage(current);
  adoptGradio();
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

// ------------------------------------------------------------------------------- what Gradio draws by itself

/** Chips get their family's colour, radio groups behave as one, and Gradio's messages appear as ours do. */
function adoptGradio() {
  for (const chip of document.querySelectorAll(".shell-architectures .token")) {
    const family = config.chips[chip.textContent.replace("×", "").trim()]?.family ?? "";
    if (chip.dataset.family !== family) chip.dataset.family = family;
  }
  for (const option of document.querySelectorAll(".shell-architectures .options li")) {
    const { family = "", summary = "" } = config.chips[option.ariaLabel] ?? {};
    if (option.dataset.family !== family) Object.assign(option, { title: summary }).dataset.family = family;
  }
  for (const [i, bar] of document.querySelectorAll("fieldset.shell-segmented").entries()) {
    for (const input of bar.querySelectorAll("input")) {
      if (input.name !== `segmented-${i}`) input.name = `segmented-${i}`; // one name: arrows move within the bar
    }
  }
  for (const toast of document.querySelectorAll(".toast-body:not([data-told])")) tell(toast);
}

function watchGradio() {
  const element = (node) => (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement);
  const ours = (node) => element(node)?.closest(".shell-controls, .toast-wrap") || element(node)?.querySelector(".toast-body");
  const observer = new MutationObserver((changes) => {
    if (changes.some(({ target, addedNodes }) => element(target)?.closest(".shell-controls") || [...addedNodes].some(ours))) adoptGradio();
  });
  observer.observe(document.body, { childList: true, characterData: true, attributeFilter: ["name"], subtree: true });
}

function tell(toast) {
  toast.dataset.told = "";
  const kind = toast.classList.contains("error") ? "error" : "info";
  const text = [...toast.querySelectorAll(".toast-message-text")].map((node) => node.textContent.trim()).join(" ");
  const close = notify({ kind, title: kind === "error" ? "Not run" : "Note", text, key: `gradio-${kind}` });
  if (kind === "error") pageState(current).closeError = close;
  toast.querySelector(".toast-close")?.click();
}
