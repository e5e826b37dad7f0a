// npm @sd-jwt/sd-jwt-vc over Node's own crypto, keys loaded once: told what to use, then asked for "issue 100" or "verify 100", it answers the
// CPU time in microseconds a call.
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto';
import { createInterface } from 'node:readline';

import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = JSON.parse((await lines.next()).value); // too long for an argument
const es256 = { dsaEncoding: 'ieee-p1363' };
const issuerKey = createPrivateKey({ key: told.issuer, format: 'jwk' });
const issuerPublic = createPublicKey({ key: told.issuer_public, format: 'jwk' });
const holders = new Map();
const holder = (jwk) => {
  if (!holders.has(jwk.x)) holders.set(jwk.x, createPublicKey({ key: jwk, format: 'jwk' }));
  return holders.get(jwk.x);
};
const verified = (key, data, signature) =>
  verify('sha256', Buffer.from(data), { key, ...es256 }, Buffer.from(signature, 'base64url'));

const library = new SDJwtVcInstance({
  signer: (data) => sign('sha256', Buffer.from(data), { key: issuerKey, ...es256 }).toString('base64url'),
  signAlg: 'ES256',
  verifier: (data, signature) => verified(issuerPublic, data, signature),
  hasher: (data, alg) => createHash(alg.replace('sha-', 'sha')).update(data).digest(),
  hashAlg: 'sha-256',
  saltGenerator: () => randomBytes(16).toString('base64url'),
  kbVerifier: (data, signature, payload) => verified(holder(payload.cnf.jwk), data, signature),
});

let turn = 0;
const acts = {
  issue: () => library.issue(told.claims, told.frame, { header: { kid: told.kid } }),
  verify: () => library.verify(told.presented[turn++ % told.presented.length], {
    currentDate: told.now, keyBindingNonce: told.nonce,
  }),
};

for await (const line of lines) {
  const [name, count] = line.split(' ');
  const begun = process.cpuUsage();
  for (let done = 0; done < Number(count); done += 1) await acts[name]();
  const { user, system } = process.cpuUsage(begun);
  process.stdout.write(`${(user + system) / Number(count)}\n`);
}
