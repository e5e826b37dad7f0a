// npm openid-client authenticates by the certificate of its TLS. Prints what happened as JSON.
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import * as client from 'openid-client';

const told = JSON.parse(process.argv[2]);
const ca = readFileSync(told.ca_file);

// `fetch` over a connection with this certificate: Node's own takes none.
function over(certificate) {
  const [cert, key] = certificate ? [certificate.cert, certificate.key].map((file) => readFileSync(file)) : [];
  return (url, { method = 'GET', headers, body }) =>
    new Promise((resolve, reject) => {
      const sent = request(url, { method, headers, ca, cert, key, agent: false }, (answer) => {
        const parts = [];
        answer.on('data', (part) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () =>
          resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: answer.headers })));
      });
      sent.on('error', reject);
      sent.end(body?.toString());
    });
}

async function obtained(clientId, certificate) {
  const options = { [client.customFetch]: over(certificate) };
  const config = await client.discovery(new URL(told.issuer), clientId, undefined, client.TlsClientAuth(), options);
  const asked = { scope: told.scope, resource: told.resource };
  try {
    const { access_token: token } = await client.clientCredentialsGrant(config, asked);
    // oauth4webapi's validateJwtAccessToken knows no binding to a certificate: the claims are read as they are.
    return { claims: JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString()) };
  } catch (problem) {
    return { error: problem.error ?? String(problem) };
  }
}

const found = {};
for (const { way, client_id: clientId, certificate } of told.ways) found[way] = await obtained(clientId, certificate);
console.log(JSON.stringify(found));
