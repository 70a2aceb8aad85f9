// Ada brings a domain of her own, with a phone: types it, sets entries one by one, watches each turn green, and moves in; later into another one.

import { test } from "node:test";
import { inspected, openWith, person, told } from "./lib/browser.mjs";
import { Authority, Names } from "./lib/internet.mjs";
import { Provider, freePort } from "./lib/provider.mjs";
import { changeTo, choose, claim, comeBack, letGo, lockedOut, moveIn, paused, remove, setEntries, toPortal } from "./steps/domain.mjs";
import { signUp } from "./steps/sign_up.mjs";

const OWN = "ada.test";
const NEXT = "lovelace.test";

test("Ada's own domain: typed, set entry by entry, certified, used, changed for another without a gap, and given up", { timeout: 15 * 60_000 }, async (t) => {
  const names = await Names.start(t, [OWN, NEXT, "percloud.localhost"]);
  await names.set("*.percloud.localhost", "A", "127.0.0.1");
  const [httpPort, port] = [await freePort(), await freePort()];
  const authority = await Authority.start(t, names, { httpPort, tlsPort: port });
  const more = [
    "--http-port", String(httpPort), "--public-address", "127.0.0.1",
    "--acme-directory", authority.directory, "--acme-root", authority.root, "--acme-email", "operator@example.org",
    "--dns-server", names.server, "--dns-authority-port", String(names.port), "--dns-allow-private",
  ];
  const provider = await Provider.start(t, "percloud.localhost", { port, more });
  const browser = await openWith(t, { spkis: [provider.spki, authority.spki], hosts: [OWN, `www.${OWN}`, NEXT, `www.${NEXT}`] });
  const ada = await person(t, browser);
  const visitor = await person(t, browser, { locale: "it" });
  const plain = await person(t, browser, { javaScriptEnabled: false });
  await told(() => story({ names, authority, provider, ada, visitor, plain }));
  t.diagnostic(`${inspected().length} pages without a violation in either theme: ${inspected().join(", ")}`);
});

async function story({ names, authority, provider, ada, visitor, plain }) {
  const origin = `https://${OWN}:${provider.port}`;
  await signUp(ada, provider, "ada");
  await toPortal(ada, provider, provider.origin("ada"));
  await claim(ada, OWN);
  await setEntries(ada, plain, names, OWN);
  await paused(ada, provider, OWN);
  await moveIn(ada, visitor, provider, authority, { own: OWN, origin });
  await toPortal(ada, provider, origin);
  await choose(ada, provider, authority, OWN);
  await lockedOut(visitor, provider, OWN);
  await changeTo(ada, visitor, names, provider, authority, { own: OWN, next: NEXT });
  await letGo(ada, provider, authority, { own: OWN, next: NEXT });
  await remove(ada, NEXT);
  await comeBack(visitor, provider, NEXT);
}
