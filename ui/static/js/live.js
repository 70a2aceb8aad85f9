// What changes while somebody looks: checks of a field as it is typed, and parts of the page that are still at work.
import { localTimes } from "./words.js";

const awake = new WeakSet();

/**
 * `<input data-live-check="/api/names/">`: asks `GET <address><value>` a moment after the last key and puts the answer's
 * `message` into `<p data-live-for="<id of the input>">`, its `state` into that element's `data-state`.
 */
function liveCheck(input) {
  if (awake.has(input)) return;
  awake.add(input);
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
 * Only what changed is changed: whoever selects a text, or stands on a button, goes on doing so, and hears only what is new.
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
    if (!fresh) return goOn(part.dataset.from ?? location.href);
    if (fresh.dataset.next) return goOn(fresh.dataset.next);
    // Times are in the reader's own zone already; else each would look changed.
    localTimes(fresh);
    become(part, fresh);
    start(part);
    if (part.dataset.refresh) refresh(part);
  }, seconds * 1000);
}

/** To an address, even if it is this very page (`assign` would only look for the place in it). */
function goOn(address) {
  const to = new URL(address, location.href);
  if (to.href === location.href) location.reload();
  else location.assign(to);
}

/** Makes a piece of the page equal to its fresh copy, touching only what differs. */
function become(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType !== Node.ELEMENT_NODE) return void (old.nodeValue = fresh.nodeValue);
  // What the reader has opened or is sending is theirs.
  const kept = (name) => name === "open" || name === "aria-busy";
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !kept(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [were, are] = [[...old.childNodes], [...fresh.childNodes]];
  are.forEach((node, n) => (n < were.length ? become(were[n], node) : old.append(node)));
  were.slice(are.length).forEach((node) => node.remove());
}

/** Wakes up what is below `root`. */
export function start(root = document) {
  for (const input of root.querySelectorAll("[data-live-check]")) liveCheck(input);
}

start();
for (const part of document.querySelectorAll("[data-refresh][id]")) refresh(part);
