// The text field of Compare means something else in every scenario, so each keeps what the person wrote there.

const texts = {}; // scenario -> what the person wrote there
let now = "phonebook";
let swapped = null; // the text that the last swap put away
let example = ""; // with which own text starts, so that it runs

export function setExample(text) {
  example = text;
}

/** The scenario that the controls say; the style sheet shows the controls that belong to it. */
export function showScenario(scenario) {
  now = scenario;
  swapped = null;
  document.documentElement.dataset.scenario = scenario;
}

/** The text of the scenario just chosen takes the field. (Gradio may tell of a change twice.) */
export function swapText([scenario, text]) {
  if (scenario !== now) {
    texts[now] = text;
    texts[scenario] ??= scenario === "text" ? example : "";
    showScenario(scenario);
    swapped = text;
  }
  return [scenario, text === swapped ? texts[scenario] : text];
}
