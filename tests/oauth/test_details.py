"""Authorization details: what they must be, and what they say of themselves; who is who in a chain of actors."""

import json
from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.core.values import ClientId, Instant, Issuer, Seconds, Subject
from deputize.oauth import delegation, details
from deputize.oauth import reading as readings
from deputize.oauth.client import Resource
from deputize.oauth.delegation import CHAIN, Actor
from deputize.oauth.details import DETAILS, Detail
from tests.support.cast import NOW, ORDER, PHARMACY, READ, a_call, a_client, a_purchase, an_ask
from tests.support.proofs import lets_through, stops


@lets_through(DETAILS)
def test_equal_details_are_equal_whatever_the_order_of_their_members_was() -> None:
    turned = dict(reversed(a_purchase().items())) | {"amount": {"currency": "EUR", "value": "12.40"}}
    one, other = details.details([turned]), details.details(json.dumps([a_purchase()]))
    assert one == other
    assert one[0].members == a_purchase()
    assert details.covers(one[0], other[0])
    assert not details.covers(one[0], details.detail(a_call()))
    assert details.http_call("POST", f"{PHARMACY}/orders", b'{"quantity": 30}') == details.detail(a_call())


BAD_PURCHASES: list[dict[str, Any]] = [
    {"item": ""},
    {"item": 7},
    {"item": "x" * 81},
    {"item": "a\u202eb"},
    {"payee": " "},
    {"payee": "a\nb"},
    {"quantity": 0},
    {"quantity": -1},
    {"quantity": 1.0},
    {"quantity": True},
    {"quantity": "1"},
    {"quantity": 10**6},
    {"amount": 7},
    {"amount": {"value": "1"}},
    {"amount": {"value": "1", "currency": "EUR", "more": 1}},
    {"amount": {"value": 1, "currency": "EUR"}},
    {"amount": {"value": "-1", "currency": "EUR"}},
    {"amount": {"value": "1,5", "currency": "EUR"}},
    {"amount": {"value": "01", "currency": "EUR"}},
    {"amount": {"value": "1e3", "currency": "EUR"}},
    {"amount": {"value": "1.", "currency": "EUR"}},
    {"amount": {"value": "1\n", "currency": "EUR"}},
    {"amount": {"value": "1", "currency": "eur"}},
    {"amount": {"value": "1", "currency": "EURO"}},
    {"amount": {"value": "1", "currency": ["EUR"]}},
    {"extra": 1},
    {"cls": 1},
    {"type": "Purchase"},
    {"type": None},
    {"type": ["purchase"]},
    {"type": {}},
]
BAD_CALLS: list[dict[str, Any]] = [
    {"method": "post"},
    {"method": "PO ST"},
    {"method": ""},
    {"method": 7},
    {"url": "http://api.pharmacy.example"},
    {"url": "/orders"},
    {"url": "https://api.pharmacy.example/#x"},
    {"url": "https://a@api.pharmacy.example"},
    {"url": "https://api.pharmacy.example/\n"},
    {"url": 7},
    {"size": -1},
    {"size": True},
    {"size": "5"},
    {"content_digest": "sha-512=:AAAA:"},
    {"content_digest": "sha-256=:AAAA:"},
    {"content_digest": 7},
]


@stops(DETAILS)
@pytest.mark.parametrize(
    "bad", [{**a_purchase(), **more} for more in BAD_PURCHASES] + [{**a_call(), **more} for more in BAD_CALLS], ids=str
)
def test_a_detail_that_is_none(bad: dict[str, Any]) -> None:
    for told in ([bad], json.dumps([bad])):
        with pytest.raises(Refusal) as stopped:
            details.details(told)
        assert stopped.value.rule is DETAILS
        assert stopped.value.error == "invalid_authorization_details"


@stops(DETAILS)
@pytest.mark.parametrize("bad", [None, 7, {}, "{}", "x", "", [[]], [7], [a_purchase()] * 9])
def test_details_that_are_no_array_of_a_few(bad: Any) -> None:
    with pytest.raises(Refusal) as stopped:
        details.details(bad)
    assert stopped.value.rule is DETAILS


@pytest.mark.parametrize(
    ("value", "currency", "said"),
    [
        ("12.4", "EUR", "€12.40"),
        ("0", "USD", "$0.00"),
        ("1234567.8", "GBP", "£1,234,567.80"),
        ("0.0001", "EUR", "€0.0001"),
        ("999999999999", "CHF", "999,999,999,999.00 CHF"),
    ],
)
def test_money_is_said_in_full(value: str, currency: str, said: str) -> None:
    assert details.money(value, currency) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (300, "5 minutes"),
        (3600, "1 hour"),
        (3601, "2 hours"),
        (24 * 3600, "1 day"),
        (30 * 24 * 3600, "30 days"),
    ],
)
def test_a_time_is_never_said_shorter_than_it_is(seconds: int, said: str) -> None:
    assert readings.minutes(Seconds(seconds)) == said


def test_the_sentence_of_a_standing_yes() -> None:
    pharmacy = Resource(key=PHARMACY, name="Madrid Pharmacy", scopes={READ: "read your prescriptions"})
    reading = readings.reading(an_ask(), a_client("pharmacy-bot"), (pharmacy,))
    assert reading.sentence == (
        "pharmacy-bot wants to read your prescriptions at Madrid Pharmacy, for 30 days, or until you take it back."
    )
    assert dict(reading.facts)["Where"] == "Madrid Pharmacy"
    unknown = an_ask(wanted=an_ask().wanted.narrowed(until=Instant(NOW + 60)), client="x")
    reading = readings.reading(unknown, a_client("x"), ())
    assert reading.sentence == f"x wants to use “{READ}”, for 1 minute, or until you take it back."
    assert ORDER not in reading.sentence


@lets_through(CHAIN)
def test_a_chain_is_read_as_it_was_written() -> None:
    chain = Actor(subject=Subject("b"), issuer="https://a.example", before=Actor(subject=Subject("a")))
    longer = chain.followed_by(Subject("c"), error="invalid_request")
    for one in (chain, longer):
        assert delegation.from_claim(one.claim(), error="x") == one
    assert (longer.depth, longer.before) == (3, chain)
    assert delegation.from_claim(None, error="x") is None


@stops(CHAIN)
def test_a_chain_of_more_than_five_or_of_nobody() -> None:
    chain = Actor(subject=Subject("a"))
    for name in "bcde":
        chain = chain.followed_by(Subject(name), error="invalid_request")
    assert delegation.from_claim(chain.claim(), error="x") == chain
    with pytest.raises(Refusal) as stopped:
        chain.followed_by(Subject("f"), error="invalid_request")
    assert stopped.value.rule is CHAIN
    crooked: list[Any] = [
        {"sub": "f", "act": chain.claim()},
        {"act": {"sub": "a"}},
        {"sub": "a", "act": []},
        "a",
        7,
        [],
    ]
    for bad in crooked:
        with pytest.raises(Refusal) as stopped:
            delegation.from_claim(bad, error="invalid_token")
        assert (stopped.value.rule, stopped.value.error) == (CHAIN, "invalid_token")


def test_an_actor_of_another_server_is_not_ours_by_its_name() -> None:
    here, client = Issuer("https://as.example"), ClientId("bot")
    assert Actor(subject=Subject("bot")).is_of(here, client)
    assert Actor(subject=Subject("bot"), issuer="https://as.example").is_of(here, client)
    assert not Actor(subject=Subject("bot"), issuer="https://other.example").is_of(here, client)
    assert not Actor(subject=Subject("other")).is_of(here, client)


def test_only_a_detail_for_one_call_binds() -> None:
    assert details.binds(details.detail(a_call()))
    assert not details.binds(details.detail(a_purchase()))
    assert not details.binds(Detail("of a type that is gone", "{}"))
