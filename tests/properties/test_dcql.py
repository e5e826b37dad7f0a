"""Laws of a query: what a wallet chooses satisfies the verifier, shows no more than is asked, and needs all of it."""

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deputize.core.rules import Refusal
from deputize.vc.dcql import Query, read
from deputize.vc.matching import choose, held_whole, required, satisfied
from deputize.vc.present import choose as chosen
from tests.vc.made import VCT
from tests.vc.test_matching import Card, a_card, shown

CARDS = (a_card(), Card(a_card().text, types=frozenset({"urn:pid"})), Card(a_card().text, bound=False))
CONTAINERS = {("address",), ("nationalities",), ("nationalities", None)}  # shown also where a part of them is not
PATHS = (
    ["given_name"],
    ["address"],
    ["address", "locality"],
    ["address", "country"],
    ["nationalities", None],
    ["nationalities", 1],
    ["nationalities"],
    ["missing"],
    ["given_name", 0],
)


@st.composite
def queries(draw: st.DrawFn) -> dict[str, Any]:
    credentials = []
    for name in "ab"[: draw(st.integers(1, 2))]:
        one: dict[str, Any] = {
            "id": name,
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [draw(st.sampled_from([VCT, "urn:pid", "urn:none"]))]},
            "require_cryptographic_holder_binding": draw(st.booleans()),
        }
        paths = draw(st.lists(st.sampled_from(PATHS), max_size=3))
        if paths:
            one["claims"] = [{"id": f"c{place}", "path": path} for place, path in enumerate(paths)]
            if draw(st.booleans()):
                one["claims"][0]["values"] = draw(st.sampled_from([["Alice"], ["ES", "PT"], ["nobody"]]))
            if draw(st.booleans()):
                ids = [claim["id"] for claim in one["claims"]]
                one["claim_sets"] = draw(st.lists(st.lists(st.sampled_from(ids), min_size=1), min_size=1, max_size=2))
        credentials.append(one)
    said: dict[str, Any] = {"credentials": credentials}
    if draw(st.booleans()):
        ids = [one["id"] for one in credentials]
        option = st.lists(st.sampled_from(ids), min_size=1, max_size=2)
        one_set = st.fixed_dictionaries(
            {"options": st.lists(option, min_size=1, max_size=2), "required": st.booleans()}
        )
        said["credential_sets"] = draw(st.lists(one_set, min_size=1, max_size=2))
    return said


def takes(query: Query, answers: dict[str, list[Card]]) -> bool:
    try:
        held_whole(query, answers, "access_denied")
    except Refusal:
        return False
    return True


@given(queries(), st.booleans())
def test_what_a_wallet_chooses_satisfies_the_verifier(said: dict[str, Any], optional: bool) -> None:  # noqa: FBT001 (drawn)
    query = read(said)
    choice = choose(query, CARDS, optional=optional)
    if choice.picks:
        assert takes(query, shown(choice, CARDS))
    else:  # something that is required cannot be had, or nothing is required
        there = {one.id for one in query.credentials} - choice.missing.keys()
        assert not satisfied(query, there) or not required(query)


@given(queries())
def test_nothing_that_was_chosen_can_be_left_out(said: dict[str, Any]) -> None:
    """Take away one Disclosure that was chosen: then the verifier does not take it any more."""
    query = read(said)
    answers = shown(choose(query, CARDS), CARDS)
    for name, (card,) in answers.items():
        jwt, *disclosures, _ = card.text.split("~")
        for place in range(len(disclosures)):
            fewer = "~".join((jwt, *disclosures[:place], *disclosures[place + 1 :], ""))
            try:
                one = Card(fewer, card.types, card.bound)
                one.root  # noqa: B018 (a Disclosure whose parent is gone is refused already here)
            except Refusal:
                continue
            asked = query.of(name)
            whole = asked is not None and any(
                claim.path in {("address",), ("nationalities",), ("nationalities", None)} for claim in asked.claims
            )
            assert whole or not takes(query, {**answers, name: [one]})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["credentials", "id", "format", "meta", "claims", "path", "values", "credential_sets", "options"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_whatever_is_sent_is_read_or_refused(said: object) -> None:
    with contextlib.suppress(Refusal):
        assert read(said).credentials


def test_a_whole_credential_is_chosen_by_none_of_these() -> None:
    """The cards of these laws have something to hide."""
    assert chosen(CARDS[0].text, []).count("~") == 1
