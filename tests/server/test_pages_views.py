"""What the pages say, looked at as values."""

from dataclasses import replace

import pytest

from deputize.core.values import ClientId, Instant, Subject
from deputize.oauth import reading as readings
from deputize.oauth.asking import Answered, Ask, Collected
from deputize.oauth.authority import FOREVER, Authority
from deputize.oauth.reading import Reading
from deputize.oauth.standing import Standing, key_of
from deputize.server import refusals, views
from tests.support.pages import BOT, PHARMACY, SENTENCE, World

NOW = Instant(1_800_000_000)


async def _world() -> World:
    return await World().with_people()


async def _reading(world: World | None = None) -> Reading:
    world = world or await _world()
    return await readings.read_out(await world.asked(), world.env)


async def test_the_sentence_says_it_all_and_what_is_wanted_carries_the_weight() -> None:
    world = await _world()
    view = views.ask_view(await _reading(world), NOW)
    start, wants, end = view.sentence
    assert "".join(view.sentence).replace("\N{NO-BREAK SPACE}", " ") == SENTENCE
    assert start == f"{BOT} wants to "
    assert wants.startswith("order ")
    assert end.startswith(", once")


async def test_the_facts_say_it_again_one_by_one() -> None:
    world = await _world()
    facts = dict(views.ask_view(await _reading(world), NOW).facts)
    assert {label: said.replace("\N{NO-BREAK SPACE}", " ") for label, said in facts.items()} == {
        "What": "30 × Ibuprofen 400 mg",
        "How much": "€12.40",
        "From whom": "Madrid Pharmacy",
        "How often": "once",
        "For how long": "within 5 minutes",
    }


async def test_the_small_print_has_method_address_and_digest() -> None:
    world = await _world()
    small = " ".join(views.ask_view(await _reading(world), NOW).small)
    for part in ("POST /orders at pharmacy.example", "sha-256=:", "bytes"):
        assert part in small


async def test_a_sentence_that_does_not_begin_as_expected_is_shown_whole() -> None:
    world = await _world()
    odd = replace(await _reading(world), sentence="Somebody asks.")
    assert views.sentence_parts(odd) == ("", "Somebody asks.", "")


@pytest.mark.parametrize(
    ("text", "together"),
    [
        ("30 × Ibuprofen 400 mg for €12.40 from", "30_×_Ibuprofen 400_mg for €12.40 from"),
        ("within 5 minutes.", "within 5_minutes."),
        ("no numbers here", "no numbers here"),
    ],
)
def test_numbers_stay_with_what_they_count(text: str, together: str) -> None:
    assert views.together(text) == together.replace("_", "\N{NO-BREAK SPACE}")


# --- what became of it ------------------------------------------------------------------------------------------


async def test_while_it_waits_it_says_how_long() -> None:
    told = await _reading()
    view = views.ask_view(told, NOW)
    assert (view.outcome.kind, view.left, view.live, view.hurry) == ("waiting", "5 minutes", True, False)
    assert view.title == "pharmacy-bot asks"


async def test_in_the_last_minute_it_says_so_with_weight() -> None:
    told = await _reading()
    view = views.ask_view(told, Instant(told.lives_until - 31))
    assert (view.left, view.hurry) == ("30 seconds", True)


async def test_expired() -> None:
    told = await _reading()
    view = views.ask_view(told, told.lives_until)
    assert (view.outcome.kind, view.outcome.says, view.live) == ("expired", "This question expired", False)
    assert "has to ask again" in view.outcome.more


async def test_denied() -> None:
    told = await _reading()
    view = views.ask_view(replace(told, state=Answered(NOW, None, "alice")), NOW)
    assert (view.outcome.kind, view.outcome.says, view.live) == ("denied", "You denied this", False)
    assert view.outcome.more == "pharmacy-bot is told no, and nothing is done."


_YES = Authority(audience=frozenset({PHARMACY}), until=FOREVER)


@pytest.mark.parametrize(
    ("changes", "at", "says", "more", "live"),
    [
        ({}, 0, "You allowed this", "may now do exactly this, once, and nothing else", True),
        ({"often": ""}, 0, "You allowed this", "may now do exactly this, and nothing else", True),
        ({"remembered": True}, 0, "You allowed this", "take it back at any time", True),
        ({}, 300, "You allowed this", "did not come for the answer in time, so nothing was done", False),
    ],
)
async def test_allowed(changes: dict[str, object], at: int, says: str, more: str, *, live: bool) -> None:
    told = await _reading()
    yes = replace(told, state=Answered(NOW, _YES, "alice"), **changes)  # type: ignore[arg-type]
    view = views.ask_view(yes, Instant(NOW + at))
    assert (view.outcome.kind, view.outcome.says, view.live) == ("allowed", says, live)
    assert more in view.outcome.more


async def test_where_an_earlier_yes_covered_it_nobody_is_said_to_have_answered() -> None:
    told = await _reading()
    view = views.ask_view(replace(told, state=Answered(NOW, _YES, "alice", earlier=True)), NOW)
    assert view.outcome.says == "You had allowed this already"


async def test_collected() -> None:
    told = await _reading()
    view = views.ask_view(replace(told, state=Collected(NOW)), NOW)
    assert (view.outcome.says, view.live) == ("You allowed this", False)
    assert view.outcome.more == "pharmacy-bot has your answer, since 08:00 UTC."


async def test_only_what_goes_by_itself_changes_the_second_half_of_what_was_seen() -> None:
    told = await _reading()
    now, later = views.ask_view(told, NOW), views.ask_view(told, Instant(NOW + 120))
    denied = views.ask_view(replace(told, state=Answered(NOW, None, "alice")), NOW)
    assert (now.which == later.which, now.seen == later.seen) == (True, False)
    assert now.which != denied.which
    assert views.ask_view(told, Instant(NOW + 1)).seen != now.seen  # five minutes are four now
    assert views.ask_view(told, Instant(NOW + 2)).seen == views.ask_view(told, Instant(NOW + 59)).seen


# --- time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "a few seconds"),
        (9, "a few seconds"),
        (10, "10 seconds"),
        (59, "50 seconds"),
        (60, "1 minute"),
        (299, "4 minutes"),
        (3600, "1 hour"),
        (7199, "1 hour"),
        (26 * 3600, "1 day"),
        (30 * 24 * 3600, "30 days"),
    ],
)
def test_time_left_is_never_told_longer_than_it_is(seconds: int, text: str) -> None:
    assert views.left(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (150, "2 minutes ago"),
        (3600, "1 hour ago"),
        (200_000, "2 days ago"),
    ],
)
def test_time_that_went_by(seconds: int, text: str) -> None:
    assert views.ago(seconds) == text


def test_a_moment_of_another_day_says_which() -> None:
    assert views.moment(NOW, NOW).clock == "08:00 UTC"
    assert views.moment(NOW, Instant(NOW + 90_000)).clock == "15 January 2027, 08:00 UTC"
    assert views.moment(NOW, NOW).iso == "2027-01-15T08:00:00Z"


# --- foreign texts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain", "plain"),
        ("two\nlines\tand more", "two lines and more"),
        ("turned \u202eround", "turned \N{REPLACEMENT CHARACTER}round"),
        ("nothing\u200bseen", "nothing\N{REPLACEMENT CHARACTER}seen"),
        ("bell\x07", "bell\N{REPLACEMENT CHARACTER}"),
        ("x" * 500, "x" * 399 + "…"),
        ("Zażółć gęślą jaźń, 薬局", "Zażółć gęślą jaźń, 薬局"),
    ],
)
def test_a_foreign_text_is_one_visible_line(text: str, said: str) -> None:
    assert views.shown(text) == said


# --- the inbox --------------------------------------------------------------------------------------------------------


async def _seen(world: World, asks: list[Ask], at: int = 0) -> tuple[str, str]:
    return views.seen_of(asks, Instant(world.env.clock() + at))


async def test_what_is_seen_changes_with_what_waits_and_with_the_time_that_is_shown() -> None:
    world = await _world()
    first, second = await world.asked(), await world.asked()
    which, seen = await _seen(world, [first, second])
    assert (which, seen) == await _seen(world, [second, first])
    assert (await _seen(world, [first]))[0] != which
    later_which, later_seen = await _seen(world, [first, second], at=61)
    assert (later_which == which, later_seen == seen) == (True, False)
    assert await _seen(world, [first, second], at=300) == await _seen(world, [])


async def test_the_one_with_the_least_time_left_comes_first() -> None:
    world = await _world()
    slow, quick = await world.asked(), await world.asked(life=60)
    told = [await readings.read_out(ask, world.env) for ask in (slow, quick)]
    view = views.waiting_view(told, ("which", "seen"), NOW)
    assert [ask.page for ask in view.asks] == [quick.page, slow.page]
    assert (view.says, view.title) == ("2 questions are waiting for you.", "(2) Inbox")


@pytest.mark.parametrize(("count", "says"), [(0, "Nothing is waiting for you."), (1, "1 question is waiting for you.")])
async def test_how_much_there_is_to_do(count: int, says: str) -> None:
    world = await _world()
    told = [await _reading(world) for _ in range(count)]
    assert views.waiting_view(told, ("which", "seen"), NOW).says == says


async def test_when_an_ask_was_over() -> None:
    world = await _world()
    ask = await world.asked()
    assert views.over_at(ask) == ask.lives_until
    assert views.over_at(replace(ask, state=Collected(NOW))) == NOW


# --- my agents --------------------------------------------------------------------------------------------------------


def _known(name: str, *, until: int = 3600, taken_back_at: Instant | None = None) -> views.Known:
    standing = Standing(
        key=key_of(Subject("alice"), ClientId(name)),
        person="alice",
        client=name,
        since=Instant(NOW - 86400),
        allowed=(replace(_YES, until=Instant(NOW + until)),),
        taken_back_at=taken_back_at,
    )
    return views.Known(standing, name, "registered by your administrator", ("read your prescriptions",))


def test_an_agent_shows_what_it_may_and_until_when() -> None:
    view = views.agent_view(_known(BOT, until=3 * 86400), NOW)
    assert [(one.may, one.ends_in) for one in view.permissions] == [("read your prescriptions", "3 days")]
    assert view.permissions[0].until is not None
    assert (view.permissions[0].until.day, view.since.day) == ("18 January 2027", "14 January 2027")


def test_a_mandate_that_is_out_is_told_of() -> None:
    known = replace(_known(BOT, until=3 * 86400), mandate_until=Instant(NOW + 7200))
    told = views.agent_view(known, NOW).mandate
    assert told is not None
    assert (told.day, told.clock) == ("15 January 2027", "10:00 UTC")
    assert views.agent_view(_known(BOT, until=3 * 86400), NOW).mandate is None


def test_what_has_ended_is_not_shown_as_allowed() -> None:
    assert views.agent_view(_known(BOT, until=0), NOW).permissions == ()


def test_what_ends_in_a_lifetime_has_no_end_to_show() -> None:
    (only,) = views.agent_view(_known(BOT, until=FOREVER - NOW), NOW).permissions
    assert only.until is None


def test_the_stopped_ones_come_last() -> None:
    known = [_known("a-bot", taken_back_at=NOW), _known("C-bot"), _known("b-bot")]
    assert [view.who for view in views.agents_view(known, NOW)] == ["b-bot", "C-bot", "a-bot"]


# --- saying no --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "shown"), [(400, 400), (404, 404), (418, 400), (500, 500), (502, 500), (503, 503)])
def test_every_status_has_a_page(status: int, shown: int) -> None:
    assert refusals.refusal_view(status).status == shown


def test_each_refusal_says_what_to_do_next() -> None:
    for view in refusals.REFUSALS.values():
        assert view.title
        assert view.says.endswith(".")
        assert view.link.startswith("/")
