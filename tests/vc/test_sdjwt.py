"""The format: parts, Disclosures, digests, and what is said once they are put back."""

import pytest

from deputize.core.rules import Refusal, Rule
from deputize.core.wire import JsonObject, b64u, json_bytes
from deputize.vc.sdjwt import (
    BOUNDED,
    DEPTH_MAX,
    DIGEST_ONCE,
    DISCLOSURE,
    DISCLOSURES_MAX,
    FLATTENED,
    HASH,
    HASHES,
    NEW_NAME,
    PARTS,
    REFERENCED,
    RESERVED_NAMES,
    SENT_ONCE,
    digest,
    from_json,
    hides,
    outline,
    parse,
    reveal,
    to_json,
)
from tests.support.proofs import lets_through, stops
from tests.vc.made import ERROR, a_disclosure, an_sd_jwt, crafted

SALT = "c2FsdC1hYWFhYWFhYWFhYQ"
NAME = a_disclosure(SALT, "given_name", "Alice")
ELEMENT = a_disclosure(SALT, "PT")


def of(text: str, hashed: str = "sha-256") -> str:
    return digest(text, HASHES[hashed])


def revealed(payload: JsonObject, *disclosures: str) -> JsonObject | Rule:
    """What it says, or the rule that refuses it."""
    try:
        return reveal(payload, disclosures, ERROR)
    except Refusal as refusal:
        return refusal.rule


def parsed(text: str) -> Rule | None:
    try:
        parse(text, ERROR)
    except Refusal as refusal:
        return refusal.rule
    return None


# --- parts --------------------------------------------------------------------------------------------------------


@lets_through(PARTS, BOUNDED)
def test_an_sd_jwt_is_taken_apart_and_put_together_again() -> None:
    text = an_sd_jwt()
    parts = parse(text, ERROR)
    assert len(parts.disclosures) == 4
    assert parts.binding == ""
    assert parts.text == parts.bound == text
    assert parse(text + "a.b.c", ERROR).binding == "a.b.c"
    assert parse("a.b.c~", ERROR).disclosures == ()


@stops(PARTS)
@pytest.mark.parametrize("text", ["", "a.b.c", "~", "~a~", "a.b.c~~", "a.b.c~d~~", "a.b.c~~d~e.f.g"])
def test_parts_that_are_missing_or_empty_are_refused(text: str) -> None:
    assert parsed(text) is PARTS


@stops(BOUNDED)
def test_what_is_too_large_is_refused() -> None:
    assert parsed("a.b.c~" + "d~" * DISCLOSURES_MAX) is None
    assert parsed("a.b.c~" + "d~" * (DISCLOSURES_MAX + 1)) is BOUNDED
    assert parsed("a.b.c~" + "d~" * 100_000) is BOUNDED
    assert parsed("a" * 300_000) is BOUNDED


@stops(BOUNDED)
def test_disclosures_within_disclosures_are_put_back_to_a_depth_and_no_further() -> None:
    def nested(levels: int) -> JsonObject | Rule:
        inner, sent = "x", []
        value: object = inner
        for level in range(levels):
            text = a_disclosure(f"{SALT}{level}", "a", value)
            sent.append(text)
            value = {"_sd": [of(text)]}
        assert isinstance(value, dict)
        return revealed(value, *sent)

    assert isinstance(nested(DEPTH_MAX), dict)
    assert nested(DEPTH_MAX + 1) is BOUNDED
    assert nested(50) is BOUNDED


@stops(BOUNDED)
def test_arrays_within_arrays_have_the_same_depth() -> None:
    deep: object = 1
    for _ in range(DEPTH_MAX):
        deep = [deep]
    assert revealed({"a": deep}) is BOUNDED


# --- hashes -------------------------------------------------------------------------------------------------------


@lets_through(HASH)
@pytest.mark.parametrize("name", ["sha-256", "sha-384", "sha-512"])
def test_a_hash_on_the_list_is_used_and_its_name_is_no_claim(name: str) -> None:
    assert revealed({"_sd": [of(NAME, name)], "_sd_alg": name}, NAME) == {"given_name": "Alice"}


@lets_through(HASH)
def test_without_a_name_the_hash_is_sha_256() -> None:
    assert revealed({"_sd": [of(NAME)]}, NAME) == {"given_name": "Alice"}


@stops(HASH)
@pytest.mark.parametrize(
    "name", ["SHA-256", "sha256", "sha-256-32", "sha-256-128", "sha-1", "md5", "sha3-512", "", None, 256, ["sha-256"]]
)
def test_another_hash_is_refused(name: object) -> None:
    assert revealed({"_sd": [of(NAME)], "_sd_alg": name}, NAME) is HASH


def test_digests_of_another_hash_than_is_named_reference_nothing() -> None:
    assert revealed({"_sd": [of(NAME, "sha-512")]}, NAME) is REFERENCED
    assert revealed({"_sd": [of(NAME)], "_sd_alg": "sha-512"}, NAME) is REFERENCED


# --- Disclosures --------------------------------------------------------------------------------------------------


@lets_through(DISCLOSURE, DIGEST_ONCE, SENT_ONCE, REFERENCED, NEW_NAME, RESERVED_NAMES)
def test_disclosures_are_put_back_where_their_digests_stand() -> None:
    inner = a_disclosure(SALT, "street", {"number": 1})
    outer = a_disclosure(SALT, "address", {"_sd": [of(inner)], "country": "ES"})
    nothing = a_disclosure(SALT, "none", None)
    payload = {"iss": "i", "_sd": [of(outer), of("a decoy"), of(nothing), of(NAME)], "list": [1, {"...": of(ELEMENT)}]}
    assert revealed(payload, NAME, outer, inner, ELEMENT, nothing) == {
        "iss": "i",
        "list": [1, "PT"],
        "address": {"country": "ES", "street": {"number": 1}},
        "none": None,
        "given_name": "Alice",
    }
    assert revealed(payload, outer) == {"iss": "i", "list": [1], "address": {"country": "ES"}}
    assert revealed(payload) == {"iss": "i", "list": [1]}
    assert payload["list"] == [1, {"...": of(ELEMENT)}]  # what was signed is left as it is


@pytest.mark.parametrize(
    "text",
    [
        b64u(json_bytes({"a": 1})),
        b64u(b'"text"'),
        b64u(b"not JSON"),
        a_disclosure(),
        a_disclosure(SALT),
        a_disclosure(SALT, "a", 1, 2),
        a_disclosure(1, "a", 1),
        a_disclosure(None, "a", 1),
        a_disclosure(SALT, 1, 1),
        a_disclosure(SALT, ["a"], 1),
        a_disclosure(SALT, "a"),
        b64u(b'["s","a",{"b":1,"b":2}]'),
        b64u(b'["s","a",NaN]'),
        b64u(b'["s","a",1e999]'),
        b64u(b'["s","a","\\ud800"]'),
        b64u(b'["s","a",' + b"9" * 40 + b"]"),
        b64u(b'["s","a",1]["s"]'),
        b64u(b'\xef\xbb\xbf["s","a",1]'),
        b64u(b'["s","a","\xff"]'),
        b64u(b'["s","a",' + b"[" * 30 + b"]" * 30 + b"]"),
        b64u(b'["s","a",' + b"[" * 90_000),
        NAME + "=",
        NAME[:-1] + "!",
        NAME + "A" * (5 - len(NAME) % 4),
        "WyJz+/Ji",
        NAME[:5] + "\n" + NAME[5:],
        "é" + NAME,
    ],
)
@stops(DISCLOSURE)
def test_what_is_no_disclosure_of_a_member_is_refused(text: str) -> None:
    assert revealed({"_sd": [of(text)]}, text) is DISCLOSURE


@stops(DISCLOSURE)
def test_what_is_no_disclosure_of_an_element_is_refused() -> None:
    for text in (NAME, a_disclosure(SALT), a_disclosure(1, "PT")):
        assert revealed({"a": [{"...": of(text)}]}, text) is DISCLOSURE


@stops(RESERVED_NAMES)
@pytest.mark.parametrize("name", ["_sd", "...", "_sd_alg"])
def test_a_disclosure_brings_no_name_that_serves_another_purpose(name: str) -> None:
    text = a_disclosure(SALT, name, ["x"])
    assert revealed({"_sd": [of(text)]}, text) is RESERVED_NAMES
    assert revealed({"a": {"_sd": [of(text)]}}, text) is RESERVED_NAMES


@stops(RESERVED_NAMES)
@pytest.mark.parametrize(
    "payload",
    [
        {"_sd": "text"},
        {"_sd": None},
        {"_sd": 0},
        {"_sd": {}},
        {"_sd": [1]},
        {"_sd": [None]},
        {"_sd": [["x"]]},
        {"a": {"_sd": False}},
        {"...": "x"},
        {"a": {"...": "x"}},
        {"a": [{"...": "x", "b": 1}]},
        {"a": [{"...": 1}]},
        {"a": [{"...": ["x"]}]},
        {"a": {"_sd_alg": "sha-256"}},
        {"a": {"_sd_alg": None}},
        {"a": [{"_sd_alg": "sha-256"}]},
    ],
)
def test_names_with_a_purpose_serve_no_other(payload: JsonObject) -> None:
    assert revealed(payload) is RESERVED_NAMES


@stops(NEW_NAME)
def test_a_disclosure_overwrites_nothing() -> None:
    other = a_disclosure("another salt", "given_name", "Bob")
    assert revealed({"given_name": "Bob", "_sd": [of(NAME)]}, NAME) is NEW_NAME
    assert revealed({"_sd": [of(NAME), of(other)]}, NAME, other) is NEW_NAME
    assert revealed({"_sd": [of(NAME), of(other)]}, NAME) == {"given_name": "Alice"}


@stops(DIGEST_ONCE)
def test_no_digest_is_there_twice_not_even_that_of_a_decoy() -> None:
    inner = a_disclosure(SALT, "address", {"_sd": [of(NAME)]})
    assert revealed({"_sd": [of(NAME), of(NAME)]}, NAME) is DIGEST_ONCE
    assert revealed({"_sd": [of("decoy"), of("decoy")]}) is DIGEST_ONCE
    assert revealed({"_sd": [of("decoy")], "a": {"_sd": [of("decoy")]}}) is DIGEST_ONCE
    assert revealed({"_sd": [of("decoy")], "a": [{"...": of("decoy")}]}) is DIGEST_ONCE
    assert revealed({"a": [{"...": of(ELEMENT)}, {"...": of(ELEMENT)}]}, ELEMENT) is DIGEST_ONCE
    assert revealed({"_sd": [of(inner), of(NAME)]}, inner, NAME) is DIGEST_ONCE


@stops(SENT_ONCE)
def test_no_disclosure_is_sent_twice() -> None:
    assert revealed({"_sd": [of(NAME)]}, NAME, NAME) is SENT_ONCE


@stops(REFERENCED)
def test_a_disclosure_that_nothing_references_is_refused() -> None:
    inner = a_disclosure(SALT, "address", {"_sd": [of(NAME)]})
    assert revealed({"_sd": [of("decoy")]}, NAME) is REFERENCED
    assert revealed({}, NAME) is REFERENCED
    assert revealed({"_sd": [of(inner)]}, NAME) is REFERENCED  # its place is in one that was not sent
    spaced = b64u(b'["c2FsdC1hYWFhYWFhYWFhYQ", "given_name", "Alice"]')
    assert revealed({"_sd": [of(NAME)]}, spaced) is REFERENCED


def test_the_digest_is_over_the_text_as_it_was_sent() -> None:
    spaced = b64u(b' [ "salt" , "n\\u0061me" , 1.50 ] ')
    assert revealed({"_sd": [of(spaced)]}, spaced) == {"name": 1.5}


def test_digests_of_rfc_9901_s_kind_are_not_in_hexadecimal() -> None:
    assert of("WyJjMkZzZEMxaFlXRmhZV0ZoWVdGaFlRIiwiZ2l2ZW5fbmFtZSIsIldlcmEiXQ") == (
        "Qk4awNzCx1boN2pTNhK5onav_Kde3zzdMPJUzPa-vkI"
    )


# --- where everything stands --------------------------------------------------------------------------------------


def test_an_outline_keeps_the_places_of_what_was_not_shown() -> None:
    payload = {"list": ["ES", {"...": of("hidden")}, {"...": of(ELEMENT)}], "_sd_alg": "sha-256"}
    root = outline(payload, [ELEMENT])
    assert root.members is not None
    assert root.members.keys() == {"list"}
    elements = root.members["list"].elements
    assert elements is not None
    assert [node and (node.path, node.value, node.disclosure) for node in elements] == [
        (("list", 0), "ES", ""),
        None,
        (("list", 2), "PT", ELEMENT),
    ]


@pytest.mark.parametrize(
    ("value", "does"),
    [
        ({"a": {"_sd": []}}, True),
        ([{"...": "x"}], True),
        ({"_sd_alg": "x"}, True),
        ({"a": [1, {"b": 2}]}, False),
        ("_sd", False),
    ],
)
def test_a_value_that_hides_something_is_told(value: object, does: bool) -> None:  # noqa: FBT001 (a case's outcome)
    assert hides(value) is does


# --- the JSON forms -----------------------------------------------------------------------------------------------


def reformed(form: JsonObject) -> str | Rule:
    try:
        return from_json(form, ERROR)
    except Refusal as refusal:
        return refusal.rule


@lets_through(FLATTENED)
def test_the_json_forms_are_the_compact_one_in_other_clothes() -> None:
    for text in (an_sd_jwt(), crafted({"a": 1}), an_sd_jwt() + "a.b.c"):
        flattened = to_json(text)
        assert reformed(flattened) == text
        payload = flattened.pop("payload")
        assert reformed({"payload": payload, "signatures": [flattened]}) == text
        bare = {"payload": payload, **{name: flattened[name] for name in ("protected", "signature")}}
        assert reformed(bare) == text.partition("~")[0] + "~"


@stops(FLATTENED)
@pytest.mark.parametrize(
    "change",
    [
        {"payload": None},
        {"protected": ""},
        {"signature": "a.b"},
        {"protected": "a~b"},
        {"header": []},
        {"header": {"disclosures": "x"}},
        {"header": {"disclosures": [1]}},
        {"header": {"disclosures": ["a~b"]}},
        {"header": {"disclosures": [""]}},
        {"header": {"kb_jwt": ""}},
        {"header": {"kb_jwt": 1}},
        {"header": {"kb_jwt": "a~b"}},
        {"signatures": []},
        {"signatures": [{}]},
        {"signatures": "x"},
        {"signatures": ["x"]},
    ],
)
def test_a_json_form_that_says_something_twice_or_elsewhere_is_refused(change: JsonObject) -> None:
    assert reformed(to_json(an_sd_jwt()) | change) is FLATTENED


@stops(FLATTENED)
def test_a_second_signature_brings_nothing_in() -> None:
    one = to_json(an_sd_jwt())
    payload = one.pop("payload")
    first, second = one | {"header": {}}, {"protected": "e30", "signature": "AA", "header": one["header"]}
    assert reformed({"payload": payload, "signatures": [first, second]}) is FLATTENED
