// Comfort for the editor: saves by itself, formats, takes pasted and dropped pictures, shows how it will look.
// Without this script the same form saves, previews, publishes and adds pictures.
import "../home/tags.js";

const form = document.getElementById("editor");
const text = document.getElementById("body");
const state = document.getElementById("state");
const revision = form.elements.revision;
const key = `percloud.post.${form.dataset.id}`;
const address = `/app/posts/${form.dataset.id}`;

function say(word, wrong = false) {
  state.textContent = form.dataset[word] ?? "";
  state.dataset.kind = wrong ? "wrong" : "";
}

/* ---- saving: to the server a moment after the last key, to this device at once ---- */

const saved = { timer: 0, running: null, typed: 0, kept: 0, stale: false };

function fields() {
  const data = new FormData();
  for (const name of ["revision", "title", "body", "tags", "visibility"]) data.set(name, form.elements[name].value);
  return data;
}

function changed() {
  saved.typed += 1;
  keepHere();
  if (saved.stale) return;
  say("unsaved");
  clearTimeout(saved.timer);
  saved.timer = setTimeout(save, 1200);
  sketchSoon();
}

/** What was typed stays on this device until the server has it. */
function keepHere() {
  try {
    localStorage.setItem(key, JSON.stringify(Object.fromEntries(fields())));
  } catch {
    // Private windows and full disks: the server still gets it.
  }
}

async function save() {
  if (saved.running || saved.stale || saved.kept === saved.typed) return saved.running;
  saved.running = send();
  try {
    await saved.running;
  } finally {
    saved.running = null;
  }
  if (!saved.stale && saved.kept !== saved.typed) saved.timer = setTimeout(save, 1200);
}

async function send() {
  const now = saved.typed;
  say("saving");
  let answer;
  try {
    answer = await fetch(`${address}/autosave`, { method: "POST", body: fields(), headers: { accept: "application/json" } });
  } catch {
    return say("offline", true);
  }
  if (answer.status === 409) {
    saved.stale = true;
    return say("stale", true);
  }
  if (!answer.ok) return say("offline", true);
  const isFirst = revision.value === "0";
  revision.value = (await answer.json()).revision;
  saved.kept = now;
  if (saved.kept === saved.typed) {
    localStorage.removeItem(key);
    say("saved");
  }
  // From now on, reloading the page comes back to this post.
  if (isFirst) history.replaceState(null, "", address);
}

/** The page goes away: the last words go with a beacon; what does not fit (64 KB) waits on this device. */
function leave() {
  if (saved.stale || saved.kept === saved.typed || saved.running) return;
  if (navigator.sendBeacon(`${address}/autosave`, fields())) saved.kept = saved.typed;
}

/** Brings back what was typed here and never reached the server. */
function restore() {
  let kept;
  try {
    kept = JSON.parse(localStorage.getItem(key) ?? "null");
  } catch {
    return;
  }
  if (!kept) return;
  if (kept.body === text.value && kept.title === form.elements.title.value) return localStorage.removeItem(key);
  // The server has something newer, perhaps this very text by a beacon: what it has counts.
  if (kept.revision !== revision.value) return localStorage.removeItem(key);
  for (const name of ["title", "body", "tags", "visibility"]) form.elements[name].value = kept[name] ?? "";
  changed();
  say("restored");
}

form.addEventListener("input", changed);
form.addEventListener("submit", () => {
  clearTimeout(saved.timer);
  saved.kept = saved.typed;
  localStorage.removeItem(key);
});
addEventListener("pagehide", leave);
addEventListener("online", save);
document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && save());

/* ---- formatting: through the browser's own editing, so that Ctrl+Z works ---- */

function insert(value, from = text.selectionStart, to = text.selectionEnd) {
  text.focus();
  text.setSelectionRange(from, to);
  if (!document.execCommand("insertText", false, value)) {
    text.setRangeText(value, from, to, "end");
    text.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }
}

function around(mark, after = mark) {
  const [from, to] = [text.selectionStart, text.selectionEnd];
  const inside = text.value.slice(from, to);
  const isMarked = text.value.slice(from - mark.length, from) === mark && text.value.slice(to, to + after.length) === after;
  if (isMarked) {
    insert(inside, from - mark.length, to + after.length);
    return text.setSelectionRange(from - mark.length, to - mark.length);
  }
  insert(mark + inside + after);
  text.setSelectionRange(from + mark.length, from + mark.length + inside.length);
}

/** Puts a mark before every chosen line, or takes it away. */
function lines(mark) {
  const from = text.value.lastIndexOf("\n", text.selectionStart - 1) + 1;
  const end = text.value.indexOf("\n", text.selectionEnd);
  const to = end < 0 ? text.value.length : end;
  const all = text.value.slice(from, to).split("\n");
  const isMarked = all.every((line, i) => line.startsWith(mark(i)));
  const next = all.map((line, i) => (isMarked ? line.slice(mark(i).length) : mark(i) + line)).join("\n");
  insert(next, from, to);
  text.setSelectionRange(from, from + next.length);
}

function link() {
  const chosen = text.value.slice(text.selectionStart, text.selectionEnd);
  const from = text.selectionStart;
  if (/^https?:\/\/\S+$/.test(chosen)) {
    insert(`[](${chosen})`);
    return text.setSelectionRange(from + 1, from + 1);
  }
  insert(`[${chosen}](https://)`);
  const start = from + chosen.length + 3;
  text.setSelectionRange(start, start + 8);
}

const tools = {
  bold: () => around("**"),
  italic: () => around("*"),
  heading: () => lines(() => "## "),
  list: () => lines(() => "- "),
  numbers: () => lines((i) => `${i + 1}. `),
  quote: () => lines(() => "> "),
  code: () => (text.value.slice(text.selectionStart, text.selectionEnd).includes("\n") ? around("```\n", "\n```") : around("`")),
  link,
  picture: () => picker.click(),
  preview: togglePreview,
};

const bar = form.querySelector("[role=toolbar]");
const buttons = [...bar.querySelectorAll("button")];

bar.addEventListener("click", (event) => {
  const button = event.target.closest("[data-tool]");
  if (button) tools[button.dataset.tool]();
});

// One stop for Tab, arrows inside: as toolbars work everywhere.
function stop(at) {
  buttons.forEach((button, i) => (button.tabIndex = i === at ? 0 : -1));
}
stop(0);
bar.addEventListener("focusin", (event) => stop(Math.max(0, buttons.indexOf(event.target))));
bar.addEventListener("keydown", (event) => {
  const at = buttons.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  event.stopPropagation();
  buttons[(to + buttons.length) % buttons.length].focus();
});

form.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
  const name = { b: "bold", i: "italic", k: "link" }[event.key.toLowerCase()];
  if (name && event.target === text) {
    event.preventDefault();
    tools[name]();
  } else if (event.key.toLowerCase() === "s" && !event.shiftKey) {
    event.preventDefault();
    clearTimeout(saved.timer);
    save();
  } else if (event.key === "Enter") {
    event.preventDefault();
    form.requestSubmit(form.querySelector("button[value=publish]"));
  }
});

/* ---- pictures: chosen, pasted or dropped, put where the cursor is ---- */

const picker = Object.assign(document.createElement("input"), { type: "file", multiple: true, accept: "image/png,image/jpeg,image/webp,image/gif,image/avif" });
picker.addEventListener("change", () => {
  add([...picker.files]);
  picker.value = "";
});

async function add(files) {
  for (const file of files) {
    const place = `![${form.dataset.uploading}](#${crypto.randomUUID().slice(0, 8)})`;
    insert(`${before()}${place}\n\n`);
    const markdown = await upload(file);
    const at = text.value.indexOf(place);
    if (at < 0) continue;
    if (markdown) insert(markdown, at, at + place.length);
    else insert("", at, at + place.length + 2);
  }
}

/** Pictures stand on lines of their own. */
function before() {
  const lead = text.value.slice(0, text.selectionStart);
  if (lead === "" || lead.endsWith("\n\n")) return "";
  return lead.endsWith("\n") ? "\n" : "\n\n";
}

async function upload(file) {
  const data = new FormData();
  data.set("picture", file, file.name || "picture");
  try {
    const answer = await fetch("/app/posts/pictures", { method: "POST", body: data, headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const [picture] = await answer.json();
    const hasName = file.name && !/^(image|picture|img|dsc|pxl|screenshot)[\W_\d]*/i.test(picture.name);
    return `![${hasName ? picture.name : form.dataset.alt}](${picture.path})`;
  } catch {
    say("refused", true);
    return null;
  }
}

const pictures = (transfer) => [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));
text.addEventListener("paste", (event) => {
  const files = pictures(event.clipboardData);
  if (files.length === 0) return;
  event.preventDefault();
  add(files);
});
text.addEventListener("dragover", (event) => {
  if (![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault();
  text.dataset.over = "";
});
for (const name of ["dragleave", "drop"]) text.addEventListener(name, () => delete text.dataset.over);
text.addEventListener("drop", (event) => {
  const files = pictures(event.dataTransfer);
  if (files.length === 0) return;
  event.preventDefault();
  add(files);
});

/* ---- preview: the server's own HTML, so that it is what readers get ---- */

const preview = document.getElementById("preview");
let sketching = 0;

function togglePreview() {
  preview.hidden = !preview.hidden;
  bar.querySelector("[data-tool=preview]").setAttribute("aria-pressed", String(!preview.hidden));
  if (!preview.hidden) sketch();
}

function sketchSoon() {
  if (preview.hidden) return;
  clearTimeout(sketching);
  sketching = setTimeout(sketch, 400);
}

async function sketch() {
  try {
    const answer = await fetch("/app/posts/sketch", { method: "POST", body: new URLSearchParams({ body: text.value }), headers: { accept: "application/json" } });
    if (!answer.ok) return;
    // Sanitised by the server; parsed apart all the same, where nothing runs.
    const page = new DOMParser().parseFromString((await answer.json()).html, "text/html");
    preview.replaceChildren(...page.body.childNodes);
  } catch {
    // The next key tries again.
  }
}

restore();
