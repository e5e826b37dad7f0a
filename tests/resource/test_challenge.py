"""A resource says no in a way that can be answered: what is signed, what is read back, what is refused."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.rules import Refusal
from deputize.core.values import Instant, Subject
from deputize.core.wire import Headers, Malformed
from deputize.jose import jwt
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import challenge
from deputize.oauth.challenge import DESCRIBED, Challenge
from deputize.oauth.delegation import Actor
from deputize.oauth.details import DETAILS, Detail, http_call
from tests.resource.world import RESOURCE, purchase
from tests.support.issuer import ISSUER
from tests.support.proofs import lets_through, stops

NOW = Instant(1_800_000_000)
KEY = PrivateKey.generate()
KEYS = KeySet.of(KEY.public())
CALL = http_call("POST", f"{RESOURCE}/orders", b"{}")
WANTED = Challenge(
    resource=RESOURCE,
    subject=Subject("alice"),
    jti="c-1",
    txn="t-1",
    details=(CALL, Detail.of(**purchase(30))),
    reason="Orders of medicine are approved one by one",
    actor=Actor(subject=Subject("pharmacy-bot")),
    until=Instant(NOW + challenge.LIFE),
)


def read(compact: str, *, now: Instant = NOW) -> Challenge:
    return challenge.read(compact, KEYS, resource=RESOURCE, authorization_server=ISSUER, now=now)


def altered(*, typ: str = challenge.TYP, key: PrivateKey = KEY, **told: Any) -> str:
    """A challenge with other claims; None leaves one out."""
    _, claims = jwt.peek(challenge.make(WANTED, authorization_server=ISSUER, key=KEY, now=NOW), "invalid_grant")
    return jwt.sign({name: value for name, value in {**claims, **told}.items() if value is not None}, key, typ=typ)


@lets_through(DESCRIBED)
def test_what_was_signed_is_read_back() -> None:
    compact = challenge.make(WANTED, authorization_server=ISSUER, key=KEY, now=NOW)
    assert read(compact) == WANTED
    assert challenge.issuer_of(compact, error="invalid_request") == RESOURCE
    assert jwt.peek(compact, "invalid_grant")[0].header == {"typ": challenge.TYP, "alg": "ES256", "kid": KEY.kid}
    asked = challenge.authority_of(WANTED)
    assert (asked.audience, asked.scope, asked.details) == ({RESOURCE}, frozenset(), WANTED.details)


@stops(DESCRIBED)
@pytest.mark.parametrize(
    "told",
    [
        {"authorization_details": []},
        {"reason": " "},
        {"reason": "x" * 281},
        {"reason": "two\nlines"},
        {"reason": "right-to-left \u202e override"},
        {"reason": ["x"]},
        {"txn": ""},
        {"txn": "t" * 257},
        {"txn": 7},
        {"txn": "t\x00"},
    ],
)
def test_a_challenge_that_does_not_describe_itself_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as no:
        read(altered(**told))
    assert (no.value.error, no.value.rule) == ("invalid_grant", DESCRIBED)


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        ({"key": PrivateKey.generate()}, jwt.SIGNED),
        ({"typ": "JWT"}, jwt.TYPED),
        ({"typ": "at+jwt"}, jwt.TYPED),
        ({"iss": "https://other.example"}, jwt.ISSUED_BY),
        ({"aud": "https://other-as.example"}, jwt.SOLE_AUDIENCE),
        ({"aud": [ISSUER, "https://attacker.example"]}, jwt.SOLE_AUDIENCE),
        ({"exp": NOW + 3600}, jwt.BRIEF),
        ({"exp": NOW - 11}, jwt.UNEXPIRED),
        ({"iat": NOW - 400}, jwt.BRIEF),
        ({"iat": NOW + 60}, jwt.BEGUN),
        ({"sub": None}, jwt.CLAIMS),
        ({"jti": None}, jwt.CLAIMS),
        ({"txn": None}, jwt.CLAIMS),
        ({"reason": None}, jwt.CLAIMS),
        ({"authorization_details": None}, jwt.CLAIMS),
        ({"authorization_details": [{"type": "unheard-of"}]}, DETAILS),
        ({"authorization_details": "[]"}, DESCRIBED),
    ],
)
def test_a_challenge_that_is_not_this_resources_or_not_for_this_server_is_refused(
    told: dict[str, Any], rule: object
) -> None:
    with pytest.raises(Refusal) as no:
        read(altered(**told))
    assert (no.value.error, no.value.rule) == ("invalid_grant", rule)


def test_a_challenge_that_is_no_jws_or_too_large_is_refused_before_it_is_read() -> None:
    for compact in ("x", "a.b.c", f"{altered()}.x", altered(reason_uri="https://api.example/" + "x" * 9000)):
        with pytest.raises(Refusal) as no:
            challenge.issuer_of(compact, error="invalid_request")
        assert no.value.error == "invalid_request"


# --- the header fields ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["?1", " ?1 ", "?1;why=x", '?1; why="x"'])
def test_the_requester_says_that_it_can_answer(value: str) -> None:
    assert challenge.accepts_challenge(Headers(((challenge.ACCEPTS, value),)))


@pytest.mark.parametrize(
    "values", [(), ("?0",), ("1",), ("true",), ("?1, ?1",), ("?1;a, ?0",), ("?1", "?1"), ("",), ("?1x",)]
)
def test_anything_but_true_counts_as_silence(values: tuple[str, ...]) -> None:
    assert not challenge.accepts_challenge(Headers(tuple((challenge.ACCEPTS, value) for value in values)))


_NAMES = st.text(string.ascii_lowercase + string.digits + "_-", min_size=1, max_size=12)
_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)


@given(st.sampled_from(["Bearer", "DPoP"]), st.dictionaries(_NAMES, _VALUES, max_size=6))
def test_a_written_challenge_is_read_back(scheme: str, params: dict[str, str]) -> None:
    written = challenge.www_authenticate(scheme, tuple(params.items()))
    assert challenge.challenge_params(written) == (scheme, params)


def test_a_value_cannot_end_its_quotes_or_its_line() -> None:
    written = challenge.www_authenticate("Bearer", (("realm", 'a"\r\nset-cookie: x, é'),))
    assert written == 'Bearer realm="a\\"??set-cookie: x, ?"'


@pytest.mark.parametrize(
    ("value", "params"),
    [
        ("Bearer", {}),
        ("Bearer realm=x", {"realm": "x"}),
        ('Bearer  Realm = "x" ,error=y', {"realm": "x", "error": "y"}),
        ('Bearer a="x\\"y\\\\", b=""', {"a": 'x"y\\', "b": ""}),
    ],
)
def test_a_challenge_of_another_hand_is_read(value: str, params: dict[str, str]) -> None:
    assert challenge.challenge_params(value) == ("Bearer", params)


@pytest.mark.parametrize(
    "value",
    [
        'Bearer a="x',
        'Bearer a="x\\"',
        "Bearer a",
        "Bearer =x",
        "Bearer a=1, A=2",
        'Bearer a="x", DPoP b="y"',
        'Bearer a="x"y',
    ],
)
def test_a_crooked_challenge_is_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        challenge.challenge_params(value)


@given(st.text(max_size=200))
def test_any_text_is_a_challenge_or_malformed(value: str) -> None:
    try:
        challenge.challenge_params(value)
    except Malformed:
        return
