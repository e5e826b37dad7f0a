"""What the tests of signatures share: one good token, and ways to make bad ones of it."""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from deputize.core.rules import Refusal, Rule
from deputize.core.values import Instant
from deputize.core.wire import b64u, json_bytes
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PrivateKey

NOW = Instant(1_764_000_000)
ISSUER = "https://as.example"
AUDIENCE = "https://api.example"
ERROR = "invalid_token"


def a_key(alg: str = "ES256", which: int = 0) -> PrivateKey:
    """The key of an algorithm and a number, the same for the whole run: an RSA key takes its time."""
    return _made(alg, which)


@cache
def _made(alg: str, _: int) -> PrivateKey:
    return PrivateKey.generate(alg)


def claims(**changes: object) -> dict[str, Any]:
    """The claims of an access token; `claim=...` (the dots) leaves one out."""
    good: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "client_id": "bot",
        "jti": "6dXc0GzT",
        "iat": NOW - 5,
        "exp": NOW + 300,
        "scope": "read reorder",
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def an_expectation(**changes: object) -> jwt.Expectation:
    good: dict[str, object] = {
        "typ": frozenset({"at+jwt"}),
        "algs": ALL,
        "issuer": ISSUER,
        "audience": jwt.Among(AUDIENCE),
        "lifetime_max": None,
        "age_max": None,
        "needs": frozenset({"exp", "sub", "client_id"}),
        "error": ERROR,
    }
    return jwt.Expectation(**cast("dict[str, Any]", good | changes))


def signed(
    header: Mapping[str, object] | bytes = {},
    payload: Mapping[str, object] | bytes | None = None,
    *,
    key: PrivateKey | None = None,
) -> str:
    """A token whose signature is good, whatever stands in its header and payload.

    A mapping changes the good header (`...` leaves a member out); bytes stand there as they are.
    """
    key = key or a_key()
    good = {"typ": "at+jwt", "alg": key.alg.name, "kid": key.kid}
    head = (
        header
        if isinstance(header, bytes)
        else json_bytes({name: value for name, value in {**good, **header}.items() if value is not ...})
    )
    body = payload if isinstance(payload, bytes) else json_bytes(claims() if payload is None else dict(payload))
    data = f"{b64u(head)}.{b64u(body)}".encode()
    return f"{data.decode()}.{b64u(key.sign(data))}"


def verify(compact: str, *keys: PrivateKey, now: Instant = NOW, **changes: object) -> jwt.VerifiedJwt:
    """Hold a token against the good expectation, as `changes` alter it."""
    return jwt.verify(compact, KeySet.of(*(key.public() for key in keys or (a_key(),))), an_expectation(**changes), now)


def why_not(compact: str, *keys: PrivateKey, now: Instant = NOW, **changes: object) -> Rule | None:
    """The rule that refuses the token; None where it passes. Anything but a Refusal is a bug, and gets out."""
    try:
        verify(compact, *keys, now=now, **changes)
    except Refusal as refusal:
        if refusal.error != ERROR:
            raise
        return refusal.rule
    return None
