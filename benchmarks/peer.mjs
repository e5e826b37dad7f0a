// npm oidc-provider as it comes, in memory: two clients, JWT access tokens signed with ES256, opaque ones to introspect.
import { readFileSync, writeFileSync } from 'node:fs';

import Provider from 'oidc-provider';

const told = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const served = {
  [told.resource]: {
    scope: told.scope, audience: told.resource, accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: 'ES256' } },
  },
  // it refuses to introspect JWTs
  [told.opaque_resource]: {
    scope: told.scope, audience: told.opaque_resource, accessTokenFormat: 'opaque', accessTokenTTL: 3600,
  },
};

const common = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: told.scope };

const refreshing = told.refresh_client === undefined ? [] : [{
  client_id: told.refresh_client,
  client_secret: told.refresh_secret,
  token_endpoint_auth_method: 'client_secret_basic',
  grant_types: ['authorization_code', 'refresh_token'],
  redirect_uris: ['https://app.example/back'],
  response_types: ['code'],
  scope: told.scope,
}];

const provider = new Provider(told.issuer, {
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  rotateRefreshToken: true,
  clients: [
    ...refreshing,
    { ...common, client_id: told.secret_client, client_secret: told.secret, token_endpoint_auth_method: 'client_secret_basic' },
    {
      ...common,
      client_id: told.key_client,
      jwks: told.client_jwks,
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
    },
  ],
  clientDefaults: { id_token_signed_response_alg: 'ES256' }, // its only key is for ES256
  clientAuthMethods: ['client_secret_basic', 'private_key_jwt'],
  scopes: [told.scope, 'offline_access'], // the second is what lets its clients refresh
  jwks: { keys: [told.signing_key] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => told.resource,
      getResourceServerInfo: (_, resource) => served[resource],
    },
  },
});

if (refreshing.length > 0) {
  const client = await provider.Client.find(told.refresh_client);
  const tokens = [];
  for (let number = 0; number < told.refresh_count; number += 1) {
    const grant = new provider.Grant({ accountId: `alice-${number}`, clientId: client.clientId });
    grant.addResourceScope(told.resource, told.scope);
    const token = new provider.RefreshToken({
      client,
      accountId: grant.accountId,
      grantId: await grant.save(),
      gty: 'authorization_code',
      scope: told.scope,
      resource: told.resource,
    });
    tokens.push(await token.save());
  }
  writeFileSync(told.refresh_tokens, JSON.stringify(tokens));
}

provider.on('server_error', (_, error) => console.error(error));
provider.listen(told.port, '127.0.0.1');
