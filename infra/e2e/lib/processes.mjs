// The processes of one provider, found by the data folder in their environment.

import { readFileSync, readdirSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

/** The process ids of a role (`edge`, `web`, `reconcile`, `host`, `postgres`) of the provider with this data folder. */
export function pids(data, role) {
  return readdirSync("/proc").filter((entry) => /^\d+$/.test(entry)).map(Number).filter((pid) => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      if (role === "postgres") return args[0].endsWith("/postgres") && args[2] === `${data}/pg`;
      const ours = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`PERCLOUD_DATA=${data}`);
      return ours && args.some((arg) => arg.startsWith("--supervised=")) && args.includes(role);
    } catch {
      return false; // It has ended meanwhile.
    }
  });
}

/** The process id of `percloud up` itself. */
export function upPid(data) {
  return readdirSync("/proc").filter((entry) => /^\d+$/.test(entry)).map(Number).find((pid) => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return args[1] === "up" && args.includes(data) && args.includes("--detached");
    } catch {
      return false;
    }
  });
}

/** Kills a role with SIGKILL; gives the pids that were killed. */
export function killRole(data, role) {
  const found = pids(data, role);
  for (const pid of found) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** Waits until `look` gives something; the last failure is in the error. */
export async function eventually(what, look, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  for (let last; ; await pause(20)) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s`, { cause: last });
  }
}
