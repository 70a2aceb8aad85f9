// The operator's side: one command, two providers, falls and restarts.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import net from "node:net";
import { test } from "node:test";
import { eventually, killRole, pids, upPid } from "./lib/processes.mjs";
import { Provider, bin, run } from "./lib/provider.mjs";

const ROLES = ["edge", "web", "reconcile", "host", "egress", "postgres"];
const healthy = (provider) => eventually("the portal", async () => (await provider.request(`${provider.origin()}/`)).status === 200);

test("up returns when the portal answers, to curl with the printed root only", async (t) => {
  const provider = await Provider.start(t, "percloud.localhost");
  assert.match(provider.said, new RegExp(`${provider.origin()}/`));
  assert.match(provider.said, /ca\.pem/);
  const { base, port, data } = provider;
  const curl = ["--silent", "--show-error", "--cacert", `${data}/ca.pem`, "--resolve", `${base}:${port}:127.0.0.1`, "--output", "/dev/null"];
  const { stdout } = await run("curl", [...curl, "--write-out", "%{http_code} %{http_version}", `https://${base}:${port}/`]);
  assert.equal(stdout, "200 2");
  await assert.rejects(run("curl", [...curl.filter((arg) => !arg.endsWith("ca.pem") && arg !== "--cacert"), `https://${base}:${port}/`]), /certificate/);
});

test("a second up on the same data, and one on a port in use, say so and start nothing", async (t) => {
  const provider = await Provider.start(t, "percloud.localhost");
  await assert.rejects(provider.percloud("up", "--port", "1"), (error) => error.code !== 0 && /runs on .* already \(process \d+\)/.test(error.stderr));
  const other = `${provider.data}-other`;
  await assert.rejects(run(bin("percloud"), ["up", "--data", other, "--port", String(provider.port)]), (error) => error.code !== 0 && /port \d+ is in use/.test(error.stderr));
  assert.ok(!existsSync(`${other}/pg`));
  await healthy(provider);
});

test("a role that is killed comes back, whichever it is", async (t) => {
  const provider = await Provider.start(t, "percloud.localhost");
  for (const role of ROLES) {
    const [before] = killRole(provider.data, role);
    assert.ok(before, `${role} runs`);
    await eventually(`${role} again`, () => pids(provider.data, role).some((pid) => pid !== before));
    await healthy(provider);
  }
});

test("the edge is replaced while it serves, and nobody notices", async (t) => {
  const provider = await Provider.start(t, "percloud.localhost");
  const [first] = pids(provider.data, "edge");
  let asked = 0;
  let enough = false;
  const visits = (async () => {
    for (; !enough; asked += 1) assert.equal((await provider.request(`${provider.origin()}/`)).status, 200);
  })();
  for (let round = 0; round < 3; round += 1) {
    const until = asked + 20;
    await provider.percloud("restart-edge");
    await eventually("visits in between", () => asked >= until);
  }
  enough = true;
  await visits;
  await eventually("the first edge to leave", () => !pids(provider.data, "edge").includes(first));
});

test("when up itself is killed its children end, and the next up goes on with what was there", async (t) => {
  const provider = await Provider.start(t, "percloud.localhost");
  await provider.percloud("admin", "create", "ada", "--email", "ada@example.org");
  process.kill(upPid(provider.data), "SIGKILL");
  for (const role of ROLES) await eventually(`${role} ended`, () => pids(provider.data, role).length === 0);
  await provider.percloud("up", "--detach");
  const { stdout } = await provider.percloud("admin", "list", "--json");
  assert.match(stdout, /ada\.percloud\.localhost/);
  await eventually("Ada's percloud", async () => (await provider.request(`${provider.origin("ada")}/`)).status === 200);
});

test("down ends everything, and is content when nothing runs", async (t) => {
  const provider = await Provider.start(t, "percloud.localhost");
  await provider.percloud("down");
  for (const role of ROLES) assert.deepEqual(pids(provider.data, role), [], role);
  const refused = await new Promise((done) => net.connect(provider.port, "127.0.0.1").once("error", (error) => done(error.code)).once("connect", () => done("connected")));
  assert.equal(refused, "ECONNREFUSED");
  const { stdout } = await provider.percloud("down");
  assert.match(stdout, /Nothing runs/);
});

test("kill -9 of any role at any moment of a sign-up ends in a running percloud", async (t) => {
  const provider = await Provider.start(t, "percloud.localhost");
  let n = 0;
  for (const role of ROLES) {
    for (const after of [0, 3, 10, 30, 60]) {
      const name = `storm${(n += 1)}`;
      const wish = async () => {
        const created = await provider.percloud("admin", "create", name, "--email", `${name}@example.org`).catch((error) => error);
        // The database itself may have been killed under the wish: then it was refused whole, and is wished again.
        if (created.code) assert.doesNotMatch(created.stderr, /panicked/);
        const listed = await provider.percloud("admin", "list", "--json");
        return listed.stdout.includes(`${name}.percloud.localhost`);
      };
      const wished = eventually(`${name} is wanted`, wish);
      setTimeout(() => killRole(provider.data, role), after);
      await wished;
      const answers = async () => (await provider.request(`${provider.origin(name)}/`)).status === 200;
      await eventually(`${name} answers after ${role} was killed at ${after} ms`, answers);
    }
  }
});
