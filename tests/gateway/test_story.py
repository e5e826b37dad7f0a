"""The main job: an agent that holds nothing, a person who approves exactly what runs."""

import asyncio

from tests.gateway.world import THIRTY, THREE_HUNDRED, world
from tests.support.cast import OTHER


async def test_the_bot_reads_what_alice_has_allowed() -> None:
    async with world() as here, here.agent() as bot:
        told = await bot.get("/pharmacy/prescriptions")
        assert (told.status_code, told.json()["patient"]) == (200, "alice")
        assert await here.asks() == []


async def test_an_order_is_held_until_alice_allows_it_and_then_runs_as_it_was() -> None:
    async with world() as here, here.agent() as bot:
        ordering = asyncio.create_task(bot.post("/pharmacy/orders", content=THIRTY))
        ask = await here.answers()
        told = await ordering
        assert told.status_code == 201
        assert here.pharmacy.orders == [{"medicine": "Ibuprofen 400 mg", "quantity": 30}]
        assert {detail.type for detail in ask.wanted.details} == {"http_call", "purchase"}
        assert told.headers["deputize-approval"]


async def test_what_was_approved_fits_nothing_else_and_nothing_twice() -> None:
    async with world() as here, here.agent() as bot, here.agent(OTHER) as other:
        ordering = asyncio.create_task(bot.post("/pharmacy/orders", content=THIRTY))
        await here.answers()
        same = {"deputize-approval": (await ordering).headers["deputize-approval"]}
        more = await bot.post("/pharmacy/orders", content=THREE_HUNDRED, headers=same)
        assert (more.status_code, more.json()["error"]) == (401, "invalid_token")
        twice = await bot.post("/pharmacy/orders", content=THIRTY, headers=same)
        assert (twice.status_code, twice.json()["error"]) == (401, "invalid_token")
        foreign = await other.post("/pharmacy/orders", content=THIRTY, headers=same)
        assert (foreign.status_code, foreign.json()["error"]) == (404, "not_found")
        assert len(here.pharmacy.orders) == 1
