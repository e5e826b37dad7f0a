"""Our own attacks on SD-JWTs and credentials: each is accepted or refused as it must be, and in time."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.core.wire import JsonObject
from deputize.jose.jwt import Expectation
from deputize.jose.keys import PublicKey
from deputize.vc.issuer_keys import pinned
from deputize.vc.presented import Asked, verify_sd_jwt
from deputize.vc.verify import Policy, TrustedIssuer, status_ignored, verify
from tests.vectors.places import each, load

SECONDS_MAX = 2.0


def attacks(place: Path) -> Iterator[tuple[str, Any]]:
    told = load(place / "sd-jwt.json")
    for case in told["cases"]:
        yield case["id"], (told, case)


def processed(told: Any, case: Any) -> JsonObject:
    now, key = Instant(told["now"]), {**told["issuer_jwk"], "kid": "i1"}
    asked = Asked(audience=case["expected_aud"], nonce=case["expected_nonce"]) if case["kb_required"] else None
    algs = frozenset(told["allowed_algs"])
    if case["profile"] == "sd-jwt":
        expected = Expectation(
            typ=frozenset({"dc+sd-jwt", "example+sd-jwt"}),
            algs=algs,
            issuer=told["issuer_identifier"],
            audience=None,
            lifetime_max=None,
            age_max=None,
            needs=frozenset(),
            error="x",
        )
        return verify_sd_jwt(case["presentation"], (PublicKey.from_jwk(key),), expected, asked, now).claims
    trusted = TrustedIssuer(
        issuer=told["issuer_identifier"],
        keys=pinned({"keys": [key]}),
        types=frozenset({"https://credentials.example/type/1"}),
        algs=algs,
        status=status_ignored,
    )
    return verify(case["presentation"], Policy(issuers=(trusted,)), asked=asked, now=now).claims


@each("own-negative", attacks)
def test_an_attack_on_an_sd_jwt_fails_and_what_is_good_passes(case: Any) -> None:
    told, attack = case
    begun = time.process_time()
    if attack["result"] == "accept":
        assert processed(told, attack) == attack["expected_processed"]
    else:
        with pytest.raises(Refusal):
            processed(told, attack)
    assert time.process_time() - begun < SECONDS_MAX
