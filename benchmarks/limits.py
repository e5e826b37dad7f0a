"""The raw limit: what one core does of bare ES256, with nothing around it; and our JOSE layer beside it."""

import time
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from deputize.core.values import Instant, Seconds
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PrivateKey

_KEY: Final = ec.generate_private_key(ec.SECP256R1())
_SCHEME: Final = ec.ECDSA(hashes.SHA256())
_DATA: Final = b"x" * 420  # as long as what is signed of a token
_SIGNATURE: Final = _KEY.sign(_DATA, _SCHEME)
_PUBLIC: Final = _KEY.public_key()


def seconds_each(do: Callable[[], object], *, seconds: float) -> float:
    """How long one call takes, over so many seconds of calls."""
    calls = 0
    begun = time.perf_counter()
    until = begun + seconds
    while (now := time.perf_counter()) < until:
        for _ in range(50):
            do()
        calls += 50
    return (now - begun) / calls


def sign_seconds(seconds: float = 0.15) -> float:
    return seconds_each(lambda: _KEY.sign(_DATA, _SCHEME), seconds=seconds)


def verify_seconds(seconds: float = 0.15) -> float:
    return seconds_each(lambda: _PUBLIC.verify(_SIGNATURE, _DATA, _SCHEME), seconds=seconds)


# --- the JOSE layer: a token's claims to its compact form, and back with all checks --------------------------------

_NOW: Final = Instant(1_800_000_000)
_OURS: Final = PrivateKey.generate()
_KEYS: Final = KeySet.of(_OURS.public())
_CLAIMS: Final = {
    "iss": "https://as.example",
    "sub": "3f1c7d4e",
    "aud": "https://api.example",
    "client_id": "https://app.example/client.json",
    "iat": _NOW,
    "exp": _NOW + 300,
    "jti": "pR8mQv0xT2uYkqf4w1dZ3g",
    "scope": "prescriptions:read prescriptions:order",
}
_TOKEN: Final = jwt.sign(_CLAIMS, _OURS, typ="at+jwt")
_EXPECTED: Final = jwt.Expectation(
    typ=frozenset({"at+jwt"}),
    algs=ALL,
    issuer="https://as.example",
    audience=jwt.Among("https://api.example"),
    lifetime_max=None,
    age_max=Seconds(3600),
    needs=frozenset({"sub", "aud", "client_id", "iat", "exp", "jti"}),
    error="invalid_token",
)


def jwt_sign_seconds(seconds: float) -> float:
    return seconds_each(lambda: jwt.sign(_CLAIMS, _OURS, typ="at+jwt"), seconds=seconds)


def jwt_verify_seconds(seconds: float) -> float:
    return seconds_each(lambda: jwt.verify(_TOKEN, _KEYS, _EXPECTED, _NOW), seconds=seconds)
