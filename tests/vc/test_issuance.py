"""Offers and answers as a wallet reads them: nothing is believed but where an offer leads."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from deputize.core.rules import Refusal, Rule
from deputize.core.wire import JsonObject, Malformed
from deputize.vc.issuance import (
    OFFER,
    OFFER_GRANTS,
    OFFER_LINK,
    PRE_AUTHORIZED,
    CredentialOffer,
    credentials,
    offer,
    offer_link,
    read_offer_link,
)
from tests.support.proofs import lets_through, stops
from tests.vectors.places import each, load

GOOD: JsonObject = {
    "credential_issuer": "https://iss.example/edu",
    "credential_configuration_ids": ["diploma"],
    "grants": {PRE_AUTHORIZED: {"pre-authorized_code": "Zk3", "tx_code": {"length": 6, "input_mode": "numeric"}}},
}


def why_not(**changes: Any) -> Rule | None:
    try:
        offer({name: value for name, value in (GOOD | changes).items() if value is not ...})
    except Refusal as refusal:
        return refusal.rule
    return None


@lets_through(OFFER, OFFER_GRANTS, OFFER_LINK)
def test_an_offer_is_read_from_its_link() -> None:
    told = read_offer_link(offer_link("openid-credential-offer", GOOD))
    assert isinstance(told, CredentialOffer)
    assert (told.issuer, told.configurations, told.code) == ("https://iss.example/edu", ("diploma",), "Zk3")
    assert told.tx_code == {"length": 6, "input_mode": "numeric"}
    assert not told.has_code_flow
    assert read_offer_link(offer_link("haip-vci", "https://iss.example/o/1")) == "https://iss.example/o/1"
    flow = offer(GOOD | {"grants": {"authorization_code": {"issuer_state": "s"}}})
    assert (flow.has_code_flow, flow.issuer_state, flow.code) == (True, "s", None)
    assert offer({name: value for name, value in GOOD.items() if name != "grants"}).has_code_flow
    assert offer(GOOD | {"grants": {PRE_AUTHORIZED: {"pre-authorized_code": "x", "tx_code": {}}}}).tx_code == {}


@stops(OFFER)
@pytest.mark.parametrize(
    "changes",
    [
        {"credential_issuer": ...},
        {"credential_issuer": "http://iss.example"},
        {"credential_issuer": 7},
        {"credential_configuration_ids": ...},
        {"credential_configuration_ids": []},
        {"credential_configuration_ids": ["a", "a"]},
        {"credential_configuration_ids": [7]},
        {"credential_configuration_ids": "diploma"},
        {"credential_configuration_ids": [""]},
    ],
)
def test_an_offer_that_leads_nowhere_is_refused(changes: dict[str, Any]) -> None:
    assert why_not(**changes) is OFFER


@stops(OFFER_GRANTS)
@pytest.mark.parametrize(
    "grants",
    [
        [],
        {PRE_AUTHORIZED: {}},
        {PRE_AUTHORIZED: {"pre-authorized_code": " "}},
        {PRE_AUTHORIZED: {"pre-authorized_code": "x", "tx_code": "1234"}},
        {PRE_AUTHORIZED: {"pre-authorized_code": "x", "tx_code": {"description": "d" * 301}}},
        {"authorization_code": "x"},
        {"authorization_code": {"issuer_state": ""}},
        {
            "authorization_code": {"authorization_server": "https://a.example"},
            PRE_AUTHORIZED: {"pre-authorized_code": "x", "authorization_server": "https://b.example"},
        },
    ],
)
def test_a_grant_in_an_offer_is_whole(grants: Any) -> None:
    assert why_not(grants=grants) is OFFER_GRANTS


@stops(OFFER_LINK)
@pytest.mark.parametrize(
    "told",
    [
        {},
        {"credential_offer": "{"},
        {"credential_offer_uri": "http://iss.example/o"},
        {"credential_offer": json.dumps(GOOD), "credential_offer_uri": "https://iss.example/o"},
        [("credential_offer_uri", "https://iss.example/o"), ("credential_offer_uri", "https://iss.example/p")],
        {"credential_offer": json.dumps(GOOD | {"x": "y" * 40_000})},
    ],
)
def test_a_link_has_an_offer_or_its_address(told: Any) -> None:
    with pytest.raises(Refusal) as refused:
        read_offer_link(f"openid-credential-offer://?{urlencode(told)}")
    assert refused.value.rule is OFFER_LINK


def test_an_answer_has_credentials() -> None:
    assert credentials({"credentials": [{"credential": "a~"}, {"credential": "b~"}]}) == ["a~", "b~"]
    broken: tuple[JsonObject, ...] = (
        {},
        {"credentials": []},
        {"credentials": ["a"]},
        {"credentials": [{"credential": {}}]},
    )
    for bad in broken:
        with pytest.raises(Malformed):
            credentials(bad)


def _offers(place: Path) -> Any:
    for file in sorted(place.glob("*credential_offer*.json")):
        yield file.stem, load(file)


BROKEN = {
    "credential_offer_over_sized_tx_code_description",
    "credential_offer_with_blank_issuer_state",
    "credential_offer_with_blank_pre_authorized_code",
}


@each("eudi-openid4vci-kt", lambda place: ((name, (name, said)) for name, said in _offers(place)))
def test_the_offers_of_another_wallet_s_tests(case: Any) -> None:
    """Blank and oversized ones are refused; a format that nobody knows is the metadata's affair."""
    name, said = case
    if name not in BROKEN:
        assert offer(said).configurations
        return
    with pytest.raises(Refusal) as refused:
        offer(said)
    assert refused.value.rule is OFFER_GRANTS


@each("oidf-openid4vci-1.0", _offers)
def test_the_offers_of_the_specification_are_read(case: Any) -> None:
    assert offer(case).configurations
