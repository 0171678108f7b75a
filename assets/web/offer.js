// A link that the clipboard did not take, in a field to copy from.

export function offerLink(link) {
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
