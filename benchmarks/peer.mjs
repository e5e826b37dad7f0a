// npm oidc-provider as it comes, in memory: two clients, JWT access tokens signed with ES256, opaque ones to introspect.
import { readFileSync } from 'node:fs';

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

const provider = new Provider(told.issuer, {
  clients: [
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
  scopes: [told.scope],
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

provider.on('server_error', (_, error) => console.error(error));
provider.listen(told.port, '127.0.0.1');
