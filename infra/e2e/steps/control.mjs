// The Control panel, page by page.

import assert from "node:assert/strict";
import { inspect } from "../lib/browser.mjs";

/** Who she is: name, text, colour. */
export async function introduce(page, origin, name) {
  await page.goto(`${origin}/control/profile`);
  await inspect(page, "control: profile");
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel(/a few words about you/i).fill("Mathematics, punched cards and the sea.");
  await page.getByRole("button", { name: /^save$/i }).click();
  await page.getByText(/^saved/i).first().waitFor();
}

/** Every page opens, says something and can be used by everybody. */
export async function lookAround(page, origin) {
  for (const place of ["", "/address", "/storage", "/password", "/sessions", "/activity", "/grants", "/export", "/import", "/delete"]) {
    await page.goto(`${origin}/control${place}`);
    await inspect(page, `control${place.replace("/", ": ")}`);
  }
  await page.goto(`${origin}/app`);
  await inspect(page, "today");
}

/** A second device is seen, and signed out from the first. */
export async function endOtherDevice(page, other, origin) {
  await page.goto(`${origin}/control/sessions`);
  const rows = page.getByRole("row");
  assert.equal(await rows.count(), 3, "a head and two devices");
  await page.getByRole("button", { name: /sign out all others/i }).click();
  await page.getByText(/device is signed out/i).first().waitFor();
  await other.goto(`${origin}/app`);
  await other.getByRole("button", { name: /^sign in$/i }).waitFor();
}

/** Deletion needs the name typed, closes Home, and can be taken back. */
export async function deleteAndUndo(page, visitor, origin, domain, password) {
  await page.goto(`${origin}/control/delete`);
  await page.getByLabel(/to confirm, type/i).fill("something else");
  await page.getByLabel(/password now/i).fill(password);
  await page.getByLabel(/to confirm, type/i).fill(domain);
  await page.getByRole("button", { name: /delete it in 30 days/i }).click();
  await page.getByRole("button", { name: /keep my percloud/i }).waitFor();
  await inspect(page, "control: delete, pending");
  await visitor.goto(`${origin}/`);
  await visitor.getByText(/this percloud is closed/i).first().waitFor();
  await inspect(visitor, "home: closed");
  await page.getByRole("button", { name: /keep my percloud/i }).click();
  await page.getByText(/your percloud stays/i).first().waitFor();
  assert.equal((await visitor.goto(`${origin}/`)).status(), 200);
}
