// Files: folders, uploads of every kind, preview, rename, move, trash and undo, sharing.

import assert from "node:assert/strict";
import { fetched, inspect } from "../lib/browser.mjs";
import { noise, png } from "../lib/fixtures.mjs";
import { sha256 } from "../lib/provider.mjs";

/** What goes up: odd names, nothing at all, and something large. */
export const FILES = [
  { name: "letter.txt", mimeType: "text/plain", buffer: Buffer.from("Dear Charles,\n<b>not bold</b>\n") },
  { name: "nothing at all.bin", mimeType: "application/octet-stream", buffer: Buffer.alloc(0) },
  { name: "Ünïcödé – 日本語 (1).txt", mimeType: "text/plain", buffer: Buffer.from("names\n") },
  { name: "engine.png", mimeType: "image/png", buffer: png(320, 200) },
  { name: "film.bin", mimeType: "application/octet-stream", buffer: noise(24 * 1024 * 1024, "film") },
];

/** Puts them there and tries everything; gives the share link and its password. */
export async function files(page, visitor, origin) {
  await page.goto(`${origin}/app/files`);
  await inspect(page, "files: first visit");
  await upload(page, origin, FILES);
  await inspect(page, "files: list");
  await preview(page, origin);
  await folderAndMove(page, origin);
  await renameAndTrash(page, origin);
  const link = await share(page, visitor, origin);
  await makePublic(page, visitor, origin);
  for (const [path, name] of [["search?q=LETT", "files: search"], ["links", "files: links"], ["trash", "files: trash"]]) {
    await page.goto(`${origin}/app/files/${path}`);
    await inspect(page, name);
  }
  return link;
}

const row = (page, name) => page.getByRole("listitem").filter({ has: page.getByText(name, { exact: true }) }).first();

async function upload(page, origin, files) {
  await page.goto(`${origin}/app/files`);
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("link", { name: /^upload/i }).first().click();
  await (await chooser).setFiles(files);
  for (const file of files) await row(page, file.name).waitFor({ timeout: 60_000 });
  for (const file of files) {
    const href = await row(page, file.name).getByRole("link", { name: /download/i, includeHidden: true }).getAttribute("href");
    const answer = await fetched(page, new URL(href, origin).href);
    assert.equal(answer.sha256, sha256(file.buffer), file.name);
    assert.equal(answer.headers["x-content-type-options"], "nosniff");
  }
}

async function preview(page, origin) {
  await page.goto(`${origin}/app/files`);
  await row(page, "letter.txt").getByRole("link").first().click();
  await page.getByText("<b>not bold</b>").waitFor();
  await inspect(page, "files: text");
  await page.goto(`${origin}/app/files`);
  await row(page, "engine.png").getByRole("link").first().click();
  await page.waitForFunction(() => [...document.querySelectorAll("main img")].some((image) => image.naturalWidth === 320));
  await inspect(page, "files: picture");
}

async function folderAndMove(page, origin) {
  await page.goto(`${origin}/app/files`);
  await page.getByRole("link", { name: "New folder", exact: true }).click();
  await page.getByRole("dialog").getByLabel("Name", { exact: true }).fill("Papers");
  await page.getByRole("button", { name: "Create folder" }).click();
  await page.goto(`${origin}/app/files`);
  await row(page, "letter.txt").locator("summary").click();
  await row(page, "letter.txt").getByRole("link", { name: "Move", exact: true }).click();
  await inspect(page, "files: choose a folder");
  await page.getByRole("link", { name: /Papers/ }).first().click();
  await page.getByRole("button", { name: /move here/i }).click();
  await page.getByText(/1 item moved/).first().waitFor();
}

async function renameAndTrash(page, origin) {
  await page.goto(`${origin}/app/files`);
  await row(page, "nothing at all.bin").locator("summary").click();
  await row(page, "nothing at all.bin").getByRole("link", { name: "Rename", exact: true }).click();
  const name = page.getByRole("dialog").getByLabel("Name", { exact: true });
  await name.fill("a/b");
  await page.getByRole("button", { name: "Save the name" }).click();
  await page.getByText(/cannot have a \/ in it/).first().waitFor();
  await page.getByLabel("Name", { exact: true }).last().fill("nothing.bin");
  await page.getByRole("button", { name: "Save the name" }).last().click();
  await row(page, "nothing.bin").waitFor();
  await row(page, "nothing.bin").locator("summary").click();
  await row(page, "nothing.bin").getByRole("button", { name: /move to trash/i }).click();
  await page.getByText(/1 item is in the trash/).first().waitFor();
  await page.getByRole("button", { name: /undo/i }).click();
  await row(page, "nothing.bin").waitFor();
}

async function share(page, visitor, origin) {
  await page.goto(`${origin}/app/files`);
  await row(page, "film.bin").locator("summary").click();
  await row(page, "film.bin").getByRole("link", { name: "Share", exact: true }).click();
  await inspect(page, "files: share");
  await page.getByLabel("Password", { exact: true }).fill("tide");
  await page.getByRole("button", { name: /create a link/i }).click();
  const link = await page.locator("main").getByText(/\/s\/[A-Za-z0-9_-]{16,}/).first().innerText();
  const address = new URL(link.match(/https:\/\/\S+/)?.[0] ?? link.trim(), origin).href;
  await visitor.goto(address);
  await inspect(visitor, "files: link with a password");
  await visitor.getByLabel("Password", { exact: true }).fill("ebb");
  await visitor.getByRole("button", { name: "Open" }).click();
  await visitor.getByText(/that is not the password/i).first().waitFor();
  await visitor.getByLabel("Password", { exact: true }).fill("tide");
  await visitor.getByRole("button", { name: "Open" }).click();
  await visitor.getByText("film.bin").first().waitFor();
  await inspect(visitor, "files: visit");
  return address;
}

async function makePublic(page, visitor, origin) {
  await page.goto(`${origin}/app/files`);
  await row(page, "Papers").locator("summary").click();
  await row(page, "Papers").getByRole("link", { name: "Share", exact: true }).click();
  await page.getByLabel(/show on my home/i).press("Space");
  await page.getByText(/everybody can see Papers now/i).first().waitFor();
  await visitor.goto(`${origin}/files`);
  await visitor.getByRole("link", { name: /Papers/ }).first().click();
  await visitor.getByText("letter.txt").first().waitFor();
  await inspect(visitor, "files: public folder");
  assert.doesNotMatch(await visitor.locator("body").innerText(), /film\.bin/);
}
