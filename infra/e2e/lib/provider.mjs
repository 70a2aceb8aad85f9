// A real provider in a folder of its own, and ways to ask it that trust its own authority only.

import { execFile, spawn } from "node:child_process";
import { createHash, randomInt, X509Certificate } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../..", import.meta.url));
/** One of our programs; PERCLOUD_BIN names another folder than the release build's. */
export const bin = (name) => join(process.env.PERCLOUD_BIN ?? join(root, "target/release"), name);

/** A folder that is gone when the test is, after `end`; others may pass through it, as a provider's users must. */
export function scratch(t, name, end = async () => {}) {
  const folder = mkdtempSync(join(tmpdir(), `pc-${name}-`));
  chmodSync(folder, 0o711);
  t.after(async () => {
    await end();
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Those that were given out, so that none is given twice before it is used. */
const given = new Set();

/** A port that nothing listens on, below those that the kernel gives to whoever connects somewhere. */
export async function freePort() {
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(20_000, 30_000);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error("no port is free");
}

function isFree(port) {
  return new Promise((done) => {
    const server = net.createServer().once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });
}

export class Provider {
  /** Starts a provider with `percloud up --detach`; it ends with the test. */
  static async start(t, base, { port, more = [] } = {}) {
    const provider = new Provider();
    provider.base = base;
    provider.port = port ?? (await freePort());
    provider.data = join(scratch(t, "provider", () => provider.percloud("down")), "data");
    const args = ["--detach", "--port", String(provider.port), "--base-domain", base, "--idle-seconds", "5", ...more];
    const { stdout } = await provider.percloud("up", ...args);
    provider.said = stdout;
    provider.ca = readFileSync(join(provider.data, "ca.pem"));
    provider.spki = await spki(provider);
    return provider;
  }

  percloud(command, ...args) {
    return run(bin("percloud"), [command, "--data", this.data, ...args], { maxBuffer: 1 << 24 });
  }

  origin(name) {
    return `https://${name ? `${name}.` : ""}${this.base}:${this.port}`;
  }

  /** One request, every name being on loopback; follows nothing. */
  request(url, options = {}) {
    return request(url, { ca: this.ca, ...options });
  }
}

/** What Chromium needs to trust the certificate that this authority has vouched for: the base64 SHA-256 of its key. */
function spki({ base, port, ca }) {
  return new Promise((done, fail) => {
    const socket = tls.connect({ host: "127.0.0.1", port, servername: base, ca }, () => {
      const key = new X509Certificate(socket.getPeerCertificate().raw).publicKey.export({ type: "spki", format: "der" });
      socket.end();
      done(createHash("sha256").update(key).digest("base64"));
    });
    socket.once("error", fail);
  });
}

/** One HTTPS request to loopback; gives status, headers and body. */
export function request(url, { method = "GET", headers = {}, body, ca } = {}) {
  const { hostname, port, pathname, search } = new URL(url);
  return new Promise((done, fail) => {
    const asked = https.request(
      { host: "127.0.0.1", servername: net.isIP(hostname) ? "" : hostname, port, path: pathname + search, method, headers: { host: `${hostname}:${port}`, ...headers }, ca },
      (answer) => {
        const parts = [];
        answer.on("data", (part) => parts.push(part)).on("error", fail);
        answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts) }));
      },
    );
    asked.on("error", fail).end(body);
  });
}

/** A program that runs beside the test; resolves, when its output matches, to what ends it. It ends with the test at the latest. */
export function beside(t, program, args, ready, options = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  const gone = new Promise((done) => child.once("exit", done));
  const end = () => (child.kill("SIGTERM"), gone);
  t.after(end);
  return new Promise((done, fail) => {
    let said = "";
    const listen = (part) => {
      said += part;
      if (ready.test(said)) done(end);
    };
    child.stdout.on("data", listen);
    child.stderr.on("data", listen);
    child.once("exit", (code) => fail(new Error(`${program} ended with ${code}: ${said}`)));
  });
}

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
export { run };
