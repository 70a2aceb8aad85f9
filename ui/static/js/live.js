// What changes while somebody looks: checks of a field as it is typed, and parts of the page that are still at work.
import { localTimes } from "./words.js";

/**
 * `<input data-live-check="/api/names/">`: asks `GET <address><value>` a moment after the last key and puts the answer's
 * `message` into `<p data-live-for="<id of the input>">`, its `state` into that element's `data-state`.
 */
function liveCheck(input) {
  const said = document.querySelector(`[data-live-for="${CSS.escape(input.id)}"]`);
  if (!said) return;
  let timer;
  let asked;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    asked?.abort();
    const wrong = document.getElementById(`${input.id}-error`);
    if (wrong) wrong.hidden = true;
    input.removeAttribute("aria-invalid");
    input.closest(".field")?.classList.remove("field-wrong");
    said.textContent = "";
    said.dataset.state = "";
    const value = input.value.trim();
    if (value) timer = setTimeout(() => ask(value), 300);
  });
  async function ask(value) {
    asked = new AbortController();
    said.dataset.state = "asking";
    try {
      const answer = await fetch(input.dataset.liveCheck + encodeURIComponent(value), { headers: { accept: "application/json" }, signal: asked.signal });
      const { state, message } = await answer.json();
      said.dataset.state = state ?? "";
      said.textContent = message ?? "";
    } catch {
      // Sending the form checks again; a lost connection is no reason to disturb.
      if (!asked.signal.aborted) said.dataset.state = "";
    }
  }
}

/**
 * `<div id="…" data-refresh="2">`: fetched again (from `data-from`, else this page) every so many seconds while it is
 * seen, until the answer comes without the attribute; without the part, or with `data-next`, the page goes on there.
 */
function refresh(part) {
  const seconds = Number(part.dataset.refresh) || 2;
  setTimeout(async () => {
    if (document.hidden) return refresh(part);
    let fresh;
    try {
      const answer = await fetch(part.dataset.from ?? location.href, { headers: { accept: "text/html" } });
      fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
    } catch {
      return refresh(part);
    }
    // The part is gone: what was waited for is there.
    if (!fresh) return location.assign(part.dataset.from ?? location.href);
    if (fresh.dataset.next) return location.assign(fresh.dataset.next);
    part.replaceWith(fresh);
    start(fresh);
    localTimes(fresh);
    if (fresh.dataset.refresh) refresh(fresh);
  }, seconds * 1000);
}

/** Wakes up what is below `root`. */
export function start(root = document) {
  for (const input of root.querySelectorAll("[data-live-check]")) liveCheck(input);
}

start();
for (const part of document.querySelectorAll("[data-refresh][id]")) refresh(part);
