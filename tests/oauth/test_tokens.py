"""What every token passes on its way out, whatever grant it comes of."""

from dataclasses import replace

import pytest

from deputize.core.ports import Add
from deputize.core.rules import Refusal
from deputize.core.values import ClientId, Instant, Subject
from deputize.core.wire import Headers
from deputize.jose.jwt import peek
from deputize.jose.keys import PrivateKey
from deputize.oauth import dpop, tokens
from deputize.oauth.approval import Approval
from deputize.oauth.authority import FOREVER, Authority
from deputize.oauth.client import Client, Person, Resource
from deputize.oauth.dpop import METHOD, PROOF_OF_TOKEN
from deputize.oauth.tokens import (
    BOUND,
    CLIENT_ALLOWED,
    CLIENT_ENABLED,
    ITS_OWN_NAME,
    MAY_ISSUE,
    PERSON_ENABLED,
    STANDING_LIVE,
    TARGET_KNOWN,
)
from tests.support.cast import BASIC, BOT, INSURER, NOW, ORDER, OTHER, PHARMACY, READ, a_client
from tests.support.proofs import lets_through, stops
from tests.support.world import World

PHARMACYS = Authority(audience=frozenset({PHARMACY}), scope=frozenset({READ}), until=FOREVER)


async def issued(world: World, approval: Approval, client: Client | None = None) -> str:
    """Straight to the one path that all tokens take."""
    known = client or await world.store.read(Client, approval.client)
    assert known is not None
    made = await tokens.issue(approval, known, None, world.here.issuer, world.here.tokens, world.env)
    return str(made.members["access_token"])


@lets_through(
    ITS_OWN_NAME, MAY_ISSUE, CLIENT_ENABLED, TARGET_KNOWN, CLIENT_ALLOWED, PERSON_ENABLED, STANDING_LIVE, BOUND
)
async def test_a_good_approval_becomes_a_token(world: World) -> None:
    for_itself = await issued(world, Approval(client=ClientId(BOT), authority=PHARMACYS))
    assert peek(for_itself, "")[1]["sub"] == BOT
    await world.allowed()
    for_alice = Approval(
        client=ClientId(BOT), authority=PHARMACYS, subject=Subject("alice"), standing="5:alice:pharmacy-bot"
    )
    assert peek(await issued(world, for_alice), "")[1]["grant_id"] == "5:alice:pharmacy-bot"


@stops(CLIENT_ENABLED, TARGET_KNOWN, CLIENT_ALLOWED, PERSON_ENABLED, STANDING_LIVE, BOUND)
async def test_an_approval_that_nothing_carries_any_more(world: World) -> None:
    good = Approval(client=ClientId(BOT), authority=PHARMACYS, subject=Subject("alice"))
    known = await world.store.read(Client, BOT)
    assert known is not None
    await world.add(Person(key="gone", login="gone", name="Gone", disabled_at=world.now))
    await world.change(Resource, INSURER, disabled_at=world.now)
    anywhere = replace(known, audiences=frozenset({PHARMACY, INSURER, "https://never.example"}))
    for rule, approval, client in (
        (CLIENT_ENABLED, good, replace(known, disabled_at=world.now)),
        (TARGET_KNOWN, replace(good, authority=replace(PHARMACYS, audience=frozenset({INSURER}))), anywhere),
        (
            TARGET_KNOWN,
            replace(good, authority=replace(PHARMACYS, audience=frozenset({"https://never.example"}))),
            anywhere,
        ),
        (CLIENT_ALLOWED, good, replace(known, audiences=frozenset())),
        (CLIENT_ALLOWED, good, replace(known, scope=frozenset({ORDER}))),
        (PERSON_ENABLED, replace(good, subject=Subject("gone")), known),
        (PERSON_ENABLED, replace(good, subject=Subject("never")), known),
        (STANDING_LIVE, replace(good, standing="5:alice:pharmacy-bot"), known),
        (BOUND, good, replace(known, dpop_bound=True)),
    ):
        with pytest.raises(Refusal) as stopped:
            await issued(world, approval, client)
        assert stopped.value.rule is rule


@stops(ITS_OWN_NAME)
async def test_a_client_that_is_called_like_a_person_has_no_token_for_itself(world: World) -> None:
    """An API that looks at `sub` alone would take it for Alice."""
    world.keys["alice"] = PrivateKey.generate()
    await world.client("alice")
    answer = await world.token(by="alice")
    assert answer.told == (400, "unauthorized_client")
    assert answer["error_description"] == ITS_OWN_NAME.says


@stops(MAY_ISSUE)
async def test_the_operators_policy_is_asked_last(world: World) -> None:
    ask = await world.asked()
    await world.allow(ask)
    world.policy.denied = {"issue"}
    for answer in (await world.token(by=BASIC), await world.poll(ask)):
        assert answer.told == (400, "access_denied")
        assert answer["error_description"] == MAY_ISSUE.says
    world.policy.denied = {OTHER}
    assert (await world.token()).status == 200


async def test_a_yes_is_not_collected_for_what_the_client_may_have_no_more(world: World) -> None:
    ask = await world.asked(scope=f"openid {READ}")
    await world.allow(ask)
    await world.change(Client, BOT, scope=frozenset({ORDER}))
    assert (await world.poll(ask)).told == (400, "invalid_scope")


async def test_what_a_client_asks_for_is_what_it_has_by_default_and_no_more(world: World) -> None:
    await world.client("wide", scope=frozenset({READ, "something:else"}))
    assert (await world.token(by="wide"))["scope"] == READ  # the pharmacy has no other
    assert (await world.token({"scope": "something:else"}, by="wide")).told == (400, "invalid_scope")


def test_a_client_does_not_show_its_secrets() -> None:
    assert a_client().secrets == ()
    assert a_client().keys.keys == ()


@lets_through(PROOF_OF_TOKEN, METHOD)
@stops(PROOF_OF_TOKEN)
def test_a_proof_that_comes_with_a_token_is_for_that_token() -> None:
    key, url, now = PrivateKey.generate(), f"{PHARMACY}/orders?x=1", Instant(NOW)
    for token, ath in (("a", "a"), ("a", "b"), ("a", None)):
        made = dpop.prove(key, method="POST", url=url, jti="j", now=now, access_token=ath)
        headers = Headers((("dpop", made),))
        if token == ath:
            checked = dpop.check(headers, method="POST", url=url, now=now, access_token=token)
            assert checked is not None
            assert checked.key.jkt == key.public().thumbprint
            assert isinstance(checked.once, Add)
            continue
        with pytest.raises(Refusal) as stopped:
            dpop.check(headers, method="POST", url=url, now=now, access_token=token)
        assert stopped.value.rule is PROOF_OF_TOKEN
    assert dpop.check(Headers(), method="POST", url=url, now=now) is None
