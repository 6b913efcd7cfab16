// Verify token after token as a Node.js service does that runs for long: jose, with its remote JWK
// sets and the caches that they keep.
//
//   node watch.mjs <cache-max-age-ms> <cooldown-ms> <jwks-url>... < tokens > figures.json
//
// One token a line; each is verified with the keys of each URL.

import { createInterface } from "node:readline/promises";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

async function main([cacheMaxAge, cooldownDuration, ...urls]) {
  if (urls.length === 0) throw new Error("usage: watch.mjs <max-age> <cooldown> <jwks-url>...");
  const options = {
    cacheMaxAge: Number(cacheMaxAge),
    cooldownDuration: Number(cooldownDuration),
    timeoutDuration: 10_000,
  };
  const sets = urls.map((url) => createRemoteJWKSet(new URL(url), options));
  let verified = 0;
  const failures = [];
  for await (const token of createInterface({ input: process.stdin })) {
    for (const keys of sets) {
      try {
        await jwtVerify(token, keys, { issuer: "token-exchange" });
        verified += 1;
      } catch (reason) {
        if (!(reason instanceof errors.JOSEError)) throw reason;
        failures.push(`${reason.code}: ${reason.message}`);
      }
    }
  }
  process.stdout.write(`${JSON.stringify({ verified, failures })}\n`);
}

main(process.argv.slice(2)).catch((failure) => {
  console.error(`watch.mjs: ${failure.message}`);
  process.exitCode = 1;
});
