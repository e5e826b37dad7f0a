"""FAPI 2.0: what an issuer that keeps to it holds beyond what all do. One flag of the server, and it narrows.

The rest of the profile is how this server is anyway: PKCE by S256, `iss` in each answer, codes of a minute, no redirect
that repeats a form, clocks that may differ by ten seconds.
"""

from collections.abc import Iterable
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import Issuer
from deputize.core.wire import Form, Headers
from deputize.jose import jwt
from deputize.oauth.binding import BoundKey
from deputize.oauth.login import Method

SPEC: Final = "FAPI 2.0 Security Profile"
ALGS: Final = frozenset({"PS256", "ES256", "Ed25519"})
METHODS: Final = frozenset({"private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"})

STRONG_CLIENT = Rule(SPEC, "5.3.2.1", "The client authenticates by mutual TLS or with private_key_jwt.")
ISSUER_ALONE = Rule(SPEC, "5.3.2.1", "The audience of a client assertion is the issuer, as a string.")
ALWAYS_BOUND = Rule(SPEC, "5.3.2.1", "Access tokens are bound to a key that the client shows, by DPoP or mutual TLS.")
REDIRECT_NAMED = Rule(SPEC, "5.3.2.2", "A pushed request names its redirect URI.")
STRONG_ALG = Rule(SPEC, "5.4.1", "What is signed is signed with PS256, ES256 or Ed25519.")


def names_of(methods: Iterable[Method]) -> tuple[str, ...]:
    """The names of those methods of client authentication that are the profile's."""
    return tuple(name for one in methods for name in one.names if name in METHODS)


def hold_method(method: Method) -> None:
    """Hold that a client authenticates with a method of the profile."""
    if not METHODS.issuperset(method.names):
        STRONG_CLIENT.refuse("invalid_client", method=method.name)


def hold_authentication(form: Form, headers: Headers, issuer: Issuer) -> None:
    """Hold what a client shows to authenticate; that it is genuine is looked at elsewhere."""
    compact = form.get("client_assertion")
    if compact is not None:
        parsed, claims = jwt.peek(compact, "invalid_client")
        if parsed.alg not in ALGS:
            STRONG_ALG.refuse("invalid_client", alg=parsed.alg)
        if claims.get("aud") != issuer.text:
            ISSUER_ALONE.refuse("invalid_client")
    hold_proofs(headers)


def hold_proofs(headers: Headers) -> None:
    """Hold the algorithm of each DPoP proof that is shown."""
    for compact in headers.all("dpop"):
        hold_alg(compact, error="invalid_dpop_proof")


def hold_alg(compact: str, *, error: str) -> None:
    """Hold the algorithm of a JWT."""
    parsed, _ = jwt.peek(compact, error)
    if parsed.alg not in ALGS:
        STRONG_ALG.refuse(error, alg=parsed.alg)


def hold_bound(key: BoundKey | None) -> None:
    """Hold that the client shows a key to bind its tokens to."""
    if key is None:
        ALWAYS_BOUND.refuse("invalid_dpop_proof")


def hold_redirect(form: Form) -> None:
    """Hold that a request, signed or not, says where its answer goes."""
    if "redirect_uri" not in form:
        REDIRECT_NAMED.refuse("invalid_request")
