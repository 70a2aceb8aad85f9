// A tus 1.0 client: creation, resumption and termination. A large file goes in parts; what a lost connection or a closed
// page broke off goes on where it was, because the server knows how far it came.
import { bytes, left, word } from "./words.js";

const VERSION = { "tus-resumable": "1.0.0" };
const PART = 8 * 1024 * 1024;
const PATIENCE = [500, 1000, 2000, 4000, 8000, 15000, 30000];

/** Why an upload ended: `status` is the server's answer, 0 when there was none; `cancelled` when somebody wished so. */
export class UploadError extends Error {
  constructor(message, status = 0, cancelled = false) {
    super(message);
    this.status = status;
    this.cancelled = cancelled;
  }
}

/**
 * One file on its way.
 *
 *   const upload = new Upload(file, { endpoint: "/app/uploads/", metadata: { folder: "…" } });
 *   upload.addEventListener("progress", () => show(upload.sent, upload.total, upload.secondsLeft));
 *   const address = await upload.start();      // or upload.cancel()
 *
 * `filename` and `filetype` are always among the metadata.
 */
export class Upload extends EventTarget {
  constructor(file, { endpoint = "/app/uploads/", metadata = {}, part = PART } = {}) {
    super();
    Object.assign(this, { file, endpoint, part, sent: 0, total: file.size, secondsLeft: NaN, state: "waiting" });
    this.metadata = { filename: file.name, filetype: file.type || "application/octet-stream", ...metadata };
    this.mark = `upload:${endpoint}:${JSON.stringify(this.metadata)}:${file.size}:${file.lastModified}`;
  }

  /** Sends the file; resolves to the upload's address when the server has all of it. */
  async start() {
    this.#become("sending");
    this.started = performance.now();
    try {
      await this.#find();
      this.before = this.sent;
      while (this.sent < this.total) await this.#patiently(() => this.#sendPart());
    } catch (error) {
      this.#become(error.cancelled ? "cancelled" : "failed", error);
      throw error;
    }
    forget(this.mark);
    this.#become("done");
    return this.address;
  }

  /** Stops, and tells the server to forget what it has. */
  cancel() {
    this.cancelled = true;
    this.request?.abort();
    this.wake?.();
    forget(this.mark);
    if (this.address) fetch(this.address, { method: "DELETE", headers: VERSION, keepalive: true }).catch(() => {});
  }

  #become(state, error) {
    this.state = state;
    this.error = error;
    this.dispatchEvent(new CustomEvent(state, { detail: error }));
  }

  /** Goes on with what was begun before, or begins. */
  async #find() {
    this.address = remembered(this.mark);
    if (this.address && !(await this.#patiently(() => this.#ask()))) this.address = null;
    if (!this.address) await this.#patiently(() => this.#create());
  }

  async #create() {
    const metadata = Object.entries(this.metadata).map(([key, value]) => `${key} ${base64(String(value))}`).join(",");
    const answer = await this.#send("POST", this.endpoint, { "upload-length": String(this.total), "upload-metadata": metadata });
    const address = answer.getResponseHeader("location");
    if (answer.status !== 201 || !address) throw refused(answer);
    this.address = new URL(address, location.href).pathname;
    this.sent = 0;
    remember(this.mark, this.address);
  }

  /** Learns how much the server has; false when it does not know the upload any more. */
  async #ask() {
    const answer = await this.#send("HEAD", this.address, {});
    if ([403, 404, 410].includes(answer.status)) return false;
    if (answer.status >= 300) throw refused(answer);
    this.sent = Number(answer.getResponseHeader("upload-offset"));
    return true;
  }

  async #sendPart() {
    if (this.unsure && !(await this.#ask())) throw new UploadError(word("failed"), 404);
    this.unsure = true;
    const from = this.sent;
    const body = this.file.slice(from, from + this.part);
    const headers = { "upload-offset": String(from), "content-type": "application/offset+octet-stream" };
    const answer = await this.#send("PATCH", this.address, headers, body, (loaded) => this.#progress(from + loaded));
    // 409: somebody was faster or a part was counted twice; the server says where it is.
    if (answer.status === 409) return;
    if (answer.status !== 204) throw refused(answer);
    this.sent = Number(answer.getResponseHeader("upload-offset"));
    this.unsure = false;
    this.#progress(this.sent);
  }

  #progress(sent) {
    const seconds = (performance.now() - this.started) / 1000;
    const speed = (sent - this.before) / seconds;
    this.sent = sent;
    this.secondsLeft = seconds > 1 && speed > 0 ? (this.total - sent) / speed : NaN;
    this.dispatchEvent(new Event("progress"));
  }

  /** Tries again after lost connections and a busy server, not after a refusal. */
  async #patiently(act) {
    for (let tries = 0; ; tries += 1) {
      const at = this.sent;
      try {
        return await act();
      } catch (error) {
        const passing = !error.status || error.status === 423 || error.status === 429 || (error.status >= 500 && error.status !== 507);
        if (this.cancelled || error.cancelled) throw new UploadError("", 0, true);
        if (!passing || tries >= PATIENCE.length) throw error;
        if (this.sent > at) tries = 0;
        this.dispatchEvent(new CustomEvent("waiting", { detail: error }));
        await this.#wait(PATIENCE[Math.min(tries, PATIENCE.length - 1)]);
      }
    }
  }

  /** Waits, but no longer than until the network is back or somebody cancels. */
  #wait(time) {
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, time);
      addEventListener("online", resolve, { once: true });
    });
  }

  #send(method, address, headers, body, onProgress) {
    return new Promise((resolve, reject) => {
      if (this.cancelled) return reject(new UploadError("", 0, true));
      // fetch cannot tell how much of a body has left.
      const request = (this.request = new XMLHttpRequest());
      request.open(method, address);
      // A refusal comes as problem+json in words, not as a page.
      request.setRequestHeader("accept", "application/json");
      for (const [name, value] of Object.entries({ ...VERSION, ...headers })) request.setRequestHeader(name, value);
      if (onProgress) request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
      request.addEventListener("load", () => resolve(request));
      request.addEventListener("error", () => reject(new UploadError(word("failed"))));
      request.addEventListener("abort", () => reject(new UploadError("", 0, true)));
      request.send(body);
    });
  }
}

/** Shows an upload as a progress bar with the time left and Cancel, at the end of `container`. */
export function show(upload, container) {
  const box = document.createElement("div");
  box.className = "progress";
  box.innerHTML = '<div class="progress-head"><span class="progress-label"></span><span class="progress-detail" role="status"></span></div><progress></progress><button type="button" class="button-quiet"></button>';
  const [label, detail, bar, button] = ["progress-label", "progress-detail"].map((name) => box.querySelector(`.${name}`)).concat([box.querySelector("progress"), box.querySelector("button")]);
  label.textContent = upload.file.name;
  bar.ariaLabel = upload.file.name;
  bar.max = Math.max(1, upload.total);
  bar.value = 0;
  button.textContent = word("cancel");
  button.addEventListener("click", () => (upload.state === "failed" ? box.remove() : upload.cancel()));
  upload.addEventListener("progress", () => {
    bar.value = upload.sent;
    detail.textContent = [`${bytes(upload.sent)} / ${bytes(upload.total)}`, left(upload.secondsLeft)].filter(Boolean).join(" · ");
  });
  upload.addEventListener("waiting", () => (detail.textContent = word("waiting")));
  for (const end of ["done", "cancelled"]) upload.addEventListener(end, () => box.remove());
  upload.addEventListener("failed", (event) => {
    box.classList.add("progress-failed");
    detail.textContent = event.detail.message || word("failed");
    button.textContent = word("close");
  });
  container.append(box);
  return box;
}

function refused(answer) {
  let said = "";
  try {
    said = JSON.parse(answer.responseText).detail;
  } catch {
    // Not problem+json: the usual words will do.
  }
  return new UploadError(said || word("failed"), answer.status);
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

function remembered(mark) {
  try {
    return localStorage.getItem(mark);
  } catch {
    return null;
  }
}

function remember(mark, address) {
  try {
    localStorage.setItem(mark, address);
  } catch {
    // A private window: the upload works, it only cannot go on after a reload.
  }
}

function forget(mark) {
  try {
    localStorage.removeItem(mark);
  } catch {
    // As above.
  }
}
