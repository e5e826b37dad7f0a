"""Making an SD-JWT: what may be hidden is, what may not be is not, and nothing tells them apart."""

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.adapters.system import SystemRandom
from deputize.core.wire import b64u_bytes, json_object, json_value
from deputize.jose import jws
from deputize.vc.issue import ALWAYS_SHOWN, SHOWN, TYPED_SD, UNRESERVED, Frame, Unfit, issue, unsigned
from deputize.vc.sdjwt import outline, parse
from tests.support.ports import CountingRandom
from tests.support.proofs import lets_through, stops
from tests.vc.made import FRAME, TYP, an_sd_jwt, claims, issuer_key, read, why_not


def payload_of(text: str) -> dict[str, Any]:
    return json_object(jws.parse(parse(text, "x").jwt).payload)


def disclosed(text: str) -> list[Any]:
    return [json_value(b64u_bytes(each)) for each in parse(text, "x").disclosures]


@lets_through(UNRESERVED, ALWAYS_SHOWN, TYPED_SD)
def test_what_may_be_hidden_is_in_disclosures_and_nowhere_else() -> None:
    text = an_sd_jwt()
    payload = payload_of(text)
    assert payload["address"].keys() == {"country", "_sd"}
    assert [one.keys() for one in payload["nationalities"]] == [{"..."}, {"..."}]
    assert payload["_sd_alg"] == "sha-256"
    assert sorted(one[1:] for one in disclosed(text)) == [
        ["ES"],
        ["PT"],
        ["given_name", "Alice"],
        ["locality", "Madrid"],
    ]
    assert read(text).claims == claims()


def test_an_inner_disclosure_lies_in_the_outer_one() -> None:
    frame = Frame.of("address", ("address", "locality"), "nationalities", ("nationalities", 1))
    text = an_sd_jwt(frame)
    found = {one[1]: one[2] for one in disclosed(text) if len(one) == 3}
    assert found["address"].keys() == {"country", "_sd"}
    assert found["nationalities"][0] == "ES"
    assert found["nationalities"][1].keys() == {"..."}
    assert read(text).claims == claims()


def test_the_order_of_digests_says_nothing_about_that_of_claims() -> None:
    many = {f"claim_{number}": number for number in range(8)}
    first = Counter[int]()
    for _ in range(200):
        text = issue(many, Frame.of(*many), key=issuer_key(), typ=TYP, random=SystemRandom())
        digests, root = payload_of(text)["_sd"], outline(payload_of(text), parse(text, "x").disclosures)
        assert digests == sorted(digests)
        assert root.members is not None
        by_digest = dict(zip(_digests(text), range(8), strict=True))
        first[by_digest[digests[0]]] += 1
    assert len(first) > 4  # any claim's may be the first


def _digests(text: str) -> list[str]:
    from deputize.vc.sdjwt import HASHES, digest  # noqa: PLC0415 (of this helper alone)

    return [digest(each, HASHES["sha-256"]) for each in parse(text, "x").disclosures]


def test_each_salt_is_fresh_and_has_128_bits() -> None:
    salts = [one[0] for _ in range(300) for one in disclosed(an_sd_jwt())]
    assert len(set(salts[:4])) == 4
    thrown = [one[0] for _ in range(300) for one in disclosed(issue(claims(), FRAME, **_by_chance()))]
    assert len(set(thrown)) == len(thrown)
    assert {len(salt) for salt in thrown} == {22}
    assert len({letter for salt in thrown for letter in salt}) == 64


def _by_chance() -> dict[str, Any]:
    return {"key": issuer_key(), "typ": TYP, "random": SystemRandom()}


def test_decoys_stand_between_and_are_never_seen() -> None:
    frame = Frame.of("given_name", ("nationalities", None), decoys={(): 5, ("nationalities",): 3, ("address",): 2})
    text = issue(claims(), frame, **_by_chance())
    payload = payload_of(text)
    assert len(payload["_sd"]) == 6
    assert len(payload["nationalities"]) == 5
    assert len(payload["address"]["_sd"]) == 2
    assert {len(digest) for digest in payload["_sd"]} == {43}
    assert read(text).claims == claims()
    assert len(payload_of(issue(claims(), Frame.of(decoys=3), **_by_chance()))["_sd"]) == 3


def test_decoys_in_an_array_have_no_place_of_their_own() -> None:
    frame = Frame.of(decoys={("nationalities",): 1})
    places = {
        tuple(isinstance(one, dict) for one in payload_of(issue(claims(), frame, **_by_chance()))["nationalities"])
        for _ in range(100)
    }
    assert len(places) == 3


def test_nothing_to_hide_leaves_no_trace() -> None:
    text = an_sd_jwt(SHOWN)
    assert parse(text, "x").disclosures == ()
    assert payload_of(text) == claims()
    assert an_sd_jwt(Frame.of("middle_name")).count("~") == 1  # a claim that this person has not


@pytest.mark.parametrize("hashed", ["sha-256", "sha-384", "sha-512"])
def test_another_hash_is_named(hashed: str) -> None:
    text = issue(claims(), FRAME, key=issuer_key(), typ=TYP, random=CountingRandom(), hashed=hashed)
    assert payload_of(text)["_sd_alg"] == hashed
    assert read(text).claims == claims()


@stops(UNRESERVED)
@pytest.mark.parametrize("name", ["_sd", "...", "_sd_alg"])
def test_no_claim_has_a_name_with_another_purpose(name: str) -> None:
    for frame in (SHOWN, Frame.of(name), Frame.of(("address", name)), Frame.of("address")):
        for changes in ({name: 1}, {"address": {name: 1}}, {"address": [{name: 1}]}):
            if frame.inside and isinstance(changes.get("address"), list):
                continue
            with pytest.raises(Unfit) as unfit:
                an_sd_jwt(frame, **changes)
            assert unfit.value.rule is UNRESERVED


@stops(ALWAYS_SHOWN)
@pytest.mark.parametrize("name", ["iss", "exp", "nbf", "cnf", "aud"])
def test_what_validity_rests_on_is_not_hidden(name: str) -> None:
    with pytest.raises(Unfit) as unfit:
        an_sd_jwt(Frame.of(name))
    assert unfit.value.rule is ALWAYS_SHOWN
    if name != "aud":
        with pytest.raises(Unfit):
            an_sd_jwt(Frame.of((name, "jwk")))


def test_who_else_it_is_for_may_be_hidden() -> None:
    text = an_sd_jwt(Frame.of(("aud", None)), aud=["https://a.example", "https://b.example"])
    assert len(parse(text, "x").disclosures) == 2


@stops(TYPED_SD)
@pytest.mark.parametrize("typ", ["", "JWT", "at+jwt", "sd-jwt"])
def test_what_is_issued_has_a_typ_of_its_own(typ: str) -> None:
    with pytest.raises(Unfit) as unfit:
        an_sd_jwt(typ=typ)
    assert unfit.value.rule is TYPED_SD


@pytest.mark.parametrize("value", [{1, 2}, math.nan, b"bytes", object(), [math.inf], {"a": {3}}])
def test_what_is_no_json_is_not_issued(value: object) -> None:
    for frame in (SHOWN, Frame.of("x")):
        with pytest.raises((TypeError, ValueError)):
            an_sd_jwt(frame, x=value)


def test_a_frame_that_does_not_fit_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="neither object nor array"):
        an_sd_jwt(Frame.of(("given_name", "first")))
    with pytest.raises(ValueError, match="path"):
        Frame.of(())
    with pytest.raises(ValueError, match="decoys"):
        Frame.of("a", decoys=-1)
    with pytest.raises(ValueError, match="decoys"):
        Frame.of("a", decoys=101)
    many: dict[str, Any] = {f"claim_{number}": number for number in range(201)}
    with pytest.raises(ValueError, match="200"):
        an_sd_jwt(Frame.of(*many), **many)


def test_loaded_dice_are_found_out() -> None:
    with pytest.raises(ValueError, match="loaded"):
        issue(claims(), Frame.of(decoys=2), key=issuer_key(), typ=TYP, random=lambda bits: "A" * (bits // 6 + 1))
    with pytest.raises(ValueError, match="dice"):
        issue(claims(), FRAME, key=issuer_key(), typ=TYP, random=lambda _: "A")


def test_a_key_that_is_elsewhere_signs_the_same() -> None:
    made = unsigned(claims(), FRAME, alg="ES256", kid=issuer_key().kid, typ=TYP, random=CountingRandom())
    assert "A" not in repr(made).removeprefix("<deputize").partition(" object at")[0].replace("Unsigned", "")
    assert read(made.signed(issuer_key().sign(made.data))).claims == claims()


def test_a_frame_tells_its_paths() -> None:
    assert {*FRAME.paths()} == {("given_name",), ("address", "locality"), ("nationalities", None)}


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_NAMES = st.text(min_size=1).filter(
    lambda name: name not in {"_sd", "_sd_alg", "...", "iss", "exp", "nbf", "cnf", "aud"}
)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clean(member) for name, member in value.items() if name not in {"_sd", "_sd_alg", "..."}}
    return [_clean(element) for element in value] if isinstance(value, list) else value


@given(st.dictionaries(_NAMES, _JSON, max_size=5), st.data())
def test_whatever_is_hidden_comes_back(told: dict[str, Any], data: st.DataObject) -> None:
    good = {name: _clean(value) for name, value in told.items()}
    hidden = data.draw(st.sets(st.sampled_from(sorted(good)))) if good else set()
    nested = [(name, None) for name, value in good.items() if isinstance(value, list) and name in hidden]
    try:
        text = issue(
            good | {"iss": claims()["iss"], "exp": claims()["exp"]},
            Frame.of(*hidden, *nested, decoys=2),
            **_by_chance(),
        )
    except ValueError:  # a lone surrogate is no text
        return
    registered = {"sub", "jti", "client_id", "scope", "iat"}
    if registered.isdisjoint(good):
        seen = {name: value for name, value in read(text).claims.items() if name not in {"iss", "exp"}}
        assert seen == good
    else:
        why_not(text)


def test_what_is_to_be_signed_does_not_show_its_salts() -> None:
    made = unsigned(claims(), FRAME, alg="ES256", kid="1", typ=TYP, random=CountingRandom())
    assert made.disclosures
    assert not any(one in repr(made) or one in str(made) for one in made.disclosures)
