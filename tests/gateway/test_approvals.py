"""What an agent sees while a person is asked: where to look, and nothing that would let it answer itself."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx2

from deputize.core.ports import Replace
from deputize.core.values import Seconds
from deputize.gateway.approvals import ROOM, YOURS
from deputize.gateway.calls import STILL_THERE
from deputize.gateway.waiting import ALLOWED
from deputize.resource.asgi import Scope, Send
from tests.gateway.world import THIRTY, THREE_HUNDRED, say, world
from tests.support.cast import OTHER
from tests.support.proofs import lets_through, stops

LATER = {"prefer": "respond-async"}


def told(reply: httpx2.Response) -> tuple[int, str]:
    return reply.status_code, reply.json().get("error_description", "")


async def looked(bot: httpx2.AsyncClient, name: str) -> httpx2.Response:
    """What became of it, as soon as something has."""
    async with asyncio.timeout(10):
        while (reply := await bot.get(f"/approvals/{name}")).status_code == 202:
            await asyncio.sleep(0.02)
    return reply


@lets_through(YOURS, STILL_THERE, ROOM)
async def test_an_agent_that_would_rather_look_later_is_told_where() -> None:
    async with world() as here, here.agent() as bot:
        first = await bot.post("/pharmacy/orders", content=THIRTY, headers=LATER)
        assert first.status_code == 202
        body = first.json()
        assert set(body) == {"status", "approval", "expires_in"}
        assert body["status"] == "pending"
        assert 0 < body["expires_in"] <= 300
        name = body["approval"]
        assert first.headers["location"] == f"/approvals/{name}"
        assert first.headers["deputize-approval"] == name
        assert first.headers["preference-applied"] == "respond-async"
        waiting = await bot.get(first.headers["location"])
        assert (waiting.status_code, waiting.json()["approval"]) == (202, name)
        assert here.pharmacy.orders == []
        ask = await here.answers()
        for page in (first, waiting):  # neither the person's page nor what the gateway polls with
            assert ask.page not in page.text + repr(page.headers)
            assert ask.key not in page.text + repr(page.headers)
            assert here.origins["server"] not in page.text + repr(page.headers)
        done = await looked(bot, name)
        assert (done.status_code, done.json()) == (201, {"order": 1})
        assert done.headers["deputize-approval"] == name
        assert (await looked(bot, name)).json() == {"order": 1}
        assert here.pharmacy.orders == [{"medicine": "Ibuprofen 400 mg", "quantity": 30}]


@stops(YOURS)
async def test_gw_12_anothers_approval_is_as_if_it_were_not_there() -> None:
    async with world() as here, here.agent() as bot, here.agent(OTHER) as other:
        name = (await bot.post("/pharmacy/orders", content=THIRTY, headers=LATER)).json()["approval"]
        same = {"deputize-approval": name}
        foreign = [
            await other.get(f"/approvals/{name}"),
            await other.get("/approvals/no-such-approval"),
            await other.post("/pharmacy/orders", content=THIRTY, headers=same),
            await bot.get("/leaky/x", headers=same),  # its own, but at another API: that one does not get the token
            await bot.get("/approvals/"),
            await bot.get(f"/approvals/{name}/x"),
        ]
        assert [told(reply) for reply in foreign] == [(404, YOURS.says)] * len(foreign)
        assert here.leaky.seen == []


@stops(ALLOWED)
async def test_a_no_is_told_and_the_person_is_left_alone_about_it() -> None:
    async with world() as here, here.agent() as bot:
        held = asyncio.create_task(bot.post("/pharmacy/orders", content=THIRTY))
        await here.answers(allow=False)
        assert told(await held) == (403, ALLOWED.says)
        assert told(await bot.post("/pharmacy/orders", content=THIRTY)) == (403, ALLOWED.says)
        assert await here.asks() == []
        later = (await bot.post("/pharmacy/orders", content=THREE_HUNDRED, headers=LATER)).json()["approval"]
        await here.answers(allow=False)
        assert told(await looked(bot, later)) == (403, ALLOWED.says)
        reused = await bot.post("/pharmacy/orders", content=THREE_HUNDRED, headers={"deputize-approval": later})
        assert told(reused) == (403, ALLOWED.says)
        assert here.pharmacy.orders == []


@stops(STILL_THERE)
async def test_an_answer_that_was_given_where_it_was_asked_is_not_given_twice() -> None:
    async with world() as here, here.agent() as bot:
        held = asyncio.create_task(bot.post("/pharmacy/orders", content=THIRTY))
        await here.answers()
        name = (await held).headers["deputize-approval"]
        assert told(await bot.get(f"/approvals/{name}")) == (410, STILL_THERE.says)


async def test_an_ask_that_nobody_answers_is_gone() -> None:
    async with world() as here, here.agent() as bot:
        name = (await bot.post("/pharmacy/orders", content=THIRTY, headers=LATER)).json()["approval"]
        (ask,) = await here.asks()
        gone = replace(ask, lives_until=here.env.clock(), expires_at=here.env.clock())
        assert await here.env.store.commit(Replace(ask, gone))
        reply = await looked(bot, name)
        assert (reply.status_code, reply.json()["error"]) == (410, "expired_token")


async def test_a_call_is_held_only_so_long() -> None:
    async with world(settings=lambda usual: replace(usual, hold_seconds=Seconds(0))) as here, here.agent() as bot:
        reply = await bot.post("/pharmacy/orders", content=THIRTY)
        assert reply.status_code == 202
        assert "preference-applied" not in reply.headers


async def test_the_same_call_once_more_is_not_asked_about_twice() -> None:
    """An agent whose patience ended before the gateway's comes again: Alice is asked once, and one order is made."""
    async with world() as here, here.agent() as bot:
        impatient = asyncio.create_task(bot.post("/pharmacy/orders", content=THIRTY))
        await here.next_ask()
        impatient.cancel()
        await asyncio.wait({impatient})
        again = await bot.post("/pharmacy/orders", content=THIRTY)
        assert again.status_code == 202
        assert len(await here.asks()) == 1
        await here.answers()
        assert (await looked(bot, again.json()["approval"])).json() == {"order": 1}
        assert len(here.pharmacy.orders) == 1


@stops(ROOM)
async def test_an_agent_waits_for_so_many_people_and_no_more() -> None:
    async with world(settings=lambda usual: replace(usual, approvals_max=2)) as here, here.agent() as bot:
        for quantity in (1, 2):
            body = b'{"medicine": "Ibuprofen 400 mg", "quantity": %d}' % quantity
            assert (await bot.post("/pharmacy/orders", content=body, headers=LATER)).status_code == 202
        third = await bot.post("/pharmacy/orders", content=THIRTY, headers=LATER)
        assert told(third) == (429, ROOM.says)
        assert "retry-after" in third.headers
        assert len(await here.asks()) == 2


async def test_a_mandate_is_asked_for_once_and_the_calls_wait_for_it() -> None:
    async with world(mandates=False) as here, here.agent() as bot:
        calls = [asyncio.create_task(bot.get(f"/pharmacy/prescriptions?n={n}")) for n in range(3)]
        ask = await here.next_ask()
        assert ask.wanted.scope == {"prescriptions:read", "prescriptions:order"}
        later = await bot.get("/pharmacy/prescriptions", headers=LATER)
        assert later.status_code == 202
        assert (await bot.get("/pharmacy/prescriptions")).json()["approval"] == later.json()["approval"]
        assert len(await here.asks()) == 1
        await here.answers()
        assert [(await call).status_code for call in calls] == [200, 200, 200]
        assert (await looked(bot, later.json()["approval"])).json()["patient"] == "alice"


async def test_a_body_that_is_not_kept_comes_again_when_the_person_has_answered() -> None:
    async with world(mandates=False, settings=lambda usual: replace(usual, hold_seconds=Seconds(0))) as here:
        async with here.agent() as bot:
            reply = await bot.put("/leaky/x", content=b"a body that is not kept")
            assert (reply.status_code, reply.json()["error"]) == (503, "authorization_pending")
            assert "retry-after" in reply.headers
            assert here.leaky.seen == []
            await here.answers()
            async with asyncio.timeout(10):
                while (await bot.put("/leaky/x", content=b"a body")).status_code != 200:
                    await asyncio.sleep(0.05)
        assert {body for _, body in here.leaky.seen} == {b"a body"}


async def test_what_runs_is_what_came() -> None:
    """Method, address, headers and body are fixed when the call comes: nothing alters them later."""
    async with world() as here, here.agent() as bot:
        odd = b'{"quantity":\t30, "medicine":"Ibuprofen 400 mg"}\n'
        held = asyncio.create_task(bot.post("/pharmacy/orders", content=odd, headers={"content-type": "x/y"}))
        await here.answers()
        assert (await held).status_code == 201
        assert here.pharmacy.orders == [{"quantity": 30, "medicine": "Ibuprofen 400 mg"}]


async def test_taking_back_ends_it_at_once_and_asks_nobody() -> None:
    async with world() as here, here.agent() as bot:
        assert (await bot.get("/pharmacy/prescriptions")).status_code == 200
        await here.takes_back()
        begun = asyncio.get_running_loop().time()
        assert told(await bot.get("/pharmacy/prescriptions")) == (403, ALLOWED.says)
        assert asyncio.get_running_loop().time() - begun < 1
        assert told(await bot.post("/pharmacy/orders", content=THIRTY)) == (403, ALLOWED.says)
        assert await here.asks() == []


async def test_every_call_leaves_a_line_and_no_secret() -> None:
    async with world() as here, here.agent() as bot:
        held = asyncio.create_task(bot.post("/pharmacy/orders", content=THIRTY))
        await here.answers()
        await held
        await bot.get("/pharmacy/prescriptions?secret=in-the-query")
        await bot.get("/nowhere")
        lines = [{**event.told} for event in await here.trail()]
        assert [(line["method"], line["path"], line["decision"], line["status"]) for line in lines] == [
            ("POST", "/pharmacy/orders", "allowed", "201"),
            ("GET", "/pharmacy/prescriptions", "allowed", "200"),
            ("GET", "/nowhere", "refused", "404"),
        ]
        assert lines[0]["txn"]
        assert {(event.client, event.person) for event in (await here.trail())[:2]} == {("pharmacy-bot", "alice")}
        assert "in-the-query" not in repr(lines)
        assert "Ibuprofen" not in repr(lines)


async def test_an_approval_that_is_still_open_carries_nothing() -> None:
    async with world() as here, here.agent() as bot:
        first = await bot.post("/pharmacy/orders", content=THIRTY, headers=LATER)
        same = {"deputize-approval": first.json()["approval"]}
        early = await bot.post("/pharmacy/orders", content=THREE_HUNDRED, headers=same)
        assert (early.status_code, early.json()["approval"]) == (202, first.json()["approval"])
        await here.answers()
        assert (await looked(bot, first.json()["approval"])).status_code == 201
        assert len(here.pharmacy.orders) == 1


async def test_what_goes_wrong_while_nobody_waits_is_told_to_who_looks() -> None:
    async def too_much(_: Scope, __: bytes, send: Send) -> None:
        await say(send, b"x" * 2000)

    small: dict[str, Any] = {"mandates": False, "settings": lambda usual: replace(usual, kept_max=1000)}
    async with world(**small) as here, here.agent() as bot:
        here.leaky.answer = too_much
        name = (await bot.get("/leaky/x", headers=LATER)).json()["approval"]
        await here.answers()
        reply = await looked(bot, name)
        assert (reply.status_code, reply.json()["error"]) == (502, "bad_gateway")
        assert [event.told["decision"] for event in await here.trail()] == ["asking", "failed"]


async def test_old_answers_are_forgotten() -> None:
    """By the clock, whoever is interested."""
    async with world(settings=lambda usual: replace(usual, keep_seconds=Seconds(1))) as here, here.agent() as bot:
        name = (await bot.post("/pharmacy/orders", content=THIRTY, headers=LATER)).json()["approval"]
        await here.answers(allow=False)
        assert (await looked(bot, name)).status_code == 403
        found = here.gateway._approvals._all[name]
        found.forget_at = here.env.clock()
        assert told(await bot.get(f"/approvals/{name}")) == (404, YOURS.says)


async def test_a_gateway_that_stops_asks_no_more() -> None:
    async with world() as here, here.agent() as bot:
        held = asyncio.create_task(bot.post("/pharmacy/orders", content=THIRTY))
        later = (await bot.post("/pharmacy/orders", content=THREE_HUNDRED, headers=LATER)).json()["approval"]
        await here.next_ask()
        await here.gateway.close()
        found = here.gateway._approvals._all[later]
        assert found.answer is not None
        assert found.answer.cancelled()
        assert (await held).status_code == 503
