// npm openid-client, known by its document: PAR, PKCE, DPoP and iss, and then a call of a tool with a proof of its own.
import * as readline from 'node:readline/promises';
import * as client from 'openid-client';

const told = JSON.parse(process.argv[2]);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const config = await client.discovery(new URL(told.issuer), told.document, undefined, client.None(), {
  algorithm: 'oauth2', execute: [client.allowInsecureRequests],
});
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
const pkceCodeVerifier = client.randomPKCECodeVerifier();
const expectedState = client.randomState();
const url = await client.buildAuthorizationUrlWithPAR(config, {
  redirect_uri: 'http://127.0.0.1:5094/callback',
  scope: told.scope,
  resource: told.tools,
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
  state: expectedState,
}, { DPoP });
console.log(JSON.stringify({ open: url.href }));
const back = new URL((await lines.next()).value);
const tokens = await client.authorizationCodeGrant(config, back, { pkceCodeVerifier, expectedState },
  { resource: told.tools }, { DPoP });

async function called(name, args) {
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } };
  const headers = new Headers({
    'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-11-25',
  });
  return client.fetchProtectedResource(config, tokens.access_token, new URL(told.tools), 'POST',
    JSON.stringify(message), headers, { DPoP });
}

const read = await called('prescriptions', {});
const text = await read.text();
let refused;
try {
  const answer = await called('order', { medicine: 'Loratadine 10 mg' });
  refused = { status: answer.status };
} catch (error) {
  refused = { status: error.status, challenge: error.cause?.map?.((one) => [one.scheme, one.parameters.error, one.parameters.scope]) };
}
console.log(JSON.stringify({ found: { token_type: tokens.token_type, iss: back.searchParams.get('iss'), text, refused } }));
process.exit(0);
