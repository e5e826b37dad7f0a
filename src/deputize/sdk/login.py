"""How this client signs its calls to an authorization server, and that it signs them for that one alone."""

import base64
from dataclasses import dataclass
from urllib.parse import quote_plus

from deputize.core.ports import Clock, Random
from deputize.core.rules import Fault
from deputize.core.values import ClientId, Issuer, Secret
from deputize.core.wire import Call, form_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth import assertion, dpop
from deputize.oauth.metadata import ServerMetadata

FORM = "application/x-www-form-urlencoded"
JTI_BITS = 128


@dataclass(frozen=True, slots=True)
class PrivateKeyJwt:
    """Authenticate with assertions that this key signs (RFC 7523 as rfc7523bis updates it)."""

    key: PrivateKey


@dataclass(frozen=True, slots=True)
class SecretBasic:
    """Authenticate with a secret in the Authorization header (RFC 6749, 2.3.1)."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class SecretPost:
    """Authenticate with a secret in the form (RFC 6749, 2.3.1)."""

    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLogin:
    """A client at one authorization server. Where `dpop_key` is given, each call carries a proof by it.

    `issuer` pins the server: nothing is signed for, and nothing sent to, endpoints that another issuer named.
    """

    client_id: ClientId
    issuer: Issuer
    method: PrivateKeyJwt | SecretBasic | SecretPost
    clock: Clock
    random: Random
    dpop_key: PrivateKey | None = None

    def post(self, server: ServerMetadata, endpoint: str | None, fields: tuple[tuple[str, str], ...]) -> Call:
        """A form for an endpoint of that server, authenticated. Raises Fault where the server is not ours."""
        if server.issuer != self.issuer.text:  # audience injection, mix-up: the credentials stay here
            raise Fault(f"this client is one of {self.issuer}, not of {server.issuer}")
        if endpoint is None:
            raise Fault(f"{self.issuer} has no such endpoint")
        headers = [("content-type", FORM), ("accept", "application/json")]
        match self.method:
            case PrivateKeyJwt(key):
                jti = self.random(JTI_BITS)
                made = assertion.make(self.client_id, key, audience=self.issuer.text, jti=jti, now=self.clock())
                fields = (*fields, ("client_assertion_type", assertion.TYPE), ("client_assertion", made))
            case SecretBasic(secret):
                pair = f"{quote_plus(self.client_id)}:{quote_plus(secret.reveal())}"
                headers.append(("authorization", f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"))
            case SecretPost(secret):
                fields = (*fields, ("client_id", self.client_id), ("client_secret", secret.reveal()))
        if self.dpop_key is not None:
            headers.append(("dpop", self._proof(endpoint, self.dpop_key)))
        return Call(method="POST", url=endpoint, headers=tuple(headers), body=form_bytes(fields))

    def _proof(self, endpoint: str, key: PrivateKey) -> str:
        return dpop.prove(key, method="POST", url=endpoint, jti=self.random(JTI_BITS), now=self.clock())
