// Input methods (Japanese, Chinese, Korean …) use Enter, arrows and letters for a word that is being written. Such keys
// are no commands: nobody else on the page hears of them. 229 is the key code of Safari's Enter that ends the writing.

const composing = (event) => event.isComposing || event.keyCode === 229;

for (const name of ["keydown", "keypress", "keyup"]) {
  addEventListener(name, (event) => composing(event) && event.stopImmediatePropagation(), { capture: true });
}
