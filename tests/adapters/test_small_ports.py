"""Clock, dice, policy and notices: real ones and those for tests."""

import asyncio
import re
import time

import pytest
from structlog.testing import capture_logs

from deputize.adapters.notify import ConsoleNotify
from deputize.adapters.policy import Denial, SettingsPolicy
from deputize.adapters.sweeping import in_slices
from deputize.adapters.system import SystemClock, SystemRandom
from deputize.core.ports import Notice, Question, Random
from deputize.core.values import Instant
from tests.support.ports import CountingRandom, FixedClock


def test_the_systems_clock_shows_the_systems_time() -> None:
    before = int(time.time())
    assert before <= SystemClock()() <= int(time.time())


def test_a_fixed_clock_goes_forward_when_told() -> None:
    clock = FixedClock(1000)
    assert (clock(), clock()) == (1000, 1000)
    assert clock.forward(60) == clock() == clock.now == 1060


@pytest.mark.parametrize("random", [SystemRandom(), CountingRandom()], ids=["system", "counting"])
@pytest.mark.parametrize("bits", [1, 7, 8, 9, 20, 128, 160, 256, 1000])
def test_dice_give_enough_bits_and_never_the_same_twice(random: Random, bits: int) -> None:
    thrown = [random(bits) for _ in range(20)]
    for text in thrown:
        assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
        assert len(text) * 6 >= bits
    if bits >= 128:
        assert len(set(thrown)) == 20


@pytest.mark.parametrize("random", [SystemRandom(), CountingRandom()], ids=["system", "counting"])
def test_no_bits_are_no_secret(random: Random) -> None:
    with pytest.raises(ValueError, match="no bits"):
        random(0)


def test_counting_dice_fall_alike_in_every_run() -> None:
    assert [CountingRandom()(128) for _ in range(2)] == ["Lxafm05qECR1IgnNVBDruA"] * 2


ASKED = Question(
    does="issue", client="bot", person="alice", audience=frozenset({"a", "b"}), scope=frozenset({"read", "write"})
)


async def test_without_denials_all_is_allowed() -> None:
    verdict = await SettingsPolicy().may(ASKED)
    assert (verdict.allowed, verdict.because) == (True, "default")


@pytest.mark.parametrize(
    ("denial", "fits"),
    [
        (Denial(name="n"), True),
        (Denial(name="n", does="issue"), True),
        (Denial(name="n", does="ask"), False),
        (Denial(name="n", client="bot", person="alice"), True),
        (Denial(name="n", client="bot", person="bob"), False),
        (Denial(name="n", client="other"), False),
        (Denial(name="n", audience=frozenset({"b", "c"})), True),
        (Denial(name="n", audience=frozenset({"c"})), False),
        (Denial(name="n", scope=frozenset({"write"})), True),
        (Denial(name="n", scope=frozenset({"admin"})), False),
        (Denial(name="n", client="bot", scope=frozenset({"admin"})), False),
    ],
)
async def test_a_denial_fits_where_all_that_it_states_does(denial: Denial, fits: bool) -> None:  # noqa: FBT001 (a column of the table)
    verdict = await SettingsPolicy((denial,)).may(ASKED)
    assert verdict.allowed is not fits
    assert verdict.because == ("n" if fits else "default")


async def test_the_first_denial_that_fits_is_the_reason() -> None:
    denials = (Denial(name="one", client="other"), Denial(name="two", client="bot"), Denial(name="three"))
    assert (await SettingsPolicy(denials).may(ASKED)).because == "two"


async def test_a_notice_is_one_line() -> None:
    with capture_logs() as lines:
        await ConsoleNotify().tell(Notice(key="7", person="alice", about="page", at=Instant(5)))
    assert lines == [{"event": "notice", "log_level": "info", "person": "alice", "about": "page", "at": 5}]


@pytest.mark.parametrize(("gentle_seconds", "least"), [(600.0, 100), (0.0, 1000)])
async def test_a_sweep_that_falls_behind_takes_larger_slices(gentle_seconds: float, least: int) -> None:
    """Each slice takes its time here, however small: then it is not made smaller and smaller."""
    left, asked = 2_500, list[int]()

    async def forget(rows: int) -> int:
        nonlocal left
        asked.append(rows)
        await asyncio.sleep(0.003)
        gone = min(rows, left)
        left -= gone
        return gone

    assert await in_slices(forget, gentle_seconds=gentle_seconds) == 2_500
    assert min(asked[1:]) == least
