// Judge tokens as a Node.js service does: jose, with its remote JWK set.
//
//   node verify.mjs <jwks-url> < cases.json > verdicts.json

import { json } from "node:stream/consumers";
import { createRemoteJWKSet, decodeProtectedHeader, errors, jwtVerify } from "jose";

const algorithms = [
  "RS256", "RS384", "RS512",
  "PS256", "PS384", "PS512",
  "ES256", "ES384", "ES512",
  "EdDSA",
];

/** The claims, as raw JSON, of a token that passes every check. */
async function judge(keys, { token, audience, issuer }) {
  const checks = { algorithms, audience, issuer, requiredClaims: ["exp"] };
  const { protectedHeader } = await jwtVerify(token, keys, checks);
  // jose tries the one key of a set for a token that names none.
  if (!protectedHeader.kid) throw new errors.JWSInvalid("no kid in the header");
  // JSON.parse rounds integers beyond 2^53, so the verified text is passed on.
  return Buffer.from(token.split(".")[1], "base64url").toString();
}

/** The header of any token, trusted or not; null where there is none. */
function header(token) {
  try {
    return decodeProtectedHeader(token);
  } catch {
    return null;
  }
}

/** One verdict, as JSON. */
async function verdict(keys, testCase) {
  const { name, token, audience, issuer } = testCase;
  // jose skips a check whose expected value is empty.
  if (!audience || !issuer) throw new Error(`case "${name}" lacks an audience or an issuer`);
  let claims = null;
  let error = null;
  try {
    claims = await judge(keys, testCase);
  } catch (reason) {
    if (!(reason instanceof errors.JOSEError)) throw reason;
    error = `${reason.code}: ${reason.message}`;
  }
  const [n, h, e] = [name, header(token), error].map((value) => JSON.stringify(value));
  return `{"name":${n},"accepted":${error === null},"header":${h},"claims":${claims},"error":${e}}`;
}

async function main(args) {
  if (args.length !== 1) throw new Error("usage: verify.mjs <jwks-url>");
  const [url] = args;
  const keys = createRemoteJWKSet(new URL(url), { timeoutDuration: 10_000 });
  // Fetched ahead: from here on any JOSEError is a judgement of the token.
  await keys.reload();
  const verdicts = [];
  for (const testCase of await json(process.stdin)) {
    verdicts.push(await verdict(keys, testCase));
  }
  process.stdout.write(`[${verdicts.join(",")}]\n`);
}

main(process.argv.slice(2)).catch((failure) => {
  console.error(`verify.mjs: ${failure.message}`);
  process.exitCode = 1;
});
