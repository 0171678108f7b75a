// Whose words stand at a place: one prompt for all columns, or, where each column wrote its own, the column's.

/** The payload with each column's text as words, and what could follow them as lines. */
export function unpacked(payload) {
  if (!payload?.story) return payload;
  const columns = payload.columns.map((col) => {
    if (!col.story) return col;
    const { text, next, ...rest } = col.story;
    return { ...col, story: { ...rest, tokens: text.split(" "), next: next ? next.split("\n") : [] } };
  });
  return { ...payload, columns };
}

/** The words of a column. */
export const wordsOf = (payload, col) => col.story?.tokens ?? payload.prompt.tokens;

/** How many words the column has; in a story that ended early, fewer than the pictures have room for. */
export const lengthOf = (payload, col) => wordsOf(payload, col).length;

/** The word at place i if it is the same in all columns, else null. */
export const sharedWord = (payload, i) => payload.prompt.tokens[i] ?? null;

/** What can be said of a place that a column's text does not have. */
export const beyond = (col) => (col.story?.over ? `its text ends at t ${col.story.tokens.length - 1}` : "not written yet");
