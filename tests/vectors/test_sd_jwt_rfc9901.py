"""The examples of RFC 9901 and of the SD-JWT VC draft, as they were published: the same bytes, the same claims."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.core.wire import Malformed
from deputize.jose.algorithms import ALL
from deputize.jose.jwt import Expectation
from deputize.jose.keys import PublicKey
from deputize.vc.issuer_keys import issuer_metadata, pinned
from deputize.vc.paths import path, select
from deputize.vc.presented import Asked, VerifiedSdJwt, verify_sd_jwt
from deputize.vc.sdjwt import digest, from_json, hash_of, outline, parse, reveal, to_json
from deputize.vc.type_metadata import merged, read
from deputize.vc.verify import Policy, TrustedIssuer, status_ignored, verify
from tests.vectors.places import each, load

ISSUED_AT = Instant(1_683_000_000)


def examples(place: Path) -> Iterator[tuple[str, Any]]:
    for file in sorted(place.glob("*.json")):
        told = load(file)
        if "issuer_jwk" in told:
            yield told["id"], told


def encodings(place: Path) -> Iterator[tuple[str, Any]]:
    told = load(place / "rfc9901-4.2-encodings.json")
    for case in (*told["equivalent_disclosures"], told["array_element"]):
        yield case["digest"], case


def seen(told: Any, text: str) -> VerifiedSdJwt:
    parts = parse(text, "x")
    said = told.get("kb_jwt_payload")
    bound = bool(parts.binding)
    asked = Asked(audience=said["aud"], nonce=said["nonce"]) if bound else None
    # The examples are signed by one key under several names, or none.
    key = PublicKey.from_jwk(told["issuer_jwk"])
    expected = Expectation(
        typ=frozenset({"example+sd-jwt", "dc+sd-jwt"}),
        algs=ALL,
        issuer=None,
        audience=None,
        lifetime_max=None,
        age_max=None,
        needs=frozenset(),
        error="x",
    )
    return verify_sd_jwt(text, (key,), expected, asked, Instant(said["iat"]) if bound else ISSUED_AT)


def texts(told: Any) -> Iterator[tuple[str, Any]]:
    """The texts of an example, and what each says."""
    for name, says in (("issued", "expected_all_disclosed"), ("presentation", "expected_verified")):
        if name in told:
            yield told[name], told[says]
    for name, says in (("issued_json", "expected_issued"), ("presentation_json", "expected_verified")):
        if name in told:
            yield from_json(told[name], "x"), told[says]


@each("sd-jwt-rfc9901", examples)
def test_an_example_of_the_rfc_says_what_it_says(case: Any) -> None:
    for text, says in texts(case):
        assert seen(case, text).claims == says
        assert from_json(to_json(text), "x") == text


@each("sd-jwt-vc-draft19", examples)
def test_an_example_of_the_draft_says_what_it_says(case: Any) -> None:
    for text, says in texts(case):
        assert seen(case, text).claims == says


@each("sd-jwt-rfc9901", examples)
def test_the_disclosures_of_an_example_fit_its_payload(case: Any) -> None:
    if "payload" not in case or not case["disclosures"]:
        return
    hashed = hash_of(case["payload"], "x")
    sent = [one["disclosure"] for one in case["disclosures"]]
    assert [digest(text, hashed) for text in sent] == [one["digest"] for one in case["disclosures"]]
    claims = reveal(case["payload"], sent, "x")
    assert claims == case["expected_all_disclosed"]
    shown = {below.disclosure for below in outline(case["payload"], sent).below()}
    assert shown == {"", *sent}


@each("sd-jwt-rfc9901", encodings)
def test_each_spelling_of_a_disclosure_has_a_digest_of_its_own(case: Any) -> None:
    hashed = hash_of({}, "x")
    assert digest(case["disclosure"], hashed) == case["digest"]
    salt, *rest = case["contents"]
    assert salt
    if len(rest) == 2:
        assert reveal({"_sd": [case["digest"]]}, [case["disclosure"]], "x") == {rest[0]: rest[1]}
    else:
        assert reveal({"a": [{"...": case["digest"]}]}, [case["disclosure"]], "x") == {"a": rest}


def credentials(place: Path) -> Iterator[tuple[str, Any]]:
    return ((name, told) for name, told in examples(place) if "header" in told)


@each("sd-jwt-vc-draft19", credentials)
def test_a_credential_of_the_draft_is_taken_from_an_issuer_that_is_trusted(case: Any) -> None:
    said = case["kb_jwt_payload"]
    keys = pinned({"keys": [{**case["issuer_jwk"], "kid": case["header"].get("kid", "a")}]})
    claims = case["expected_verified"]
    trusted = TrustedIssuer(issuer=claims["iss"], keys=keys, types=frozenset({claims["vct"]}), status=status_ignored)
    asked, now = Asked(audience=said["aud"], nonce=said["nonce"]), Instant(said["iat"])
    verified = verify(case["presentation"], Policy(issuers=(trusted,)), asked=asked, now=now)
    assert verified.claims == claims
    other = TrustedIssuer(issuer=claims["iss"], keys=keys, types=frozenset({"urn:other"}), status=status_ignored)
    with pytest.raises(Refusal):
        verify(case["presentation"], Policy(issuers=(other,)), asked=asked, now=now)


def claim_paths(place: Path) -> Iterator[tuple[str, Any]]:
    told = load(place / "claim-path.json")
    for case in told["paths"]:
        yield "/".join(map(str, case["path"])), (told["credential"], case)


@each("sd-jwt-vc-draft19", claim_paths)
def test_a_claim_path_selects_what_it_selects(case: Any) -> None:
    credential, told = case
    root = outline(credential, ())
    if "error" in told:
        with pytest.raises(Malformed):
            select(root, path(told["path"]))
    else:
        assert [node.value for node in select(root, path(told["path"])) if node] == told["selected"]


def documents(place: Path) -> Iterator[tuple[str, Any]]:
    for name in ("type-metadata-extends", "type-metadata-education", "jwt-vc-issuer-metadata"):
        yield name, load(place / f"{name}.json")


@each("sd-jwt-vc-draft19", documents)
def test_the_documents_of_the_draft_are_read(case: Any) -> None:
    if "child" in case:
        whole = merged([read(case["child"]), read(case["base"])], "x")
        assert [{"path": list(rule.path), "display": list(rule.display)} for rule in whole.claims] == case["effective"][
            "claims"
        ]
    elif "type_metadata" in case:
        document = read(case["type_metadata"])
        assert document.vct == case["credential_payload"]["vct"]
        assert len(document.claims) == len(case["type_metadata"]["claims"])
    else:
        by_value, by_reference = case["jwks_by_value"], case["jwks_by_reference"]
        found = issuer_metadata(by_value)
        assert found.keys
        assert [key.kid for key in found.keys.keys] == [key["kid"] for key in by_value["jwks"]["keys"]]
        assert issuer_metadata(by_reference).jwks_uri == by_reference["jwks_uri"]
