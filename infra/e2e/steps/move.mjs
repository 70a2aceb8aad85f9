// Leaving with one file, and arriving with it somewhere else.

import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "../lib/browser.mjs";
import { run, sha256 } from "../lib/provider.mjs";

/** "Take everything with me": one click, one zip; gives where it was saved. */
export async function take(page, origin, folder, name) {
  await page.goto(`${origin}/control/export`);
  await inspect(page, "control: export, full");
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: /take everything with me/i }).click();
  const saved = join(folder, `${name}.zip`);
  await (await download).saveAs(saved);
  return saved;
}

/** Independent programs agree that the zip is whole and a valid bag; gives the unzipped folder. */
export async function agree(zip, folder) {
  await run("unzip", ["-t", "-qq", zip]);
  await run("7zz", ["t", zip]);
  const python = process.env.PERCLOUD_TEST_PYTHON ?? "python3";
  await run(python, ["-c", "import sys, zipfile; sys.exit(zipfile.ZipFile(sys.argv[1]).testzip() is not None)", zip]);
  const out = `${zip}.d`;
  await run("unzip", ["-q", zip, "-d", out]);
  const [top, ...others] = readdirSync(out);
  assert.deepEqual(others, [], "one folder in the zip");
  const bag = join(out, top);
  await run(python, ["-c", "import sys, bagit; bagit.Bag(sys.argv[1]).validate()", bag]);
  assert.match(readFileSync(join(bag, "README.html"), "utf8"), /<html/i);
  return bag;
}

/** Every file below a folder of the bag, by path, as its SHA-256. */
export function hashes(bag, part) {
  const all = {};
  const walk = (path) => {
    for (const entry of readdirSync(join(bag, path))) {
      const inner = join(path, entry);
      if (statSync(join(bag, inner)).isDirectory()) walk(inner);
      else all[inner] = sha256(readFileSync(join(bag, inner)));
    }
  };
  walk(part);
  return all;
}

/** Gives the file to the percloud that this page is in (choosing it is enough), looks at what is in it, and brings it in. */
export async function bring(page, zip) {
  await page.waitForURL("**/control/import");
  await inspect(page, "control: import, empty");
  await page.locator("input[type=file]").setInputFiles(zip);
  await page.getByRole("heading", { level: 1, name: /what is in the bundle/i }).waitFor({ timeout: 120_000 });
  await inspect(page, "control: import, ready");
  await page.getByRole("button", { name: /bring it all here/i }).click();
  await page.getByRole("heading", { level: 1, name: /everything is here/i }).waitFor({ timeout: 120_000 });
  await inspect(page, "control: import, done");
}

/** A file that is no bundle is refused, in words, and nothing changes. */
export async function refuseForeign(page, origin, folder, foreign) {
  await page.goto(`${origin}/control/import`);
  await page.locator("input[type=file]").setInputFiles(foreign);
  await page.getByRole("heading", { level: 1, name: /cannot be imported/i }).waitFor();
  await inspect(page, "control: import, refused");
  await page.getByRole("button", { name: /choose another file/i }).click();
}

/** The same files, posts and bookmarks, by content. */
export function same(bag, other, where) {
  for (const part of ["data/files/tree", "data/blog/posts", "data/blog/uploads", "data/bookmarks"]) {
    const wanted = hashes(bag, part);
    assert.ok(Object.keys(wanted).length > 0, `${part} is not empty`);
    assert.deepEqual(hashes(other, part), wanted, `${part} ${where}`);
  }
}
