// npm @sd-jwt/sd-jwt-vc as an API that was handed what the server publishes: its keys, and its status list before and after.
import { createHash, createPublicKey, randomBytes, verify } from "node:crypto";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";

const told = JSON.parse(process.argv[2]);
const holds = (jwk) => (data, signature) =>
  verify(
    "sha256",
    Buffer.from(data),
    { key: createPublicKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" },
    Buffer.from(signature, "base64url"),
  );
const [issuer] = told.keys;

const seen = async (list) => {
  const asked = [];
  const library = new SDJwtVcInstance({
    verifier: holds(issuer),
    hasher: (data, alg) => createHash(alg.replace("sha-", "sha")).update(data).digest(),
    hashAlg: "sha-256",
    saltGenerator: () => randomBytes(16).toString("base64url"),
    kbVerifier: (data, signature, payload) => holds(payload.cnf.jwk)(data, signature),
    loadTypeMetadataFormat: true,
    vctFetcher: async () => told.type,
    statusListFetcher: async (uri) => {
      asked.push(uri);
      return list;
    },
  });
  try {
    const options = { currentDate: told.now, keyBindingNonce: told.nonce };
    const { payload, typeMetadata } = await library.verify(told.presented, options);
    return { payload, type: typeMetadata?.mergedTypeMetadata, asked };
  } catch (problem) {
    return { problem: String(problem.message), asked };
  }
};

process.stdout.write(JSON.stringify({ before: await seen(told.before), after: await seen(told.after) }));
