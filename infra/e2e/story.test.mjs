// One person's whole way: sign up with a phone, use it, leave with one file, arrive at a second provider and at home.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DESK, inspect, inspected, open, person, told } from "./lib/browser.mjs";
import { Provider, beside, bin, freePort, run, scratch } from "./lib/provider.mjs";
import { deleteAndUndo, endOtherDevice, introduce, lookAround } from "./steps/control.mjs";
import { files } from "./steps/files.mjs";
import { agree, bring, refuseForeign, same, take } from "./steps/move.mjs";
import { PASSWORD, signIn, signUp } from "./steps/sign_up.mjs";
import { bookmarks, home, posts } from "./steps/words.mjs";

test("Ada's percloud: from sign-up to a second provider and home", { timeout: 15 * 60_000 }, async (t) => {
  const first = await Provider.start(t, "percloud.localhost");
  const second = await Provider.start(t, "second.localhost");
  const folder = scratch(t, "bundles");
  const browser = await open(t, first.spki, second.spki);
  const ada = await person(t, browser);
  const visitor = await person(t, browser, { viewport: DESK });
  const plain = await person(t, browser, { javaScriptEnabled: false });
  const origin = first.origin("ada");
  await told(() => story(t, { first, second, folder, browser, ada, visitor, plain, origin }));
  t.diagnostic(`${inspected().length} pages without a violation in either theme: ${inspected().join(", ")}`);
});

async function story(t, { first, second, folder, browser, ada, visitor, plain, origin }) {
  await signUp(ada, first, "ada");
  await inspect(ada, "today: first visit");
  await introduce(ada, origin, "Ada Lovelace");
  await files(ada, visitor, origin);
  await posts(ada, visitor, origin);
  await bookmarks(ada, visitor, origin);
  await home(visitor, plain, origin);
  await lookAround(ada, origin);
  const laptop = await person(t, browser, { viewport: DESK, locale: "it" });
  await laptop.goto(`${origin}/sign-in`);
  assert.equal(await laptop.locator("html").getAttribute("lang"), "it");
  const tablet = await person(t, browser, { viewport: DESK });
  await signIn(tablet, origin);
  await endOtherDevice(ada, tablet, origin);
  await deleteAndUndo(ada, visitor, origin, "ada.percloud.localhost", PASSWORD);

  const zip = await take(ada, origin, folder, "first");
  const bag = await agree(zip, folder);

  const there = await person(t, browser, { viewport: DESK });
  await signUp(there, second, "ada", { moving: true });
  const foreign = join(folder, "foreign.zip");
  writeFileSync(foreign, Buffer.from("PK\u0005\u0006" + "\0".repeat(18), "latin1"));
  await refuseForeign(there, second.origin("ada"), folder, foreign);
  await there.goto(`${second.origin("ada")}/control/import`);
  await bring(there, zip);
  await visitor.goto(`${second.origin("ada")}/`);
  assert.match(await visitor.locator("body").innerText(), /Ada Lovelace[^]*Analytical Engine/);
  same(bag, await agree(await take(there, second.origin("ada"), folder, "second"), folder), "at the second provider");

  await atHome(t, browser, zip, bag, folder);
}

async function atHome(t, browser, zip, bag, folder) {
  const data = join(folder, "home");
  await run(bin("percloud-runtime"), ["import", zip, "--data", data]);
  const port = String(await freePort());
  const end = await beside(t, bin("percloud-runtime"), ["serve", "--data", data, "--domain", "me.localhost", "--port", port], new RegExp(`me\\.localhost:${port}`));
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  await page.goto(`https://me.localhost:${port}/`);
  assert.match(await page.locator("body").innerText(), /Ada Lovelace[^]*Analytical Engine/);
  await end();
  const exported = join(folder, "home.zip");
  await run(bin("percloud-runtime"), ["export", "--data", data, "--out", exported]);
  same(bag, await agree(exported, folder), "at home");
}
