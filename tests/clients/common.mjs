// What the programs of this folder share. Each runs as `node PROGRAM URL SECRET ARTEFACTS` and prints a JSON object a line:
// a step and what the client made of it. tests/clients/test_clients.py runs them against two chains and compares.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// The pinned packages lie in engines/, where no import from here would find them.
export const need = createRequire(new URL("../../engines/package.json", import.meta.url));

export const [url, secret, artefacts] = process.argv.slice(2);
export const ETHER = 10n ** 18n;
export const GWEI = 10n ** 9n;
export const PLAIN = "0x" + "0a".repeat(20);
export const NEVER = 2n ** 63n;
// Of an account that nobody knows yet and that delegates its code (EIP-7702).
export const authoritySecret = "0x" + createHash("sha256").update(`authority of ${secret}`).digest("hex");

export function artefact(name) {
  const { abi, bytecode } = JSON.parse(readFileSync(join(artefacts, `${name}.json`), "utf8"));
  return { abi, bytecode: `0x${bytecode}` };
}

export function show(step, value) {
  const plain = (_, part) => (typeof part === "bigint" ? `0x${part.toString(16)}` : part === undefined ? null : part);
  process.stdout.write(JSON.stringify({ step, value }, plain) + "\n");
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// What a promise was refused with, as the client tells it.
export async function refusal(promise, tell) {
  try {
    await promise;
  } catch (error) {
    return tell(error);
  }
  throw new Error("this should have been refused");
}
