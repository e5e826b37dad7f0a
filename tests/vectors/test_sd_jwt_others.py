"""The cases of three other libraries, issued, presented and verified by us: what they hide and what they show."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.core.wire import JsonObject
from deputize.jose.jwt import Expectation
from deputize.jose.keys import PrivateKey
from deputize.vc.issue import Frame, issue
from deputize.vc.paths import Path as ClaimPath
from deputize.vc.present import present
from deputize.vc.presented import Asked, verify_sd_jwt
from deputize.vc.sdjwt import HASH, parse, reveal
from tests.jose.making import a_key
from tests.support.ports import CountingRandom
from tests.vectors.places import each, load

NOW = Instant(1_683_000_000)
ASKED = Asked(audience="https://example.com/verifier", nonce="1234567890")
TYP = "example+sd-jwt"


def expected(alg: str, typ: str | None = TYP) -> Expectation:
    return Expectation(
        typ=frozenset({typ}),
        algs=frozenset({alg}),
        issuer=None,
        audience=None,
        lifetime_max=None,
        age_max=None,
        needs=frozenset(),
        error="x",
    )


def round_trip(claims: JsonObject, hidden: list[ClaimPath], shown: list[ClaimPath], *, bound: bool) -> JsonObject:
    """What a verifier sees of claims of which some are hidden and some of those shown."""
    key, holder = a_key(), a_key("ES256", 1)
    cnf = {"cnf": {"jwk": holder.public_jwk()}} if bound else {}
    frame = Frame.of(*hidden, decoys=2)
    text = issue({**claims, **cnf}, frame, key=key, typ=TYP, random=CountingRandom())
    assert len(parse(text, "x").disclosures) == len({*hidden})
    sent = present(text, shown, asked=ASKED, key=holder, now=NOW) if bound else present(text, shown)
    seen = verify_sd_jwt(sent, (key.public(),), expected("ES256"), ASKED if bound else None, NOW)
    return {name: value for name, value in seen.claims.items() if name != "cnf"}


# --- sd-jwt-js: a frame names what is hidden, another what is shown -----------------------------------------------


def framed(frame: Mapping[str, Any], claims: Any, above: ClaimPath = ()) -> Iterator[ClaimPath]:
    for name in frame.get("_sd", ()):
        yield (*above, name)
    for name, inner in frame.items():
        if not name.startswith("_sd"):
            step = int(name) if isinstance(claims, list) else name
            yield from framed(inner, claims[step], (*above, step))


def ticked(frame: Any, claims: Any, above: ClaimPath = ()) -> Iterator[ClaimPath]:
    """The paths to what is shown; a frame may speak of what is not there."""
    if frame is True:
        yield above
    elif isinstance(frame, Mapping):
        for name, inner in frame.items():
            step = int(name) if isinstance(claims, list) else name
            if isinstance(claims, list) and not int(name) < len(claims):
                continue
            yield from ticked(inner, claims[step], (*above, step))


def frames(place: Path) -> Iterator[tuple[str, Any]]:
    for file in sorted(place.glob("*.json")):
        yield file.stem, load(file)


@each("sd-jwt-js", frames)
def test_a_case_of_sd_jwt_js_shows_what_it_shows(case: Any) -> None:
    claims = case["claims"]
    hidden = list(framed(case["disclosureFrame"] or {}, claims))
    shown = list(ticked(case["presentationFrames"] or {}, claims))
    seen = round_trip(claims, hidden, shown, bound=True)
    # They leave an object out of which nothing was shown; RFC 9901 leaves it in.
    assert {name: value for name, value in seen.items() if value != {}} == case["presentedClaims"]


# --- sd-jwt-python: a tag marks what is hidden --------------------------------------------------------------------


class Marked:
    """A name or an element that is hidden."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Marked) and other.value == self.value


class Loader(yaml.SafeLoader):  # type: ignore[misc]  # it comes without types
    """YAML with the tag !sd."""


def _marked(loader: Loader, node: yaml.Node) -> Marked:
    if isinstance(node, yaml.MappingNode):
        return Marked(loader.construct_mapping(node, deep=True))
    if isinstance(node, yaml.SequenceNode):
        return Marked(loader.construct_sequence(node, deep=True))
    tag = loader.resolve(yaml.ScalarNode, node.value, (node.style is None, node.style is not None))
    return Marked(loader.construct_object(yaml.ScalarNode(tag, node.value, style=node.style)))


Loader.add_constructor("!sd", _marked)


def unmarked(value: Any, hidden: list[ClaimPath], here: ClaimPath = ()) -> Any:
    """The claims without their marks, whose paths are put into `hidden`."""
    if isinstance(value, dict):
        out = {}
        for name, member in value.items():
            plain = name.value if isinstance(name, Marked) else name
            if isinstance(name, Marked):
                hidden.append((*here, plain))
            out[plain] = unmarked(member, hidden, (*here, plain))
        return out
    if isinstance(value, list):
        elements = []
        for index, element in enumerate(value):
            if isinstance(element, Marked):
                hidden.append((*here, index))
            elements.append(unmarked(element.value if isinstance(element, Marked) else element, hidden, (*here, index)))
        return elements
    return value


def chosen(told: Any, claims: Any, here: ClaimPath = ()) -> Iterator[ClaimPath]:
    if isinstance(told, dict) and isinstance(claims, dict):
        for name, inner in told.items():
            yield from chosen(inner, claims[name], (*here, name))
    elif isinstance(told, list) and isinstance(claims, list):
        for index, inner in enumerate(told):
            yield from chosen(inner, claims[index], (*here, index))
    elif told not in (False, None, {}, []):
        yield here


def specifications(place: Path) -> Iterator[tuple[str, Any]]:
    for file in sorted(place.glob("*/*.yml")):
        if file.stem != "settings":
            yield f"{file.parent.name}/{file.stem}", yaml.load(file.read_text(), Loader)


@each("sd-jwt-python", specifications)
def test_a_case_of_sd_jwt_python_shows_what_it_shows(case: Any) -> None:
    hidden: list[ClaimPath] = []
    claims = unmarked(case["user_claims"], hidden)
    shown = list(chosen(case.get("holder_disclosed_claims", {}), claims))
    seen = round_trip(claims, hidden, shown, bound=case.get("key_binding", False))
    if "expect_verified_user_claims" in case:
        assert seen == case["expect_verified_user_claims"]


# --- EU reference library -----------------------------------------------------------------------------------------


def european(place: Path) -> Iterator[tuple[str, Any]]:
    yield "examples", place


@each("eudi-sdjwt-kt", european)
def test_what_the_library_of_the_eu_issued_is_read_and_its_presentation_has_no_typ_to_trust(case: Any) -> None:
    issuer = PrivateKey.from_jwk({**load(case / "examplesIssuerKey.json"), "alg": "RS256"})
    issued = (case / "exampleIssuanceSdJwt.txt").read_text().strip()
    presented = (case / "examplePresentationSdJwt.txt").read_text().strip()
    assert issued
    assert presented
    seen = verify_sd_jwt(issued, (issuer.public(),), expected("RS256", None), None, Instant(1_600_000_000))
    assert seen.claims["address"]["locality"] == "Schulpforta"
    # What stands where a Key Binding JWT belongs is the issuer's own JWT again: of no typ, and without a nonce.
    with pytest.raises(Refusal):
        verify_sd_jwt(presented, (issuer.public(),), expected("RS256", None), ASKED, Instant(1_600_000_000))


def claim_sets(place: Path) -> Iterator[tuple[str, Any]]:
    for name in ("complex", "pid_arf_v18"):
        yield name, load(place / f"{name}.json")


@each("eudi-sdjwt-kt", european)
def test_a_hash_that_is_not_on_our_list_is_refused(case: Any) -> None:
    with pytest.raises(Refusal) as refused:
        reveal(load(case / "flat.json"), [], "x")
    assert refused.value.rule is HASH


@each("eudi-sdjwt-kt", claim_sets)
def test_claims_of_the_eu_come_back_as_they_were(case: Any) -> None:
    claims = {name: value for name, value in case.items() if name not in {"iss", "exp", "nbf", "cnf", "aud"}}
    everything: list[ClaimPath] = [(name,) for name in claims]
    assert round_trip(claims, everything, everything, bound=True) == claims
    assert round_trip(claims, everything, [], bound=True) == {}
