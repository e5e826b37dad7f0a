"""Corpus CB: agents who ask for too much, too often, for others, or say one thing and are given another."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from deputize.core.ports import Event, Notice
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Seconds, Subject
from deputize.core.wire import JsonObject, json_bytes
from deputize.jose.jwt import peek
from deputize.jose.keys import PrivateKey
from deputize.oauth import asking
from deputize.oauth import reading as readings
from deputize.oauth.asking import (
    ANSWERED_ONCE,
    BY_THE_ASKED,
    DENIED,
    IN_TIME,
    NOT_TOO_MANY,
    ONCE,
    PENDING,
    SLOW_DOWN,
    YOURS,
    Ask,
)
from deputize.oauth.client import Client, Person
from deputize.oauth.grants.ciba import EXPIRY, KNOWN_PERSON, MESSAGE, ONE_HINT, OPENID_SCOPE, REGISTERED
from deputize.oauth.tokens import BOUND, PERSON_ENABLED
from tests.support.cast import (
    BASIC,
    BOT,
    DPOP_BOT,
    ORDER,
    OTHER,
    PHARMACY,
    READ,
    a_call,
    a_purchase,
)
from tests.support.proofs import lets_through, stops
from tests.support.world import World, a_world

INVALID = (400, "invalid_request")
NO_GRANT = (400, "invalid_grant")


@lets_through(ONE_HINT, KNOWN_PERSON, OPENID_SCOPE, REGISTERED, MESSAGE, EXPIRY)
async def test_a_person_is_asked(world: World) -> None:
    answer = await world.ask(binding_message="Order 7, by telephone", requested_expiry="120")
    assert answer.status == 200
    assert answer.json == {"auth_req_id": answer["auth_req_id"], "expires_in": 120, "interval": 2}
    assert len(answer["auth_req_id"]) >= 43
    ask = await world.ask_of(answer["auth_req_id"])
    assert (ask.client, ask.person, ask.words) == (BOT, "alice", "Order 7, by telephone")
    assert [(told.person, told.about) for told in world.notify.told] == [("alice", ask.page)]
    assert [row.about for row in await world.store.select(Notice, "person", "alice")] == [ask.page]
    assert [row.what for row in await world.store.select(Event, "client", BOT)] == ["ask_opened"]


@stops(ONE_HINT)
async def test_cb_01_not_exactly_one_hint_that_we_read(world: World) -> None:
    assert (await world.ask(drop={"login_hint"})).told == INVALID
    token: JsonObject = {"login_hint_token": "x"}
    for more in (token, {"id_token_hint": "x"}, {**token, "id_token_hint": "x"}):
        assert (await world.ask(**more)).told == INVALID
        assert (await world.ask(drop={"login_hint"}, **more)).told == INVALID


@stops(KNOWN_PERSON)
@pytest.mark.parametrize("hint", ["nobody", "alice@", " ", "bob2", "x" * 9000, "Alice\u200b", "%", "carol"])
async def test_cb_02_nobody_of_that_name(world: World, hint: str) -> None:
    await world.add(Person(key="carol", login="carol", name="Carol", disabled_at=world.now))
    answer = await world.ask(login_hint=hint)
    assert answer.told == (400, "unknown_user_id")
    assert answer["error_description"] == KNOWN_PERSON.says


@lets_through(KNOWN_PERSON)
async def test_cb_02_a_name_as_people_type_it(world: World) -> None:
    for hint in ("alice", "Alice", " ALICE "):
        assert (await world.ask(login_hint=hint)).status == 200


async def test_cb_04_an_id_token_as_hint_is_not_read_whoever_made_it(world: World) -> None:
    ask = await world.asked()
    await world.allow(ask)
    ours = (await world.poll(ask))["id_token"]
    for hint in (ours, world.minted(), "not.a.jwt"):
        assert (await world.ask(drop={"login_hint"}, id_token_hint=hint)).told == INVALID


@stops(MESSAGE)
@pytest.mark.parametrize(
    "words",
    ["x" * 141, "two\nlines", "\u202eevil", "\u200b", "a\u2066b", "bell\x07", "\u2028", "   ", "a\u00ad", "\ue000"],
)
async def test_cb_05_words_that_could_mislead(world: World, words: str) -> None:
    assert (await world.ask(binding_message=words)).told == (400, "invalid_binding_message")


@lets_through(MESSAGE)
@pytest.mark.parametrize("words", ["1234", "x" * 140, "Ibuprofen 400 mg × 30, für 12,40 €", "日本語", "👍"])
async def test_cb_05_words_that_are_words(world: World, words: str) -> None:
    ask = await world.asked(binding_message=words)
    assert ask.words == words


@stops(EXPIRY, OPENID_SCOPE)
async def test_other_parameters_that_are_not_what_they_should_be(world: World) -> None:
    for expiry in ("0", "-1", "1.5", "5_0", "+5", " 5", "٣", "²", "1e3", "9" * 10, "05"):
        assert (await world.ask(requested_expiry=expiry)).told == INVALID
    for scope in ("x", READ, "OPENID", "openid2"):
        assert (await world.ask(scope=scope)).told == (400, "invalid_scope")
    assert (await world.ask(drop={"scope"})).told == (400, "invalid_scope")
    assert (await world.ask(scope="openid admin")).told == (400, "invalid_scope")
    for details in ("{}", "[", "[1]", '[{"type":"x"}]', '[{"type":["purchase"]}]', "[" * 100):
        assert (await world.ask(authorization_details=details)).told == (400, "invalid_authorization_details")


async def test_an_expiry_is_a_wish_that_is_cut(world: World) -> None:
    assert (await world.ask(requested_expiry="99999")).json["expires_in"] == 300


@stops(REGISTERED)
async def test_cb_07_a_client_that_may_not_ask(world: World) -> None:
    assert (await world.ask(by=BASIC)).told == (400, "unauthorized_client")
    await world.change(Client, OTHER, grant_types=frozenset({"client_credentials"}))
    assert (await world.ask(by=OTHER)).told == (400, "unauthorized_client")
    public = {"client_id": BOT, "scope": "openid", "login_hint": "alice"}
    assert (await world.post("/backchannel", public)).told == (401, "invalid_client")


@lets_through(SLOW_DOWN, PENDING)
@stops(SLOW_DOWN, PENDING)
async def test_cb_08_polls_that_come_too_soon(world: World) -> None:
    ask = await world.asked()
    assert (await world.poll(ask)).told == (400, "authorization_pending")
    assert (await world.poll(ask)).told == (400, "slow_down")  # from now on 7 seconds apart
    world.clock.forward(6)
    assert (await world.poll(ask)).told == (400, "slow_down")  # 12
    world.clock.forward(11)
    assert (await world.poll(ask)).told == (400, "slow_down")  # 17
    world.clock.forward(17)
    assert (await world.poll(ask)).told == (400, "authorization_pending")
    await world.allow(ask)
    assert (await world.poll(ask)).status == 200


@lets_through(YOURS, IN_TIME, ONCE, DENIED)
@stops(YOURS, IN_TIME, ONCE)
async def test_cb_09_of_another_client_expired_or_collected(world: World) -> None:
    ask = await world.asked()
    await world.allow(ask)
    stolen = await world.poll(ask, by=OTHER, spends=())
    invented = await world.poll("no-such-id", by=OTHER, spends=())
    assert stolen.told == invented.told == NO_GRANT
    assert stolen.json == invented.json
    at_another_door = {"transaction_authorization_id": ask.key}
    assert (await world.post("/transaction", at_another_door, by=BOT)).told == NO_GRANT
    assert (await world.poll(ask)).status == 200
    assert (await world.poll(ask, spends=())).told == NO_GRANT
    for allow in (None, True):
        late = await world.asked(login_hint="bob", requested_expiry="10")
        if allow:
            await world.allow(late)
        world.clock.forward(10)
        assert (await world.poll(late, spends=())).told == (400, "expired_token")


@stops(DENIED, ANSWERED_ONCE)
async def test_cb_10_no_stays_no(world: World) -> None:
    ask = await world.asked()
    await world.deny(ask)
    for _ in range(2):
        assert (await world.poll(ask, spends=())).told == (400, "access_denied")
    with pytest.raises(Refusal) as second:
        await world.allow(ask)
    assert second.value.rule is ANSWERED_ONCE
    assert (await world.poll(ask, spends=())).told == (400, "access_denied")


@stops(PERSON_ENABLED)
async def test_cb_11_a_person_who_was_locked_before_or_meanwhile(world: World) -> None:
    ask = await world.asked()
    await world.allow(ask)
    await world.change(Person, "alice", disabled_at=world.now)
    assert (await world.ask()).told == (400, "unknown_user_id")
    answer = await world.poll(ask)
    assert answer.told == (400, "access_denied")
    assert answer["error_description"] == PERSON_ENABLED.says


@lets_through(BY_THE_ASKED, ANSWERED_ONCE)
@stops(BY_THE_ASKED)
async def test_cb_12_another_person_answers(world: World) -> None:
    ask = await world.asked()
    for allow in (True, False):
        with pytest.raises(Refusal) as stopped:
            await world.answer(ask, allow=allow, by="bob")
        assert stopped.value.rule is BY_THE_ASKED
    assert (await world.ask_of(ask.key)) == ask
    await world.allow(ask, by="alice")
    assert (await world.poll(ask)).status == 200


@lets_through(NOT_TOO_MANY)
@stops(NOT_TOO_MANY)
async def test_cb_14_thirty_asks_wait_for_one_person_and_no_more() -> None:
    async with a_world(asks=asking.Settings(waiting_max=4)) as world:
        asks = [await world.asked(by=(BOT, OTHER)[nth % 2]) for nth in range(4)]
        for client in (BOT, OTHER):
            answer = await world.ask(by=client)
            assert answer.told == (403, "access_denied")
            assert answer["error_description"] == NOT_TOO_MANY.says
        assert (await world.ask(login_hint="bob")).status == 200
        await world.deny(asks[0])
        assert (await world.ask()).status == 200
        assert (await world.ask()).told == (403, "access_denied")
        world.clock.forward(300)
        assert (await world.ask()).status == 200


@stops(NOT_TOO_MANY)
async def test_cb_14_one_client_cannot_ask_everybody() -> None:
    async with a_world(asks=asking.Settings(waiting_max=2)) as world:
        for nth in range(9):
            await world.add(Person(key=f"p{nth}", login=f"p{nth}", name="P"))
        asked = [(await world.ask(login_hint=f"p{nth}")).status for nth in range(9)]
        assert asked == [200] * 8 + [403]
        assert (await world.ask(by=OTHER, login_hint="p8")).status == 200


@stops(NOT_TOO_MANY)
async def test_cb_14_asks_that_live_for_a_second_hold_their_place_as_long_as_others() -> None:
    """Else one a second each would be thirty a second."""
    async with a_world(asks=asking.Settings(waiting_max=3)) as world:
        for _ in range(3):
            assert (await world.ask(requested_expiry="1")).status == 200
            world.clock.forward(2)
        assert (await world.ask(requested_expiry="1")).told == (403, "access_denied")


@stops(NOT_TOO_MANY)
async def test_cb_14_a_burst_at_once_counts_as_one_after_another(tmp_path: Path) -> None:
    """Each of them, looking alone, would have found room."""
    async with a_world(tmp_path / "asks.db", asks=asking.Settings(waiting_max=5)) as world:
        statuses: list[int] = []

        async def ask() -> None:
            form = {"scope": "openid", "login_hint": "alice"}
            statuses.append((await world.post_quickly("/backchannel", form, by=BOT)).status)

        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(ask)
        assert sorted(statuses) == [200] * 5 + [403] * 35
        assert len(await world.store.select(Ask, "open_for", "alice")) == 5


async def test_who_cannot_be_told_now_finds_the_ask_later(world: World) -> None:
    """What brings notices is out of order: the ask stands, and the client learns where."""
    world.notify.fault = Fault("no mail today", retry=True)
    ask = await world.asked()
    assert [row.about for row in await world.store.select(Notice, "person", "alice")] == [ask.page]


SHOWN = {
    "openid": "know who you are",
    READ: "read your prescriptions",
    ORDER: "prepare orders of your medicine",
    "purchase": "order 30 × Ibuprofen 400 mg for €12.40 from Madrid Pharmacy",
    "http_call": "make one call to api.pharmacy.example",
}


@pytest.mark.parametrize(
    ("scope", "details", "shown"),
    [
        ("openid", [], ["openid"]),
        (f"openid {READ} {ORDER}", [], [READ, ORDER]),
        ("openid", [a_purchase()], ["purchase"]),
        (f"openid {READ}", [a_purchase()], ["purchase", READ]),
        ("openid", [a_call()], ["http_call"]),
        (f"openid {ORDER}", [a_call()], ["http_call", ORDER]),
        (f"openid {READ} {ORDER}", [a_purchase(), a_purchase(3, "4"), a_call()], ["purchase", READ, ORDER]),
    ],
)
async def test_cb_16_what_is_shown_is_what_is_issued(
    world: World, scope: str, details: list[dict[str, object]], shown: list[str]
) -> None:
    """An agent that asks for one aspirin, and for a scope beside it that the sentence would not name."""
    form: JsonObject = {"authorization_details": json_bytes(details).decode()} if details else {}
    ask = await world.asked(scope=scope, **form)
    reading = await readings.read_out(ask, world.env)
    for name in shown:
        assert SHOWN[name] in reading.sentence
    for name in SHOWN.keys() - shown - {"http_call"}:
        assert SHOWN[name] not in reading.sentence
    await world.allow(ask)
    answer = await world.poll(ask)
    _, claims = peek(answer["access_token"], "")
    assert claims.get("scope", "").split() == sorted(scope.split()[1:])
    assert claims.get("authorization_details", []) == details
    assert answer.json.get("authorization_details", []) == details
    assert claims["aud"] == PHARMACY


async def test_cb_16_a_scope_is_never_said_to_be_for_once(world: World) -> None:
    both = await world.asked(scope=f"openid {READ}", authorization_details=json_bytes([a_call()]).decode())
    alone = await world.asked(scope="openid", authorization_details=json_bytes([a_call()]).decode())
    assert "once" not in (await readings.read_out(both, world.env)).sentence
    assert ", once, within 5 minutes." in (await readings.read_out(alone, world.env)).sentence


async def test_a_key_that_was_shown_when_asking_is_shown_when_collecting(world: World) -> None:
    key, other = PrivateKey.generate(), PrivateKey.generate()
    ask = await world.asked(key=key)
    await world.allow(ask)
    for wrong in (None, other):
        assert (await world.poll(ask, key=wrong, spends=())).told == NO_GRANT
    assert (await world.poll(ask, key=key)).json["token_type"] == "DPoP"


async def test_a_key_may_be_shown_first_when_collecting(world: World) -> None:
    """CIBA's request has no proof; RFC 9449 binds where the token is asked for."""
    ask = await world.asked()
    await world.allow(ask)
    assert (await world.poll(ask, key=PrivateKey.generate())).json["token_type"] == "DPoP"


@stops(BOUND)
async def test_a_yes_is_not_spent_on_a_request_that_cannot_be_granted(world: World) -> None:
    """The client forgot its proof: the person is not asked a second time for it."""
    ask = await world.asked(by=DPOP_BOT)
    await world.allow(ask)
    assert (await world.poll(ask, by=DPOP_BOT, spends=())).told == (400, "invalid_dpop_proof")
    assert (await world.poll(ask, by=DPOP_BOT, key=PrivateKey.generate())).status == 200


async def test_the_door_is_shut_where_the_grant_is_not_built() -> None:
    async with a_world(grants=()) as world:
        assert (await world.send("POST", "/backchannel", (), b"")).status == 404
        assert "backchannel_authentication_endpoint" not in (await world.get("/.well-known/openid-configuration")).json


async def test_ever_slower_polls_never_lose_the_answer(world: World) -> None:
    ask = await world.asked()
    for _ in range(5):
        await world.poll(ask)
    slowed = await world.ask_of(ask.key)
    assert slowed.state == asking.Waiting(slowed.state.not_before, Seconds(22))  # type: ignore[union-attr]
    await asking.answer(
        replace(ask), by=Subject("alice"), allow=True, env=world.env, via="a page read before the polls"
    )
    assert (await world.poll(ask)).status == 200
