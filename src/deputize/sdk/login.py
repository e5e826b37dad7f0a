"""How this client signs its calls to an authorization server, and that it signs them for that one alone."""

import base64
import re
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote_plus

from deputize.core.ports import Clock, Random
from deputize.core.rules import Fault
from deputize.core.values import ClientId, IssuerIdentifier, Secret
from deputize.core.wire import Call, Malformed, Reply, form_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth import assertion, dpop
from deputize.oauth.metadata import ServerMetadata
from deputize.sdk.flow import Flow

FORM = "application/x-www-form-urlencoded"
JTI_BITS = 128
_NONCE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,256}")


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


@dataclass(frozen=True, slots=True)
class Public:
    """Say who one is, and prove nothing: a program that can keep no secret (RFC 6749, 2.1; `none`)."""


Method: TypeAlias = PrivateKeyJwt | SecretBasic | SecretPost | Public


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLogin:
    """A client at one authorization server. Where `dpop_key` is given, each call carries a proof by it.

    `issuer` pins the server: nothing is signed for, and nothing sent to, endpoints that another issuer named.
    """

    client_id: ClientId
    issuer: IssuerIdentifier
    method: Method
    clock: Clock
    random: Random
    dpop_key: PrivateKey | None = None
    _nonces: dict[str, str] = field(default_factory=dict, repr=False, compare=False)  # the newest, by server

    def sent(self, server: ServerMetadata, endpoint: str | None, fields: tuple[tuple[str, str], ...]) -> Flow[Reply]:
        """Send a form; once more where the server wants a nonce in the proof that this client did not have."""
        reply = yield self.post(server, endpoint, fields)
        if self._learns_nonce(reply) and _wants_nonce(reply):
            reply = yield self.post(server, endpoint, fields)
            self._learns_nonce(reply)
        return reply

    def _learns_nonce(self, reply: Reply) -> bool:
        """Keep the nonce that an answer brings along (RFC 9449, 8.2); whether it brought a new one."""
        told = reply.headers.all("dpop-nonce")
        if self.dpop_key is None or len(told) != 1 or not _NONCE.fullmatch(told[0]):
            return False
        before = self._nonces.get(self.issuer.text)
        self._nonces[self.issuer.text] = told[0]
        return told[0] != before

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
            case Public():
                fields = (*fields, ("client_id", self.client_id))
        if self.dpop_key is not None:
            headers.append(("dpop", self._proof(endpoint, self.dpop_key)))
        return Call(method="POST", url=endpoint, headers=tuple(headers), body=form_bytes(fields))

    def _proof(self, endpoint: str, key: PrivateKey) -> str:
        jti, nonce = self.random(JTI_BITS), self._nonces.get(self.issuer.text)
        return dpop.prove(key, method="POST", url=endpoint, jti=jti, now=self.clock(), nonce=nonce)


def _wants_nonce(reply: Reply) -> bool:
    try:
        return reply.status == 400 and reply.json_object().get("error") == "use_dpop_nonce"
    except Malformed:
        return False
