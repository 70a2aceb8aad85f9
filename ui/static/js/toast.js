// Short messages after something was done, with Undo. Those that the server sent stay in the page without this script.
import { word } from "./words.js";

const region = document.getElementById("toasts");

/**
 * Shows a message. `undo` is a function, or an address to POST to. It leaves after 6 s, or 12 s with Undo, but never
 * while somebody points at it or has the focus in it.
 */
export function toast(text, { undo } = {}) {
  if (!region) return;
  const box = document.createElement("div");
  box.className = "toast";
  const said = document.createElement("p");
  said.textContent = text;
  box.append(said);
  if (undo) box.append(undoButton(box, undo));
  region.append(box);
  live(box, undo ? 12000 : 6000);
}

function undoButton(box, undo) {
  const button = document.createElement("button");
  button.className = "toast-action";
  button.textContent = word("undo");
  if (typeof undo === "function") {
    button.addEventListener("click", () => {
      box.remove();
      undo();
    });
    return button;
  }
  const form = document.createElement("form");
  form.method = "post";
  form.action = undo;
  form.append(button);
  return form;
}

function live(box, time) {
  const close = document.createElement("button");
  close.className = "toast-close";
  close.ariaLabel = word("close");
  close.textContent = "×";
  close.addEventListener("click", () => box.remove());
  box.append(close);
  let timer;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => (box.matches(":hover, :focus-within") ? wait() : box.remove()), time);
  };
  wait();
}

for (const box of region?.querySelectorAll("[data-toast]") ?? []) {
  // A live region is read out when it changes, not when the page comes with it.
  box.remove();
  setTimeout(() => {
    region.append(box);
    live(box, box.querySelector("form") ? 12000 : 6000);
  }, 100);
}
