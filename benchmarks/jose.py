"""Our JOSE layer against the raw cryptography under it, and against two libraries: `python -m benchmarks.jose`.

A round runs a few dozen calls of the raw primitive and of another, so that both are measured in the same weather; the
ratio of each round, and the median of those. Ours is all of it: from claims to a compact token, and from a token to
claims that met an Expectation.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jwt as pyjwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from joserfc import jwk as their_jwk
from joserfc import jwt as their_jwt
from joserfc.jwt import JWTClaimsRegistry
from jwt.algorithms import OKPAlgorithm

from deputize.core.values import Instant
from deputize.jose import jws, jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PrivateKey

NOW = Instant(int(time.time()))
ISSUER, AUDIENCE = "https://as.example", "https://api.example"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "3f1c7d4e",
    "client_id": "https://app.example/client.json",
    "iat": NOW,
    "exp": NOW + 3600,
    "jti": "pR8mQv0xT2uYkqf4w1dZ3g",
    "scope": "prescriptions:read prescriptions:order",
}
EXPECTED = jwt.Expectation(
    typ=frozenset({"at+jwt"}),
    algs=ALL,
    issuer=ISSUER,
    audience=jwt.Among(AUDIENCE),
    lifetime_max=None,
    age_max=None,
    needs=frozenset({"exp", "sub", "client_id"}),
    error="invalid_token",
)
SCHEMES: dict[str, tuple[Any, ...]] = {
    "ES256": (ec.ECDSA(hashes.SHA256()),),
    "Ed25519": (),
    "RS256": (padding.PKCS1v15(), hashes.SHA256()),
}
Acts = dict[str, Callable[[], object]]


def acts(alg: str) -> tuple[Acts, Acts]:
    """What signs and what verifies: raw, ours, joserfc, PyJWT."""
    key = PrivateKey.generate(alg)
    keys, token, header = KeySet.of(key.public()), jwt.sign(CLAIMS, key, typ="at+jwt"), {"typ": "at+jwt", "alg": alg}
    parsed = jws.parse(token)
    private: Any = key._object  # noqa: SLF001 (the raw key is what is compared with)
    public, scheme, data = private.public_key(), SCHEMES[alg], parsed.signing_input
    raw = private.sign(data, *scheme)
    theirs, their_public = their_jwk.import_key(key.to_jwk()), their_jwk.import_key(key.public_jwk())
    wanted: Any = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}}
    registry = JWTClaimsRegistry(exp={"essential": True}, sub={"essential": True}, **wanted)
    other = pyjwt.PyJWT()
    other._jws.register_algorithm("Ed25519", OKPAlgorithm())  # noqa: SLF001 (it knows the old name alone)
    signs: Acts = {
        "raw": lambda: private.sign(data, *scheme),
        "ours": lambda: jwt.sign(CLAIMS, key, typ="at+jwt"),
        "joserfc": lambda: their_jwt.encode(header, CLAIMS, theirs, algorithms=[alg]),
        "PyJWT": lambda: other.encode(CLAIMS, private, alg, headers={"typ": "at+jwt"}),
    }
    verifies: Acts = {
        "raw": lambda: public.verify(raw, data, *scheme),
        "ours": lambda: jwt.verify(token, keys, EXPECTED, NOW),
        "joserfc": lambda: registry.validate(their_jwt.decode(token, their_public, algorithms=[alg]).claims),
        "PyJWT": lambda: other.decode(token, public, algorithms=[alg], issuer=ISSUER, audience=AUDIENCE),
    }
    return signs, verifies


def microseconds(act: Callable[[], object], calls: int = 30) -> float:
    begun = time.perf_counter_ns()
    for _ in range(calls):
        act()
    return (time.perf_counter_ns() - begun) / calls / 1000


def beside(raw: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """The median time of each, and the median of how much of the raw speed is reached."""
    taken = [(microseconds(raw), microseconds(other)) for _ in range(rounds)]
    return (
        *(statistics.median(times) for times in zip(*taken, strict=True)),
        statistics.median(a / b for a, b in taken),
    )


def main(rounds: int = 300) -> None:
    """Print a table, and the same as JSON in its last line."""
    told: dict[str, dict[str, float]] = {}
    print(f"{'':16} {'raw µs':>9} {'ours µs':>9} {'ours/raw':>9} {'joserfc':>9} {'PyJWT':>9}")
    for alg in SCHEMES:
        for name, table in zip(("sign", "verify"), acts(alg), strict=True):
            many = rounds if alg == "ES256" else rounds // 3
            raw, ours, ratio = beside(table["raw"], table["ours"], many)
            theirs = {who: beside(table["raw"], table[who], many // 3)[2] for who in ("joserfc", "PyJWT")}
            told[f"{name} {alg}"] = {"raw_us": raw, "ours_us": ours, "ours": ratio, **theirs}
            print(
                f"{name:7} {alg:8} {raw:9.1f} {ours:9.1f} {ratio:9.3f} {theirs['joserfc']:9.3f} {theirs['PyJWT']:9.3f}"
            )
    print(json.dumps({"rounds": rounds, "rows": told}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
