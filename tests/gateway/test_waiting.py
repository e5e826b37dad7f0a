"""Machines are waited for, people only so long; and what several wait for is done once."""

import asyncio
from collections.abc import Callable

import pytest

from deputize.gateway.waiting import Flight, Flights, Patience, StillAsking, ended


async def a_person(waiting: Callable[[], None], answered: asyncio.Event) -> str:
    waiting()
    await answered.wait()
    return "yes"


async def test_an_answer_in_time_is_the_result() -> None:
    answered = asyncio.Event()
    flight = Flight(lambda waiting: a_person(waiting, answered))
    asyncio.get_running_loop().call_later(0.01, answered.set)
    assert await Patience(5).over(flight) == "yes"


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_a_person_who_takes_longer_is_not_waited_for_and_can_still_answer(seconds: float) -> None:
    answered = asyncio.Event()
    flight = Flight(lambda waiting: a_person(waiting, answered))
    with pytest.raises(StillAsking):
        await Patience(seconds).over(flight)
    answered.set()
    assert await Patience(None).over(flight) == "yes"


async def test_a_machine_is_waited_for_even_without_patience() -> None:
    async def work(_: Callable[[], None]) -> str:
        await asyncio.sleep(0.02)
        return "done"

    assert await Patience(0).over(Flight(work)) == "done"


async def test_who_is_gone_does_not_wait() -> None:
    gone = asyncio.create_task(asyncio.sleep(0.01))
    flight = Flight(lambda waiting: a_person(waiting, asyncio.Event()))
    with pytest.raises(StillAsking):
        await Patience(60, gone).over(flight)
    await ended(flight.task)


async def test_gw_15_who_comes_while_it_is_under_way_joins_it() -> None:
    begun: list[str] = []

    async def work(_: Callable[[], None]) -> str:
        begun.append("x")
        await asyncio.sleep(0.01)
        raise ValueError("no")

    flights: Flights[str] = Flights()

    async def one() -> str:
        return await Patience(1).over(flights.join("key", work))

    told = await asyncio.gather(*(one() for _ in range(50)), return_exceptions=True)
    assert all(isinstance(no, ValueError) for no in told)
    assert begun == ["x"]
    assert not flights.under_way
    with pytest.raises(ValueError, match="no"):
        await one()
    assert begun == ["x", "x"]


async def test_stopping_ends_what_is_under_way() -> None:
    flights: Flights[str] = Flights()
    flight = flights.join("key", lambda waiting: a_person(waiting, asyncio.Event()))
    await flights.stop()
    assert flight.task.cancelled()
