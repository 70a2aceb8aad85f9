// From the portal's first page to the own percloud, as an owner with a phone walks.

import assert from "node:assert/strict";
import { inspect } from "../lib/browser.mjs";
import { eventually } from "../lib/processes.mjs";

export const PASSWORD = "lantern orbit thimble meadow";

/** Signs up at a provider; ends signed in, on the page after the recovery codes. */
export async function signUp(page, provider, name, { moving = false } = {}) {
  await page.goto(`${provider.origin()}/`);
  await inspect(page, "portal: start");
  await page.getByRole("link", { name: moving ? /already have a percloud/i : /get your percloud/i }).first().click();
  await pickName(page, name);
  await inspect(page, moving ? "portal: sign-up, moving" : "portal: sign-up");
  await page.getByLabel(/e-?mail/i).fill(`${name}@example.org`);
  await page.getByRole("button", { name: /mail|send|go on|continue/i }).first().click();
  await page.getByRole("heading", { level: 1, name: /look into your mail/i }).waitFor();
  await inspect(page, "portal: check mail");
  const mail = page.getByRole("link", { name: new RegExp(`${name}\\.`) }).first();
  await eventually("the mail is there", async () => {
    await page.goto(`${provider.origin()}/dev/mails`);
    return (await mail.count()) > 0;
  });
  await inspect(page, "portal: mails");
  await mail.click();
  await inspect(page, "portal: mail");
  await page.getByRole("link", { name: /open the link/i }).click();
  await inspect(page, "portal: confirm");
  await page.getByRole("button", { name: /move in/i }).click();
  await page.waitForURL(`${provider.origin(name)}/setup/**`);
  await page.getByLabel(/new password/i).waitFor();
  await setUp(page);
}

async function pickName(page, name) {
  const field = page.getByLabel(/name|address/i).first();
  const live = page.locator(".live[data-live-for]");
  for (const [typed, said] of [["www", /reserved|not|taken/i], ["a", /short|least|letters|characters/i], [name, /free|yours|available/i]]) {
    await field.fill(typed);
    await live.filter({ hasText: said }).waitFor();
  }
}

async function setUp(page) {
  await inspect(page, "set-up");
  const field = page.getByLabel(/new password/i);
  await field.fill("password1");
  await page.locator("[data-score='0'], [data-score='1']").first().waitFor();
  await page.getByRole("button", { name: /lock the door/i }).click();
  await page.locator("[aria-invalid='true']").waitFor();
  await field.fill(PASSWORD);
  await page.getByRole("button", { name: /lock the door/i }).click();
  await page.getByRole("heading", { level: 1, name: /recovery codes/i }).waitFor();
  await inspect(page, "recovery codes");
  assert.equal(await page.locator("ol.codes li").count(), 10);
  await page.getByRole("link", { name: /kept them safe/i }).click();
}

/** Signs in with the password. */
export async function signIn(page, origin) {
  await page.goto(`${origin}/sign-in`);
  await inspect(page, "sign-in");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: /^sign in$/i }).click();
  await page.waitForURL(`${origin}/app`);
}
