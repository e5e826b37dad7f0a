"""Mallory has the link of an offer that was made for Alice: from a photograph, a history, or a screen that she saw.

She does not have the transaction code, which Alice was told by another way.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest

from deputize.core.ports import Event
from deputize.core.values import Secret
from deputize.oauth.grants.pre_authorized_code import (
    LIVE,
    NO_REPLAY,
    TX_EXPECTED,
    TX_FEW_TRIES,
    TX_RIGHT,
)
from deputize.oauth.offers import ISSUER_STATE, LIFE, Offer
from deputize.oauth.throttle import NOT_TOO_FAST
from deputize.server.credentials import ANONYMOUS
from tests.support.asgi import Answer
from tests.support.cast import BOT
from tests.support.credentials import DIPLOMA, SETTINGS, WALLET, Issuing, an_issuer, an_issuer_with_pages, identifier_of
from tests.support.proofs import lets_through, stops


@pytest.fixture
async def issuing() -> AsyncIterator[Issuing]:
    async with an_issuer() as made:
        yield made


def says(answer: Answer, rule: object, error: str = "invalid_grant", status: int = 400) -> None:
    assert answer.told == (status, error)
    assert answer["error_description"] == getattr(rule, "says", None)


@lets_through(LIVE, TX_EXPECTED, TX_RIGHT, TX_FEW_TRIES, NO_REPLAY)
async def test_who_knows_the_transaction_code_has_the_offer(issuing: Issuing) -> None:
    made = await issuing.offered(tx_code=True)
    assert made.tx_code is not None
    grant = made.told()["grants"]["urn:ietf:params:oauth:grant-type:pre-authorized_code"]
    assert grant["tx_code"] == {"input_mode": "numeric", "length": 6}
    code = made.tx_code.reveal()
    assert code.isdecimal()
    assert len(code) == 6
    assert (await issuing.redeem(made, tx_code=code)).status == 200


@stops(LIVE)
async def test_a_code_that_was_never_made_or_is_old_is_worth_nothing(issuing: Issuing) -> None:
    made = await issuing.offered()
    kept = await issuing.world.store.read(Offer, made.offer.key)
    assert kept is not None
    assert made.secret.reveal() not in str(kept)
    other = dataclasses.replace(made, secret=Secret("never-made"))
    says(await issuing.redeem(other), LIVE)
    issuing.world.clock.forward(LIFE)
    says(await issuing.redeem(made), LIVE)


@stops(TX_EXPECTED)
async def test_a_transaction_code_is_sent_where_it_is_needed_and_nowhere_else(issuing: Issuing) -> None:
    says(await issuing.redeem(await issuing.offered(tx_code=True)), TX_EXPECTED, "invalid_request")
    says(await issuing.redeem(await issuing.offered(), tx_code="123456"), TX_EXPECTED, "invalid_request")


@stops(TX_RIGHT, TX_FEW_TRIES, NOT_TOO_FAST)
async def test_a_transaction_code_cannot_be_guessed(issuing: Issuing) -> None:
    """Each attempt waits for longer; after the fifth wrong one nothing helps, not even the right code."""
    made = await issuing.offered(tx_code=True)
    assert made.tx_code is not None
    right = made.tx_code.reveal()
    wrong = "000000" if right != "000000" else "111111"
    paused = 0
    for _ in range(5):
        answer = await issuing.redeem(made, tx_code=wrong)
        if answer.status == 429:
            paused += 1
            says(answer, NOT_TOO_FAST, "slow_down", 429)
            issuing.world.clock.forward(int(answer.header("retry-after") or 0))
            answer = await issuing.redeem(made, tx_code=wrong)
        says(answer, TX_RIGHT)
    assert paused
    issuing.world.clock.forward(300)
    says(await issuing.redeem(made, tx_code=right), TX_FEW_TRIES)


async def test_attempts_at_once_count_each(issuing: Issuing) -> None:
    """A hundred guesses in one moment are three guesses, and the rest comes too fast."""
    made = await issuing.offered(tx_code=True)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:pre-authorized_code",
        "pre-authorized_code": made.secret.reveal(),
    }
    guesses = (issuing.world.post_quickly("/token", {**form, "tx_code": f"{n:06d}"}) for n in range(20))
    answers = await asyncio.gather(*guesses)
    assert sum(answer.status == 400 for answer in answers) <= 3
    assert {answer.status for answer in answers} <= {200, 400, 429}


@stops(NO_REPLAY)
async def test_of_two_who_redeem_at_once_one_has_it(issuing: Issuing) -> None:
    made = await issuing.offered()
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:pre-authorized_code",
        "pre-authorized_code": made.secret.reveal(),
    }
    answers = await asyncio.gather(*(issuing.world.post_quickly("/token", form) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 400, 400, 400]
    says(next(answer for answer in answers if answer.status == 400), NO_REPLAY)
    events = [event.what for event in await issuing.world.store.select(Event, "", "", limit=100)]
    assert "offer_replayed" in events


async def test_who_is_registered_for_other_grants_alone_has_nothing(issuing: Issuing) -> None:
    answer = await issuing.redeem(await issuing.offered(), by=BOT)
    assert answer.told == (400, "unauthorized_client")


async def test_where_wallets_say_who_they_are_a_stranger_has_nothing() -> None:
    async with an_issuer(dataclasses.replace(SETTINGS, anonymous=False)) as issuing:
        assert (await issuing.redeem(await issuing.offered())).told == (401, "invalid_client")
        server = (await issuing.world.get("/.well-known/oauth-authorization-server")).json
        assert server["pre-authorized_grant_anonymous_access_supported"] is False


async def test_the_anonymous_wallet_does_nothing_but_redeem_offers(issuing: Issuing) -> None:
    for grant in ("client_credentials", "authorization_code"):
        answer = await issuing.world.post("/token", {"grant_type": grant, "client_id": ANONYMOUS, "code": "x"})
        assert answer.told == (400, "unauthorized_client")
        assert (await issuing.world.post("/token", {"grant_type": grant})).told == (401, "invalid_client")


@lets_through(ISSUER_STATE)
@stops(ISSUER_STATE)
async def test_an_offer_for_alice_is_answered_by_alice() -> None:
    """Mallory sends the state of Alice's offer along with a request of her own, or one that she has made up."""
    async with an_issuer_with_pages() as (flow, issuing):
        made = await issuing.offered(person="alice", coded=False)
        asks = {"scope": "diploma", "resource": issuing.name}
        browser = await flow.browser("bob")
        page = await flow.shown(browser, WALLET, issuer_state=made.secret.reveal(), **asks)
        assert "sign-in" in str(page.url)
        coded = await issuing.offered(person="alice")
        for state in ("made-up", coded.secret.reveal()):
            landing = await flow.allowed(WALLET, issuer_state=state, **asks)
            assert (landing.error, landing.told["error_description"]) == ("invalid_request", ISSUER_STATE.says)
        assert (await flow.tokens(WALLET, issuer_state=made.secret.reveal(), **asks))["token_type"] == "Bearer"
        assert identifier_of(made, DIPLOMA)
