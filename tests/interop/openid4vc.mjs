// A foreign wallet: it takes our offer, keeps the credential, and answers our request. Told and asked by its arguments.
import { createHash, createPublicKey, randomBytes, X509Certificate } from "node:crypto";

import { clientAuthenticationAnonymous, setGlobalConfig } from "@openid4vc/oauth2";
import { Openid4vciClient } from "@openid4vc/openid4vci";
import { Openid4vpClient } from "@openid4vc/openid4vp";
import * as jose from "jose";

const told = JSON.parse(process.argv[2]);
setGlobalConfig({ allowInsecureUrls: true });

const pair = await jose.generateKeyPair("ES256", { extractable: true });
const jwk = { ...(await jose.exportJWK(pair.publicKey)), alg: "ES256" };

async function checked(signer, { compact }) {
  const key = signer.method === "x5c"
    ? await jose.importX509(new X509Certificate(Buffer.from(signer.x5c[0], "base64")).toString(), signer.alg)
    : await jose.importJWK(signer.publicJwk, signer.alg);
  await jose.compactVerify(compact, key);
  const signerJwk = signer.publicJwk ?? (await jose.exportJWK(key));
  return { verified: true, signerJwk };
}

const callbacks = {
  fetch,
  hash: (data, alg) => createHash(alg.replaceAll("-", "")).update(data).digest(),
  generateRandom: (bytes) => randomBytes(bytes),
  signJwt: async (signer, { header, payload }) => ({
    jwt: await new jose.SignJWT(payload).setProtectedHeader(header).sign(pair.privateKey),
    signerJwk: jwk,
  }),
  verifyJwt: checked,
  decryptJwe: async () => { throw new Error("nothing is to be opened"); },
  encryptJwe: async (encryptor, data) => ({
    encryptionJwk: encryptor.publicJwk,
    jwe: await new jose.CompactEncrypt(new TextEncoder().encode(data))
      .setProtectedHeader({ alg: encryptor.alg, enc: encryptor.enc, kid: encryptor.publicJwk.kid })
      .encrypt(await jose.importJWK(encryptor.publicJwk, encryptor.alg)),
  }),
  getX509CertificateMetadata: () => ({ sanDnsNames: [], sanUriNames: [] }),
  clientAuthentication: clientAuthenticationAnonymous(),
};

// --- the offer ------------------------------------------------------------------------------------------------------

const signer = { method: "jwk", alg: "ES256", publicJwk: jwk };
const vci = new Openid4vciClient({ callbacks });
const credentialOffer = await vci.resolveCredentialOffer(told.offer);
const issuerMetadata = await vci.resolveIssuerMetadata(credentialOffer.credential_issuer);
const { accessTokenResponse, dpop } = await vci.retrievePreAuthorizedCodeAccessTokenFromOffer({
  credentialOffer, issuerMetadata, txCode: told.tx_code, dpop: { signer },
});
const [detail] = accessTokenResponse.authorization_details;
const { c_nonce: nonce } = await vci.requestNonce({ issuerMetadata });
const credentialConfigurationId = credentialOffer.credential_configuration_ids[0];
const proof = await vci.createCredentialRequestJwtProof({
  issuerMetadata, credentialConfigurationId, nonce, issuedAt: new Date(), signer,
});
const issued = await fetch(issuerMetadata.credentialIssuer.credential_endpoint, {
  method: "POST",
  headers: {
    "content-type": "application/json",
    authorization: `DPoP ${accessTokenResponse.access_token}`,
    dpop: await new jose.SignJWT({
      htm: "POST", htu: issuerMetadata.credentialIssuer.credential_endpoint, jti: randomBytes(16).toString("hex"),
      ath: createHash("sha256").update(accessTokenResponse.access_token).digest("base64url"),
    }).setIssuedAt().setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk }).sign(pair.privateKey),
  },
  body: JSON.stringify({ credential_identifier: detail.credential_identifiers[0], proofs: { jwt: [proof.jwt] } }),
});
const answer = await issued.json();
if (!issued.ok) throw new Error(JSON.stringify(answer));
await vci.sendNotification({
  issuerMetadata, accessToken: accessTokenResponse.access_token, dpop: { ...dpop, signer },
  notification: { notificationId: answer.notification_id, event: "credential_accepted" },
});
const credential = answer.credentials[0].credential;

// --- the request ----------------------------------------------------------------------------------------------------

const [issuerJwt, ...disclosures] = credential.split("~").slice(0, -1);
const named = (text) => JSON.parse(Buffer.from(text, "base64url"))[1];
const shown = `${[issuerJwt, ...disclosures.filter((one) => named(one) === told.show)].join("~")}~`;

const vp = new Openid4vpClient({ callbacks });
const { params } = vp.parseOpenid4vpAuthorizationRequest({ authorizationRequest: told.request });
const resolved = await vp.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: params });
const asked = resolved.authorizationRequestPayload;
const binding = await new jose.SignJWT({
  nonce: asked.nonce, aud: asked.client_id, sd_hash: createHash("sha256").update(shown).digest("base64url"),
}).setIssuedAt().setProtectedHeader({ typ: "kb+jwt", alg: "ES256" }).sign(pair.privateKey);
const [id] = resolved.dcql.query.credentials.map((one) => one.id);
const made = await vp.createOpenid4vpAuthorizationResponse({
  authorizationRequestPayload: asked,
  clientMetadata: asked.client_metadata,
  authorizationResponsePayload: { vp_token: { [id]: [shown + binding] } },
  jarm: { encryption: { nonce: "" }, serverMetadata: {
    authorization_signing_alg_values_supported: [],
    authorization_encryption_alg_values_supported: ["ECDH-ES"],
    authorization_encryption_enc_values_supported: ["A128GCM", "A256GCM"],
  } },
});
const { response } = await vp.submitOpenid4vpAuthorizationResponse({
  authorizationRequestPayload: asked,
  authorizationResponsePayload: made.authorizationResponsePayload,
  jarm: made.jarm,
});

console.log(JSON.stringify({
  issuer: issuerMetadata.credentialIssuer.credential_issuer,
  token_type: accessTokenResponse.token_type,
  credential,
  version: resolved.version,
  client: resolved.client.prefix,
  encrypted: Boolean(made.jarm),
  status: response.status,
  back: await response.json(),
  key: createPublicKey({ key: jwk, format: "jwk" }).asymmetricKeyType,
}));
