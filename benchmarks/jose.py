"""Our JOSE layer against the raw cryptography under it, and against two libraries: `python -m benchmarks.jose`.

A round runs a few dozen calls of each in turn, so that all are measured in the same weather; medians over the rounds.
Ours is all of it: from claims to a compact token, and from a token to claims that met an Expectation.
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


def medians(table: Acts, *, rounds: int, calls: int = 30) -> dict[str, float]:
    """Microseconds a call, by name."""
    taken: dict[str, list[float]] = {name: [] for name in table}
    for _ in range(rounds):
        for name, act in table.items():
            begun = time.perf_counter_ns()
            for _ in range(calls):
                act()
            taken[name].append((time.perf_counter_ns() - begun) / calls / 1000)
    return {name: statistics.median(times) for name, times in taken.items()}


def main(rounds: int = 300) -> None:
    """Print a table, and the same as JSON in its last line."""
    told: dict[str, dict[str, float]] = {}
    print(f"{'':16} {'raw µs':>9} {'ours µs':>9} {'ours/raw':>9} {'joserfc':>9} {'PyJWT':>9}")
    for alg in SCHEMES:
        for name, table in zip(("sign", "verify"), acts(alg), strict=True):
            taken = medians(table, rounds=rounds if alg == "ES256" else rounds // 3)
            ratios = {who: taken["raw"] / taken[who] for who in table if who != "raw"}
            told[f"{name} {alg}"] = {"raw_us": taken["raw"], "ours_us": taken["ours"], **ratios}
            figures = f"{taken['raw']:9.1f} {taken['ours']:9.1f}"
            print(f"{name:7} {alg:8} {figures} " + " ".join(f"{ratio:9.3f}" for ratio in ratios.values()))
    print(json.dumps({"rounds": rounds, "rows": told}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
