// The sections of the Compare page, in order, and what stands in their cells: a story has its words in place of answers.

import { AnswersCell } from "./answers.js";
import { emit } from "./bus.js";
import { CostCell } from "./cost.js";
import { el } from "./dom.js";
import { Header } from "./layers.js";
import { MemoryCell } from "./memory.js";
import { MixingCell } from "./mixing.js";
import { NextCell } from "./nextword.js";
import { mixingTools, section } from "./sections.js";
import { StoryCell } from "./story.js";

const ANSWERED = { header: Header, mixing: MixingCell, answers: AnswersCell, memory: MemoryCell, cost: CostCell };
const WRITTEN = { header: Header, story: StoryCell, next: NextCell, mixing: MixingCell, memory: MemoryCell, cost: CostCell };

/** name -> class of the cells that each column has. */
export const partsOf = (payload) => (payload.story ? WRITTEN : ANSWERED);

const noun = ({ story, n }) => (story ? "tokens, the longest of the texts for every model" : "tokens");

/** What the cost was measured on. */
export const costCaption = (payload) => `${payload.n} ${noun(payload)}, batch 1, beyond the weights`;

/** name -> section, in the order of the page. Gives the page its tools. */
export function sectionsOf(page) {
  const { payload } = page;
  const { story, prompt } = payload;
  page.tools = mixingTools(story ? ", where each reads what it repeats" : undefined);
  page.rounds = el("span");
  const made = {
    prompt: section("prompt", "Prompt", prompt.caption, page.prompt.ends),
    header: section("header"),
  };
  if (story) Object.assign(made, storySections(page, story));
  made.mixing = section("mixing", "Token mixing", "row t reads column s", page.tools.node);
  if (!story) made.answers = section("answers", "Answers", "greedy, with the probability of the answer given; a wrong answer is boxed");
  made.memory = section("memory", "Memory", "", page.transport.node);
  made.cost = section("cost", "Cost", costCaption(payload), page.rounds);
  return made;
}

function storySections(page, story) {
  page.resample = el("button", {
    class: "ba-button",
    type: "button",
    text: "Resample",
    title: "Another draw from the same first words: the next seed",
    on: { click: () => emit("resample") },
  });
  return {
    story: section("story", "Story", story.caption, page.resample),
    next: section("next", "Next word", "bar: chance that it is drawn, 0 to 1; thin line: what the model said; the word that follows is bold"),
  };
}
