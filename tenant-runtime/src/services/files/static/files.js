// Comfort for the pages of Files: uploads without leaving the page, selection, keys. Everything works without it.
import { toast } from "../js/toast.js";
import { Queue, filesOf } from "./queue.js";

const form = document.querySelector("form[data-files]");
const words = document.getElementById("files-words")?.dataset;
const typing = (target) => target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");

if (words?.folder) uploads(document.getElementById("files-queue"));
if (form) selection(form);
renaming();
document.addEventListener("keydown", keys);

function uploads(box) {
  const queue = new Queue(box, words, (sent, failed) => {
    if (sent) sessionStorage.setItem("files-sent", String(sent));
    // The list comes anew from the server; a failure stays in view until it was read.
    if (sent && !failed) location.reload();
    else if (sent) toast((sent === 1 ? words.doneOne : words.done).replace("{n}", sent));
  });
  const sent = Number(sessionStorage.getItem("files-sent"));
  sessionStorage.removeItem("files-sent");
  if (sent) toast((sent === 1 ? words.doneOne : words.done).replace("{n}", sent));

  const add = (entries) => entries.length && queue.add(entries, words.folder);
  const input = document.getElementById("files-input");
  const folder = document.getElementById("folder-input");
  input.addEventListener("change", () => {
    add([...input.files].map((file) => ({ file, path: "" })));
    input.value = "";
  });
  folder.addEventListener("change", () => {
    add([...folder.files].map((file) => ({ file, path: file.webkitRelativePath })));
    folder.value = "";
  });
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-upload], [data-upload-folder], .empty a[href*='/upload']");
    if (!target) return;
    event.preventDefault();
    (target.matches("[data-upload-folder]") ? folder : input).click();
  });
  document.addEventListener("paste", async (event) => {
    if (typing(event.target) || !event.clipboardData?.files.length) return;
    event.preventDefault();
    add((await filesOf(event.clipboardData)).map(named));
  });
  dropping(add);
}

/** A pasted picture has no name of its own. */
function named(entry) {
  if (!/^image\.\w+$/.test(entry.file.name)) return entry;
  const stamp = new Date().toLocaleString("sv").replaceAll(":", ".");
  const file = new File([entry.file], entry.file.name.replace("image", `${words.pasted} ${stamp}`), { type: entry.file.type });
  return { ...entry, file };
}

function dropping(add) {
  let veil;
  let depth = 0;
  const files = (event) => event.dataTransfer?.types.includes("Files");
  const hide = () => {
    depth = 0;
    veil?.remove();
    veil = null;
  };
  addEventListener("dragenter", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth += 1;
    if (veil) return;
    veil = document.createElement("div");
    veil.className = "files-veil";
    veil.textContent = words.drop;
    document.body.append(veil);
  });
  addEventListener("dragover", (event) => files(event) && event.preventDefault());
  addEventListener("dragleave", (event) => {
    if (files(event) && (depth -= 1) <= 0) hide();
  });
  addEventListener("drop", async (event) => {
    if (!files(event)) return;
    event.preventDefault();
    hide();
    add(await filesOf(event.dataTransfer));
  });
}

function selection(form) {
  const boxes = () => [...form.querySelectorAll("input[name=id]")];
  const count = form.querySelector("[data-count]");
  let last;
  const say = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    if (count) count.textContent = chosen === 0 ? "" : chosen === 1 ? count.dataset.one : count.dataset.other.replace("{n}", chosen);
  };
  form.addEventListener("click", (event) => {
    if (event.target.closest("[data-none]")) {
      boxes().forEach((box) => (box.checked = false));
      return say();
    }
    const box = event.target.closest("input[name=id]");
    if (!box) return;
    if (event.shiftKey && last) {
      const all = boxes();
      const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
      all.slice(from, to + 1).forEach((between) => (between.checked = box.checked));
    }
    last = box;
    say();
  });
  form.addEventListener("change", say);
  // A download leaves the page where it is; the form must not stay busy.
  form.addEventListener("submit", (event) => {
    if (event.submitter?.matches("[data-zip]")) setTimeout(() => (form.ariaBusy = null), 500);
  });
  addEventListener("pageshow", say);
  // On touch screens a long press selects, as people know it.
  let press;
  form.addEventListener("touchstart", (event) => {
    const row = event.target.closest(".list-row");
    if (!row || event.target.closest("label, details")) return;
    press = setTimeout(() => {
      const box = row.querySelector("input[name=id]");
      box.checked = !box.checked;
      navigator.vibrate?.(10);
      row.addEventListener("click", (click) => click.preventDefault(), { once: true, capture: true });
      say();
    }, 500);
  }, { passive: true });
  for (const end of ["touchend", "touchmove", "touchcancel"]) form.addEventListener(end, () => clearTimeout(press), { passive: true });
  form.addEventListener("contextmenu", (event) => {
    if (event.target.closest(".list-main") && matchMedia("(pointer: coarse)").matches) event.preventDefault();
  });
}

function renaming() {
  const dialog = document.getElementById("rename");
  if (!dialog) return;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-rename]");
    if (!link) return;
    event.preventDefault();
    link.closest("details")?.removeAttribute("open");
    const row = link.closest("[data-row-id]");
    const target = dialog.querySelector("form:not([method=dialog])");
    const field = dialog.querySelector("input[name=name]");
    if (row) {
      target.action = `/app/files/rename/${row.dataset.rowId}`;
      field.value = row.dataset.name;
    }
    dialog.showModal();
    const dot = row?.hasAttribute("data-is-folder") ? -1 : field.value.lastIndexOf(".");
    field.focus();
    field.setSelectionRange(0, dot > 0 ? dot : field.value.length);
  });
}

function keys(event) {
  if (event.defaultPrevented || typing(event.target) || event.altKey || document.querySelector("dialog[open]")) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "a" && form) {
    event.preventDefault();
    form.querySelectorAll("input[name=id]").forEach((box) => (box.checked = true));
    form.dispatchEvent(new Event("change"));
    return;
  }
  if (event.ctrlKey || event.metaKey) return;
  const row = event.target.closest?.("[data-row-id]");
  const act = {
    u: () => document.querySelector("[data-upload]")?.click(),
    n: () => document.querySelector("[data-open=new-folder]")?.click(),
    F2: () => (row ?? document).querySelector("[data-rename]")?.click(),
    Delete: () => throwAway(row),
    Escape: () => form?.querySelector("[data-none]")?.click(),
    ArrowLeft: () => form || document.querySelector("a[rel=prev]")?.click(),
    ArrowRight: () => form || document.querySelector("a[rel=next]")?.click(),
    " ": () => row?.querySelector("input[name=id]")?.click(),
  }[event.key];
  if (!act || (event.key === " " && (!row || event.target.matches("button, summary, input")))) return;
  if (/^Arrow/.test(event.key) && event.target.closest?.("video, audio, [tabindex='0']")) return;
  if (event.key !== "Escape") event.preventDefault();
  act();
}

/** The selected things, or the one that has the focus. */
function throwAway(row) {
  const chosen = form?.querySelector("input[name=id]:checked");
  if (chosen) return form.querySelector(".files-bar-throw")?.click();
  if (row) return row.querySelector("button.danger")?.click();
  document.querySelector("form[data-throw]")?.requestSubmit();
}
