// npm @sd-jwt/sd-jwt-vc and @sd-jwt/core, with Node's own crypto: verifies what it is told, and issues and presents.
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify } from "node:crypto";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";
import { FlattenJSON } from "@sd-jwt/core";

const told = JSON.parse(process.argv[2]);
const es256 = { dsaEncoding: "ieee-p1363" };
const privateKey = (jwk) => createPrivateKey({ key: jwk, format: "jwk" });
const publicKey = (jwk) => createPublicKey({ key: jwk, format: "jwk" });
const signer = (jwk) => (data) => sign("sha256", Buffer.from(data), { key: privateKey(jwk), ...es256 }).toString("base64url");
const verifier = (jwk) => (data, signature) =>
  verify("sha256", Buffer.from(data), { key: publicKey(jwk), ...es256 }, Buffer.from(signature, "base64url"));

const library = new SDJwtVcInstance({
  signer: signer(told.issuer),
  signAlg: "ES256",
  verifier: verifier(told.issuer_public),
  hasher: (data, alg) => createHash(alg.replace("sha-", "sha")).update(data).digest(),
  hashAlg: "sha-256",
  saltGenerator: () => randomBytes(16).toString("base64url"),
  kbSigner: signer(told.holder),
  kbSignAlg: "ES256",
  kbVerifier: (data, signature, payload) => verifier(payload.cnf.jwk)(data, signature),
});

const at = { currentDate: told.now };
const seen = async (text, options = {}) => (await library.verify(text, { ...at, ...options })).payload;
const fails = async (act) => act().then(() => false, () => true);

const issued = await library.issue(told.claims, told.frame, { header: { kid: told.kid } });
const presented = await library.present(issued, told.show, {
  kb: { payload: { iat: told.now, aud: told.audience, nonce: told.nonce } },
});
const result = {
  issued,
  presented,
  json: FlattenJSON.fromEncode(presented).toJson(),
  ours: await seen(told.ours),
  ours_presented: await seen(told.ours_presented, { keyBindingNonce: told.nonce }),
  ours_from_json: await seen(FlattenJSON.fromSerialized(told.ours_json).toEncoded(), { keyBindingNonce: told.nonce }),
  other_nonce_fails: await fails(() => seen(told.ours_presented, { keyBindingNonce: "another" })),
};
process.stdout.write(JSON.stringify(result));
