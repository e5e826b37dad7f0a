"""What was encrypted to us in the one way that we know is opened; all else is refused before any key is touched."""

from typing import Any

import pytest
from joserfc import jwe as oracle
from joserfc.jwk import ECKey

from deputize.core.rules import Refusal, Rule
from deputize.core.wire import Malformed, b64u, b64u_bytes, json_bytes, json_object
from deputize.jose import jwe, jws
from deputize.jose.jwe import (
    COMPACT_JWE,
    DIRECT_AGREEMENT,
    ENCS,
    EPHEMERAL_POINT,
    OPENS,
    UNCOMPRESSED,
    DecryptionKey,
)
from tests.jose.making import a_key
from tests.support.proofs import lets_through, stops

KEY = DecryptionKey.generate()
OTHER = DecryptionKey.generate()
TEXT = b'{"vp_token":{}}'
GOOD = jwe.encrypt(TEXT, KEY.public_jwk())
HEAD, _, IV, TEXT_SEALED, TAG = GOOD.split(".")
EPK: dict[str, Any] = json_object(b64u_bytes(HEAD))["epk"]


def refused(compact: str, *keys: DecryptionKey, **how: Any) -> Rule | None:
    """The rule that refuses the message; None where it opens."""
    try:
        jwe.decrypt(compact, keys or (KEY,), **{"encs": ENCS, "error": "invalid_request"} | how)
    except Refusal as refusal:
        return refusal.rule
    return None


def headed(**changes: object) -> str:
    """The good message under another header, which its tag does not cover."""
    header = {name: value for name, value in (json_object(b64u_bytes(HEAD)) | changes).items() if value is not ...}
    return f"{b64u(json_bytes(header))}..{IV}.{TEXT_SEALED}.{TAG}"


@lets_through(COMPACT_JWE, DIRECT_AGREEMENT, EPHEMERAL_POINT, OPENS, UNCOMPRESSED)
@pytest.mark.parametrize("enc", sorted(ENCS))
def test_what_was_encrypted_to_us_opens(enc: str) -> None:
    compact = jwe.encrypt(TEXT, KEY.public_jwk(), enc=enc, header={"cty": "JWT", "apu": b64u(b"Alice"), "apv": "Qm9i"})
    opened = jwe.decrypt(compact, [OTHER, KEY], encs=ENCS, error="invalid_request")
    assert (opened.plaintext, opened.text, opened.kid) == (TEXT, TEXT.decode(), KEY.kid)
    assert opened.header["cty"] == "JWT"


@pytest.mark.parametrize("enc", sorted(ENCS))
def test_another_library_reads_what_we_write_and_we_read_what_it_writes(enc: str) -> None:
    algorithms = ["ECDH-ES", enc]
    private = ECKey.import_key(KEY.to_jwk())
    assert oracle.decrypt_compact(jwe.encrypt(TEXT, KEY.public_jwk(), enc=enc), private, algorithms).plaintext == TEXT
    theirs = oracle.encrypt_compact(
        {"alg": "ECDH-ES", "enc": enc}, TEXT, ECKey.import_key(KEY.public_jwk()), algorithms
    )
    assert jwe.decrypt(theirs, [KEY], encs=ENCS, error="x").plaintext == TEXT


@stops(COMPACT_JWE)
@pytest.mark.parametrize(
    "compact",
    [
        "",
        "....",
        jws.compact(b"a.b", b"signature"),
        f"{HEAD}.{IV}.{TEXT_SEALED}.{TAG}",
        f"{GOOD}.{TAG}",
        f"{HEAD}.AAAA.{IV}.{TEXT_SEALED}.{TAG}",
        f"{HEAD}..{IV}.{TEXT_SEALED}.{TAG}=",
        f"{HEAD}..{IV}.{TEXT_SEALED} .{TAG}",
        f"{HEAD}..{IV}.{TEXT_SEALED}.{b64u(b64u_bytes(TAG)[:12])}",
        f"{HEAD}..{b64u(bytes(8))}.{TEXT_SEALED}.{TAG}",
        f"{HEAD}..{b64u(bytes(16))}.{TEXT_SEALED}.{TAG}",
        f"{b64u(b'[]')}..{IV}.{TEXT_SEALED}.{TAG}",
        f"{b64u(b'x' * 5000)}..{IV}.{TEXT_SEALED}.{TAG}",
        f"{HEAD}..{IV}.{'A' * jwe.BYTES_MAX}.{TAG}",
        headed(apu=7),
        headed(apv="="),
        headed(apv=b64u(bytes(257))),
    ],
)
def test_what_has_another_form_is_refused(compact: str) -> None:
    assert refused(compact) is COMPACT_JWE


@stops(DIRECT_AGREEMENT)
@pytest.mark.parametrize(
    "changes",
    [
        {"alg": ...},
        {"alg": "none"},
        {"alg": ["ECDH-ES"]},
        {"alg": "ecdh-es"},
        {"alg": "dir"},
        {"alg": "RSA1_5"},
        {"alg": "RSA-OAEP"},
        {"alg": "ECDH-ES+A128KW"},
        {"alg": "PBES2-HS256+A128KW", "p2c": 2**31 - 1, "p2s": "QQ"},
        {"enc": ...},
        {"enc": "A128CBC-HS256"},
        {"enc": "A192GCM"},
        {"enc": {"A128GCM": 1}},
    ],
)
def test_another_algorithm_is_refused(changes: dict[str, object]) -> None:
    assert refused(headed(**changes)) is DIRECT_AGREEMENT


def test_an_encryption_that_is_not_expected_here_is_refused() -> None:
    assert refused(GOOD, encs=frozenset({"A256GCM"})) is DIRECT_AGREEMENT
    assert refused(headed(enc="A192GCM"), encs=frozenset({"A192GCM"})) is DIRECT_AGREEMENT


@stops(UNCOMPRESSED)
@pytest.mark.parametrize("changes", [{"zip": "DEF"}, {"zip": ""}, {"crit": ["exp"], "exp": 1}, {"b64": False}])
def test_what_is_compressed_or_extended_is_refused(changes: dict[str, object]) -> None:
    assert refused(headed(**changes)) is UNCOMPRESSED


@stops(EPHEMERAL_POINT)
@pytest.mark.parametrize(
    "epk",
    [
        ...,
        None,
        "text",
        {},
        {**EPK, "kty": "OKP"},
        {**EPK, "crv": "P-384"},
        {**EPK, "crv": "X25519"},
        {**EPK, "x": EPK["y"], "y": EPK["x"]},
        {**EPK, "x": b64u(bytes(32)), "y": b64u(bytes(32))},
        {**EPK, "x": EPK["x"][:-3]},
        {**EPK, "x": 7},
        {**EPK, "d": EPK["x"]},
    ],
)
def test_an_ephemeral_key_that_is_no_point_is_refused(epk: object) -> None:
    assert refused(headed(epk=epk)) is EPHEMERAL_POINT


def _flipped(text: str) -> str:
    data = bytearray(b64u_bytes(text))
    data[0] ^= 1
    return b64u(bytes(data))


@stops(OPENS)
@pytest.mark.parametrize(
    "compact",
    [
        f"{HEAD}..{_flipped(IV)}.{TEXT_SEALED}.{TAG}",
        f"{HEAD}..{IV}.{_flipped(TEXT_SEALED)}.{TAG}",
        f"{HEAD}..{IV}.{TEXT_SEALED}.{_flipped(TAG)}",
        f"{HEAD}..{IV}..{TAG}",
        headed(typ="x"),
        headed(apu="QQ"),
        headed(enc="A256GCM"),
        headed(epk=EPK | {name: OTHER.public_jwk()[name] for name in ("x", "y")}),
    ],
)
def test_what_was_altered_does_not_open(compact: str) -> None:
    assert refused(compact) is OPENS


def test_what_is_for_another_does_not_open() -> None:
    assert refused(GOOD, OTHER) is OPENS
    assert refused(jwe.encrypt(TEXT, KEY.public_jwk() | {"kid": "another"})) is OPENS
    assert refused(jwe.encrypt(TEXT, KEY.public_jwk() | {"kid": OTHER.kid}), OTHER, KEY) is OPENS


def test_without_a_key_id_at_most_four_keys_are_tried() -> None:
    nameless = jwe.encrypt(TEXT, {name: KEY.public_jwk()[name] for name in ("kty", "crv", "x", "y")})
    assert refused(nameless, *[OTHER] * 3, KEY) is None
    assert refused(nameless, *[OTHER] * 4, KEY) is OPENS


def test_a_larger_bound_lets_a_larger_message_in() -> None:
    large = jwe.encrypt(b"x" * 60_000, KEY.public_jwk())
    assert len(large) > jwe.BYTES_MAX
    assert refused(large) is COMPACT_JWE
    assert refused(large, bytes_max=128 * 1024) is None


def test_a_larger_bound_is_the_librarys_too() -> None:
    larger = jwe.encrypt(b"x" * 200_000, KEY.public_jwk())
    assert refused(larger, bytes_max=1024 * 1024) is None


def test_a_key_written_and_read_is_the_same_key_and_does_not_show_itself() -> None:
    again = DecryptionKey.from_jwk(KEY.to_jwk())
    assert again.to_jwk() == KEY.to_jwk()
    assert KEY.to_jwk()["d"] not in f"{KEY} {KEY!r} {[KEY]}"
    assert KEY.public_jwk().keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert DecryptionKey.from_jwk({**KEY.to_jwk(), "kid": ""}).kid == KEY.kid


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "RSA"},
        {"crv": "P-384"},
        {"use": "sig"},
        {"alg": "ES256"},
        {"alg": "ECDH-ES+A128KW"},
        {"kid": 7},
        {"kid": "k" * 257},
        {"d": None},
        {"d": ""},
        {"d": "AA"},
        {"d": OTHER.to_jwk()["d"]},
        {"x": OTHER.to_jwk()["x"]},
        {"x": 7},
    ],
)
def test_a_bad_private_key_is_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        DecryptionKey.from_jwk(KEY.to_jwk() | changes)


def test_a_signature_key_opens_nothing() -> None:
    with pytest.raises(Malformed):
        DecryptionKey.from_jwk(a_key().to_jwk())


@pytest.mark.parametrize("changes", [{"crv": "P-384"}, {"x": "AA"}, {"x": KEY.public_jwk()["y"]}, {"y": None}])
def test_nothing_is_encrypted_to_a_bad_key(changes: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        jwe.encrypt(TEXT, KEY.public_jwk() | changes)


def test_nothing_is_encrypted_in_another_way() -> None:
    with pytest.raises(Malformed):
        jwe.encrypt(TEXT, KEY.public_jwk(), enc="A128CBC-HS256")


def test_a_nested_text_that_is_not_ascii_passes_no_verifier() -> None:
    opened = jwe.decrypt(jwe.encrypt("a.b.ä".encode(), KEY.public_jwk()), [KEY], encs=ENCS, error="x")
    with pytest.raises(Malformed):
        jws.parse(opened.text)
