// npm openid-client obtains tokens; oauth4webapi, as an API would, accepts them. Prints what happened as JSON.
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';

const told = JSON.parse(process.argv[2]);
const found = {};

async function discovered(clientId, authentication, algorithm) {
  return client.discovery(new URL(told.issuer), clientId, undefined, authentication, {
    algorithm,
    execute: [client.allowInsecureRequests], // http, since it is loopback
  });
}

async function obtained(clientId, authentication, { algorithm = 'oidc', bound = false } = {}) {
  const config = await discovered(clientId, authentication, algorithm);
  const keys = bound ? await client.randomDPoPKeyPair('ES256') : undefined;
  const options = bound ? { DPoP: client.getDPoPHandle(config, keys) } : undefined;
  const tokens = await client.clientCredentialsGrant(config, { scope: told.scope, resource: told.resource }, options);
  return { config, keys, tokens };
}

// The API's side: a request as it would come, held against the server's metadata and keys.
async function accepted({ config, keys, tokens }) {
  let request;
  const as = config.serverMetadata();
  const url = new URL('http://127.0.0.1/prescriptions');
  const asked = { [oauth.allowInsecureRequests]: true };
  const taken = { ...asked, [oauth.customFetch]: async (...args) => (request = new Request(...args), new Response()) };
  if (keys) taken.DPoP = oauth.DPoP({ client_id: 'unused' }, keys);
  await oauth.protectedResourceRequest(tokens.access_token, 'GET', url, undefined, undefined, taken);
  const claims = await oauth.validateJwtAccessToken(as, request, told.resource, { ...asked, requireDPoP: Boolean(keys) });
  return { token_type: tokens.token_type, scope: tokens.scope, claims };
}

async function imported(jwk) {
  const key = await crypto.subtle.importKey('jwk', { ...jwk, key_ops: undefined, use: undefined }, {
    name: 'ECDSA', namedCurve: 'P-256',
  }, false, ['sign']);
  return { key, kid: jwk.kid };
}

const key = await imported(told.key);
found.key = await accepted(await obtained(told.key_client, client.PrivateKeyJwt(key)));
found.key_by_oauth_metadata = await accepted(
  await obtained(told.key_client, client.PrivateKeyJwt(key), { algorithm: 'oauth2' }),
);
found.key_bound = await accepted(await obtained(told.key_client, client.PrivateKeyJwt(key), { bound: true }));
found.basic = await accepted(await obtained(told.secret_client, client.ClientSecretBasic(told.secret)));
found.post = await accepted(await obtained(told.post_client, client.ClientSecretPost(told.secret)));

// A secret that signs would have to be kept as it is: the one method of the library that there is no room for.
found.secret_jwt = await obtained(told.secret_client, client.ClientSecretJwt(told.secret)).then(
  () => 'a token',
  (problem) => problem.error,
);

const { config, tokens } = await obtained(told.secret_client, client.ClientSecretBasic(told.secret));
found.introspected = await client.tokenIntrospection(config, tokens.access_token);
await client.tokenRevocation(config, tokens.access_token);
found.introspected_after_revocation = await client.tokenIntrospection(config, tokens.access_token);

console.log(JSON.stringify(found));
