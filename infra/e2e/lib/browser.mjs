// Debian's Chromium, a phone or a desk, and axe-core on every page it visits.

import axe from "axe-core";
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
export const PHONE = { width: 360, height: 740 };
export const DESK = { width: 1280, height: 800 };

/** A browser that trusts these providers' authorities and nobody else's. */
export const open = (t, ...spkis) => openWith(t, { spkis });

/** The same, for which these names are on loopback, too. */
export async function openWith(t, { spkis, hosts = [] }) {
  assert.ok(executablePath, "no Chromium was found; infra/test installs it");
  const args = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  args.push(`--ignore-certificate-errors-spki-list=${spkis.join(",")}`);
  if (hosts.length > 0) args.push(`--host-resolver-rules=${hosts.map((host) => `MAP ${host} 127.0.0.1`).join(",")}`);
  if (process.getuid() === 0) args.push("--no-sandbox");
  const browser = await chromium.launch({ executablePath, args });
  t.after(() => browser.close());
  return browser;
}

/** A person's own window: cookies of their own, errors of the page's scripts are failures. */
export async function person(t, browser, { viewport = PHONE, locale = "en", colorScheme = "light", javaScriptEnabled = true } = {}) {
  const context = await browser.newContext({
    viewport, locale, colorScheme, javaScriptEnabled, acceptDownloads: true,
    // axe runs inside the page; our pages' own policy is checked by the tests of the headers.
    bypassCSP: javaScriptEnabled,
  });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  windows.push(page);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  t.after(() => assert.deepEqual(wrong, [], "errors in the pages' scripts"));
  return page;
}

/** What the page's own fetch gets, with its cookies: status, headers, text and the hex SHA-256 of the body. */
export function fetched(page, address) {
  return page.evaluate(async (url) => {
    const answer = await fetch(url);
    const body = await answer.arrayBuffer();
    const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
    const sha256 = [...sum].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return { status: answer.status, headers: Object.fromEntries(answer.headers), text: new TextDecoder().decode(body), sha256 };
  }, address);
}

const windows = [];

/** Runs a story; when it fails, what every open window shows becomes part of the error (and a picture, in PERCLOUD_SHOTS). */
export async function told(story) {
  try {
    await story();
  } catch (error) {
    for (const [n, page] of windows.entries()) {
      const text = await page.locator("body").innerText({ timeout: 2000 }).catch(String);
      error.message += `\n\n--- window ${n}: ${page.url()}\n${text.slice(0, 800)}`;
      if (process.env.PERCLOUD_SHOTS) await page.screenshot({ path: `${process.env.PERCLOUD_SHOTS}/window-${n}.png`, fullPage: true }).catch(() => {});
    }
    throw error;
  }
}

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const seen = new Set();

/** In the page: by how much it is wider than its window, and boxes whose contents go beyond them and show, over whatever is beside them. */
function sideways() {
  const root = document.documentElement;
  const clips = (box) => box !== null && box.localName !== "main" && (getComputedStyle(box).overflowX !== "visible" || clips(box.parentElement));
  const spills = (box) => getComputedStyle(box).display !== "inline" && box.clientWidth > 1 && box.scrollWidth > box.clientWidth + 1 && !clips(box);
  const spilt = [...document.querySelectorAll("main *:not(svg *)")].filter(spills);
  return { wider: root.scrollWidth - root.clientWidth, spilt: spilt.map((box) => box.outerHTML.slice(0, 160)) };
}

/** No violation of WCAG 2.2 A and AA, in both themes, on the page as it stands; on a phone and at a desk nothing wider than where it is. */
export async function inspect(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    if (!(await page.evaluate(() => "axe" in window))) await page.addScriptTag({ content: axe.source });
    const { violations } = await page.evaluate((values) => window.axe.run(document, { runOnly: { type: "tag", values } }), RULES);
    const words = violations.map((v) => `${v.id}: ${v.help}\n    ${v.nodes.map((n) => n.html).join("\n    ")}`);
    assert.deepEqual(words, [], `${name} (${colorScheme})`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  const now = page.viewportSize();
  for (const size of [PHONE, DESK]) {
    await page.setViewportSize(size);
    const { wider, spilt } = await page.evaluate(sideways);
    assert.ok(wider <= 0, `${name} is ${wider} px wider than a window of ${size.width} px`);
    assert.deepEqual(spilt, [], `${name}, ${size.width} px: what is in these goes beyond them`);
  }
  await page.setViewportSize(now);
  seen.add(name);
}

/** The names of all pages inspected so far. */
export const inspected = () => [...seen];
