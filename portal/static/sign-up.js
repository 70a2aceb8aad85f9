// Picking a name: what cannot be in an address is made into what can, so that nobody has to learn the rules.
const name = document.getElementById("f-name");

/** Capitals and blanks are the two mistakes that everybody makes; all else the answer explains. */
function tidy(text) {
  return text.toLowerCase().replace(/[\s._]+/g, "-");
}

name?.addEventListener("input", (event) => {
  // While a letter is being composed (accents, Chinese) the text is not ours to touch.
  if (event.isComposing) return;
  const tidied = tidy(name.value);
  if (tidied === name.value) return;
  const at = name.selectionStart;
  name.value = tidied;
  name.setSelectionRange(at, at);
});
