// npm openid-client goes through the code flow; for each authorization URL that it prints, it reads where the person landed.
import * as readline from 'node:readline/promises';
import * as client from 'openid-client';

const told = JSON.parse(process.argv[2]);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const redirect_uri = 'http://127.0.0.1:5098/callback';

async function landed(url) {
  console.log(JSON.stringify({ open: url.href }));
  return new URL((await lines.next()).value);
}

async function imported(jwk) {
  const key = await crypto.subtle.importKey('jwk', { ...jwk, key_ops: undefined, use: undefined }, {
    name: 'ECDSA', namedCurve: 'P-256',
  }, false, ['sign']);
  return { key, kid: jwk.kid };
}

async function flow(clientId, authentication, { pushed = false, signed = false, jarm = false, bound = false } = {}) {
  const config = await client.discovery(new URL(told.issuer), clientId, { id_token_signed_response_alg: 'ES256' },
    authentication, { execute: [client.allowInsecureRequests] });
  if (jarm) client.useJwtResponseMode(config);
  const keys = bound ? await client.randomDPoPKeyPair('ES256') : undefined;
  const DPoP = bound ? client.getDPoPHandle(config, keys) : undefined;
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const checks = {
    pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true,
  };
  let asked = {
    redirect_uri,
    scope: `openid profile ${told.scope}`,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    max_age: '3600',
    prompt: 'consent',
  };
  if (jarm) asked.response_mode = 'jwt';
  if (bound) asked.dpop_jkt = await DPoP.calculateThumbprint();
  let url;
  if (signed) {
    const key = await imported(told.web_key);
    url = await client.buildAuthorizationUrlWithJAR(config, asked, key);
    if (pushed) url = await client.buildAuthorizationUrlWithPAR(config, url.searchParams, { DPoP });
  } else {
    url = pushed ? await client.buildAuthorizationUrlWithPAR(config, asked, { DPoP })
      : client.buildAuthorizationUrl(config, asked);
  }
  const back = await landed(url);
  const tokens = await client.authorizationCodeGrant(config, back, { ...checks, maxAge: 3600 }, undefined, { DPoP });
  const who = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP });
  const fresh = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
  return {
    parameters: [...url.searchParams.keys()], token_type: tokens.token_type, scope: tokens.scope, claims: tokens.claims(),
    who, fresh: fresh.token_type, response: back.searchParams.has('response'),
  };
}

const key = await imported(told.web_key);
const found = {};
found.plain = await flow(told.app_client, client.None());
found.pushed_and_bound = await flow(told.web_client, client.PrivateKeyJwt(key), { pushed: true, bound: true });
found.public_and_bound = await flow(told.app_client, client.None(), { pushed: true, bound: true });
found.signed = await flow(told.web_client, client.PrivateKeyJwt(key), { signed: true });
found.signed_and_pushed = await flow(told.web_client, client.PrivateKeyJwt(key), { signed: true, pushed: true, bound: true });
found.signed_answer = await flow(told.web_client, client.PrivateKeyJwt(key), { jarm: true });

console.log(JSON.stringify({ found }));
process.exit(0);
