// Posts and bookmarks: written, published, found, undone.

import assert from "node:assert/strict";
import { fetched, inspect } from "../lib/browser.mjs";
import { png } from "../lib/fixtures.mjs";

/** Four posts, one of each kind; gives the public one's address. */
export async function posts(page, visitor, origin) {
  await page.goto(`${origin}/app/posts`);
  await inspect(page, "posts: first visit");
  const address = await write(page, origin, { title: "On the Analytical Engine", tags: "engines, history", picture: true });
  await write(page, origin, { title: "For those with the link", visibility: /with the link/i });
  await write(page, origin, { title: "Only for me", visibility: /only me/i });
  await write(page, origin, { title: "Still thinking", draft: true });
  await page.goto(`${origin}/app/posts`);
  await inspect(page, "posts: list");
  await deleteAndUndo(page, origin);

  assert.equal((await visitor.goto(address)).status(), 200);
  await inspect(visitor, "post");
  assert.equal(await visitor.locator("article img").count(), 1);
  await visitor.goto(`${origin}/posts`);
  await inspect(visitor, "posts: archive");
  const listed = await visitor.locator("main").innerText();
  assert.match(listed, /Analytical Engine/);
  assert.doesNotMatch(listed, /Only for me|with the link|Still thinking/);
  return address;
}

async function write(page, origin, { title, visibility, tags, picture, draft }) {
  await page.goto(`${origin}/app/posts/new`);
  await inspect(page, "posts: editor");
  await page.getByLabel("Title", { exact: true }).fill(title);
  await page.getByLabel("Text", { exact: true }).fill(`**${title}** was written on a phone.\n\n- one\n- two\n\n<script>alert(1)</script>\n`);
  if (tags) await page.getByLabel("Tags", { exact: true }).fill(tags);
  if (picture) await addPicture(page);
  if (visibility) await page.getByRole("radio", { name: visibility }).press("Space");
  await page.getByRole("button", { name: draft ? /^save draft$/i : /^publish$/i }).last().click();
  if (draft) await page.getByText(/^saved/i).first().waitFor();
  else await page.waitForURL(/\/posts\/\d{4}\/./);
  return draft ? null : page.url().split("?")[0];
}

async function addPicture(page) {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Picture", exact: true }).click();
  await (await chooser).setFiles({ name: "engine.png", mimeType: "image/png", buffer: png(40, 30) });
  await page.waitForFunction(() => document.querySelector("textarea[name=body]").value.includes("/media/"));
}

async function deleteAndUndo(page, origin) {
  await page.goto(`${origin}/app/posts`);
  await page.getByRole("link", { name: /Only for me/ }).first().click();
  await page.getByRole("button", { name: /^delete$/i }).last().click();
  await page.getByRole("button", { name: /undo/i }).click();
  await page.goto(`${origin}/app/posts`);
  await page.getByText("Only for me").first().waitFor();
}

/** By form, by pasted list and from a browser's file; public ones are on Home. */
export async function bookmarks(page, visitor, origin) {
  await page.goto(`${origin}/app/bookmarks`);
  await inspect(page, "bookmarks: first visit");
  await page.goto(`${origin}/app/bookmarks/add`);
  await inspect(page, "bookmarks: form");
  await page.getByLabel(/^address$/i).fill("https://www.example.org/notes?x=1&y=ü");
  await page.getByLabel("Title", { exact: true }).fill("Notes “A to G”");
  await page.getByLabel("Tags", { exact: true }).fill("reading, maths");
  await page.getByRole("switch").first().press("Space");
  await page.getByRole("button", { name: /^save|keep/i }).first().click();
  await page.goto(`${origin}/app/bookmarks/tools`);
  await inspect(page, "bookmarks: tools");
  await page.getByLabel("Addresses", { exact: true }).fill("https://one.example/\nlook at https://two.example/path too\nnothing here");
  await page.getByRole("button", { name: /^add them$/i }).click();
  await inspect(page, "bookmarks: result");
  await page.goto(`${origin}/app/bookmarks/tools`);
  await page.getByLabel(/file of bookmarks/i).setInputFiles({ name: "b.html", mimeType: "text/html", buffer: Buffer.from(NETSCAPE) });
  await page.getByRole("button", { name: /^bring them in$/i }).click();
  await page.getByText(/new bookmark/i).first().waitFor();
  await page.goto(`${origin}/app/bookmarks`);
  await inspect(page, "bookmarks: list");
  assert.match(await page.locator("main").innerText(), /4 bookmarks/);
  await visitor.goto(`${origin}/bookmarks`);
  await inspect(visitor, "bookmarks: public");
  const shown = await visitor.locator("main").innerText();
  assert.match(shown, /Notes “A to G”/);
  assert.doesNotMatch(shown, /one\.example|two\.example/);
}

const NETSCAPE = `<!DOCTYPE NETSCAPE-Bookmark-file-1>
<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=UTF-8">
<TITLE>Bookmarks</TITLE><H1>Bookmarks</H1>
<DL><p><DT><H3>Sea</H3><DL><p>
<DT><A HREF="https://tides.example/?a=1&amp;b=2" ADD_DATE="1700000000" PRIVATE="1" TAGS="boats">Tides &amp; boats</A>
</DL><p></DL><p>`;

/** Home with all of it, its feeds, and the same without scripts. */
export async function home(visitor, plain, origin) {
  await visitor.goto(`${origin}/`);
  await inspect(visitor, "home");
  const said = await visitor.locator("body").innerText();
  for (const wanted of [/Ada Lovelace/, /punched cards/, /Analytical Engine/, /Notes “A to G”/]) assert.match(said, wanted);
  for (const hidden of [/Only for me/, /Still thinking/, /one\.example/]) assert.doesNotMatch(said, hidden);
  await plain.goto(`${origin}/`);
  assert.match(await plain.locator("body").innerText(), /Analytical Engine/);
  const atom = (await fetched(visitor, `${origin}/feed.atom`)).text;
  assert.match(atom, /<title[^>]*>On the Analytical Engine<\/title>/);
  const feed = JSON.parse((await fetched(visitor, `${origin}/feed.json`)).text);
  assert.equal(feed.version, "https://jsonfeed.org/version/1.1");
  assert.deepEqual(feed.items.map((item) => item.title), ["On the Analytical Engine"]);
  assert.ok(!atom.includes("alert(1)") && !JSON.stringify(feed).includes("<script"));
}
