"""An expectation lets through what meets it, and names the rule that stops anything else."""

from typing import Any

import pytest

from deputize.core.rules import Refusal, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import json_bytes
from deputize.jose import jwt
from deputize.jose.jwt import (
    ALGORITHM,
    BEGUN,
    BRIEF,
    CLAIMS,
    COMPACT,
    FOR_US,
    ISSUED_BY,
    SIGNED,
    SKEW,
    SOLE_AUDIENCE,
    TYPED,
    UNEXPIRED,
)
from tests.jose.making import AUDIENCE, ISSUER, NOW, a_key, an_expectation, claims, signed, verify, why_not
from tests.support.proofs import lets_through, stops


@lets_through(ALGORITHM, BEGUN, BRIEF, CLAIMS, COMPACT, FOR_US, ISSUED_BY, SIGNED, TYPED, UNEXPIRED)
def test_a_good_token_passes_and_says_who_signed_it() -> None:
    token = jwt.sign(claims(), a_key(), typ="at+jwt")
    held = verify(token, lifetime_max=Seconds(300), age_max=Seconds(60))
    assert held.claims == claims()
    assert held.key.thumbprint == a_key().public().thumbprint
    assert held.text("sub") == "alice"
    assert held.instant("exp") == NOW + 300


@lets_through(SOLE_AUDIENCE)
@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE]])
def test_a_sole_audience_is_a_string_or_an_array_of_one(aud: object) -> None:
    assert why_not(signed({}, claims(aud=aud)), audience=jwt.Sole(AUDIENCE)) is None


def test_an_audience_that_is_to_be_a_string_is_no_array() -> None:
    assert why_not(signed({}, claims()), audience=jwt.Sole(AUDIENCE, string_only=True)) is None
    assert why_not(signed({}, claims(aud=[AUDIENCE])), audience=jwt.Sole(AUDIENCE, string_only=True)) is SOLE_AUDIENCE


REFUSED: dict[str, tuple[Rule, dict[str, object], dict[str, Any]]] = {
    "no typ": (TYPED, {}, {"header": {"typ": ...}}),
    "another typ": (TYPED, {}, {"header": {"typ": "dpop+jwt"}}),
    "a typ with a parameter": (TYPED, {}, {"header": {"typ": "at+jwt; charset=utf-8"}}),
    "a typ with the prefix twice": (TYPED, {}, {"header": {"typ": "application/application/at+jwt"}}),
    "an algorithm that is not expected": (ALGORITHM, {}, {"expects": {"algs": frozenset({"Ed25519"})}}),
    "the algorithm of another": (SIGNED, {}, {"header": {"alg": "ES384"}}),
    "a key id of nobody": (SIGNED, {}, {"header": {"kid": "another"}}),
    "another issuer": (ISSUED_BY, {"iss": "https://as.example.evil"}, {}),
    "an issuer with a slash more": (ISSUED_BY, {"iss": ISSUER + "/"}, {}),
    "an issuer in capitals": (ISSUED_BY, {"iss": ISSUER.upper()}, {}),
    "no issuer": (ISSUED_BY, {"iss": ...}, {}),
    "an issuer that is a list": (CLAIMS, {"iss": [ISSUER]}, {}),
    "another audience": (FOR_US, {"aud": "https://other.example"}, {}),
    "an audience that begins like us": (FOR_US, {"aud": AUDIENCE + ".evil"}, {}),
    "an audience that we begin like": (FOR_US, {"aud": AUDIENCE[:-1]}, {}),
    "a list without us": (FOR_US, {"aud": ["https://other.example"]}, {}),
    "no audience": (FOR_US, {"aud": ...}, {}),
    "an audience that is null": (CLAIMS, {"aud": None}, {}),
    "an audience that is a number": (CLAIMS, {"aud": 7}, {}),
    "an audience that is an object": (CLAIMS, {"aud": {AUDIENCE: 1}}, {}),
    "an empty list of audiences": (CLAIMS, {"aud": []}, {}),
    "a list with a number": (CLAIMS, {"aud": [AUDIENCE, 7]}, {}),
    "one more audience": (SOLE_AUDIENCE, {"aud": [AUDIENCE, ISSUER]}, {"expects": {"audience": jwt.Sole(AUDIENCE)}}),
    "another sole audience": (SOLE_AUDIENCE, {"aud": ISSUER}, {"expects": {"audience": jwt.Sole(AUDIENCE)}}),
    "no sole audience": (SOLE_AUDIENCE, {"aud": ...}, {"expects": {"audience": jwt.Sole(AUDIENCE)}}),
    "the same audience twice": (SOLE_AUDIENCE, {"aud": [AUDIENCE] * 2}, {"expects": {"audience": jwt.Sole(AUDIENCE)}}),
    "expired": (UNEXPIRED, {"exp": NOW - SKEW}, {}),
    "not yet": (BEGUN, {"nbf": NOW + SKEW + 1}, {}),
    "issued in the future": (BEGUN, {"iat": NOW + SKEW + 1}, {}),
    "a life too long": (BRIEF, {"exp": NOW + 71}, {"expects": {"lifetime_max": Seconds(60)}}),
    "too old": (BRIEF, {"iat": NOW - 61}, {"expects": {"age_max": Seconds(60)}}),
    "no exp": (CLAIMS, {"exp": ...}, {}),
    "no sub": (CLAIMS, {"sub": ...}, {}),
    "a sub that is null": (CLAIMS, {"sub": None}, {}),
    "a jti that is null": (CLAIMS, {"jti": None}, {}),
    "an empty sub": (CLAIMS, {"sub": ""}, {}),
    "a sub with a NUL": (CLAIMS, {"sub": "ali\x00ce"}, {}),
    "a scope that is a list": (CLAIMS, {"scope": ["read"]}, {}),
    "a jti that is a number": (CLAIMS, {"jti": 7}, {}),
    "exp as a text": (CLAIMS, {"exp": str(NOW + 300)}, {}),
    "exp as a bool": (CLAIMS, {"exp": True}, {}),
    "exp as null": (CLAIMS, {"exp": None}, {}),
    "exp below 0": (CLAIMS, {"exp": -1}, {}),
    "exp beyond the year 9999": (CLAIMS, {"exp": 253402300800}, {}),
    "nbf as a list": (CLAIMS, {"nbf": [NOW]}, {}),
    "iat as an object": (CLAIMS, {"iat": {}}, {}),
}


@stops(ALGORITHM, BEGUN, BRIEF, CLAIMS, FOR_US, ISSUED_BY, SIGNED, SOLE_AUDIENCE, TYPED, UNEXPIRED)
@pytest.mark.parametrize("what", REFUSED)
def test_what_falls_short_is_refused_by_its_rule(what: str) -> None:
    rule, changed, how = REFUSED[what]
    assert why_not(signed(how.get("header", {}), claims(**changed)), **how.get("expects", {})) is rule


@pytest.mark.parametrize(
    ("changed", "expects"),
    [
        ({"exp": NOW - SKEW + 1}, {}),
        ({"nbf": NOW + SKEW, "iat": NOW + SKEW}, {}),
        ({"exp": NOW + 60 + SKEW}, {"lifetime_max": Seconds(60)}),
        ({"iat": NOW - 60}, {"age_max": Seconds(60)}),
        ({"iat": ...}, {"age_max": Seconds(60)}),
        ({"exp": NOW + 0.5, "iat": NOW - 0.5}, {}),
        ({"aud": ["https://other.example", AUDIENCE]}, {}),
        ({"aud": ...}, {"audience": None}),
        ({"iss": ...}, {"issuer": None}),
        ({"exp": ...}, {"needs": frozenset()}),
    ],
)
def test_what_just_meets_it_passes(changed: dict[str, object], expects: dict[str, Any]) -> None:
    assert why_not(signed({}, claims(**changed)), **expects) is None


@stops(COMPACT)
@pytest.mark.parametrize("payload", [b"[]", b'"text"', b"7", b"null", b"", b"{}x", b'{"sub":"a","sub":"b"}'])
def test_a_payload_that_is_no_one_object_is_refused(payload: bytes) -> None:
    assert why_not(signed({}, payload)) is COMPACT


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
def test_a_typ_is_compared_as_a_media_type(typ: str) -> None:
    assert why_not(signed({"typ": typ})) is None


def test_a_typ_has_no_case_in_ascii_alone() -> None:
    """The Kelvin sign becomes a k in lower case."""
    kelvin = "\N{KELVIN SIGN}b+jwt"
    assert kelvin.lower() == "kb+jwt"
    assert why_not(signed({"typ": kelvin}), typ=frozenset({"kb+jwt"})) is TYPED


def test_an_untyped_token_passes_only_where_that_is_said() -> None:
    assert why_not(signed({"typ": ...}), typ=frozenset({"at+jwt", None})) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"algs": frozenset()},
        {"typ": frozenset()},
        {"algs": frozenset({"HS256"})},
        {"algs": frozenset({"none", "ES256"})},
    ],
)
def test_an_expectation_without_policy_is_a_bug_at_start_up(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        an_expectation(**changes)


def test_a_claim_is_read_as_what_it_was_held_to_be() -> None:
    held = verify(signed({}, claims(iat=NOW - 0.5, amount=7)))
    assert held.instant("iat") == NOW - 1
    with pytest.raises(TypeError):
        held.text("amount")
    with pytest.raises(TypeError):
        held.instant("sub")


def test_a_refusal_tells_the_peer_the_rule_and_the_log_what_was_found() -> None:
    with pytest.raises(Refusal) as told:
        verify(signed({}, claims(iss="https://evil.example")))
    assert str(told.value.rule.says) == "The iss is the expected issuer."
    assert told.value.found == {"iss": "https://evil.example"}
    assert told.value.params == ()


def test_a_header_of_ones_own_names_no_key() -> None:
    """A DPoP proof carries the key itself."""
    token = jwt.sign({"jti": "1"}, a_key(), typ="dpop+jwt", header={"jwk": {"kty": "EC"}})
    parsed, told = jwt.peek(token, "x")
    assert dict(parsed.header) == {"typ": "dpop+jwt", "alg": "ES256", "jwk": {"kty": "EC"}}
    assert told == {"jti": "1"}


def test_bounds_can_be_wider_where_a_profile_says_so() -> None:
    large = jwt.sign({**claims(), "blob": "x" * 20_000}, a_key(), typ="at+jwt")
    with pytest.raises(Refusal):
        jwt.peek(large, "x")
    assert jwt.peek(large, "x", bytes_max=32 * 1024)[1]["blob"] == "x" * 20_000
    chained = signed(json_bytes({"alg": "ES256", "x5c": ["x" * 5_000]}))
    with pytest.raises(Refusal):
        jwt.peek(chained, "x")
    assert jwt.peek(chained, "x", header_max=8 * 1024)[0].header["x5c"] == ["x" * 5_000]


def test_time_is_an_argument() -> None:
    token = signed()
    assert why_not(token, now=Instant(NOW + 309)) is None
    assert why_not(token, now=Instant(NOW + 310)) is UNEXPIRED
