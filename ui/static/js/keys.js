// The keyboard: `/` searches, `?` shows the keys, arrows move in lists, `data-key="n"` on a link or button presses it.
// Escape closes dialogs by itself.

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");

function inList(event) {
  const list = event.target.closest?.("[data-list]");
  if (!list) return;
  const rows = [...list.querySelectorAll(".list-main, [data-row]")];
  const now = rows.findIndex((row) => row === event.target || row.parentElement.contains(event.target));
  const next = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (next === undefined || !rows[next]) return;
  event.preventDefault();
  rows[next].focus();
}

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(except)) menu.open = false;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    const menu = event.target.closest?.("details.menu[open]");
    closeMenus();
    menu?.querySelector("summary").focus();
    return;
  }
  if (typing(event.target)) return;
  if (event.key === "/") {
    const search = document.querySelector("[data-search], [type=search]");
    if (!search) return;
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "?") {
    const help = document.getElementById("keys");
    if (help && !document.querySelector("dialog[open]")) help.showModal();
  } else {
    inList(event);
    const pressed = /^\w$/.test(event.key) && document.querySelector(`[data-key="${event.key}"]`);
    if (pressed && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      pressed.click();
    }
  }
});
document.addEventListener("click", (event) => closeMenus(event.target));
