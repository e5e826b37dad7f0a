// npm openid-client registers itself, in three ways, and goes through the code flow as the client that it became.
import * as readline from 'node:readline/promises';
import * as client from 'openid-client';

const told = JSON.parse(process.argv[2]);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const redirect_uri = 'http://127.0.0.1:5097/callback';

async function landed(url) {
  console.log(JSON.stringify({ open: url.href }));
  return new URL((await lines.next()).value);
}

async function became(metadata, authentication) {
  const config = await client.dynamicClientRegistration(
    new URL(told.issuer),
    { client_name: 'Trip Planner', redirect_uris: [redirect_uri], id_token_signed_response_alg: 'ES256',
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], ...metadata },
    authentication,
    { execute: [client.allowInsecureRequests] },
  );
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const checks = { pkceCodeVerifier, expectedState: client.randomState(), idTokenExpected: true };
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri,
    scope: `openid ${told.scope}`,
    resource: told.resource,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: checks.expectedState,
  });
  const tokens = await client.authorizationCodeGrant(config, await landed(url), checks);
  const fresh = await client.refreshTokenGrant(config, tokens.refresh_token);
  const { client_id, client_secret, registration_access_token, ...said } = config.clientMetadata();
  const secrets = [client_id, client_secret, registration_access_token].map((one) => typeof one);
  return { said, secrets, scope: tokens.scope, sub: tokens.claims().sub, fresh: fresh.token_type };
}

const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', keys.publicKey);
const found = {
  public: await became({ token_endpoint_auth_method: 'none', application_type: 'native' }, client.None()),
  secret: await became({ token_endpoint_auth_method: 'client_secret_post' }),
  signs: await became(
    { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ kty, crv, x, y, alg: 'ES256', use: 'sig', kid: 'a' }] } },
    client.PrivateKeyJwt({ key: keys.privateKey, kid: 'a' }),
  ),
};
console.log(JSON.stringify({ found }));
process.exit(0);
