// Loaded by every page; every page works without it. It reads `data-` attributes and adds comfort:
//   data-open="id"      opens the dialog of that id            data-close        closes the dialog around it
//   data-copy="text"    copies the text                        data-submit       sends its form when changed
//   data-reveal="id"    shows or hides a password field        data-print        prints the page
//   data-confirm="word" keeps its form's button off until the word is typed
import "./keys.js";
import "./live.js";
import { toast } from "./toast.js";
import { localTimes, word } from "./words.js";

document.documentElement.classList.add("js");
localTimes();

const doing = {
  open: (target) => document.getElementById(target.dataset.open)?.showModal(),
  close: (target) => target.closest("dialog")?.close(),
  print: () => window.print(),
  reveal(target) {
    const field = document.getElementById(target.dataset.reveal);
    field.type = field.type === "password" ? "text" : "password";
    target.setAttribute("aria-pressed", String(field.type === "text"));
  },
  async copy(target) {
    try {
      await navigator.clipboard.writeText(target.dataset.copy);
      toast(word("copied"));
    } catch {
      toast(word("failed"));
    }
  },
};

document.addEventListener("click", (event) => {
  for (const [name, act] of Object.entries(doing)) {
    const target = event.target.closest(`[data-${name}]`);
    if (!target) continue;
    // A link that opens a dialog is the way without scripts.
    event.preventDefault();
    return act(target);
  }
  if (event.target.matches?.("dialog[open]")) outside(event);
});

/** A click on the veil closes the dialog; one that began inside (selecting text) does not. */
function outside(event) {
  const box = event.target.getBoundingClientRect();
  const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
  if (!inside && event.detail > 0) event.target.close();
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form?.requestSubmit();
});

document.addEventListener("submit", (event) => {
  if (event.target.method === "dialog") return;
  // Twice is an accident. The page comes back from the history with its buttons alive.
  if (event.target.ariaBusy === "true") return event.preventDefault();
  event.target.ariaBusy = "true";
  setTimeout(() => (event.target.ariaBusy = null), 4000);
});
window.addEventListener("pageshow", () => document.querySelectorAll("form[aria-busy]").forEach((form) => (form.ariaBusy = null)));

// A form that came back: to the first thing that is wrong.
document.querySelector("[aria-invalid=true]")?.focus();

for (const field of document.querySelectorAll("[data-confirm]")) {
  const button = field.form?.querySelector("[type=submit], button:not([type])");
  const check = () => (button.disabled = field.value.trim() !== field.dataset.confirm);
  if (button) {
    check();
    field.addEventListener("input", check);
  }
}

export { toast };
