"""Request objects (RFC 9101): an authorization request that its client has signed. By value; none is fetched."""

from collections.abc import Mapping
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import Instant, Issuer, Seconds
from deputize.core.wire import FIELD_BYTES_MAX, REPEATABLE, Form, json_bytes
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.jwt import Among, Sole
from deputize.oauth import fapi2
from deputize.oauth.client import Client

TYP: Final = "oauth-authz-req+jwt"
TYPS: Final = frozenset({TYP, "jwt", None})  # RFC 9101, 10.8: a server may let the other ones in
LIFE_MAX: Final = Seconds(3600)
ERROR: Final = "invalid_request_object"

_OF_THE_JWT: Final = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti", "sub"})

ITS_CLIENT = Rule("RFC 9101", "5", "The client_id in the request object is the one beside it.")
NOT_NESTED = Rule("RFC 9101", "4", "A request object has neither a request nor a request_uri in it.")
NO_ASSERTION = Rule(
    "RFC 9101", "10.8", "The sub of a request object is not its client: else it were an assertion, too."
)
RECENT = Rule("FAPI 2.0 Message Signing", "5.3.1", "The nbf of a request object is at most an hour ago.")
SHORT = Rule("FAPI 2.0 Message Signing", "5.3.1", "The exp of a request object is at most an hour after its nbf.")
PARAMETERS = Rule(
    "RFC 9101", "4", "The parameters in a request object are texts and numbers, or what is JSON by itself."
)


def opened(compact: str, client: Client, issuer: Issuer, now: Instant, *, fapi: bool = False) -> Form:
    """The parameters of a good request object of this client, and no others.

    `fapi` holds it against FAPI 2.0 Message Signing, which wants `nbf`, and lets others stand beside us in `aud`.
    """
    if fapi:
        fapi2.hold_alg(compact, error=ERROR)
    needed = {"iss", "aud", "exp", "client_id"}
    expected = jwt.Expectation(
        typ=TYPS,
        algs=ALL,
        issuer=client.key,
        audience=Among(issuer.text) if fapi else Sole(issuer.text),
        lifetime_max=LIFE_MAX,
        age_max=Seconds(LIFE_MAX + jwt.SKEW),
        needs=frozenset({*needed, "nbf"} if fapi else needed),
        error=ERROR,
    )
    verified = jwt.verify(compact, client.keys, expected, now)
    claims = verified.claims
    if claims["client_id"] != client.key:
        ITS_CLIENT.refuse(ERROR)
    if "request" in claims or "request_uri" in claims:
        NOT_NESTED.refuse(ERROR)
    if claims.get("sub") == client.key:
        NO_ASSERTION.refuse(ERROR)
    begun = claims.get("nbf")
    if isinstance(begun, int | float) and begun < now - LIFE_MAX - jwt.SKEW:
        RECENT.refuse(ERROR, nbf=begun)
    if fapi and verified.instant("exp") > verified.instant("nbf") + LIFE_MAX:
        SHORT.refuse(ERROR, nbf=begun)
    return Form({name: told for name, value in _told(claims) if (told := tuple(filter(None, value)))})


def _told(claims: Mapping[str, object]) -> list[tuple[str, tuple[str, ...]]]:
    return [(name, _texts(name, value)) for name, value in claims.items() if name not in _OF_THE_JWT]


def _texts(name: str, value: object) -> tuple[str, ...]:
    """A parameter as a form has it: of those that are JSON by themselves, the text."""
    match value:
        case str():
            found: tuple[object, ...] = (value,)
        case bool():
            found = ()
        case int():
            found = (str(value),)
        case list() if name in REPEATABLE:
            found = tuple(value)
        case dict() | list():
            found = (json_bytes(value).decode(),)
        case _:
            found = ()
    texts = tuple(text for text in found if isinstance(text, str) and len(text) <= FIELD_BYTES_MAX)
    if not found or len(texts) != len(found):
        PARAMETERS.refuse(ERROR, parameter=name[:80])
    return texts
