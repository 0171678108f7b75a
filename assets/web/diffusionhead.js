// The heads of both columns with their four figures, the verdicts, and the choices that stand in the step bar.

import { el, icon } from "./dom.js";
import { bytes, count, milliseconds, quoted } from "./format.js";
import { columnName } from "./layers.js";
import { segments } from "./segments.js";
import { Stepper } from "./switches.js";

const figure = (value, unit, label) =>
  el("div", { class: "df-figure" }, el("b", { text: value }), el("span", { class: "ba-unit", text: ` ${unit}` }), el("p", { text: label }));

export function header(ctx, index, side, step) {
  const { writer, n } = side;
  const { stands, passes, ms, held, of } = side.figures(step);
  const [kept, unit] = bytes(held);
  const pinned = side.parent ? side.pinned.map(quoted).join(", ") : "";
  const branch = side.parent ? `Branch from step ${side.since}${pinned && !ctx.phone ? `, ${pinned} pinned` : ""}` : "";
  const seen = writer.tokens ? [`trained on ${count(writer.tokens)} tokens`] : [];
  const size = [writer.says, `${writer.layers} layers`, `${count(writer.parameters)} parameters`, ...seen].join(" · ");
  const untrained = writer.trained ? null : el("span", { class: "df-branch df-untrained", text: ctx.phone ? "untrained" : "untrained: its words are noise" });
  ctx.heads[index].dataset.family = writer.family;
  ctx.heads[index].replaceChildren(
    el("i", { class: side.parent ? "ba-rule df-rule-branch" : "ba-rule" }),
    el("div", { class: "ba-title" }, el("h3", { text: ctx.phone ? writer.short : writer.name, title: writer.summary }), el("span", { class: "df-badges" }, branch ? el("span", { class: "df-branch", text: branch }) : null, untrained)),
    el("p", { class: "ba-facts" }, ctx.phone ? `${writer.layers} layers · ${count(writer.parameters)}` : size),
    el("div", { class: "df-figures" },
      figure(String(stands), `/ ${n - 1}`, "committed"),
      figure(String(passes), `/ ${of}`, "passes"),
      figure(milliseconds(ms), "ms", "so far"),
      figure(kept, unit, "kept between passes")),
  );
  for (const name of ["text", "order"]) ctx.names[name][index].replaceChildren(columnName(writer));
  verdict(ctx.ends[index], side, step);
}

// The head of a twin that could not write, and why.
export function absent(ctx, writer, why) {
  ctx.heads[1].dataset.family = writer.family;
  ctx.heads[1].replaceChildren(
    el("i", { class: "ba-rule" }),
    el("div", { class: "ba-title" }, el("h3", { text: ctx.phone ? writer.short : writer.name, title: writer.summary })),
    el("p", { class: "ba-facts", role: "alert", text: why }),
  );
}

// A tick or a cross and why; of the twin also what it could not know.
function verdict(node, side, step) {
  const said = side.verdict;
  const sign = said?.accepted ? "tick" : "cross";
  const words = said ? said.why : "Not judged: some places are still masked.";
  const open = side.twin && said?.accepted && side.written.at(-1) < side.count;
  const place = said?.place && side.cell(side.last, said.place).state === "committed" ? ` Place ${said.place}.` : "";
  const lines = [el("p", { class: "ba-verdict" }, said ? el("span", { class: "ba-verdict-icon" }, icon(open ? "tick" : sign)) : null, el("span", { text: open ? "A story so far; it had no passes left to end it." : `${words}${place}` }))];
  if (side.unread?.size) {
    const { agrees } = side.twin;
    lines.push(el("p", { class: "df-unread", text: `Of ${side.unread.size} word${side.unread.size > 1 ? "s" : ""} given behind the first gap it read none; written to its end, ${agrees} stand${agrees === 1 ? "s" : ""} where you put ${side.unread.size > 1 ? "them" : "it"}.` }));
  }
  node.replaceChildren(columnName(side.writer), ...lines);
  node.dataset.step = String(step);
}

export function stepTools(ctx) {
  const pace = segments("The twin is shown after", { passes: "Same passes", time: "Same time" }, (value) => ctx.set({ pace: value }));
  const beside = segments("Beside the run", { twin: "Twin", branch: "Branch" }, (value) => ctx.set({ beside: value === "twin" ? 0 : ctx.runs.length - 1 }));
  const many = new Stepper("Branch", (by) => {
    const all = ctx.runs.length - 1;
    ctx.set({ beside: 1 + ((ctx.beside - 1 + by + all) % all) });
  });
  const node = el("span", { class: "df-tools" }, many.node, beside.node, pace.node);
  const paint = () => {
    const branches = ctx.runs.length - 1;
    pace.paint(ctx.pace ?? "passes");
    beside.paint(ctx.beside ? "branch" : "twin");
    beside.node.hidden = !branches;
    many.node.hidden = branches < 2 || !ctx.beside;
    pace.node.hidden = Boolean(ctx.beside) || !ctx.twin;
    many.say(`${ctx.beside} / ${branches}`);
  };
  return { node, paint };
}
