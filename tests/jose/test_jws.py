"""A compact JWS is taken apart in one way, or not at all."""

import pytest

from deputize.core.wire import Malformed, b64u, json_bytes
from deputize.jose import jws
from tests.jose.making import a_key, claims, signed

GOOD = signed()
HEAD, BODY, SIGNATURE = GOOD.split(".")


def test_its_parts_are_what_was_signed() -> None:
    parsed = jws.parse(GOOD)
    assert parsed.alg == "ES256"
    assert parsed.kid == a_key().kid
    assert parsed.payload == json_bytes(claims())
    assert parsed.signing_input == f"{HEAD}.{BODY}".encode()
    assert jws.compact(parsed.signing_input, parsed.signature) == GOOD


def test_no_key_id_is_none() -> None:
    assert jws.parse(signed({"kid": ...})).kid is None


@pytest.mark.parametrize(
    "compact",
    [
        "",
        ".",
        "..",
        "...",
        f"{HEAD}.{BODY}",
        f"{HEAD}.{BODY}.",
        f".{BODY}.{SIGNATURE}",
        f"{GOOD}.{SIGNATURE}",
        f"{HEAD}..{BODY}.{BODY}.{SIGNATURE}",
        f" {GOOD}",
        f"{GOOD} ",
        f"{GOOD}\n",
        f"{HEAD}\n.{BODY}.{SIGNATURE}",
        f"{HEAD}=.{BODY}.{SIGNATURE}",
        f"{HEAD}.{BODY}.{SIGNATURE}==",
        f"{HEAD}.{BODY}.+{SIGNATURE[1:]}",
        f"{HEAD}.{BODY}.{SIGNATURE[:-1]}é",
        f"{HEAD}.{BODY}.{SIGNATURE[:-1]}\ud800",
        f"{HEAD}.{BODY}.{SIGNATURE[:-1]}\x00",
        f"{HEAD}.{BODY}.A",
        "A" * (jws.COMPACT_MAX + 1),
    ],
)
def test_what_has_another_form_is_malformed(compact: str) -> None:
    with pytest.raises(Malformed):
        jws.parse(compact)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b'{"alg":null}',
        b'{"alg":["ES256"]}',
        b'{"alg":"none","alg":"ES256"}',
        b'{"alg":"ES256","typ":7}',
        b'{"alg":"ES256","kid":7}',
        b'{"alg":"ES256","kid":null}',
        b'{"alg":"ES256","kid":"a\\u0000"}',
        b'{"alg":"ES256","kid":"a\\nb"}',
        b'{"alg":"ES256","kid":"a\\u202eb"}',
        b'{"alg":"ES256","crit":[]}',
        b'{"alg":"ES256","b64":true}',
        b'{"alg":"ES256","zip":"DEF"}',
        b'{"alg":"ES256","kid":"' + b"k" * 257 + b'"}',
        b'{"alg":"ES256","x":"' + b"x" * jws.HEADER_MAX + b'"}',
    ],
)
def test_a_header_that_breaks_a_rule_is_malformed(header: bytes) -> None:
    with pytest.raises(Malformed):
        jws.parse(f"{b64u(header)}.{BODY}.{SIGNATURE}")


def test_a_header_that_many_hold_cannot_be_changed() -> None:
    header = jws.parse(GOOD).header
    with pytest.raises(TypeError):
        header["alg"] = "none"  # type: ignore[index]  # that is what is tried
    assert jws.parse(GOOD).header is header


def test_a_large_header_is_read_and_not_remembered() -> None:
    large = signed({"x": "x" * jws.HEADER_KEPT_MAX})
    assert jws.parse(large).header is not jws.parse(large).header
    assert jws.parse(large).alg == "ES256"


def test_the_encoded_header_is_the_same_for_the_same_key_and_type() -> None:
    first, second = (jws.signing_input({"n": n}, alg="ES256", typ="at+jwt", kid="k").partition(b".")[0] for n in (1, 2))
    other = jws.signing_input({"n": 1}, alg="ES256", typ="at+jwt", kid=None).partition(b".")[0]
    assert first == second != other
