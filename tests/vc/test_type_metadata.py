"""What a type says: read strictly, found whole, and held against what was issued."""

import base64
import hashlib
from typing import Any

import pytest

from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.wire import JsonObject, Malformed, Reply, json_bytes
from deputize.vc.issue import SHOWN, Frame
from deputize.vc.paths import path
from deputize.vc.sdjwt import all_shown, outline
from deputize.vc.type_metadata import (
    CHAIN_MAX,
    ENDS,
    FITTING,
    HIDEABLE,
    INTEGRITY,
    MANDATORY,
    NARROWS,
    TYPE_NAMED,
    Catalogue,
    TypeMetadata,
    hold_claims,
    hold_integrity,
    merged,
    read,
)
from tests.core.outside import Outside
from tests.support.proofs import lets_through, stops
from tests.vc.made import NOW, an_sd_jwt, without
from tests.vc.made import read as seen

CHILD, PARENT, ROOT = "https://uni.example/types/3", "https://uni.example/types/2", "https://edu.example/types/1"


def sri(octets: bytes, name: str = "sha256") -> str:
    return f"{name}-{base64.b64encode(hashlib.new(name, octets).digest()).decode()}"


def a_type(vct: str, *claims: JsonObject, **more: object) -> JsonObject:
    return {"vct": vct, "claims": list(claims), **more}


def a_claim(*steps: object, **more: object) -> JsonObject:
    return {"path": list(steps), **more}


# --- integrity ----------------------------------------------------------------------------------------------------

OCTETS = b'{"vct":"x"}'


def whole(said: str) -> bool:
    try:
        hold_integrity(said, OCTETS, "x")
    except Refusal as refusal:
        return refusal.rule is not INTEGRITY
    return True


@lets_through(INTEGRITY)
@pytest.mark.parametrize(
    "said",
    [
        sri(OCTETS),
        sri(OCTETS, "sha384"),
        sri(OCTETS, "sha512"),
        f"{sri(b'other')} {sri(OCTETS)}",
        f"{sri(b'other')} {sri(OCTETS, 'sha512')}",
        f"md5-abc {sri(OCTETS)}",
        sri(OCTETS) + "?option",
    ],
)
def test_the_strongest_hash_decides(said: str) -> None:
    assert whole(said)


@stops(INTEGRITY)
@pytest.mark.parametrize(
    "said",
    [
        "",
        "md5-abc",
        sri(b"other"),
        f"{sri(OCTETS)} {sri(b'other', 'sha512')}",
        sri(OCTETS).rstrip("="),
        sri(OCTETS).upper(),
        sri(OCTETS) + "\n",
        "sha256-" + hashlib.sha256(OCTETS).hexdigest(),
        "sha256-" + base64.urlsafe_b64encode(hashlib.sha256(b"\x01?>").digest()).decode(),
        "sha256",
    ],
)
def test_another_hash_or_one_that_nobody_knows_is_no_integrity(said: str) -> None:
    assert not whole(said)


# --- reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"vct": 1},
        {"vct": ""},
        a_type("x", extends=1),
        a_type("x", **{"extends#integrity": 1}),
        {"vct": "x", "claims": {}},
        {"vct": "x", "claims": ["x"]},
        a_type("x", {}),
        a_type("x", a_claim()),
        a_type("x", {"path": "name"}),
        a_type("x", a_claim(True)),
        a_type("x", a_claim(-1)),
        a_type("x", a_claim(1.0)),
        a_type("x", a_claim("a"), a_claim("a")),
        a_type("x", a_claim("a", mandatory="yes")),
        a_type("x", a_claim("a", sd="sometimes")),
        a_type("x", a_claim("a", sd=["always"])),
        a_type("x", a_claim("a", svg_id="1a")),
        a_type("x", a_claim("a", svg_id="")),
        a_type("x", a_claim("a", svg_id="i"), a_claim("b", svg_id="i")),
        a_type("x", a_claim("a", display=[{"label": "A"}])),
        a_type("x", a_claim("a", display=[{"locale": "en"}])),
        a_type("x", display=[{"locale": "en"}]),
        a_type("x", display=[{"locale": "en", "name": "n" * 2000}]),
        a_type("x", name=1),
        a_type("x", *(a_claim(str(number)) for number in range(201))),
    ],
)
def test_a_document_that_is_malformed_is_none(document: JsonObject) -> None:
    with pytest.raises(Malformed):
        read(document)


def test_what_is_not_known_is_ignored() -> None:
    assert read(a_type("x", schema={}, schema_uri="x")).vct == "x"


# --- finding ------------------------------------------------------------------------------------------------------

BASE = a_type(
    ROOT, a_claim("name", display=[{"locale": "en", "label": "Name"}]), display=[{"locale": "en", "name": "R"}]
)
MIDDLE = a_type(PARENT, a_claim("name", sd="always"), extends=ROOT)
TOP = a_type(CHILD, a_claim("name", mandatory=True), a_claim("age", svg_id="age"), extends=PARENT, name="Child")


def bundled(*documents: JsonObject) -> Catalogue:
    return Catalogue({document["vct"]: json_bytes(document) for document in documents})


def found(vct: str, *documents: JsonObject, integrity: str | None = None) -> TypeMetadata | Rule | None:
    try:
        return bundled(*documents).at_hand(vct, integrity, NOW, "x")
    except Refusal as refusal:
        return refusal.rule


@lets_through(TYPE_NAMED, ENDS, NARROWS)
def test_a_type_is_put_together_from_its_root_down() -> None:
    told = found(CHILD, TOP, MIDDLE, BASE)
    assert isinstance(told, TypeMetadata)
    assert told.vcts == (CHILD, PARENT, ROOT)
    name, age = told.claims
    assert (name.path, name.sd, name.mandatory, name.display[0]["label"]) == (("name",), "always", True, "Name")
    assert (age.path, age.svg_id) == (("age",), "age")
    assert told.display[0]["name"] == "R"
    assert found(CHILD, TOP, MIDDLE) is None  # not all at hand


@stops(TYPE_NAMED)
def test_a_document_names_its_type_and_is_well_formed() -> None:
    for octets in (json_bytes(BASE), b"{", b'{"vct":1}', json_bytes(a_type(CHILD + "/"))):
        with pytest.raises(Refusal) as refused:
            Catalogue({CHILD: octets}).at_hand(CHILD, None, NOW, "x")
        assert refused.value.rule is TYPE_NAMED
    twice = a_type(PARENT, a_claim("x", svg_id="age"))
    assert found(CHILD, TOP, twice) is TYPE_NAMED


@stops(ENDS)
def test_a_chain_of_types_ends() -> None:
    assert found(ROOT, a_type(ROOT, extends=ROOT)) is ENDS
    assert found(ROOT, a_type(ROOT, extends=PARENT), a_type(PARENT, extends=ROOT)) is ENDS
    many = [a_type(f"urn:{number}", extends=f"urn:{number + 1}") for number in range(100)]
    assert found("urn:0", *many) is ENDS
    last = a_type(f"urn:{CHAIN_MAX - 1}")
    assert isinstance(found("urn:0", *many[: CHAIN_MAX - 1], last), TypeMetadata)


@stops(NARROWS)
@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ({"sd": "always"}, {"sd": "never"}),
        ({"sd": "always"}, {"sd": "allowed"}),
        ({"sd": "never"}, {"sd": "always"}),
        ({"mandatory": True}, {"mandatory": False}),
    ],
)
def test_a_child_takes_nothing_back(parent: JsonObject, child: JsonObject) -> None:
    documents = (a_type(CHILD, a_claim("a", **child), extends=ROOT), a_type(ROOT, a_claim("a", **parent)))
    assert found(CHILD, *documents) is NARROWS


@lets_through(NARROWS)
def test_a_child_may_want_more() -> None:
    told = merged(
        [read(a_type(CHILD, a_claim("a", sd="never", mandatory=True))), read(a_type(ROOT, a_claim("a", sd="allowed")))],
        "x",
    )
    assert (told.claims[0].sd, told.claims[0].mandatory) == ("never", True)


@stops(INTEGRITY)
def test_integrity_is_held_for_each_document() -> None:
    assert isinstance(found(ROOT, BASE, integrity=sri(json_bytes(BASE))), TypeMetadata)
    assert found(ROOT, BASE, integrity=sri(b"other")) is INTEGRITY
    child = a_type(CHILD, extends=ROOT, **{"extends#integrity": sri(b"other")})
    assert found(CHILD, child, BASE) is INTEGRITY
    good = a_type(CHILD, extends=ROOT, **{"extends#integrity": sri(json_bytes(BASE))})
    assert isinstance(found(CHILD, good, BASE), TypeMetadata)


async def test_types_are_fetched_where_that_is_allowed_and_kept_for_a_while() -> None:
    outside = Outside({CHILD: TOP, PARENT: MIDDLE, ROOT: BASE})
    catalogue = Catalogue(fetches=True)
    for _ in range(3):
        assert (await catalogue.find(CHILD, None, outside.env, "x")).vcts == (CHILD, PARENT, ROOT)
    assert [call.url for call in outside.calls] == [CHILD, PARENT, ROOT]
    assert catalogue.at_hand(CHILD, None, outside.now, "x")
    outside.later(600)
    assert catalogue.at_hand(CHILD, None, outside.now, "x") is None
    await catalogue.find(CHILD, None, outside.env, "x")
    assert len(outside.calls) == 6


@pytest.mark.parametrize("answer", [Reply(status=404, body=json_bytes(BASE)), Reply(status=302), Fault("nobody")])
async def test_a_type_that_cannot_be_had_is_no_type(answer: Any) -> None:
    with pytest.raises(Fault):
        await Catalogue(fetches=True).find(ROOT, None, Outside({ROOT: answer}).env, "x")


async def test_nothing_is_fetched_that_may_not_be() -> None:
    outside = Outside({ROOT: BASE})
    for catalogue, vct in (
        (Catalogue(), ROOT),
        (Catalogue(fetches=True), "urn:x"),
        (Catalogue(fetches=True), "http://127.0.0.1/type"),
        (Catalogue(fetches=True), "file:///etc/passwd"),
    ):
        with pytest.raises(Fault):
            await catalogue.find(vct, None, outside.env, "x")
    assert outside.calls == []


# --- holding ------------------------------------------------------------------------------------------------------

FRAME = Frame.of("given_name", ("address", "locality"), ("nationalities", None))


def why_not(
    claim: JsonObject, *, frame: Frame = FRAME, gone: tuple[int, ...] = (), holder: bool = False
) -> Rule | None:
    text = without(an_sd_jwt(frame), *gone)
    shown = seen(text)
    sent = shown.parts.disclosures
    whole_view = holder or all_shown(shown.issued, sent)
    try:
        hold_claims(read(a_type("x", claim)).claims, outline(shown.issued, sent), "x", all_shown=whole_view)
    except Refusal as refusal:
        return refusal.rule
    return None


@lets_through(HIDEABLE)
@pytest.mark.parametrize(
    "claim",
    [
        a_claim("given_name", sd="always"),
        a_claim("given_name", sd="allowed"),
        a_claim("iss", sd="never"),
        a_claim("address", sd="never"),
        a_claim("address", "locality", sd="always"),
        a_claim("nationalities", None, sd="always"),
        a_claim("nationalities", 7, sd="always"),
        a_claim("middle_name", sd="always"),
    ],
)
def test_what_is_hidden_as_its_type_says_is_taken(claim: JsonObject) -> None:
    assert why_not(claim) is None
    assert why_not(claim, gone=(0, 1, 2, 3)) is None


@stops(HIDEABLE)
def test_what_is_hidden_otherwise_is_not() -> None:
    assert why_not(a_claim("given_name", sd="never")) is HIDEABLE
    assert why_not(a_claim("given_name", sd="always"), frame=SHOWN) is HIDEABLE
    assert why_not(a_claim("nationalities", None, sd="never")) is HIDEABLE
    assert why_not(a_claim("nationalities", 0, sd="never"), gone=(0, 1, 2, 3)) is HIDEABLE
    # what lies in a Disclosure is not one
    assert why_not(a_claim("address", "locality", sd="always"), frame=Frame.of("address")) is HIDEABLE


@lets_through(MANDATORY)
def test_what_is_mandatory_may_be_one_of_those_that_were_not_shown() -> None:
    assert why_not(a_claim("given_name", mandatory=True)) is None
    assert why_not(a_claim("given_name", mandatory=True), gone=(0, 1, 2, 3)) is None
    assert why_not(a_claim("middle_name", mandatory=True), gone=(0,)) is None


@stops(MANDATORY)
def test_what_is_mandatory_was_issued() -> None:
    assert why_not(a_claim("middle_name", mandatory=True)) is MANDATORY  # all is shown
    assert why_not(a_claim("middle_name", mandatory=True), frame=Frame.of(decoys=2), holder=True) is MANDATORY
    assert why_not(a_claim("middle_name", mandatory=True, sd="never"), gone=(0,)) is MANDATORY


@lets_through(FITTING)
def test_a_path_that_selects_nothing_is_no_error() -> None:
    assert why_not(a_claim("middle_name", "first")) is None
    assert why_not(a_claim("nationalities", 9)) is None


@stops(FITTING)
def test_a_path_that_does_not_fit_is_one() -> None:
    for steps in (("given_name", "first"), ("address", None), ("address", 0), ("nationalities", "first")):
        assert why_not(a_claim(*steps)) is FITTING


def test_all_is_shown_where_no_digest_is_left_over() -> None:
    shown = seen(an_sd_jwt())
    assert all_shown(shown.issued, shown.parts.disclosures)
    assert not all_shown(shown.issued, shown.parts.disclosures[1:])


def test_a_path_is_read() -> None:
    assert path("a") == ("a",)
    assert path(["a", None, 0]) == ("a", None, 0)
    cases: tuple[Any, ...] = ([], 1, None, [[]], ["a"] * 21, [True])
    for said in cases:
        with pytest.raises(Malformed):
            path(said)
