// A text file for the Train page: chosen or dropped here, read by the browser, its bytes decoded by the server. The bytes
// stay here while the field shows their text, so that they can be read again in another encoding.

import { el, setText } from "./dom.js";
import { notify } from "./messages.js";
import { changed } from "./shell.js";

const FIELD = "#corpus textarea";
const TARGETS = ".shell-corpus, .shell-upload"; // where a file may be dropped
const INVITES = "or drop one on the text field";
let limits = { most: 0, large: "" }; // bytes of a file, and the sentence for more, both the server's
let kept = null; // {name, data, encoding, words}: whose encoding can be changed; "" while it could not be read
let sent = null; // {name, data, encoding}: what the server is reading
let encodings = []; // [name, words] of each
let parts = null;

export function mountUpload(place) {
  const input = el("input", { type: "file", hidden: true, aria: { label: "Choose a file" }, on: { change: () => take(input) } });
  const choose = el("button", { class: "ba-button", type: "button", text: "Choose a file", on: { click: () => input.click() } });
  const said = el("span", { class: "tr-file-said", role: "status", text: INVITES });
  const select = el("select", { on: { change: () => send({ ...kept, encoding: select.value }) } });
  const box = el("label", { class: "tr-file-encoding", hidden: true }, el("span", { class: "ba-sr", text: "Encoding of the file" }), select);
  parts = { choose, said, select, box };
  place.classList.add("ba", "tr-file");
  place.replaceChildren(choose, input, said, box);
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) document.addEventListener(name, drag);
  document.addEventListener("input", ({ target }) => target.matches?.(FIELD) && kept?.encoding && forget());
  return { update: (value) => value.large && (limits = value) }; // later values are what the server read
}

function take(input) {
  const [chosen] = input.files;
  input.value = ""; // the same file may be chosen again
  if (chosen) read(chosen);
}

function drag(event) {
  const target = event.target.closest?.(TARGETS);
  const brings = target && [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.documentElement.toggleAttribute("data-dropping", Boolean(brings) && /enter|over/.test(event.type));
  if (!brings) return;
  event.preventDefault();
  if (event.type === "drop" && event.dataTransfer.files[0]) read(event.dataTransfer.files[0]);
}

async function read(file) {
  if (file.size > limits.most) return refuse(limits.large.replace("{size}", file.size.toLocaleString("en-US")));
  try {
    return send({ name: file.name, data: await base64(file), encoding: "" });
  } catch {
    return refuse("The browser could not read the file. Choose it again.");
  }
}

const base64 = (file) =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = failed;
    reader.readAsDataURL(file);
  });

function send(what) {
  if (sent) return;
  sent = what;
  paint();
  document.querySelector("#read-upload").click();
}

/** For Gradio's button: what goes to the server. */
export const fileChosen = () => [sent.name, sent.data, sent.encoding];

/** What the server made of the file becomes the field's text; what it could not read leaves the field as it is. */
export function fileRead([answer, corpus]) {
  const { name, data } = sent;
  const again = kept?.data === data; // read in another encoding
  sent = null;
  encodings = answer.encodings;
  if (answer.problem) {
    if (!again) kept = answer.name ? { name, data, encoding: "", words: `${answer.name}, not read` } : null;
    refuse(answer.problem);
    return [corpus];
  }
  document.querySelector(".ba-messages [data-key=upload]")?.remove(); // what was wrong with the file before
  const words = `${answer.name}, read as ${answer.encoding}${answer.guessed ? " (guessed)" : ""}`;
  kept = { name, data, encoding: answer.encoding, words };
  paint();
  changed("train");
  return [answer.text];
}

/** The server did not answer. */
export function fileLost() {
  sent = null;
  refuse("The server did not answer. Choose the file again.");
}

function refuse(problem) {
  notify({ kind: "error", title: "File not read", text: problem, key: "upload" });
  paint();
}

/** The text in the field is no longer that of the file. */
function forget() {
  kept = null;
  paint();
}

function paint() {
  const { choose, said, select, box } = parts;
  setText(said, sent ? "Reading …" : (kept?.words ?? INVITES));
  choose.disabled = Boolean(sent);
  select.disabled = Boolean(sent);
  box.hidden = !kept;
  if (!kept || sent) return;
  const offered = encodings.map(([name, text]) => el("option", { value: name, text }));
  select.replaceChildren(...(kept.encoding ? [] : [el("option", { value: "", text: "choose its encoding …" })]), ...offered);
  select.value = kept.encoding;
}
