"""Mallory is signed in as Bob and has the address of what Alice is asked; or somebody answers twice, or too much."""

import anyio
import pytest

from deputize.core.ports import Event
from deputize.core.rules import Refusal
from deputize.core.values import ClientId, Subject
from deputize.oauth import standing
from deputize.oauth.asking import Answered, Waiting
from deputize.oauth.standing import Standing
from tests.support.pages import BOT, DETAIL, SAME_ORIGIN, World, send, text_of, token_on

ALICE = Subject("alice")


async def _events(world: World, what: str) -> int:
    return sum(one.what == what for one in await world.env.store.select(Event, "person", "alice"))


@pytest.mark.parametrize("answer", ["allow", "deny"])
async def test_cb_12_what_alice_is_asked_is_not_there_for_bob(answer: str) -> None:
    world = await World().with_people()
    bob = await world.signed_in("bob")
    ask = await world.asked(words="Between Alice and me.")
    stolen, invented = await bob.get(f"/asks/{ask.page}"), await bob.get("/asks/no-such-page")
    assert (stolen.status_code, stolen.text) == (404, invented.text)
    for path in (f"/asks/{ask.page}", f"/asks/{ask.page}/live"):
        told = await bob.get(path, params={"seen": "x"})
        assert told.status_code == 404
        assert "Ibuprofen" not in told.text
    answered = await send(bob, f"/asks/{ask.page}", shown_at="/inbox", answer=answer)
    assert answered.status_code == 404
    assert await world.now_of(ask) == ask
    assert "Nothing is waiting for you" in text_of(await bob.get("/inbox"))


async def test_cb_12_who_is_not_signed_in_does_not_learn_whether_there_is_anything() -> None:
    world = await World().with_people()
    ask = await world.asked()
    told = [await world.browser().get(f"/asks/{page}") for page in (ask.page, "A" * len(ask.page))]
    assert [one.status_code for one in told] == [303, 303]
    assert told[0].headers["location"].replace(ask.page, "") == told[1].headers["location"].replace("A" * 22, "")


async def test_what_alice_allowed_is_not_bobs_to_take_back_or_see() -> None:
    world = await World().with_people()
    alice, bob = await world.signed_in(), await world.signed_in("bob")
    ask = await world.asked_to_read()
    await send(alice, f"/asks/{ask.page}", answer="allow")
    for verb in ("take-back", "welcome"):
        assert (await send(bob, f"/agents/{BOT}/{verb}", shown_at="/inbox")).status_code == 404
    assert BOT not in text_of(await bob.get("/agents"))
    found = await standing.find(ALICE, ClientId(BOT), world.env)
    assert found is not None
    assert found.taken_back_at is None


async def test_co_05_what_was_asked_is_what_is_allowed_whatever_the_form_says() -> None:
    world = await World().with_people()
    browser = await world.signed_in()
    ask = await world.asked()
    more = {"amount": "9999.00", "scope": "everything", "until": "9999999999", "remember": "true", "person": "bob"}
    await send(browser, f"/asks/{ask.page}", answer="allow", **more)
    kept = await world.now_of(ask)
    assert isinstance(kept.state, Answered)
    assert kept.state.allowed == ask.wanted
    assert DETAIL in ask.wanted.details


@pytest.mark.parametrize("pair", [("allow", "allow"), ("allow", "deny"), ("deny", "allow"), ("deny", "deny")])
async def test_co_08_of_two_answers_at_once_one_counts_and_both_say_which(pair: tuple[str, str]) -> None:
    """RC-07."""
    world = await World().with_people()
    browser = await world.signed_in()
    ask = await world.asked()
    token = token_on(await browser.get(f"/asks/{ask.page}"))
    statuses: list[int] = []

    async def answer(says: str) -> None:
        fields = {"token": token, "answer": says}
        statuses.append((await browser.post(f"/asks/{ask.page}", data=fields, headers=SAME_ORIGIN)).status_code)

    async with anyio.create_task_group() as both:
        for says in pair:
            both.start_soon(answer, says)
    assert sorted(statuses) == [303, 409]
    assert await _events(world, "ask_allowed") + await _events(world, "ask_denied") == 1
    kept = await world.now_of(ask)
    assert isinstance(kept.state, Answered)
    says = "You allowed this" if kept.state.allowed else "You denied this"
    assert says in text_of(await browser.get(f"/asks/{ask.page}"))


@pytest.mark.parametrize("second", ["allow", "deny"])
async def test_co_08_a_second_click_meets_a_page_that_says_it_is_done(second: str) -> None:
    world = await World().with_people()
    browser = await world.signed_in()
    ask = await world.asked()
    shown = await browser.get(f"/asks/{ask.page}")
    for says, status in (("deny", 303), (second, 409)):
        fields = {"token": token_on(shown), "answer": says}
        answer = await browser.post(f"/asks/{ask.page}", data=fields, headers=SAME_ORIGIN)
        assert answer.status_code == status
    assert "This was already answered You denied this just now" in text_of(answer)
    assert "Nothing more has happened" in text_of(answer)
    kept = await world.now_of(ask)
    assert isinstance(kept.state, Answered)
    assert kept.state.allowed is None
    assert await _events(world, "ask_denied") == 1


async def test_co_08_two_asks_of_one_agent_allowed_at_once_are_both_allowed() -> None:
    """They change one standing; neither may be lost, or told to have been answered before."""
    world = await World().with_people()
    browser = await world.signed_in()
    asks = [await world.asked_to_read(), await world.asked()]
    token = token_on(await browser.get("/inbox"))

    async def allow(page: str) -> None:
        fields = {"token": token, "answer": "allow"}
        assert (await browser.post(f"/asks/{page}", data=fields, headers=SAME_ORIGIN)).status_code == 303

    async with anyio.create_task_group() as both:
        for ask in asks:
            both.start_soon(allow, ask.page)
    assert [isinstance((await world.now_of(ask)).state, Answered) for ask in asks] == [True, True]


async def test_co_09_a_no_is_remembered_as_no_and_nothing_else() -> None:
    world = await World().with_people()
    browser = await world.signed_in()
    ask = await world.asked_to_read()
    await send(browser, f"/asks/{ask.page}", answer="deny")
    kept = await world.now_of(ask)
    assert isinstance(kept.state, Answered)
    assert kept.state.allowed is None
    assert await world.env.store.select(Standing, "person", "alice") == []
    assert isinstance((await world.asked_to_read()).state, Waiting)  # asked again: the no covers nothing


async def test_taking_back_ends_it_for_all_who_look() -> None:
    world = await World().with_people()
    browser = await world.signed_in()
    ask = await world.asked_to_read()
    await send(browser, f"/asks/{ask.page}", answer="allow")
    before = await standing.find(ALICE, ClientId(BOT), world.env)
    assert before is not None
    assert before.lets_live(world.env.clock())
    await send(browser, f"/agents/{BOT}/take-back", shown_at="/agents")
    after = await standing.find(ALICE, ClientId(BOT), world.env)
    assert after is not None
    assert not after.lets_live(world.env.clock())
    with pytest.raises(Refusal) as told:
        await world.asked_to_read()
    assert told.value.rule is standing.NOT_TAKEN_BACK
