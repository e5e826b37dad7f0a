"""Read what was written and it is the same; read anything else and it is Malformed or refused, and nothing more."""

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from deputize.core import wire
from deputize.core.rules import Refusal
from deputize.core.wire import (
    JSON_DEPTH_MAX,
    Form,
    Malformed,
    b64u,
    b64u_bytes,
    form_bytes,
    json_bytes,
    json_object,
    json_value,
)
from deputize.jose import jws, jwt
from deputize.jose.keys import KeySet, PublicKey
from tests.jose.making import NOW, a_key, an_expectation, claims, signed, verify

TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=12)
PLAIN = TEXT.filter(lambda text: "\0" not in text)
SCALARS = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-(2**63), 2**63 - 1),
    some.floats(allow_nan=False, allow_infinity=False),
    TEXT,
)
VALUES = some.recursive(
    SCALARS, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
OBJECTS = some.dictionaries(TEXT, VALUES, max_size=3)
KEYS = KeySet.of(a_key().public())


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


# --- read ∘ write = id --------------------------------------------------------------------------------------------


@given(some.binary(max_size=200))
def test_base64url(data: bytes) -> None:
    assert b64u_bytes(b64u(data)) == data
    assert b64u(data) == base64.urlsafe_b64encode(data).decode().rstrip("=")


@given(VALUES.filter(lambda value: depth(value) <= JSON_DEPTH_MAX))
def test_json(value: object) -> None:
    assert json_value(json_bytes(value)) == value


@given(VALUES)
def test_json_is_written_as_the_standard_library_writes_it_or_its_equal(value: object) -> None:
    assert json.loads(json_bytes(value)) == value


@given(some.lists(some.tuples(PLAIN.filter(bool), PLAIN.filter(bool)), max_size=20, unique_by=lambda pair: pair[0]))
def test_forms(fields: list[tuple[str, str]]) -> None:
    assert Form.parse(form_bytes(fields)).fields == {name: (value,) for name, value in fields}


@given(OBJECTS, some.sampled_from(["ES256", "Ed25519"]), TEXT.filter(str.isprintable))
def test_jws(told: dict[str, Any], alg: str, kid: str) -> None:
    data = jws.signing_input(told, alg=alg, typ="x+jwt", kid=kid)
    parsed = jws.parse(jws.compact(data, b"signature"))
    assert dict(parsed.header) == {"alg": alg, "typ": "x+jwt", "kid": kid}
    assert json.loads(parsed.payload) == told
    assert (parsed.signing_input, parsed.signature) == (data, b"signature")


@given(some.dictionaries(TEXT.map("x-".__add__), SCALARS, max_size=6))
def test_jwts(more: dict[str, Any]) -> None:
    assert verify(jwt.sign(claims(**more), a_key(), typ="at+jwt")).claims == claims(**more)


def _inserted(parts: tuple[bytes, bytes]) -> bytes:
    """A piece of junk in the middle of something good."""
    good, junk = parts
    at = len(junk) * 7 % len(good)
    return good[:at] + junk + good[at:]


# --- nothing but Malformed or a Refusal, for any bytes ------------------------------------------------------------

LETTERS = some.text(some.sampled_from("AZaz09-_+/=. \n\x00é"), max_size=12)
# Pieces of JSON, put together in any order: far more of them nearly parse than of random bytes.
SIGNS = some.sampled_from(b'{ } [ ] , : "a" " \\ \\u d800 1 - . e9 0 null true NaN Infinity'.split())
ODD = some.sampled_from([b" ", b"\n", b"\xff", b"\x00", b"\xed\xa0\x80", b"\xef\xbb\xbf"])
PIECES = some.lists(SIGNS | ODD, max_size=20).map(b"".join)
JUNK = some.one_of(some.binary(max_size=60), PIECES, VALUES.map(lambda value: json.dumps(value).encode()))


@given(some.one_of(LETTERS, some.text(max_size=12)))
def test_base64url_is_strict(text: str) -> None:
    try:
        data = b64u_bytes(text)
    except Malformed:
        return
    assert b64u(data) == text  # there is one spelling


@given(JUNK)
@example(b'{"a":1,"a":1}')
def test_json_is_strict(data: bytes) -> None:
    try:
        value = json_value(data)
    except Malformed:
        return
    assert json.loads(data) == value
    assert json_value(json_bytes(value)) == value
    assert not isinstance(value, float) or math.isfinite(value)


@given(JUNK | OBJECTS.map(json_bytes) | some.tuples(OBJECTS.map(json_bytes), PIECES).map(_inserted))
@example(b'{"a":1,"a":1}')
@example(b'{"a":[9223372036854775808]}')
@example(b'{"a":' * 21 + b"1" + b"}" * 21)
def test_the_fast_reader_never_differs_from_the_strict_one(data: bytes) -> None:
    assert _outcome(json_value, data) == _outcome(lambda text: wire._strict_value(text, JSON_DEPTH_MAX), data)


def _outcome(read: Callable[[bytes], object], data: bytes) -> tuple[str, str]:
    """What was read, spelled out, so that 1 is not True and -0.0 not 0; or that it was malformed."""
    try:
        return "read", repr(read(data))
    except Malformed:
        return "malformed", ""


@given(JUNK)
def test_json_objects_are_strict(data: bytes) -> None:
    try:
        assert isinstance(json_object(data), dict)
    except Malformed:
        return


@given(
    some.one_of(some.binary(max_size=60), some.text(some.sampled_from("ab=&%+0fF;\x00é"), max_size=30).map(str.encode))
)
def test_forms_are_strict(body: bytes) -> None:
    try:
        form = Form.parse(body)
    except Refusal as refusal:
        told = refusal.error
    else:
        told = "invalid_request"
        again = form_bytes((name, value) for name, values in form.fields.items() for value in values)
        assert Form.parse(again) == form
    assert told == "invalid_request"


GOOD = signed()


@given(some.one_of(LETTERS, some.text(max_size=30), some.lists(JUNK.map(b64u), max_size=5).map(".".join)))
def test_a_jws_is_read_strictly(compact: str) -> None:
    try:
        parsed = jws.parse(compact)
    except Malformed:
        return
    assert f"{parsed.signing_input.decode()}.{b64u(parsed.signature)}" == compact


@given(JUNK, JUNK, some.binary(max_size=70))
def test_a_jwt_of_anything_is_refused(head: bytes, body: bytes, signature: bytes) -> None:
    for header in (head, b'{"typ":"at+jwt","alg":"ES256"}'):
        with pytest.raises(Refusal):
            jwt.verify(f"{b64u(header)}.{b64u(body)}.{b64u(signature)}", KEYS, an_expectation(), NOW)


@given(some.dictionaries(some.sampled_from(sorted(claims())), VALUES | some.just(...), max_size=4))
def test_a_signed_jwt_is_accepted_or_refused(changed: dict[str, Any]) -> None:
    try:
        told = verify(signed({}, claims(**changed))).claims
    except Refusal:
        return
    assert told == claims(**changed)


@given(some.integers(0, len(GOOD) - 1), some.characters())
def test_one_letter_changed_is_refused(at: int, letter: str) -> None:
    changed = GOOD[:at] + letter + GOOD[at + 1 :]
    if changed != GOOD:
        with pytest.raises(Refusal):
            jwt.verify(changed, KEYS, an_expectation(), NOW)


JWK_MEMBERS = some.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "kid", "key_ops", "d", "pub"])
JWK_VALUES = VALUES | some.sampled_from(
    [
        "EC",
        "OKP",
        "RSA",
        "AKP",
        "P-256",
        "P-384",
        "Ed25519",
        "X25519",
        "ES256",
        "EdDSA",
        "ML-DSA-44",
        "sig",
        "AQAB",
        ...,
    ]
)


@given(
    some.sampled_from(["ES256", "ES384", "Ed25519", "RS256"]), some.dictionaries(JWK_MEMBERS, JWK_VALUES, max_size=3)
)
def test_a_jwk_is_loaded_or_malformed(alg: str, changed: dict[str, Any]) -> None:
    jwk = {name: value for name, value in {**a_key(alg).public_jwk(), **changed}.items() if value is not ...}
    try:
        assert PublicKey.from_jwk(jwk).thumbprint
    except Malformed:
        return
