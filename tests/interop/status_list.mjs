// npm @owf/token-status-list with Node's own crypto: reads the lists that it is told of, and makes lists of its own.
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { Sign1, CoseKey, SignatureAlgorithm } from "@owf/cose";
import {
  StatusList,
  StatusListCwt,
  StatusListCwtPayload,
  createHeaderAndPayload,
  getListFromStatusListJWT,
  getStatusListFromJWT,
} from "@owf/token-status-list";

const told = JSON.parse(process.argv[2]);
const es256 = { dsaEncoding: "ieee-p1363" };
const privateKey = { key: createPrivateKey({ key: told.key, format: "jwk" }), ...es256 };
const publicKey = { key: createPublicKey({ key: told.public_key, format: "jwk" }), ...es256 };
const b64u = (text) => Buffer.from(text).toString("base64url");
const statuses = (list) => told.looked_at.map((index) => list.getStatus(index));

const readJwt = (jwt) => {
  const [header, payload, signature] = jwt.split(".");
  const holds = verify("sha256", Buffer.from(`${header}.${payload}`), publicKey, Buffer.from(signature, "base64url"));
  const { typ } = JSON.parse(Buffer.from(header, "base64url"));
  return { holds, typ, statuses: statuses(getListFromStatusListJWT(jwt)) };
};

const readCwt = async (bytes) => {
  const signed = Sign1.decode(bytes);
  const ctx = { verify: ({ sign1 }) => verify("sha256", sign1.toBeSigned, publicKey, sign1.signature) };
  const holds = await signed.verifySignature({ key: CoseKey.fromJwk(told.public_key) }, ctx);
  const payload = StatusListCwtPayload.decode(signed.payload);
  return {
    holds,
    typ: signed.protectedHeaders.headers.get(16),
    sub: payload.subject,
    ttl: payload.timeToLive,
    statuses: statuses(payload.statusList),
  };
};

const list = () => {
  const made = new StatusList(new Array(told.size).fill(0), told.bits);
  for (const [index, status] of Object.entries(told.statuses)) made.setStatus(Number(index), status);
  return made;
};

const { header, payload } = createHeaderAndPayload(
  list(),
  { sub: told.uri, iat: told.now, exp: told.now + 600, ttl: 60 },
  { alg: "ES256", kid: told.key.kid },
);
const input = `${b64u(JSON.stringify(header))}.${b64u(JSON.stringify(payload))}`;
const made = new StatusListCwt({
  payload: {
    statusList: list(),
    subject: told.uri,
    issuedAt: new Date(told.now * 1000),
    expirationTime: new Date((told.now + 600) * 1000),
    timeToLive: 60,
  },
  protectedHeaders: new Map([[1, SignatureAlgorithm.ES256]]),
});
const cwt = await made.signAndEncode(
  { signingKey: CoseKey.fromJwk(told.key), algorithm: SignatureAlgorithm.ES256 },
  { sign: ({ toBeSigned }) => sign("sha256", toBeSigned, privateKey) },
);

const failing = async (act) => act().then(() => "", (problem) => String(problem.message));
process.stdout.write(
  JSON.stringify({
    jwt: readJwt(told.jwt),
    cwt: await readCwt(Buffer.from(told.cwt, "base64url")),
    jwt_alone: readJwt(told.jwt_alone),
    cwt_alone: await failing(() => readCwt(Buffer.from(told.cwt_alone, "base64url"))),
    entry: getStatusListFromJWT(told.referring),
    made_jwt: `${input}.${sign("sha256", Buffer.from(input), privateKey).toString("base64url")}`,
    made_cwt: Buffer.from(cwt).toString("base64url"),
  }),
);
