"""Another OpenID provider that people may come from: where they are sent, and who comes back (OpenID Connect Core)."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import quote_plus, urlencode

from deputize.core.ports import Env
from deputize.core.published import Published
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, IssuerIdentifier, Seconds, Secret
from deputize.core.wire import Call, Form, Malformed, b64u, form_bytes
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet
from deputize.oauth.metadata import OPENID_WELL_KNOWN, ServerMetadata, read_server

_CORE: Final = "OpenID Connect Core 1.0"
_ERROR: Final = "access_denied"
_LIFE_MAX: Final = Seconds(24 * 3600)
_SUBJECT_MAX: Final = 255  # OpenID Connect Core, 2
_NAME_MAX: Final = 200
_FORM: Final = (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json"))

ANSWERED_BY = Rule("RFC 9207", "2.4", "Whoever comes back was answered by the provider that they were sent to.")
ALLOWED_THERE = Rule(_CORE, "3.1.2.6", "The provider signed the person in, and says so with a code.")
GAVE_TOKEN = Rule(_CORE, "3.1.3.3", "The provider gives an ID token for the code, to whoever has its verifier.")
SAME_BROWSER = Rule(_CORE, "3.1.3.7", "The ID token has the nonce that this very browser was sent away with.")
FOR_US = Rule(_CORE, "3.1.3.7", "The ID token is for this server alone, and names a subject of at most 255 characters.")
FRESH = Rule(_CORE, "3.1.3.7", "Where the person was to sign in once more, the ID token says that they just did.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A provider, and what this server is there. `key` names it in addresses here, `name` on the page.

    `elsewhere` are other origins than the issuer's at which its endpoints may lie: some great ones have them so. With
    `enrols`, whoever comes from there and is not known becomes a person here; nobody is ever matched by a name or
    an address of mail.
    """

    key: str
    name: str
    issuer: IssuerIdentifier
    client_id: str
    secret: Secret | None = None
    elsewhere: tuple[str, ...] = ()
    scope: str = "openid profile"
    enrols: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """One way there and back: what ties the answer to the browser that was sent. Made of what that browser keeps."""

    redirect_uri: str
    state: str
    nonce: Secret
    verifier: Secret
    again: bool = False

    @classmethod
    def of(cls, redirect_uri: str, state: str, browser: str, *, again: bool = False) -> "Trip":
        """The state is seen by the provider and in addresses: without the browser's own secret it is worth nothing."""
        nonce, verifier = (
            Secret(b64u(hmac.digest(browser.encode(), f"{what} {state}".encode(), "sha256")))
            for what in ("nonce", "verifier")
        )
        return cls(redirect_uri=redirect_uri, state=state, nonce=nonce, verifier=verifier, again=again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """Who came back, as the provider calls them. Nothing of it is a person here yet."""

    issuer: str
    subject: str
    name: str
    auth_time: Instant

    @property
    def key(self) -> str:
        """What stands for the two together: a subject alone is another person elsewhere."""
        return b64u(hashlib.sha256(f"{len(self.issuer)}:{self.issuer}:{self.subject}".encode()).digest())


@dataclass(slots=True)
class Provider:
    """An upstream with what it publishes, kept for a while."""

    upstream: Upstream
    _documents: Published[ServerMetadata] = field(init=False)
    _key_sets: Published[KeySet] = field(default_factory=lambda: Published(read=KeySet.published))

    def __post_init__(self) -> None:
        self._documents = Published(read=partial(read_server, elsewhere=self.upstream.elsewhere), names_itself="issuer")

    async def _document(self, env: Env) -> ServerMetadata:
        issuer = self.upstream.issuer.text
        return await self._documents.get(issuer.removesuffix("/") + OPENID_WELL_KNOWN, env, named=issuer)

    async def address(self, trip: Trip, env: Env) -> str:
        """Where the browser is to go. Raises Fault where the provider does not say."""
        there = (await self._document(env)).authorization_endpoint
        if there is None:
            raise Fault(f"{self.upstream.issuer} has no authorization endpoint")
        challenge = b64u(hashlib.sha256(trip.verifier.reveal().encode()).digest())
        fields = (
            ("response_type", "code"),
            ("client_id", self.upstream.client_id),
            ("redirect_uri", trip.redirect_uri),
            ("scope", self.upstream.scope),
            ("state", trip.state),
            ("nonce", trip.nonce.reveal()),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
            *((("prompt", "login"), ("max_age", "0")) if trip.again else ()),
        )
        return f"{there}{'&' if '?' in there else '?'}{urlencode(fields)}"

    async def arrived(self, told: Form, trip: Trip, left_at: Instant, env: Env) -> Arrived:
        """Who the provider says came back. Whose answer it is comes before anything that it says."""
        document = await self._document(env)
        issuer = told.get("iss")
        promised = document.authorization_response_iss_parameter_supported
        if issuer != document.issuer and (promised or issuer is not None):
            ANSWERED_BY.refuse(_ERROR, told=(issuer or "")[:200])
        code = told.get("code")
        if code is None or "error" in told:
            ALLOWED_THERE.refuse(_ERROR, error=(told.get("error") or "")[:80])
        compact = await self._redeemed(code, trip, document, env)
        return await self._read(compact, trip, left_at, document, env)

    async def _redeemed(self, code: str, trip: Trip, document: ServerMetadata, env: Env) -> str:
        fields: tuple[tuple[str, str], ...] = (
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", trip.redirect_uri),
            ("code_verifier", trip.verifier.reveal()),
        )
        headers: tuple[tuple[str, str], ...] = _FORM
        secret, client_id = self.upstream.secret, self.upstream.client_id
        if secret is None:
            fields = (*fields, ("client_id", client_id))
        elif "client_secret_basic" in document.token_endpoint_auth_methods_supported:
            pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
            headers = (*headers, ("authorization", f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"))
        else:
            fields = (*fields, ("client_id", client_id), ("client_secret", secret.reveal()))
        call = Call(method="POST", url=document.token_endpoint, headers=headers, body=form_bytes(fields))
        reply = await env.fetch(call)
        if reply.status >= 500:
            raise Fault(f"{document.issuer} answered {reply.status}", retry=True)
        try:
            compact = reply.json_object().get("id_token") if reply.status == 200 else None
        except Malformed:
            compact = None
        if not isinstance(compact, str):
            GAVE_TOKEN.refuse(_ERROR, status=reply.status)
        return compact

    async def _read(self, compact: str, trip: Trip, left_at: Instant, document: ServerMetadata, env: Env) -> Arrived:
        now = env.clock()
        expected = jwt.Expectation(
            typ=frozenset({None, "jwt"}),
            algs=ALL,
            issuer=document.issuer,
            audience=jwt.Sole(self.upstream.client_id),
            lifetime_max=_LIFE_MAX,
            age_max=None,  # exp bounds it, and the nonce says that it is an answer to this trip
            needs=frozenset({"sub", "iat", "exp", "nonce"}),
            error=_ERROR,
        )
        verified = jwt.verify(compact, await self._keys(compact, document, env), expected, now)
        claims = verified.claims
        nonce, subject = claims.get("nonce"), verified.text("sub")
        if not isinstance(nonce, str) or not trip.nonce.matches(nonce):
            SAME_BROWSER.refuse(_ERROR)
        if (
            claims.get("azp", self.upstream.client_id) != self.upstream.client_id
            or not 0 < len(subject) <= _SUBJECT_MAX
        ):
            FOR_US.refuse(_ERROR)
        at = verified.instant("auth_time") if "auth_time" in claims else verified.instant("iat")
        if trip.again and ("auth_time" not in claims or at + jwt.SKEW < left_at):
            FRESH.refuse(_ERROR)
        name = claims.get("name")
        return Arrived(
            issuer=document.issuer,
            subject=subject,
            name=name[:_NAME_MAX] if isinstance(name, str) and name.isprintable() and name.strip() else subject,
            auth_time=min(at, now),
        )

    async def _keys(self, compact: str, document: ServerMetadata, env: Env) -> KeySet:
        if document.jwks_uri is None:
            raise Fault(f"{document.issuer} publishes no keys")
        keys = await self._key_sets.get(document.jwks_uri, env)
        signed, _ = jwt.peek(compact, _ERROR)
        if signed.alg in ALL and not keys.candidates(signed.kid, signed.alg):
            keys = await self._key_sets.get(document.jwks_uri, env, fresher=True)
        return keys
