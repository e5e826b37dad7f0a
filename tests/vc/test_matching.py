"""Which credentials answer a query: the wallet's choice shows no more than is asked, and the verifier looks again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from deputize.core.rules import Refusal, Rule
from deputize.vc.dcql import Query, read
from deputize.vc.issue import Frame
from deputize.vc.matching import (
    ALL_REQUIRED,
    ASKED_FOR,
    CLAIMS_SHOWN,
    OF_AUTHORITY,
    OF_FORMAT,
    OF_TYPE,
    ONE_UNLESS_MULTIPLE,
    Choice,
    choose,
    held_whole,
)
from deputize.vc.paths import Node
from deputize.vc.present import choose as chosen
from deputize.vc.present import tree
from tests.support.proofs import lets_through, stops
from tests.vc.made import VCT, an_sd_jwt
from tests.vc.test_dcql import CITY, NAME, a_credential, a_query

ALL_HIDDEN = Frame.of("given_name", "address", ("address", "locality"), ("address", "country"), ("nationalities", None))


@dataclass(frozen=True)
class Card:
    """A credential as a test sees it."""

    text: str
    types: frozenset[str] = frozenset({VCT})
    bound: bool = True
    authorities: frozenset[str] = frozenset()

    @property
    def root(self) -> Node:
        return tree(self.text)


def a_card(frame: Frame = ALL_HIDDEN, **changes: Any) -> Card:
    return Card(an_sd_jwt(frame, **changes))


def shown(choice: Choice, cards: Sequence[Card]) -> dict[str, list[Card]]:
    """What goes out for a choice."""
    told: dict[str, list[Card]] = {}
    for pick in choice.picks:
        card = cards[pick.place]
        text = chosen(card.text, [node.path for node in pick.show])
        told.setdefault(pick.query, []).append(Card(text, card.types, card.bound, card.authorities))
    return told


def why_not(query: Query, answers: dict[str, list[Card]]) -> Rule | None:
    try:
        held_whole(query, answers, "access_denied")
    except Refusal as refusal:
        return refusal.rule
    return None


@lets_through(ASKED_FOR, ONE_UNLESS_MULTIPLE, OF_FORMAT, OF_TYPE, CLAIMS_SHOWN, ALL_REQUIRED)
def test_what_is_asked_is_shown_and_nothing_else() -> None:
    query, cards = read(a_query()), [a_card()]
    choice = choose(query, cards)
    answer = shown(choice, cards)
    (card,) = answer["dip"]
    assert len(choice.picks[0].disclosures) == card.text.count("~") - 1 == 3  # the name, the address, the city in it
    assert set(card.root.members or {}) >= {"given_name", "address"}
    assert "country" not in (card.root.members or {})["address"].members or {}  # type: ignore[operator]
    assert why_not(query, answer) is None


def test_where_no_claim_is_asked_nothing_that_could_be_hidden_is_shown() -> None:
    query, cards = read(a_query(claims=...)), [a_card()]
    (pick,) = choose(query, cards).picks
    assert pick.disclosures == frozenset()
    assert why_not(query, shown(choose(query, cards), cards)) is None


@stops(CLAIMS_SHOWN)
def test_a_claim_that_is_not_there_is_not_answered() -> None:
    for path in (["missing"], ["given_name", "x"], ["given_name", 0], ["nationalities", 7], ["address", None]):
        query = read(a_query(claims=[{"path": path}]))
        choice = choose(query, [a_card()])
        assert choice.picks == ()
        assert choice.missing == {"dip": (CLAIMS_SHOWN.says,)}
        assert why_not(query, {"dip": [a_card()]}) is CLAIMS_SHOWN


@stops(CLAIMS_SHOWN)
def test_a_required_claim_that_stays_hidden_is_refused() -> None:
    hidden = Card(chosen(a_card().text, ["given_name"]))
    assert why_not(read(a_query()), {"dip": [hidden]}) is CLAIMS_SHOWN


@stops(CLAIMS_SHOWN)
@pytest.mark.parametrize(
    ("values", "fits"),
    [(["Alice"], True), (["Bob", "Alice"], True), (["alice"], False), (["Bob"], False), ([1, True], False)],
)
def test_a_value_is_matched_exactly(values: list[object], fits: bool) -> None:  # noqa: FBT001 (a column of the table)
    query = read(a_query(claims=[{"path": ["given_name"], "values": values}]))
    assert bool(choose(query, [a_card()]).picks) is fits
    assert (why_not(query, {"dip": [a_card()]}) is None) is fits


def test_true_is_no_one_and_one_is_not_true() -> None:
    one = [a_card(Frame(), level=1, adult=True)]
    for path, value, fits in (("level", 1, 1), ("level", True, 0), ("adult", True, 1), ("adult", 1, 0)):
        query = read(a_query(claims=[{"path": [path], "values": [value]}]))
        assert len(choose(query, one).picks) == fits


def test_of_an_array_only_the_elements_that_match_are_shown() -> None:
    query, cards = read(a_query(claims=[{"path": ["nationalities", None], "values": ["PT"]}])), [a_card()]
    answer = shown(choose(query, cards), cards)
    elements = (answer["dip"][0].root.members or {})["nationalities"].elements or ()
    assert [None if one is None else one.value for one in elements] == [None, "PT"]
    assert why_not(query, answer) is None


def test_the_first_set_of_claims_that_can_be_met_is_taken() -> None:
    asked = [NAME, CITY, {"id": "x", "path": ["missing"]}]
    query = read(a_query(claims=asked, claim_sets=[["x"], ["c"], ["n"]]))
    (pick,) = choose(query, [a_card()]).picks
    assert [node.path for node in pick.show] == [("address", "locality")]


def test_of_credentials_that_answer_the_one_that_shows_least_is_taken() -> None:
    cards = [a_card(), a_card(Frame()), a_card(Frame.of("given_name"))]
    (pick,) = choose(read(a_query()), cards).picks
    assert (pick.place, pick.disclosures) == (1, frozenset())


@stops(OF_TYPE, OF_FORMAT)
def test_another_type_or_a_credential_without_a_holder_is_none() -> None:
    other, unbound = Card(a_card().text, types=frozenset({"x"})), Card(a_card().text, bound=False)
    query = read(a_query())
    assert choose(query, [other, unbound]).missing == {"dip": (OF_TYPE.says, OF_FORMAT.says)}
    assert why_not(query, {"dip": [other]}) is OF_TYPE
    assert why_not(query, {"dip": [unbound]}) is OF_FORMAT
    assert choose(read(a_query(require_cryptographic_holder_binding=False)), [unbound]).picks


def test_a_credential_that_stands_for_a_type_is_taken_for_it() -> None:
    also = Card(a_card().text, types=frozenset({"urn:example:doctorate", VCT}))
    assert choose(read(a_query()), [also]).picks


def test_what_is_of_another_format_is_answered_by_nothing() -> None:
    query = read(a_query(format="mso_mdoc", meta={"doctype_value": "org.iso.18013.5.1.mDL"}))
    assert choose(query, [a_card()]).picks == ()


@lets_through(OF_AUTHORITY)
@stops(OF_AUTHORITY)
def test_an_authority_is_told_by_the_key_identifier_of_its_certificate() -> None:
    ours = Card(a_card().text, authorities=frozenset({"s9tIpPmhxdiuNkHMEWNpYim8S8Y"}))
    named = [{"type": "aki", "values": ["s9tIpPmhxdiuNkHMEWNpYim8S8Y"]}]
    lists = [{"type": "etsi_tl", "values": ["s9tIpPmhxdiuNkHMEWNpYim8S8Y"]}]
    query = read(a_query(trusted_authorities=named))
    assert why_not(query, {"dip": [ours]}) is None
    assert why_not(query, {"dip": [a_card()]}) is OF_AUTHORITY
    assert choose(read(a_query(trusted_authorities=lists)), [ours]).picks == ()  # what we cannot tell is not so
    assert choose(read(a_query(trusted_authorities=lists + named)), [ours]).picks


@stops(ASKED_FOR)
def test_what_was_not_asked_is_refused() -> None:
    query = read(a_query())
    assert why_not(query, {"dip": [a_card()], "more": [a_card()]}) is ASKED_FOR
    assert why_not(query, {"dip": []}) is ASKED_FOR


@stops(ONE_UNLESS_MULTIPLE)
def test_two_presentations_are_one_too_many() -> None:
    assert why_not(read(a_query()), {"dip": [a_card(), a_card()]}) is ONE_UNLESS_MULTIPLE
    assert why_not(read(a_query(multiple=True)), {"dip": [a_card(), a_card()]}) is None


TWO = [a_credential(), a_credential(id="pid", meta={"vct_values": ["urn:pid"]}, claims=...)]


def a_pid() -> Card:
    return Card(a_card().text, types=frozenset({"urn:pid"}))


@stops(ALL_REQUIRED)
def test_without_sets_every_credential_is_needed() -> None:
    query = read({"credentials": TWO})
    assert choose(query, [a_card()]).picks == ()  # all or nothing
    assert len(choose(query, [a_card(), a_pid()]).picks) == 2
    assert why_not(query, {"dip": [a_card()]}) is ALL_REQUIRED
    assert why_not(query, {}) is ALL_REQUIRED


@stops(ALL_REQUIRED)
def test_of_a_required_set_one_option_is_enough_and_the_first_is_taken() -> None:
    query = read({"credentials": TWO, "credential_sets": [{"options": [["dip", "pid"], ["pid"]]}]})
    assert {pick.query for pick in choose(query, [a_card(), a_pid()]).picks} == {"dip", "pid"}
    assert {pick.query for pick in choose(query, [a_pid()]).picks} == {"pid"}
    assert why_not(query, {"pid": [a_pid()]}) is None
    assert why_not(query, {"dip": [a_card()]}) is ALL_REQUIRED


def test_what_is_optional_is_shown_only_by_who_wants_to() -> None:
    sets = [{"options": [["pid"]]}, {"options": [["dip"]], "required": False}]
    query, cards = read({"credentials": TWO, "credential_sets": sets}), [a_card(), a_pid()]
    assert {pick.query for pick in choose(query, cards).picks} == {"pid"}
    assert {pick.query for pick in choose(query, cards, optional=True).picks} == {"dip", "pid"}
    assert why_not(query, shown(choose(query, cards, optional=True), cards)) is None
