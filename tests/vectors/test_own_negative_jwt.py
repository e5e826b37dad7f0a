"""Our own attacks on JWTs: each is accepted or refused as it must be, and in time."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.core.wire import Malformed
from deputize.jose import jwe, jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PublicKey
from tests.vectors.places import each, load

SECONDS_MAX = 2.0
# Valid to others, and refused here by policy: we open messages by key agreement alone, and no message is a key's.
BY_POLICY = {"jwe-ok", "nested-ok"}


def attacks(place: Path) -> Iterator[tuple[str, Any]]:
    told = load(place / "jwt-attacks.json")
    for case in told["cases"]:
        yield case["id"], (told, case)


def keys_of(jwk: dict[str, Any], algs: list[str]) -> KeySet:
    """The key that the verifier was configured with: it is for the one algorithm that is configured, if only one is."""
    return KeySet.of(PublicKey.from_jwk(jwk, alg=algs[0] if len(algs) == 1 and "alg" not in jwk else None))


def verified(told: Any, case: Any, token: str, jwk: dict[str, Any], algs: list[str]) -> jwt.VerifiedJwt:
    expected = jwt.Expectation(
        typ=frozenset({told["expected"]["typ"]}),
        algs=frozenset(algs) & ALL,
        issuer=told["expected"]["iss"],
        audience=jwt.Among(told["expected"]["aud"]),
        lifetime_max=None,
        age_max=None,
        needs=frozenset({"exp"}),
        error="invalid_token",
    )
    bytes_max = told["limits"]["max_token_bytes"]
    parsed, claims = jwt.peek(token, "invalid_token", bytes_max=bytes_max)
    assert case["id"]
    return jwt.verify_peeked(parsed, claims, keys_of(jwk, algs), expected, Instant(told["now"]))


def accepted(told: Any, case: Any) -> bool:
    try:
        if case.get("expect", "jws") == "jws":
            return bool(verified(told, case, case["token"], case["key"], case["allowed_algs"]))
        key = case["key"]
        usable = key["kty"] == "EC" and "d" in key
        opener = jwe.DecryptionKey.from_jwk(key) if usable else jwe.DecryptionKey.generate()
        opened = jwe.decrypt(
            case["token"],
            [opener],
            encs=frozenset(case["allowed_encs"]),
            error="invalid_token",
            bytes_max=told["limits"]["max_token_bytes"],
        )
        return case["expect"] == "jwe" or bool(verified(told, case, opened.text, case["inner_key"], case["inner_algs"]))
    except (Refusal, Malformed, ValueError):  # a key or a list of algorithms that cannot be configured is no, too
        return False


@each("own-negative", attacks)
def test_an_attack_fails_and_what_is_good_passes(case: Any) -> None:
    told, attack = case
    begun = time.process_time()
    passes = accepted(told, attack)
    assert time.process_time() - begun < min(SECONDS_MAX, attack.get("max_ms", 2000) / 1000)
    assert passes is (attack["result"] == "accept" and attack["id"] not in BY_POLICY)


@each("own-negative", attacks)
def test_no_attack_needs_a_broken_configuration_to_fail(case: Any) -> None:
    """With a good key of its kind and all our algorithms allowed, the refusal is a Refusal."""
    told, attack = case
    if attack["result"] == "accept" or attack.get("expect", "jws") != "jws":
        return
    try:
        key = PublicKey.from_jwk(attack["key"])
    except Malformed:
        return
    with pytest.raises(Refusal):
        verified(told, attack, attack["token"], {**attack["key"], "alg": key.alg.name}, sorted(ALL))
