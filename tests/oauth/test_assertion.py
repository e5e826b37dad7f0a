"""A client's assertion, both ends; and what is asked, answered or written when somebody else was faster."""

from dataclasses import replace

import pytest

from deputize.core.ports import Change
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Issuer, Subject
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import asking, assertion
from deputize.oauth import reading as readings
from deputize.oauth.asking import Ask
from deputize.oauth.assertion import OF_ITSELF
from tests.support.cast import BOT, NOW, OTHER, BrokenStore, an_ask
from tests.support.proofs import lets_through, stops
from tests.support.world import World

HERE = Issuer("https://as.example")


@lets_through(OF_ITSELF)
async def test_what_one_end_makes_the_other_takes_once(world: World) -> None:
    key = world.keys[BOT]
    compact = assertion.make(BOT, key, audience=HERE.text, jti="one", now=world.now)
    once = assertion.check(assertion.peek(compact), BOT, KeySet.of(key.public()), HERE.text, world.now)
    assert await world.store.commit(once)
    assert not await world.store.commit(once)


@stops(OF_ITSELF)
async def test_an_assertion_of_one_client_about_another(world: World) -> None:
    key = PrivateKey.generate()
    compact = world.assertion(BOT, key=key, sub=OTHER)
    with pytest.raises(Refusal) as stopped:
        assertion.check(assertion.peek(compact), BOT, KeySet.of(key.public()), HERE.text, world.now)
    assert stopped.value.rule is OF_ITSELF


async def test_an_ask_is_put_once(world: World) -> None:
    """The same handle again: whether somebody must be asked, or an earlier yes covers it."""
    await world.allowed()
    for ask in (an_ask(key="waits", remember=False), an_ask(key="covered")):
        await asking.ask(ask, world.here.asks, world.env)
        with pytest.raises(Refusal) as stopped:
            await asking.ask(ask, world.here.asks, world.env)
        assert stopped.value.rule is asking.ONCE


async def test_an_answer_that_never_gets_through_is_a_fault_that_may_pass(world: World) -> None:
    """Polls that are faster each time: the person is not told that they have answered."""

    class Busy(BrokenStore):
        async def commit(self, *changes: Change) -> bool:
            assert changes
            return False

    ask = await world.asked()
    with pytest.raises(Fault) as failed:
        await asking.answer(
            ask,
            by=Subject("alice"),
            allow=True,
            env=replace(world.env, store=Busy(world.store, frozenset())),
            via="a test",
        )
    assert failed.value.retry
    found = await world.store.read(Ask, ask.key)
    assert found is not None
    assert found.is_waiting(world.now)


async def test_an_unknown_client_is_said_to_be_unknown(world: World) -> None:
    """Its record is gone, and what it asked is still read out."""
    reading = await readings.read_out(an_ask(client="gone-bot"), world.env)
    assert reading.how_known == "unknown"
    assert reading.sentence.startswith("gone-bot wants to read your prescriptions")
    assert readings.may(an_ask().wanted, ()) == "use “prescriptions:read”"
    assert an_ask().created_at == NOW
