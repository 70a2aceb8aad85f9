// The queue of uploads: two at a time, one after the other in view, with one line that says how far all of them are.
import { Upload, show } from "../js/upload.js";
import { toast } from "../js/toast.js";

const AT_ONCE = 2;
const SHOWN = 4;

/** A queue that draws itself in `box`; `words` are the texts, `done` is called when nothing is left to send. */
export class Queue {
  constructor(box, words, done) {
    Object.assign(this, { box, words, done, waiting: [], going: new Set(), total: 0, sent: 0, failed: 0 });
    addEventListener("beforeunload", (event) => {
      if (this.busy) event.preventDefault();
    });
  }

  get busy() {
    return this.going.size + this.waiting.length > 0;
  }

  /** Adds files: `{ file, path }`, the path with the folders above it or empty. */
  add(entries, folder) {
    for (const { file, path } of entries) {
      const metadata = { purpose: "files", folder, modified: String(file.lastModified || Date.now()) };
      if (path && path.includes("/")) metadata.relativePath = path;
      this.waiting.push(new Upload(file, { metadata }));
    }
    this.total += entries.length;
    this.box.hidden = false;
    this.#head();
    this.#next();
  }

  #next() {
    while (this.going.size < AT_ONCE && this.waiting.length) this.#send(this.waiting.shift());
    this.#say();
    if (this.busy || !this.total) return;
    const { sent, failed } = this;
    Object.assign(this, { total: 0, sent: 0, failed: 0 });
    this.head.remove();
    this.head = null;
    this.done(sent, failed);
  }

  async #send(upload) {
    this.going.add(upload);
    if (this.box.querySelectorAll(".progress").length < SHOWN || upload.total > 5e6) show(upload, this.box);
    else upload.addEventListener("failed", () => toast(`${upload.file.name}: ${upload.error.message}`));
    try {
      await upload.start();
      this.sent += 1;
    } catch (error) {
      if (!error.cancelled) this.failed += 1;
      else this.total -= 1;
    }
    this.going.delete(upload);
    this.#next();
  }

  #head() {
    if (this.head) return;
    this.head = document.createElement("div");
    this.head.className = "row row-apart";
    const said = document.createElement("p");
    said.setAttribute("role", "status");
    const cancel = document.createElement("button");
    cancel.type = "button";
    cancel.className = "button button-quiet";
    cancel.textContent = this.words.cancel;
    cancel.addEventListener("click", () => {
      this.total -= this.waiting.length;
      this.waiting = [];
      this.going.forEach((upload) => upload.cancel());
      this.#next();
    });
    this.head.append(said, cancel);
    this.box.prepend(this.head);
  }

  #say() {
    if (!this.head) return;
    const now = Math.min(this.total, this.sent + this.failed + 1);
    this.head.firstChild.textContent = this.words.total.replace("{n}", now).replace("{of}", this.total);
  }
}

/** The files of a drop or a paste, folders walked through. */
export async function filesOf(transfer) {
  const items = [...(transfer.items ?? [])].filter((item) => item.kind === "file");
  const roots = items.map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!roots.some((root) => root.isDirectory)) return [...transfer.files].map((file) => ({ file, path: "" }));
  const found = [];
  for (const root of roots) await walk(root, "", found);
  return found;
}

async function walk(entry, above, found) {
  const path = above + entry.name;
  if (entry.isFile) {
    found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path });
    return;
  }
  const reader = entry.createReader();
  // A reader gives a hundred entries at a time, and none at the end.
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const inner of some) await walk(inner, `${path}/`, found);
  }
}
