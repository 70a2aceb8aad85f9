// A small internet on loopback: Debian's Knot keeps the names, Debian's Pebble issues certificates for them.

import { createHash, X509Certificate } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { eventually } from "./processes.mjs";
import { beside, freePort, request, run, scratch } from "./provider.mjs";
import { resolver } from "./resolver.mjs";

/** Where programs of Debian's are that are not for everybody. */
const sbin = (name) => join("/usr/sbin", name);
const TTL = "1";

/** Authoritative DNS for some zones; entries are set as their owner would. */
export class Names {
  static async start(t, zones) {
    const names = new Names();
    names.zones = zones;
    names.port = await freePort();
    const folder = scratch(t, "names");
    mkdirSync(join(folder, "db"));
    for (const zone of zones) {
      const lines = [`$TTL ${TTL}`, `${zone}. SOA ns1.${zone}. hostmaster.${zone}. 1 3600 600 86400 ${TTL}`, `${zone}. NS ns1.${zone}.`, `ns1.${zone}. A 127.0.0.1`];
      writeFileSync(join(folder, `${zone}.zone`), `${lines.join("\n")}\n`);
    }
    names.settings = join(folder, "knot.conf");
    writeFileSync(names.settings, knot(folder, names.port, zones));
    await beside(t, sbin("knotd"), ["-c", names.settings], /server started/i);
    await eventually("the zones", () => Promise.all(zones.map((zone) => names.control("zone-read", zone, "@", "SOA"))));
    return names;
  }

  get server() {
    return `127.0.0.1:${this.port}`;
  }

  /** Gives a name this one value of a type. */
  async set(name, kind, value) {
    const said = { TXT: `"${value}"`, CNAME: `${value.replace(/\.$/, "")}.` }[kind] ?? value;
    const zone = this.zones.find((one) => name === one || name.endsWith(`.${one}`));
    await this.control("zone-begin", zone);
    await this.control("zone-unset", zone, `${name}.`, kind).catch(() => {}); // it may have none
    await this.control("zone-set", zone, `${name}.`, TTL, kind, said);
    await this.control("zone-commit", zone);
  }

  control(...args) {
    return run(sbin("knotc"), ["-c", this.settings, ...args]);
  }
}

function knot(folder, port, zones) {
  return [
    `server:`, `    rundir: "${folder}"`, `    listen: 127.0.0.1@${port}`, `    udp-workers: 1`, `    tcp-workers: 2`, `    background-workers: 1`,
    `log:`, `  - target: stderr`, `    any: info`,
    `database:`, `    storage: "${folder}/db"`, `    journal-db-max-size: 16M`,
    `template:`, `  - id: default`, `    storage: "${folder}"`, `    file: "%s.zone"`, `    zonefile-sync: -1`,
    `zone:`, ...zones.map((zone) => `  - domain: ${zone}`), ``,
  ].join("\n");
}

/** An ACME authority that looks at loopback's ports instead of 80 and 443. */
export class Authority {
  static async start(t, names, { httpPort, tlsPort }) {
    const authority = new Authority();
    const folder = scratch(t, "authority");
    const [api, management] = [await freePort(), await freePort()];
    authority.directory = `https://127.0.0.1:${api}/dir`;
    authority.root = join(folder, "root.pem");
    await certificate(folder);
    chmodSync(authority.root, 0o644);
    const settings = {
      listenAddress: `127.0.0.1:${api}`, managementListenAddress: `127.0.0.1:${management}`,
      certificate: join(folder, "api.pem"), privateKey: join(folder, "api.key"),
      httpPort, tlsPort, ocspResponderURL: "", externalAccountBindingRequired: false, retryAfter: { authz: 1, order: 1 },
    };
    writeFileSync(join(folder, "pebble.json"), JSON.stringify({ pebble: settings }));
    const asks = await resolver(t, names.server, await freePort());
    const env = { ...process.env, PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "10" };
    await beside(t, "pebble", ["-config", join(folder, "pebble.json"), "-dnsserver", asks], /ACME directory available/, { env });
    await eventually("the authority", () => connects(management));
    const get = async (what) => (await request(`https://127.0.0.1:${management}/${what}/0`, { ca: readFileSync(authority.root) })).body;
    authority.ca = await get("roots");
    authority.spki = spkiOf(await get("intermediates"));
    return authority;
  }
}

/** The base64 SHA-256 of a certificate's key, by which Chromium trusts all that it has signed. */
function spkiOf(pem) {
  return createHash("sha256").update(new X509Certificate(pem).publicKey.export({ type: "spki", format: "der" })).digest("base64");
}

function connects(port) {
  return new Promise((done, fail) => {
    const socket = net.connect(port, "127.0.0.1", () => (socket.end(), done(true)));
    socket.once("error", fail);
  });
}

/** Pebble ships no certificate for its own HTTPS: an authority of one day, and what it vouches for. */
async function certificate(folder) {
  const at = (name) => join(folder, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await run("openssl", ["req", "-x509", ...key, "-keyout", at("root.key"), "-out", at("root.pem"), "-days", "1", "-subj", "/CN=the test's authority"]);
  await run("openssl", ["req", ...key, "-keyout", at("api.key"), "-out", at("api.csr"), "-subj", "/CN=127.0.0.1"]);
  writeFileSync(at("api.ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
  await run("openssl", ["x509", "-req", "-in", at("api.csr"), "-CA", at("root.pem"), "-CAkey", at("root.key"), "-CAcreateserial", "-days", "1", "-extfile", at("api.ext"), "-out", at("api.pem")]);
}
