// A resolver for the authority: Knot answers for its zones only, and an alias may lead from one into another.

import dgram from "node:dgram";
import { Resolver } from "node:dns/promises";
import net from "node:net";

const TYPES = { 1: "A", 28: "AAAA" };

/** Answers A and AAAA on UDP and TCP, all else with nothing; asks `server`. Gives its own address. */
export async function resolver(t, server, port) {
  const upstream = new Resolver({ timeout: 2000, tries: 2 });
  upstream.setServers([server]);
  const answer = async (query) => reply(query, await addresses(upstream, ...question(query)));
  const udp = dgram.createSocket("udp4").on("message", async (query, from) => udp.send(await answer(query), from.port, from.address));
  const tcp = net.createServer((socket) => {
    let said = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("data", async (part) => {
      said = Buffer.concat([said, part]);
      while (said.length >= 2 && said.length >= 2 + said.readUInt16BE()) {
        const query = said.subarray(2, 2 + said.readUInt16BE());
        said = said.subarray(2 + query.length);
        const bytes = await answer(query);
        const length = Buffer.alloc(2);
        length.writeUInt16BE(bytes.length);
        socket.write(Buffer.concat([length, bytes]));
      }
    });
  });
  t.after(() => (udp.close(), tcp.close()));
  await Promise.all([new Promise((done) => udp.bind(port, "127.0.0.1", done)), new Promise((done) => tcp.listen(port, "127.0.0.1", done))]);
  return `127.0.0.1:${port}`;
}

/** Follows aliases to addresses. */
async function addresses(upstream, name, type) {
  if (!TYPES[type]) return [];
  for (let hops = 0; hops < 8; hops += 1) {
    const found = await upstream.resolve(name, TYPES[type]).catch(() => []);
    if (found.length > 0) return found;
    [name] = await upstream.resolveCname(name).catch(() => []);
    if (!name) return [];
  }
  return [];
}

/** The name and type that are asked for. */
function question(query) {
  const labels = [];
  let at = 12;
  for (; query[at] !== 0; at += query[at] + 1) labels.push(query.toString("latin1", at + 1, at + 1 + query[at]));
  return [labels.join("."), query.readUInt16BE(at + 1)];
}

/** The question again, with addresses below it (RFC 1035 §4.1). */
function reply(query, found) {
  let end = 12;
  while (query[end] !== 0) end += query[end] + 1;
  const head = Buffer.from(query.subarray(0, end + 5));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(found.length, 6);
  head.writeUInt32BE(0, 8);
  const type = head.readUInt16BE(end + 1);
  const records = found.map((address) => {
    const data = type === 1 ? Buffer.from(address.split(".").map(Number)) : v6(address);
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(1, 6);
    record.writeUInt16BE(data.length, 10);
    return Buffer.concat([record, data]);
  });
  return Buffer.concat([head, ...records]);
}

function v6(address) {
  const [left, right = ""] = address.split("::");
  const [head, tail] = [left, right].map((part) => (part ? part.split(":") : []));
  const words = address.includes("::") ? [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail] : head;
  const bytes = Buffer.alloc(16);
  words.forEach((word, n) => bytes.writeUInt16BE(parseInt(word, 16), n * 2));
  return bytes;
}
