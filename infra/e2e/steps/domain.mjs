// An own domain, as its owner goes there with a phone.

import assert from "node:assert/strict";
import { inspect } from "../lib/browser.mjs";
import { eventually } from "../lib/processes.mjs";
import { request } from "../lib/provider.mjs";
import { signIn } from "./sign_up.mjs";

/** From the Control panel to the portal, by the button and without a password. */
export async function toPortal(page, provider, origin) {
  await page.goto(`${origin}/control/address`);
  await inspect(page, origin.includes("percloud.localhost") ? "control: address" : "control: address, own");
  await page.getByRole("button", { name: /name of your own|change or check your name/i }).click();
  await page.waitForURL(`${provider.origin()}/manage/domain`);
  await page.getByText(/for the percloud ada\.percloud\.localhost/i).waitFor();
  assert.doesNotMatch(page.url(), /ticket/);
}

/** One question, with an answer while it is typed. */
export async function claim(page, own) {
  await page.getByRole("heading", { level: 1, name: /which name do you have/i }).waitFor();
  const field = page.getByLabel(/your name on the internet/i);
  const live = page.locator(".live[data-live-for]");
  for (const [typed, said] of [["ada", /only an ending|not a whole name/i], ["www.percloud.localhost", /nobody can have|provider/i], [own, /is possible/i]]) {
    await field.fill(typed);
    await live.filter({ hasText: said }).waitFor();
  }
  await page.getByText(/i have none yet/i).click();
  await inspect(page, "domain: the question");
  await field.fill("not a name");
  await page.getByRole("button", { name: /^go on$/i }).click();
  await page.locator("[aria-invalid='true']").waitFor();
  await inspect(page, "domain: the question, refused");
  await page.getByLabel(/your name on the internet/i).fill(` https://${own.toUpperCase()}/hello `);
  await page.getByRole("button", { name: /^go on$/i }).click();
  await page.getByRole("heading", { level: 1, name: `Connect ${own}` }).waitFor();
}

/** The entry of a type, wherever it stands in the list. */
const entry = (page, kind) => page.locator(".entries tbody tr").filter({ has: page.locator("td:first-child", { hasText: new RegExp(`^\\s*${kind}\\s*$`) }) });

/** An entry is right, and says so. */
const green = (page, kind) => entry(page, kind).and(page.locator(".entry-ok")).getByText("Right", { exact: true }).waitFor();

/** What is to be set, as the page says it: by its copy buttons. */
async function asked(page, kind) {
  const [label, value] = await entry(page, kind).locator("[data-copy]").evaluateAll((all) => all.map((one) => one.dataset.copy));
  return { label, value };
}

/** Sets what the page says, one by one, and watches it turn green; nothing is loaded anew. */
export async function setEntries(page, plain, names, own) {
  await entry(page, "TXT").waitFor();
  await page.getByText(/where do i enter this/i).click();
  await inspect(page, "domain: entries, none set");
  await inItalian(page);
  await page.evaluate(() => (window.seenAlready = true));
  const host = (label) => (label === "@" ? own : label.endsWith(own) ? label : `${label}.${own}`);
  const [txt, a, www] = [await asked(page, "TXT"), await asked(page, "A"), await asked(page, "CNAME")];
  assert.deepEqual([txt.label, a.label, a.value, www.label], ["_percloud-challenge", "@", "127.0.0.1", "www"]);

  // Focus stays where it is while the list looks again and again.
  await entry(page, "A").locator("[data-copy]").last().focus();
  await names.set(own, "A", "203.0.113.9");
  await entry(page, "A").filter({ hasText: "It still says 203.0.113.9. Change the A entry to 127.0.0.1." }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.dataset.copy), "127.0.0.1");
  await inspect(page, "domain: entries, one wrong");

  await names.set(host(www.label), "CNAME", www.value);
  await green(page, "CNAME");
  await names.set(host(txt.label), "TXT", txt.value);
  await green(page, "TXT");
  await page.getByText("1 of 2", { exact: true }).waitFor();
  await inspect(page, "domain: entries, half set");
  await withoutScripts(page, plain);
  assert.equal(await page.evaluate(() => window.seenAlready), true, "nobody loaded the page anew");
  await names.set(host(a.label), "A", a.value);
  // From here on the page goes on by itself, through the certificate to the end.
  await page.getByRole("heading", { level: 1, name: `Your percloud is at ${own}` }).waitFor({ timeout: 120_000 });
  await inspect(page, "domain: in use");
}

/** The operator leaves the name alone for a while: its owner reads what that means, and what serves goes on. */
export async function paused(page, provider, own) {
  await provider.percloud("admin", "domains", "pause", own);
  await page.reload();
  await page.getByText(/your provider has paused this name/i).waitFor();
  await page.getByRole("heading", { level: 1, name: `Your percloud is at ${own}` }).waitFor();
  assert.equal(await page.getByRole("button", { name: /^look now$/i }).count(), 0);
  await inspect(page, "domain: paused");
  await provider.percloud("admin", "domains", "resume", own);
  await page.reload();
  await page.getByRole("button", { name: /^look now$/i }).waitFor();
}

/** The same list in a browser that runs no scripts: the button looks again. */
async function withoutScripts(page, plain) {
  await plain.context().addCookies(await page.context().cookies());
  await plain.goto(page.url());
  await green(plain, "TXT");
  await plain.getByRole("button", { name: /^look now$/i }).click();
  await plain.waitForURL(/\/manage\/domain#entries$/);
  await entry(plain, "A").filter({ hasText: "203.0.113.9" }).waitFor();
}

async function inItalian(page) {
  await page.getByRole("button", { name: "Italiano" }).click();
  await page.getByRole("heading", { level: 1, name: /^collega /i }).waitFor();
  await inspect(page, "domain: entries, in Italian");
  await page.getByRole("button", { name: "English" }).click();
  await page.getByRole("heading", { level: 1, name: /^connect /i }).waitFor();
}

/** The site at its own name, over TLS; the old name and the one with www lead there. */
export async function moveIn(page, visitor, provider, authority, { own, origin }) {
  const old = provider.origin("ada");
  const leads = async (from, ca) => {
    const { status, headers } = await request(`${from}/posts/2026/x?a=1&b=%20`, { ca });
    return status === 308 && headers.location === `${origin}/posts/2026/x?a=1&b=%20`;
  };
  await eventually("the old name leads to the new one", () => leads(old, provider.ca));
  await eventually("www leads there, too", () => leads(`https://www.${own}:${provider.port}`, authority.ca), 120);
  assert.equal((await request(`${origin}/`, { ca: authority.ca })).status, 200, "with a certificate of the authority's");
  assert.equal((await visitor.goto(`${origin}/`)).status(), 200);
  await visitor.goto(`${old}/`);
  assert.equal(visitor.url(), `${origin}/`);
  await signIn(page, origin);
}

/** www becomes the main name and back again. */
export async function choose(page, provider, authority, own) {
  const www = `https://www.${own}:${provider.port}`;
  for (const [label, from, to] of [[`www.${own}`, `https://${own}:${provider.port}`, www], [own, www, `https://${own}:${provider.port}`]]) {
    await page.getByRole("radio", { name: label, exact: true }).check({ force: true });
    await page.getByRole("button", { name: /^save$/i }).click();
    await page.getByText(/^saved/i).first().waitFor();
    await eventually(`${label} is the main name`, async () => {
      const { status, headers } = await request(`${from}/x`, { ca: authority.ca });
      return status === 308 && headers.location === `${to}/x`;
    });
  }
}

/** Another name instead: it is connected beside the one in use, which answers all the while and leads to it afterwards. */
export async function changeTo(page, visitor, names, provider, authority, { own, next }) {
  const at = (name) => `https://${name}:${provider.port}`;
  await page.goto(`${provider.origin()}/manage/domain`);
  await page.getByRole("link", { name: /use another name/i }).click();
  await page.getByText(`${own} leads there for 90 days`, { exact: false }).waitFor();
  await inspect(page, "domain: another name");
  await page.getByLabel(/your name on the internet/i).fill(next);
  await page.getByRole("button", { name: /use this name/i }).click();
  await page.getByRole("heading", { level: 1, name: `Your percloud is at ${own}` }).waitFor();
  await page.getByRole("heading", { level: 2, name: `${next} is to be your new name` }).waitFor();
  await entry(page, "TXT").waitFor();
  await inspect(page, "domain: a change, nothing set");

  const seen = [];
  let asking = true;
  const asks = (async () => {
    for (let n = 0; asking; n += 1) {
      const { status, headers } = await request(`${at(own)}/?n=${n}`, { ca: authority.ca });
      seen.push(status === 308 && headers.location === `${at(next)}/?n=${n}` ? "leads" : `${status}`);
      await new Promise((done) => setTimeout(done, 50)); // a visitor, not a crowd
    }
  })();
  const host = (label) => (label === "@" ? next : label.endsWith(next) ? label : `${label}.${next}`);
  for (const kind of ["CNAME", "TXT", "A"]) {
    const { label, value } = await asked(page, kind);
    await names.set(host(label), kind, value);
    if (kind !== "A") await green(page, kind);
    if (kind === "TXT") await inspect(page, "domain: a change, half set");
  }
  // From here on the page goes on by itself, through the certificate to the switch.
  await page.getByRole("heading", { level: 1, name: `Your percloud is at ${next}` }).waitFor({ timeout: 120_000 });
  await page.getByRole("heading", { level: 2, name: /your names from before/i }).waitFor();
  await inspect(page, "domain: changed");
  await eventually("the name before leads on", async () => seen.at(-1) === "leads");
  asking = false;
  await asks;
  const first = seen.indexOf("leads");
  assert.ok(first > 10 && seen.slice(0, first).every((one) => one === "200"), "the present name answered all the while");
  assert.ok(seen.slice(first).every((one) => one === "leads"), "and leads on from one moment on");
  await visitor.goto(`${at(own)}/`);
  assert.equal(visitor.url(), `${at(next)}/`);
  await eventually("the provider's name leads to the new one", async () => {
    const { headers } = await request(`${provider.origin("ada")}/x`, { ca: provider.ca });
    return headers.location === `${at(next)}/x`;
  });
}

/** The name before is let go of, before its ninety days are over. */
export async function letGo(page, provider, authority, { own, next }) {
  await page.getByRole("link", { name: `Let it go ${own}` }).click();
  await page.getByRole("heading", { level: 1, name: `Let ${own} go?` }).waitFor();
  await inspect(page, "domain: let go");
  await page.getByRole("button", { name: `Let ${own} go` }).click();
  await page.getByText("that name is given up").waitFor();
  await page.getByRole("heading", { level: 1, name: `Your percloud is at ${next}` }).waitFor();
  const gone = async () => (await request(`https://${own}:${provider.port}/`, { ca: authority.ca }).catch(() => ({}))).status !== 308;
  await eventually("it leads nowhere", gone);
}

/** Whoever cannot get into the percloud has a link mailed. */
export async function lockedOut(page, provider, own) {
  await page.context().addCookies([{ name: "lang", value: "en", url: provider.origin() }]);
  await page.goto(`${provider.origin()}/manage`);
  await inspect(page, "domain: the way in");
  await page.getByLabel(/name of your percloud/i).fill("ada");
  await page.getByRole("button", { name: /mail me a link/i }).click();
  await page.getByRole("heading", { level: 1, name: /look into your mail/i }).waitFor();
  await inspect(page, "domain: a link is on its way");
  const link = page.getByRole("link", { name: /the way to the address of/i });
  await eventually("the mail", async () => {
    await page.goto(`${provider.origin()}/dev/mails`);
    return (await link.count()) > 0;
  });
  await link.first().click();
  await page.getByRole("link", { name: /open the link/i }).click();
  await inspect(page, "domain: the mailed link");
  await page.getByRole("button", { name: /^go on$/i }).click();
  await page.getByRole("heading", { level: 1, name: `Your percloud is at ${own}` }).waitFor();
  await page.getByRole("button", { name: /^sign out$/i }).click();
  await page.getByRole("heading", { level: 1, name: /you are signed out/i }).waitFor();
  await inspect(page, "domain: signed out");
}

/** Gives the name up, knowing what breaks. */
export async function remove(page, own) {
  await page.getByRole("link", { name: /give this name up/i }).click();
  await page.getByRole("heading", { level: 1, name: `Give ${own} up?` }).waitFor();
  await inspect(page, "domain: what breaks");
  await page.getByRole("button", { name: `Give ${own} up` }).click();
  await page.getByText("that name is given up").waitFor();
  await inspect(page, "domain: given up");
}

/** The old name is the percloud's own again. */
export async function comeBack(page, provider, own) {
  const old = provider.origin("ada");
  await eventually("the old name serves again", async () => (await request(`${old}/`, { ca: provider.ca })).status === 200);
  await page.goto(`${old}/`);
  assert.equal(page.url(), `${old}/`, `nothing leads to ${own} any more`);
}
