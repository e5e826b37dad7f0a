"""Verifying an SD-JWT: the issuer's signature, the claims with all put back, and the key of who shows it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from deputize.core.rules import Rule
from deputize.core.wire import b64u, json_bytes
from deputize.jose.jwt import (
    ALGORITHM,
    BEGUN,
    BRIEF,
    CLAIMS,
    COMPACT,
    ISSUED_BY,
    SIGNED,
    TYPED,
    UNEXPIRED,
)
from deputize.jose.keys import PrivateKey
from deputize.vc.issue import SHOWN, Frame
from deputize.vc.paths import Path
from deputize.vc.present import present
from deputize.vc.presented import (
    BINDING_REQUIRED,
    HOLDER_KEY,
    NO_BINDING_HERE,
    OUR_NONCE,
    THIS_VERIFIER,
    WHAT_WAS_SENT,
    Asked,
)
from deputize.vc.sdjwt import HASHES, RESERVED_NAMES, digest
from tests.jose.making import a_key
from tests.support.proofs import lets_through, stops
from tests.vc.made import (
    ASKED,
    ERROR,
    NOW,
    VERIFIER,
    a_disclosure,
    an_sd_jwt,
    claims,
    crafted,
    expected,
    holder_key,
    read,
    why_not,
    without,
)

SHOWN_PATHS: list[Path | str] = ["given_name", ("nationalities", 0)]


def bound(text: str | None = None, **changes: Any) -> str:
    return present(text or an_sd_jwt(**changes), SHOWN_PATHS, asked=ASKED, key=holder_key(), now=NOW)


def signed_by_holder(
    text: str, *, key: PrivateKey | None = None, header: Mapping[str, object] = {}, **changes: Any
) -> str:
    """A presentation with a Key Binding JWT that says what it should, but for the changes (`...` leaves one out)."""
    key = key or holder_key()
    head = {"alg": key.alg.name, "typ": "kb+jwt"} | dict(header)
    good = {"iat": NOW, "aud": VERIFIER, "nonce": ASKED.nonce, "sd_hash": digest(text, HASHES["sha-256"])} | changes
    parts = ({name: value for name, value in part.items() if value is not ...} for part in (head, good))
    data = ".".join(b64u(json_bytes(part)) for part in parts)
    return f"{text}{data}.{b64u(key.sign(data.encode()))}"


# --- without key binding ------------------------------------------------------------------------------------------


@lets_through(NO_BINDING_HERE)
def test_a_verifier_that_asks_for_no_key_binding_sees_what_was_shown() -> None:
    seen = read(an_sd_jwt())
    assert seen.claims == claims()
    assert seen.holder is None
    assert "given_name" not in seen.issued
    assert read(without(an_sd_jwt(), 0, 1, 2, 3)).claims == claims(
        given_name=..., address={"country": "ES"}, nationalities=[]
    )


@stops(NO_BINDING_HERE)
def test_a_key_binding_that_nobody_would_look_at_is_refused() -> None:
    assert why_not(bound()) is NO_BINDING_HERE
    assert why_not(an_sd_jwt() + "nonsense") is NO_BINDING_HERE


@pytest.mark.parametrize(
    ("header", "rule"),
    [({"alg": "none"}, ALGORITHM), ({"alg": "HS256"}, ALGORITHM), ({"typ": "JWT"}, TYPED), ({"typ": "kb+jwt"}, TYPED)],
)
def test_the_issuers_jwt_is_of_an_algorithm_and_a_typ_that_are_expected(header: dict[str, Any], rule: Rule) -> None:
    assert why_not(crafted(claims(), **header)) is rule


def test_the_issuers_signature_is_by_a_key_of_the_issuer() -> None:
    assert why_not(crafted(claims(), key=a_key("ES256", 99))) is SIGNED
    assert why_not(crafted(claims(), key=a_key("ES256", 99), jwk=a_key("ES256", 99).public_jwk())) is SIGNED
    good = an_sd_jwt()
    assert why_not(good.replace(".", "..", 1)) is COMPACT
    head, body, rest = good.split(".", 2)
    assert why_not(f"{head}.{body}.~{rest.partition('~')[2]}") is COMPACT


def test_claims_are_held_as_they_are_with_all_put_back() -> None:
    """An exp that comes out of a Disclosure ends the credential as one in the clear does."""
    for name, value, rule in (
        ("exp", NOW - 60, UNEXPIRED),
        ("nbf", NOW + 600, BEGUN),
        ("exp", "soon", CLAIMS),
        ("iss", "https://other.example", ISSUED_BY),
    ):
        hidden = a_disclosure("c2FsdC1hYWFhYWFhYWFhYQ", name, value)
        payload = claims(**{name: ...}) | {"_sd": [digest(hidden, HASHES["sha-256"])]}
        assert why_not(crafted(payload, hidden)) is rule
        if name != "nbf":
            assert why_not(crafted(payload)) in {CLAIMS, ISSUED_BY}  # needed, and not shown
    assert why_not(an_sd_jwt(), now=NOW) is None
    assert why_not(crafted(claims(exp=NOW - 60))) is UNEXPIRED


# --- with key binding ---------------------------------------------------------------------------------------------


@lets_through(BINDING_REQUIRED, HOLDER_KEY, THIS_VERIFIER, OUR_NONCE, WHAT_WAS_SENT)
@pytest.mark.parametrize("alg", ["ES256", "ES384", "Ed25519", "PS256", "RS256"])
def test_what_its_holder_presents_to_this_verifier_is_taken(alg: str) -> None:
    key = a_key(alg, 51)
    jwk = {name: value for name, value in key.public_jwk().items() if name not in {"alg", "use", "kid"}}
    text = signed_by_holder(an_sd_jwt(cnf={"jwk": jwk}), key=key)
    seen = read(text, ASKED)
    assert seen.holder is not None
    assert seen.holder.thumbprint == key.public().thumbprint


@stops(BINDING_REQUIRED)
def test_without_key_binding_nothing_is_taken_where_it_is_wanted() -> None:
    """Whether it is wanted is the verifier's to say, not the input's."""
    assert why_not(an_sd_jwt(), ASKED) is BINDING_REQUIRED
    assert why_not(an_sd_jwt(cnf=...), ASKED) is BINDING_REQUIRED


@stops(HOLDER_KEY)
@pytest.mark.parametrize(
    "cnf",
    [
        ...,
        None,
        {},
        "key",
        {"jwk": "key"},
        {"jwk": {}},
        {"kid": "key"},
        {"jku": "https://keys.example"},
        {"jkt": "x"},
        {"jwk": {"kty": "EC"}},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
    ],
)
def test_a_credential_without_its_holders_key_is_bound_to_nobody(cnf: object) -> None:
    assert why_not(signed_by_holder(an_sd_jwt(SHOWN, cnf=cnf)), ASKED) is HOLDER_KEY


@stops(HOLDER_KEY)
def test_a_key_with_its_private_part_or_for_another_algorithm_is_none() -> None:
    assert why_not(signed_by_holder(an_sd_jwt(cnf={"jwk": holder_key().to_jwk()})), ASKED) is HOLDER_KEY
    assert why_not(signed_by_holder(an_sd_jwt(), key=a_key("Ed25519")), ASKED) is HOLDER_KEY


def test_the_key_comes_from_the_credential_and_from_nowhere_else() -> None:
    thief = a_key("ES256", 99)
    header = {"jwk": thief.public_jwk(), "kid": thief.kid}
    assert why_not(signed_by_holder(an_sd_jwt(), key=thief, header=header), ASKED) is SIGNED


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ({"typ": "JWT"}, TYPED),
        ({"typ": ...}, TYPED),
        ({"typ": "KB+JWT"}, None),
        ({"typ": "application/kb+jwt"}, None),
        ({"typ": "dc+sd-jwt"}, TYPED),
        ({"alg": "none"}, ALGORITHM),
        ({"alg": "HS256"}, ALGORITHM),
        ({"alg": "ES384"}, HOLDER_KEY),
        ({"crit": ["b64"], "b64": False}, COMPACT),
    ],
)
def test_the_header_of_a_key_binding_jwt(header: dict[str, Any], rule: Rule | None) -> None:
    assert why_not(signed_by_holder(an_sd_jwt(), header=header), ASKED) is rule


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ({"aud": [VERIFIER]}, THIS_VERIFIER),
        ({"aud": VERIFIER + "/"}, THIS_VERIFIER),
        ({"aud": "verifier.example"}, THIS_VERIFIER),
        ({"aud": ...}, CLAIMS),
        ({"aud": 1}, CLAIMS),
        ({"iat": ...}, CLAIMS),
        ({"iat": True}, CLAIMS),
        ({"iat": str(NOW)}, CLAIMS),
        ({"iat": NOW - 301}, BRIEF),
        ({"iat": NOW - 300}, None),
        ({"iat": NOW + 10}, None),
        ({"iat": NOW + 11}, BEGUN),
        ({"exp": NOW - 11}, UNEXPIRED),
        ({"nonce": ...}, CLAIMS),
        ({"sd_hash": ...}, CLAIMS),
    ],
)
def test_the_claims_of_a_key_binding_jwt(said: dict[str, Any], rule: Rule | None) -> None:
    assert why_not(signed_by_holder(an_sd_jwt(), **said), ASKED) is rule


@stops(OUR_NONCE)
@pytest.mark.parametrize("nonce", ["", "another", ASKED.nonce + " ", 1, [ASKED.nonce], {"a": 1}, "é"])
def test_another_nonce_is_refused(nonce: object) -> None:
    assert why_not(signed_by_holder(an_sd_jwt(), nonce=nonce), ASKED) is OUR_NONCE


@stops(WHAT_WAS_SENT)
def test_what_was_sent_is_what_was_signed() -> None:
    good = bound()
    bare, _, kb = good.rpartition("~")
    jwt, first, second = bare.split("~")
    for text in (f"{jwt}~{first}~{kb}", f"{jwt}~{second}~{first}~{kb}", f"{jwt}~{kb}"):
        assert why_not(text, ASKED) is WHAT_WAS_SENT
    other = an_sd_jwt()
    more = next(each for each in other.split("~")[1:-1] if each not in {first, second})
    assert why_not(f"{jwt}~{first}~{second}~{more}~{kb}", ASKED) is WHAT_WAS_SENT
    sent = an_sd_jwt()
    wrong = ("", 1, HASHES["sha-256"](sent.encode()).hexdigest(), digest(sent[:-1], HASHES["sha-256"]), "é")
    for sd_hash in wrong:
        assert why_not(signed_by_holder(sent, sd_hash=sd_hash), ASKED) is WHAT_WAS_SENT
    assert why_not(signed_by_holder(sent, sd_hash=digest(sent, HASHES["sha-512"])), ASKED) is WHAT_WAS_SENT


def test_the_hash_is_the_one_that_the_credential_names() -> None:
    text = crafted(claims() | {"_sd_alg": "sha-512"})
    assert why_not(signed_by_holder(text, sd_hash=digest(text, HASHES["sha-512"])), ASKED) is None
    assert why_not(signed_by_holder(text), ASKED) is WHAT_WAS_SENT


@stops(THIS_VERIFIER)
def test_a_presentation_is_for_one_verifier_alone() -> None:
    assert why_not(bound(), replace(ASKED, audience="https://other.example")) is THIS_VERIFIER
    assert why_not(bound(), replace(ASKED, nonce="another")) is OUR_NONCE
    assert why_not(bound(), replace(ASKED, algs=frozenset({"Ed25519"}))) is ALGORITHM


def test_a_verifier_without_name_or_nonce_asks_for_nothing() -> None:
    for audience, nonce in (("", "n"), ("a", ""), ("a", "n" * 1000)):
        with pytest.raises(ValueError, match="nonces"):
            Asked(audience=audience, nonce=nonce)


def test_a_cnf_may_stand_without_iss_and_sub() -> None:
    """RFC 7800 wanted one of the two; SD-JWT VC updates it."""
    text = signed_by_holder(an_sd_jwt(Frame.of("given_name"), iss=...))
    assert why_not(text, ASKED, issuer=None) is None


def test_all_is_refused_with_the_code_of_who_asks() -> None:
    assert expected().error == ERROR
    assert why_not(crafted({"_sd": "x"} | claims())) is RESERVED_NAMES
