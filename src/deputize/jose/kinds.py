"""The kinds of JWT in one table: what tells each from every other, where the same key signed both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import Seconds
from deputize.jose.jwt import Among, Expectation, Sole, VerifiedJwt

OF_ITS_KIND = Rule(
    "draft-ietf-oauth-rfc8725bis",
    "Use Mutually Exclusive Validation Rules for Different Kinds of JWTs",
    "The claims are those of the expected kind of token, and of no other.",
)

Claims = Mapping[str, object]


class Keys(Enum):
    """Whose key signs a kind."""

    ISSUER = "the issuer's JWK set"
    CLIENT = "the client's JWK set"
    HEADER = "the jwk in its own header"
    CONFIRMED = "the cnf of the credential that it proves"
    DOMAIN = "the bundle of the trust domain"
    TRUSTED = "a configured issuer's keys or certificates"


class Audience(Enum):
    """What the `aud` of a kind names."""

    NONE = "no aud"
    SERVER = "the authorization server's issuer"
    RESOURCE = "the resource"
    CLIENT = "the client's id"
    RECIPIENT = "another recipient, by its own identifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of JWT: who makes it for whom, the `typ` that is written and those that are read, its keys and claims.

    `needs` names the claims that it has. Where no `typ` of its own tells it apart, `lacks` names claims that only
    other kinds have, and `shaped` looks at the rest.
    """

    name: str
    spec: str
    made_by: str
    made_for: str
    typ: str | None
    reads: frozenset[str | None]
    keys: Keys
    audience: Audience
    needs: frozenset[str]
    lacks: frozenset[str] = frozenset()
    shaped: Callable[[Claims], bool] = lambda _: True

    @property
    def is_typed(self) -> bool:
        """Whether its `typ` alone tells it apart."""
        return self.reads.isdisjoint({None, "jwt", "jose"})

    def expectation(
        self,
        *,
        algs: frozenset[str],
        issuer: str | None,
        audience: Among | Sole | None,
        lifetime_max: Seconds | None,
        age_max: Seconds | None,
        error: str,
    ) -> Expectation:
        """What is expected of this kind, here."""
        if (audience is None) != (self.audience is Audience.NONE):
            raise ValueError(f"{self.name}: its audience is {self.audience.value}")
        return Expectation(
            typ=self.reads,
            algs=algs,
            issuer=issuer,
            audience=audience,
            lifetime_max=lifetime_max,
            age_max=age_max,
            needs=self.needs,
            error=error,
        )

    def held(self, token: VerifiedJwt, error: str) -> VerifiedJwt:
        """Hold a verified token against what its `typ` does not say."""
        if not self.lacks.isdisjoint(token.claims) or not self.shaped(token.claims):
            OF_ITS_KIND.refuse(error, kind=self.name)
        return token


# --- where no typ tells them apart --------------------------------------------------------------------------------

# Claims that say what a token is. A JWT grant may also bear what an access token bears, and an ID token what a login
# left behind.
_TELLING: Final = frozenset(
    {"attested_keys", "code", "error", "events", "htm", "htu", "jwks", "metadata", "response", "response_type"}
    | {"sd_hash", "status_list", "token_introspection", "trust_mark_type", "txn", "vct", "wth"}
)
_OF_A_LOGIN: Final = frozenset({"acr", "amr", "at_hash", "auth_time", "azp", "c_hash", "nonce", "s_hash", "sid"})
_OF_ACCESS: Final = frozenset({"act", "authorization_details", "client_id", "cnf", "scope"})
_ANSWERS: Final = frozenset({"code", "error", "access_token", "id_token", "response"})


def _is_of_a_workload(claims: Claims) -> bool:
    return str(claims.get("sub")).startswith("spiffe://")


def _is_of_a_client(claims: Claims) -> bool:
    """Who speaks, speaks of itself."""
    return claims.get("iss") == claims.get("sub") and not _is_of_a_workload(claims)


def _is_of_another(claims: Claims) -> bool:
    """Who speaks, speaks of somebody else, and of no workload."""
    return claims.get("iss") != claims.get("sub") and not _is_of_a_workload(claims)


def _answers_authorization(claims: Claims) -> bool:
    return not _ANSWERS.isdisjoint(claims)


def _typed(name: str, spec: str, route: str, typ: str, keys: Keys, audience: Audience, needs: str) -> Kind:
    """A kind that a `typ` of its own tells apart."""
    made_by, _, made_for = route.partition(" > ")
    return Kind(
        name=name,
        spec=spec,
        made_by=made_by,
        made_for=made_for,
        typ=typ,
        reads=frozenset({typ}),
        keys=keys,
        audience=audience,
        needs=frozenset(needs.split()),
    )


CLIENT_ASSERTION: Final = Kind(
    name="client assertion",
    spec="draft-ietf-oauth-rfc7523bis",
    made_by="client",
    made_for="authorization server",
    typ="client-authentication+jwt",
    # The first name of the same type, and what clients sent before there was one.
    reads=frozenset({"client-authentication+jwt", "oauth-client-auth+jwt", "jwt", None}),
    keys=Keys.CLIENT,
    audience=Audience.SERVER,
    needs=frozenset({"iss", "sub", "aud", "exp", "jti"}),
    lacks=_TELLING | _OF_A_LOGIN,
    shaped=_is_of_a_client,
)
ID_TOKEN: Final = Kind(
    name="ID token",
    spec="OpenID Connect Core",
    made_by="OpenID provider",
    made_for="relying party",
    typ="JWT",
    reads=frozenset({"jwt", None}),
    keys=Keys.ISSUER,
    audience=Audience.CLIENT,
    needs=frozenset({"iss", "sub", "aud", "exp", "iat"}),
    lacks=_TELLING | _OF_ACCESS,
    shaped=_is_of_another,
)
JWT_SVID: Final = Kind(
    name="JWT-SVID",
    spec="SPIFFE JWT-SVID",
    made_by="SPIFFE server",
    made_for="authorization server",
    typ="JWT",
    reads=frozenset({"jwt", "jose", None}),
    keys=Keys.DOMAIN,
    audience=Audience.SERVER,
    needs=frozenset({"sub", "aud", "exp"}),
    lacks=_TELLING | _OF_A_LOGIN | _OF_ACCESS,
    shaped=_is_of_a_workload,
)
JWT_GRANT: Final = Kind(
    name="JWT grant",
    spec="RFC 7523",
    made_by="token service",
    made_for="authorization server",
    typ=None,
    reads=frozenset({"jwt", None}),
    keys=Keys.TRUSTED,
    audience=Audience.SERVER,
    needs=frozenset({"iss", "sub", "aud", "exp"}),
    lacks=_TELLING | _OF_A_LOGIN,
    shaped=_is_of_another,
)
AUTHORIZATION_RESPONSE: Final = Kind(
    name="authorization response",
    spec="JARM",
    made_by="authorization server",
    made_for="client",
    typ=None,
    reads=frozenset({"jwt", None}),
    keys=Keys.ISSUER,
    audience=Audience.CLIENT,
    needs=frozenset({"iss", "aud", "exp"}),
    lacks=_OF_A_LOGIN | _OF_ACCESS | _TELLING - _ANSWERS | {"sub"},
    shaped=_answers_authorization,
)

# fmt: off
TYPED: Final = (
    _typed("access token", "RFC 9068", "authorization server > resource server",
           "at+jwt", Keys.ISSUER, Audience.RESOURCE, "iss sub aud exp iat jti client_id"),
    _typed("request object", "RFC 9101", "client > authorization server",
           "oauth-authz-req+jwt", Keys.CLIENT, Audience.SERVER, "iss aud client_id"),
    _typed("DPoP proof", "RFC 9449", "client > authorization server",
           "dpop+jwt", Keys.HEADER, Audience.NONE, "jti htm htu iat"),
    _typed("ID-JAG", "draft-ietf-oauth-identity-assertion-authz-grant", "OpenID provider > authorization server",
           "oauth-id-jag+jwt", Keys.TRUSTED, Audience.SERVER, "iss sub aud client_id jti exp iat"),
    _typed("client attestation", "draft-ietf-oauth-attestation-based-client-auth", "attester > authorization server",
           "oauth-client-attestation+jwt", Keys.TRUSTED, Audience.NONE, "sub exp cnf"),
    _typed("attestation proof", "draft-ietf-oauth-attestation-based-client-auth", "client > authorization server",
           "oauth-client-attestation-pop+jwt", Keys.CONFIRMED, Audience.SERVER, "aud jti iat"),
    _typed("workload identity token", "draft-ietf-wimse-workload-creds", "identity server > authorization server",
           "wit+jwt", Keys.DOMAIN, Audience.NONE, "sub exp cnf"),
    _typed("workload proof", "draft-ietf-wimse-wpt", "workload > workload",
           "wpt+jwt", Keys.CONFIRMED, Audience.RECIPIENT, "aud exp jti wth"),
    _typed("logout token", "OpenID Connect Back-Channel Logout", "OpenID provider > relying party",
           "logout+jwt", Keys.ISSUER, Audience.CLIENT, "iss aud iat exp jti events"),
    _typed("introspection response", "RFC 9701", "authorization server > resource server",
           "token-introspection+jwt", Keys.ISSUER, Audience.RESOURCE, "iss aud iat token_introspection"),
    _typed("entity statement", "OpenID Federation", "entity > entity",
           "entity-statement+jwt", Keys.TRUSTED, Audience.NONE, "iss sub iat exp jwks"),
    _typed("trust mark", "OpenID Federation", "trust mark issuer > entity",
           "trust-mark+jwt", Keys.TRUSTED, Audience.NONE, "iss sub iat trust_mark_type"),
    _typed("security event", "RFC 8417", "transmitter > receiver",
           "secevent+jwt", Keys.ISSUER, Audience.RECIPIENT, "iss iat jti aud events"),
    _typed("transaction token", "draft-ietf-oauth-transaction-tokens", "token service > workload",
           "txntoken+jwt", Keys.TRUSTED, Audience.RECIPIENT, "iat aud exp txn sub scope"),
    _typed("transaction challenge", "draft-rosomakho-oauth-txn-challenge", "resource server > authorization server",
           "txn-authz-challenge+jwt", Keys.ISSUER, Audience.SERVER, "iss sub aud exp jti txn"),
    _typed("status list", "draft-ietf-oauth-status-list", "status issuer > resource server",
           "statuslist+jwt", Keys.TRUSTED, Audience.NONE, "sub iat status_list"),
    _typed("SD-JWT VC", "draft-ietf-oauth-sd-jwt-vc", "credential issuer > verifier",
           "dc+sd-jwt", Keys.TRUSTED, Audience.NONE, "vct"),
    _typed("key binding", "RFC 9901", "holder > verifier",
           "kb+jwt", Keys.CONFIRMED, Audience.RECIPIENT, "iat aud nonce sd_hash"),
    _typed("issuer metadata", "OpenID4VCI", "credential issuer > wallet",
           "openidvci-issuer-metadata+jwt", Keys.TRUSTED, Audience.NONE, "sub iat"),
    _typed("key proof", "OpenID4VCI", "wallet > credential issuer",
           "openid4vci-proof+jwt", Keys.HEADER, Audience.RECIPIENT, "aud iat"),
    _typed("key attestation", "OpenID4VCI", "wallet provider > credential issuer",
           "key-attestation+jwt", Keys.TRUSTED, Audience.NONE, "iat attested_keys"),
    _typed("verifier attestation", "OpenID4VP", "attester > wallet",
           "verifier-attestation+jwt", Keys.TRUSTED, Audience.NONE, "iss sub exp cnf"),
)
# fmt: on

KINDS: Final = (CLIENT_ASSERTION, ID_TOKEN, JWT_SVID, JWT_GRANT, AUTHORIZATION_RESPONSE, *TYPED)
BY_NAME: Final[Mapping[str, Kind]] = {kind.name: kind for kind in KINDS}
