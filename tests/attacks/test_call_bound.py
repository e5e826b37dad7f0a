"""Mallory wants more to run than Alice read.

Alice allowed one order: 30 × Ibuprofen. Mallory is the agent itself, talked into something; or a thief who holds what
the agent held: the approved token, everything that went over the wire, and here and there the agent's key. She does
not hold the server's key or the pharmacy's, and she cannot make Alice press a button again. What she tries: another
body, another call, once more, elsewhere, later, and a challenge of her own making.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.adapters.sqlite import SqliteStore
from deputize.core.ports import Add, Event
from deputize.core.rules import Refusal
from deputize.core.wire import Headers
from deputize.jose import jwt
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import challenge, dpop
from deputize.oauth.caller import CALL_ONCE, KEY_SHOWN, THESE_DETAILS, THIS_CALL, CallSpent
from deputize.oauth.details import http_call
from deputize.oauth.dpop import PROOF_ONCE
from tests.resource.world import (
    ACCEPTS,
    READ,
    RESOURCE,
    THIRTY,
    THREE_HUNDRED,
    World,
    describe_order,
    error_of,
    purchase,
)
from tests.support.issuer import ISSUER
from tests.support.proofs import lets_through, stops


def refused(told: httpx2.Response, rule: Any) -> bool:
    """Refused as an invalid token, by this rule."""
    return error_of(told) == (401, "invalid_token") and told.json()["error_description"] == rule.says


async def still_good(world: World, token: str) -> bool:
    """What was tried has spent nothing: the call that Alice allowed runs, once."""
    return (await world.order(token)).status_code == 200 and [body for _, body in world.api.seen] == [THIRTY]


# --- another body -------------------------------------------------------------------------------------------------


@stops(THIS_CALL)
@pytest.mark.parametrize(
    "body",
    [
        THREE_HUNDRED,
        THIRTY.replace(b"30", b"31"),
        THIRTY + b" ",
        THIRTY[:-1] + b"\n}",
        THIRTY.replace(b'{"medicine"', b'{ "medicine"'),
        b'{"quantity": 30, "medicine": "Ibuprofen 400 mg"}',  # the same to a reader, other bytes all the same
    ],
)
async def test_one_byte_of_the_body_is_changed(body: bytes) -> None:
    world = World()
    token = world.approved()
    assert refused(await world.order(token, body), THIS_CALL)
    assert await still_good(world, token)


async def test_every_single_byte_counts() -> None:
    """Each of them flipped in turn: described differently, or not at all, but never run."""
    world = World()
    token = world.approved()
    for place in range(len(THIRTY)):
        body = THIRTY[:place] + bytes([THIRTY[place] ^ 1]) + THIRTY[place + 1 :]
        assert (await world.order(token, body)).status_code in {400, 401}
    assert await still_good(world, token)


async def test_a_body_of_which_only_the_beginning_was_approved() -> None:
    world = World()
    token = world.approved()
    for body in (THIRTY + THREE_HUNDRED, THIRTY + b"\x00", b""):
        assert (await world.order(token, body)).status_code in {400, 401}
    assert await still_good(world, token)


# --- another call -------------------------------------------------------------------------------------------------


@stops(THIS_CALL)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/orders"),
        ("GET", "/prescriptions"),
        ("PUT", "/prescriptions"),
        ("DELETE", "/orders"),
        ("POST", "/elsewhere"),
    ],
)
async def test_the_approval_is_used_for_another_method_or_path(method: str, path: str) -> None:
    """Even where the token also has a scope that would be enough there."""
    world = World()
    for token in (world.approved(), world.approved(scope=f"{READ} prescriptions:order")):
        told = await world.call(method, path, token=token, body=THIRTY, headers=ACCEPTS)
        assert refused(told, THIS_CALL)
    assert await still_good(world, world.approved())


async def test_the_approval_is_used_with_a_query() -> None:
    world = World()
    token = world.approved()
    told = await world.call("POST", "/orders?express=1", token=token, body=THIRTY)
    assert error_of(told) == (400, "invalid_request")
    assert await still_good(world, token)


async def test_the_approval_is_used_on_a_path_that_is_spelled_differently() -> None:
    """`/%6Frders` is routed like `/orders`, and is not the URL that was approved."""
    world = World()
    token = world.approved()
    transport = httpx2.ASGITransport(app=world.app)
    async with httpx2.AsyncClient(transport=transport, base_url=RESOURCE) as client:
        headers = dict(world.shown(token, "POST", "/%6Frders"))
        told = await client.post("/%6Frders", content=THIRTY, headers=headers)
    assert told.status_code == 401
    assert not world.api.seen
    assert await still_good(world, token)


async def test_the_approval_is_used_at_another_api_of_the_same_server() -> None:
    world, other = World(), World(resource="https://other.example")
    other.fetch.apps[ISSUER] = world.issuer
    assert refused(await other.order(world.approved(), key=world.agent), jwt.FOR_US)
    assert not other.api.seen


async def test_a_method_override_does_not_reach_the_api() -> None:
    world = World()
    told = await world.order(world.approved())
    assert told.status_code == 200
    override = [("x-http-method-override", "DELETE"), ("x-http-method", "DELETE"), ("x-method-override", "DELETE")]
    await world.call("POST", "/orders", token=world.approved(txn="txn-2"), body=THIRTY, headers=override)
    scope, _ = world.api.seen[1]
    assert scope["method"] == "POST"
    assert not [name for name, _ in scope["headers"] if b"method" in name]


# --- again --------------------------------------------------------------------------------------------------------


@lets_through(CALL_ONCE)
@stops(CALL_ONCE)
async def test_a_second_use() -> None:
    world = World()
    token = world.approved()
    assert (await world.order(token)).status_code == 200
    for _ in range(3):
        assert refused(await world.order(token), CALL_ONCE)
    assert len(world.api.seen) == 1


@stops(CALL_ONCE)
async def test_a_second_token_of_the_same_transaction() -> None:
    world = World()
    first, second = world.approved(), world.approved()
    assert first != second
    assert (await world.order(first)).status_code == 200
    assert refused(await world.order(second), CALL_ONCE)


async def test_the_recorded_request_is_sent_again() -> None:
    """Byte for byte, proof and all; and a recorded proof beside a fresh approval."""
    world = World()
    token = world.approved()
    shown = world.shown(token, "POST", "/orders")
    assert (await world.send("POST", "/orders", headers=shown, body=THIRTY)).status_code == 200
    assert error_of(await world.send("POST", "/orders", headers=shown, body=THIRTY)) == (401, "invalid_token")
    fresh = world.approved(txn="txn-2")
    shown = [("authorization", f"DPoP {fresh}"), shown[1]]
    assert error_of(await world.send("POST", "/orders", headers=shown, body=THIRTY)) == (401, "invalid_dpop_proof")
    assert len(world.api.seen) == 1


@stops(PROOF_ONCE)
async def test_a_spent_proof_does_not_burn_an_approval() -> None:
    """Proof and approval are spent in one write: where one is refused, the other stays."""
    world = World()
    token = world.approved()
    proof = world.proof(token, "POST", "/orders")
    shown = [("authorization", f"DPoP {token}"), ("dpop", proof)]
    assert await world.env.store.commit(_mark(world, token, proof))
    told = await world.send("POST", "/orders", headers=shown, body=THIRTY)
    assert error_of(told) == (401, "invalid_dpop_proof")
    assert not await world.env.store.select(CallSpent, "", "")
    assert await still_good(world, token)


def _mark(world: World, token: str, proof: str) -> Add:
    """The mark that this proof leaves, as if another worker had just committed it."""
    headers = Headers((("dpop", proof),))
    checked = dpop.check(headers, method="POST", url=f"{RESOURCE}/orders", now=world.clock(), access_token=token)
    if checked is None:
        raise AssertionError
    return checked.once


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("bearer", [False, True])
async def test_fifty_uses_at_once(store: str, bearer: bool, tmp_path: Path) -> None:  # noqa: FBT001 (a case of the table)
    kept = SqliteStore(tmp_path / "guard.db") if store == "sqlite" else None
    world = World(store=kept)
    token = world.approved(bearer=bearer)
    told = await asyncio.gather(*(world.order(token, bearer=bearer) for _ in range(50)))
    assert sorted(one.status_code for one in told) == [200] + [401] * 49
    assert all(refused(one, CALL_ONCE) for one in told if one.status_code != 200)
    assert len(world.api.seen) == 1
    assert len(await world.env.store.select(Event, "", "")) == 1
    await world.env.store.close()


async def test_a_second_use_after_a_restart(tmp_path: Path) -> None:
    for status in (200, 401):
        store = SqliteStore(tmp_path / "guard.db")
        world = World(store=store)
        assert (await world.order(world.approved())).status_code == status
        await store.close()


async def test_a_second_use_when_the_mark_might_have_been_swept() -> None:
    """The mark outlives the token, by whatever clock."""
    world = World()
    token = world.approved()
    assert (await world.order(token)).status_code == 200
    world.clock.forward(309)  # the last second in which the token passes
    await world.env.store.sweep(world.clock())
    assert refused(await world.order(token), CALL_ONCE)
    world.clock.forward(2)
    await world.env.store.sweep(world.clock())
    assert refused(await world.order(token), jwt.UNEXPIRED)


async def test_the_api_fails_after_the_approval_was_spent() -> None:
    """At most once: what broke in the middle is not run a second time on the same word."""
    world = World()

    async def broken(*_: object) -> None:
        raise RuntimeError("the warehouse burns")

    good, world.app = world.app, world.guard.wrap(broken)
    token = world.approved()
    assert (await world.order(token)).status_code == 500
    world.app = good
    assert refused(await world.order(token), CALL_ONCE)


# --- by another, later --------------------------------------------------------------------------------------------


@stops(KEY_SHOWN)
async def test_a_stolen_token_without_the_key() -> None:
    world = World()
    token, thief = world.approved(), PrivateKey.generate()
    for told in (
        await world.send("POST", "/orders", headers=[("authorization", f"DPoP {token}")], body=THIRTY),
        await world.order(token, key=thief),
    ):
        assert refused(told, KEY_SHOWN)
    assert error_of(await world.order(token, bearer=True)) == (401, "invalid_token")
    assert await still_good(world, token)


async def test_the_approval_is_put_into_a_token_of_another_agent() -> None:
    """The details are in the token's signed part: moving them breaks the signature."""
    world = World()
    mine, alices = world.token(client_id="mallory-bot"), world.approved()
    head, _, signature = mine.split(".")
    mixed = f"{head}.{alices.split('.')[1]}.{signature}"
    assert refused(await world.order(mixed), jwt.SIGNED)


async def test_an_expired_approval() -> None:
    world = World()
    token = world.approved()
    world.clock.forward(311)
    assert refused(await world.order(token), jwt.UNEXPIRED)
    assert not world.api.seen


async def test_an_approval_that_alice_took_back() -> None:
    world = World()
    token = world.approved()
    world.issuer.take_back(token)
    assert error_of(await world.order(token)) == (401, "invalid_token")
    assert not world.api.seen


# --- other details ------------------------------------------------------------------------------------------------


@stops(THESE_DETAILS)
@pytest.mark.parametrize(
    "bought",
    [
        [purchase(300)],
        [{**purchase(30), "amount": {"value": "30.01", "currency": "EUR"}}],
        [{**purchase(30), "amount": {"value": "30.0", "currency": "EUR"}}],
        [{**purchase(30), "payee": "Madrid Pharmаcy"}],  # a Cyrillic а
        [purchase(30), purchase(30)],
        [],
    ],
)
async def test_what_was_shown_is_not_what_would_run(bought: list[dict[str, Any]]) -> None:
    """A token for these very bytes, on which Alice read something else: by a server that was misled."""
    world = World()
    call = http_call("POST", f"{RESOURCE}/orders", THIRTY).members
    assert refused(await world.order(world.approved(authorization_details=[call, *bought])), THESE_DETAILS)
    assert not world.api.seen


@lets_through(THESE_DETAILS, THIS_CALL)
async def test_the_same_details_in_another_order_of_members_are_the_same() -> None:
    world = World()
    call, bought = http_call("POST", f"{RESOURCE}/orders", THIRTY).members, purchase(30)
    bought["amount"] = dict(reversed(bought["amount"].items()))
    turned = [dict(reversed(one.items())) for one in (bought, call)]
    assert json.dumps(turned) != json.dumps([call, purchase(30)])
    assert (await world.order(world.approved(authorization_details=turned))).status_code == 200


@stops(THIS_CALL)
async def test_an_approval_for_many_calls() -> None:
    world = World()
    calls = [http_call("POST", f"{RESOURCE}/orders", body).members for body in (THIRTY, THREE_HUNDRED)]
    for body in (THIRTY, THREE_HUNDRED):
        token = world.approved(authorization_details=[*calls, purchase(json.loads(body)["quantity"])])
        assert refused(await world.order(token, body), THIS_CALL)


async def test_the_price_changed_since_alice_read_it() -> None:
    """The API describes the call anew when it runs: what it says now is not what she allowed."""
    world = World()
    prices = iter(("12.40", "14.90"))

    def describe(body: bytes) -> Any:
        told = describe_order(body)
        amount = {"value": next(prices), "currency": "EUR"}
        return type(told).of(told.reason, {**told.details[0].members, "amount": amount})

    world.guard.needs("POST", "/priced", scope="prescriptions:order", approve=describe)
    first = await world.call("POST", "/priced", token=world.token(), body=THIRTY, headers=ACCEPTS)
    _, params = challenge.challenge_params(first.headers["www-authenticate"])
    _, claims = jwt.peek(params["transaction_challenge"], "invalid_grant")
    approved = world.token(scope=None, txn=claims["txn"], authorization_details=claims["authorization_details"])
    assert refused(await world.call("POST", "/priced", token=approved, body=THIRTY), THESE_DETAILS)


# --- the challenge ------------------------------------------------------------------------------------------------


async def _challenged(world: World) -> str:
    told = await world.order(world.token())
    return challenge.challenge_params(told.headers["www-authenticate"])[1]["transaction_challenge"]


async def test_a_challenge_that_mallory_wrote_or_altered() -> None:
    """She wants Alice to read 3 where the pharmacy would deliver 300. The server knows the pharmacy's key."""
    world = World()
    mallory = PrivateKey.generate()
    compact = await _challenged(world)
    head, body, signature = compact.split(".")
    _, claims = jwt.peek(compact, "invalid_grant")
    claims["authorization_details"][1]["quantity"] = 3
    by_her = jwt.sign(claims, mallory, typ=challenge.TYP)
    _, altered, _ = by_her.split(".")
    keys = KeySet.of(world.key.public())
    told: dict[str, Any] = {"resource": RESOURCE, "authorization_server": ISSUER, "now": world.clock()}
    assert challenge.read(compact, keys, **told).txn == claims["txn"]
    for forged in (by_her, f"{head}.{altered}.{signature}", f"{head}.{body}.{signature[:-8]}AAAAAAAA"):
        with pytest.raises(Refusal):
            challenge.read(forged, keys, **told)


async def test_a_challenge_of_another_api_or_for_another_server() -> None:
    world, other = World(), World(resource="https://other.example")
    compact = await _challenged(other)
    keys = KeySet.of(other.key.public(), world.key.public())
    for resource, server in ((RESOURCE, ISSUER), ("https://other.example", "https://as.other.example")):
        with pytest.raises(Refusal):
            challenge.read(compact, keys, resource=resource, authorization_server=server, now=world.clock())


async def test_a_challenge_is_no_token() -> None:
    world = World()
    compact = await _challenged(world)
    for bearer in (True, False):
        assert error_of(await world.order(compact, bearer=bearer)) == (401, "invalid_token")
    assert not world.api.seen
