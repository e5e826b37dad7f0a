"""Whatever the order in which clients poll, people answer and take back, and time goes by: one approval, or none."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.adapters.memory import MemoryStore
from deputize.core.ports import Add, Env
from deputize.core.rules import Refusal
from deputize.core.values import ClientId, Instant, Issuer, Subject
from deputize.oauth import asking, tokens
from deputize.oauth import standing as standings
from deputize.oauth.binding import BoundKey
from deputize.oauth.client import Client, Person, Resource
from deputize.oauth.grants import ciba
from deputize.oauth.login import AuthenticatedClient, proven
from tests.support.asgi import Answer
from tests.support.cast import (
    BOT,
    NOW,
    OTHER,
    PHARMACY,
    READ,
    ClosedFetch,
    KeySigner,
    OpenPolicy,
    QuietNotify,
    a_client,
    an_ask,
)
from tests.support.ports import CountingRandom, FixedClock
from tests.support.world import CLIENT_CREDENTIALS, World, a_world

SIGNER = KeySigner()
ISSUER = Issuer("https://as.example")
ALICE, BOB = Subject("alice"), Subject("bob")
KEYS = {name: BoundKey(name) for name in ("its key", "another key")}


@dataclass
class Play:
    """One ask of one person by one client, and a plain account of what has happened, to hold the engine against."""

    env: Env
    clock: FixedClock
    bound: bool
    answer: str = ""
    ended_since: bool = False
    sent_away: bool = False
    issued: int = 0
    told: list[str] = field(default_factory=list)

    async def poll(self, who: str, key: str | None, door: str) -> None:
        client = await self.env.store.read(Client, who)
        assert client is not None
        shown = proven(client, client.auth_method, KEYS.get(key or ""))
        is_its = who == BOT and door == ciba.TYPE and (not self.bound or key == "its key")
        due = is_its and self.answer == "allow" and not self.issued and self.clock.now < NOW + 300
        before = self.issued
        try:
            await self._collect_and_issue(shown, door)
            self.issued += 1
        except Refusal as refusal:
            self.told.append(refusal.error)
        if self.issued > before:
            assert due, "nobody gets what nobody allowed this client, in time, for the first time"
            assert not self.ended_since, "what was taken back is not issued"
        elif due:
            assert self.ended_since, f"what was allowed is issued, and was not: {self.told[-1]}"
            self.answer = "spent"

    async def _collect_and_issue(self, client: AuthenticatedClient, door: str) -> None:
        approval = await asking.collect(an_ask().key, client, door, self.env)
        await tokens.issue(approval, client.client, client.key, ISSUER, tokens.Settings(), self.env)

    async def say(self, by: Subject, allow: bool) -> None:  # noqa: FBT001 (what Hypothesis hands over)
        ask = await self.env.store.read(asking.Ask, an_ask().key)
        assert ask is not None
        may = by == ALICE and not self.answer and self.clock.now < NOW + 300 and not (allow and self.sent_away)
        try:
            await asking.answer(ask, by=by, allow=allow, env=self.env, via="a test")
        except Refusal:
            assert not may
        else:
            assert may
            self.answer = "allow" if allow else "deny"

    async def take_back(self) -> None:
        standing = await standings.find(ALICE, ClientId(BOT), self.env)
        if standing is not None and standing.taken_back_at is None:
            assert await self.env.store.commit(*standings.take_back(standing, self.clock.now))
            self.sent_away = True
            self.ended_since |= self.answer == "allow"

    async def welcome(self) -> None:
        standing = await standings.find(ALICE, ClientId(BOT), self.env)
        if standing is not None and standing.taken_back_at is not None:
            assert await self.env.store.commit(*standings.welcome(standing, self.clock.now))
            self.sent_away = False
            self.clock.forward(2)  # a yes of the very second of the welcome counts as one from before

    async def wait(self, seconds: int) -> None:
        self.clock.forward(seconds)

    async def sweep(self) -> None:
        await self.env.store.sweep(self.clock.now)


async def a_play(*, bound: bool, known: bool) -> Play:
    clock = FixedClock(NOW)
    env = Env(
        clock=clock,
        random=CountingRandom(),
        store=MemoryStore(),
        fetch=ClosedFetch(),
        signer=SIGNER,
        notify=QuietNotify(),
        policy=OpenPolicy(),
    )
    ask = an_ask(jkt="its key" if bound else None)
    people = [Person(key=name, login=name, name=name) for name in (ALICE, BOB)]
    pharmacy = Resource(key=PHARMACY, name="P", scopes={READ: "read"})
    records = [ask, pharmacy, a_client(BOT), a_client(OTHER), *people]
    if known:
        records.append(
            standings.Standing(
                key=standings.key_of(ALICE, ClientId(BOT)), person=ALICE, client=BOT, since=Instant(NOW - 100)
            )
        )
    assert await env.store.commit(*map(Add, records))
    return Play(env, clock, bound)


POLLS = st.tuples(
    st.just("poll"),
    st.sampled_from([BOT, BOT, BOT, OTHER]),
    st.sampled_from(["its key", "its key", None, "another key"]),
    st.sampled_from([ciba.TYPE, ciba.TYPE, ciba.TYPE, "another door"]),
)
ANSWERS = st.tuples(st.just("say"), st.sampled_from([ALICE, ALICE, BOB]), st.booleans())
WAITS = st.tuples(st.just("wait"), st.sampled_from([0, 1, 2, 7, 60, 299]))
REST = st.sampled_from([("take_back",), ("welcome",), ("sweep",)])
STEPS = st.lists(POLLS | POLLS | ANSWERS | WAITS | REST, max_size=25)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, bound=st.booleans(), known=st.booleans())
def test_in_whatever_order_it_happens(steps: list[tuple[Any, ...]], bound: bool, known: bool) -> None:  # noqa: FBT001
    async def play() -> None:
        made = await a_play(bound=bound, known=known)
        for name, *how in steps:
            await getattr(made, name)(*how)
        assert made.issued <= 1

    anyio.run(play)


# --- at once ------------------------------------------------------------------------------------------------------


async def at_once(count: int, do: Callable[[], Awaitable[Answer]]) -> list[Answer]:
    """Do it so many times at the same moment."""
    answers: list[Answer] = []

    async def one() -> None:
        answers.append(await do())

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return answers


def statuses(answers: list[Answer]) -> Counter[object]:
    return Counter(answer.status if answer.status == 200 else answer.told[1] for answer in answers)


async def test_a_hundred_polls_at_once_collect_once(tmp_path: Path) -> None:
    async with a_world(tmp_path / "asks.db") as world:
        ask = await world.asked()
        await world.allow(ask)
        form = {"grant_type": ciba.TYPE, "auth_req_id": ask.key}
        told = statuses(await at_once(100, lambda: world.post_quickly("/token", form, by=BOT)))
        assert told[200] == 1
        assert told.keys() <= {200, "slow_down", "invalid_grant"}
        assert isinstance((await world.ask_of(ask.key)).state, asking.Collected)


async def test_yes_and_no_at_once_while_it_is_polled_have_one_effect(tmp_path: Path) -> None:
    async with a_world(tmp_path / "asks.db") as world:
        for _ in range(5):
            ask = await world.asked(scope="openid")
            effects: list[bool] = []

            async def say(allow: bool, ask: asking.Ask = ask, effects: list[bool] = effects) -> None:  # noqa: FBT001
                try:
                    await asking.answer(ask, by=ALICE, allow=allow, env=world.env, via="a test")
                except Refusal as refusal:
                    assert refusal.rule is asking.ANSWERED_ONCE  # noqa: PT017 (it need not be raised)
                else:
                    effects.append(allow)

            form = {"grant_type": ciba.TYPE, "auth_req_id": ask.key}
            async with anyio.create_task_group() as group:
                for nth in range(10):
                    group.start_soon(say, nth % 2 == 0)
                    group.start_soon(at_once, 2, lambda form=form: world.post_quickly("/token", form, by=BOT))
            assert len(effects) == 1
            state = (await world.ask_of(ask.key)).state
            if not effects[0]:
                assert isinstance(state, asking.Answered)
                assert state.allowed is None
            last = await world.post_quickly("/token", form, by=BOT)
            collected = isinstance(state, asking.Collected)
            assert (last.status == 200) == (effects[0] and not collected)


async def test_what_works_once_works_once_however_many_try(tmp_path: Path) -> None:
    async with a_world(tmp_path / "asks.db") as world:
        form = {**CLIENT_CREDENTIALS, **dict(world.logs_in(BOT)[1])}
        told = statuses(await at_once(50, lambda: world.post_quickly("/token", form)))
        assert told == {200: 1, "invalid_client": 49}
        proof = (("dpop", world.proof(world.keys[OTHER])), ("content-type", "application/x-www-form-urlencoded"))
        told = statuses(await at_once(50, lambda: with_proof(world, proof)))
        assert told == {200: 1, "invalid_dpop_proof": 49}


async def with_proof(world: World, headers: tuple[tuple[str, str], ...]) -> Answer:
    fields = {**CLIENT_CREDENTIALS, **dict(world.logs_in(BOT)[1])}
    body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    return await world.send("POST", "/token", headers, body)


async def test_two_yeses_to_one_client_at_once_both_count(tmp_path: Path) -> None:
    """They write to the same record of what stands; neither is lost."""
    async with a_world(tmp_path / "asks.db") as world:
        asks = [await world.asked(scope=f"openid {scope}") for scope in (READ, "prescriptions:order")]
        async with anyio.create_task_group() as group:
            for ask in asks:
                group.start_soon(world.allow, ask)
        found = await standings.find(ALICE, ClientId(BOT), world.env)
        assert found is not None
        assert {scope for once in found.allowed for scope in once.scope} == {READ, "prescriptions:order"}
        for ask in asks:
            assert (await world.poll(replace(ask))).status == 200
