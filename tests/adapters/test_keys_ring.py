"""The life of a key: who signs and who is shown at each moment, whatever operators and clocks do."""

from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deputize.adapters.keys_ring import Plan, Ring, SigningKey, State, founded, retired, rotated, tended
from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Malformed
from deputize.jose.keys import PrivateKey

NOW = Instant(1_800_000_000)
DAY = 24 * 3600
PLAN = Plan()


def at(seconds: int) -> Instant:
    return Instant(NOW + seconds)


def rotate(ring: Ring, now: Instant, *, at_once: bool = False, alg: str = "ES256", plan: Plan = PLAN) -> Ring:
    active = ring.active(alg, now)
    return rotated(ring, plan, now, alg=alg, away_from=active.kid if active else None, at_once=at_once)


def states(ring: Ring, now: Instant) -> list[State]:
    return [ring.state(key, now) for key in ring.keys]


def test_the_first_key_signs_at_once() -> None:
    ring = founded(PLAN, NOW)
    assert states(ring, NOW) == [State.ACTIVE]
    assert ring.generation == 1


def test_a_key_goes_from_next_to_active_to_retiring_to_retired() -> None:
    ring = rotate(founded(PLAN, NOW), at(10))
    first, second = ring.keys
    told = [
        (10, [State.ACTIVE, State.NEXT]),
        (10 + DAY - 1, [State.ACTIVE, State.NEXT]),
        (10 + DAY, [State.RETIRING, State.ACTIVE]),
        (10 + 2 * DAY - 1, [State.RETIRING, State.ACTIVE]),
        (10 + 2 * DAY, [State.RETIRED, State.ACTIVE]),
    ]
    for seconds, expected in told:
        assert states(ring, at(seconds)) == expected
        assert ring.signer("ES256", at(seconds)) is (first if expected[0] is State.ACTIVE else second)
    assert ring.shown(at(DAY)) == (first, second)
    assert ring.shown(at(10 + 2 * DAY)) == (second,)


def test_rotating_again_while_the_next_key_waits_makes_no_other() -> None:
    ring = rotate(founded(PLAN, NOW), at(10))
    assert rotate(ring, at(20)) is ring


def test_at_once_a_new_key_signs_and_the_old_one_is_still_shown() -> None:
    ring = rotate(founded(PLAN, NOW), at(10), at_once=True)
    assert states(ring, at(10)) == [State.RETIRING, State.ACTIVE]
    assert states(ring, at(10 + DAY)) == [State.RETIRED, State.ACTIVE]


def test_at_once_brings_the_waiting_key_forward() -> None:
    waiting = rotate(founded(PLAN, NOW), at(10))
    ring = rotate(waiting, at(20), at_once=True)
    assert [key.kid for key in ring.keys] == [key.kid for key in waiting.keys]
    assert states(ring, at(20)) == [State.RETIRING, State.ACTIVE]


def test_who_asks_to_leave_a_key_that_signs_no_more_is_late() -> None:
    ring = founded(PLAN, NOW)
    first = ring.keys[0].kid
    faster = rotated(ring, PLAN, at(1), alg="ES256", away_from=first, at_once=True)
    assert rotated(faster, PLAN, at(1), alg="ES256", away_from=first, at_once=True) is faster


def test_a_retired_next_key_leaves_the_one_before_it_as_it_was() -> None:
    before = founded(PLAN, NOW)
    ring = rotate(before, at(10))
    after = retired(ring, PLAN, at(20), kid=ring.keys[1].kid)
    assert after.keys == before.keys


def test_where_the_active_key_is_retired_the_waiting_one_signs() -> None:
    ring = rotate(founded(PLAN, NOW), at(10))
    after = retired(ring, PLAN, at(20), kid=ring.keys[0].kid)
    assert [key.kid for key in after.keys] == [ring.keys[1].kid]
    assert states(after, at(20)) == [State.ACTIVE]


def test_where_the_active_key_is_retired_and_none_waits_a_new_one_signs() -> None:
    ring = founded(PLAN, NOW)
    after = retired(ring, PLAN, at(20), kid=ring.keys[0].kid)
    (key,) = after.keys
    assert key.kid != ring.keys[0].kid
    for clock in (20, 15, 25):  # those of other hosts
        assert after.signer("ES256", at(clock)) is key
        assert states(after, at(clock)) == [State.ACTIVE]


def test_a_retiring_key_can_be_retired_early() -> None:
    ring = rotate(founded(PLAN, NOW), at(10), at_once=True)
    after = retired(ring, PLAN, at(20), kid=ring.keys[0].kid)
    assert after.keys == ring.keys[1:]


def test_a_key_that_is_not_there_cannot_be_retired() -> None:
    with pytest.raises(Fault, match="no key nobody"):
        retired(founded(PLAN, NOW), PLAN, NOW, kid="nobody")


def test_keys_follow_each_other_by_age() -> None:
    ring = founded(PLAN, NOW)
    assert tended(ring, PLAN, at(89 * DAY - 1)) is ring
    second = tended(ring, PLAN, at(89 * DAY))
    assert states(second, at(89 * DAY)) == [State.ACTIVE, State.NEXT]
    assert states(second, at(90 * DAY)) == [State.RETIRING, State.ACTIVE]
    assert tended(second, PLAN, at(90 * DAY)) is second
    third = tended(second, PLAN, at(91 * DAY))  # the first one's private part goes
    assert [key.kid for key in third.keys] == [second.keys[1].kid]


def test_without_an_age_no_key_comes_by_itself() -> None:
    plan = Plan(rotate_after=Seconds(0))
    ring = founded(plan, NOW)
    assert tended(ring, plan, at(3650 * DAY)) is ring


def test_another_algorithm_is_published_first_and_then_followed() -> None:
    ring, plan = founded(PLAN, NOW), Plan(alg="Ed25519")
    coming = tended(ring, plan, at(10))
    assert [(key.alg, coming.state(key, at(10))) for key in coming.keys] == [
        ("ES256", State.ACTIVE),
        ("Ed25519", State.NEXT),
    ]
    assert coming.signer("Ed25519", at(DAY)).alg == "ES256"
    assert coming.signer("Ed25519", at(10 + DAY)).alg == "Ed25519"
    over = tended(coming, plan, at(10 + DAY))
    assert states(over, at(10 + DAY)) == [State.RETIRING, State.ACTIVE]
    assert [key.alg for key in tended(over, plan, at(10 + 2 * DAY)).keys] == ["Ed25519"]


def test_each_algorithm_has_a_key_that_signs() -> None:
    plan = Plan(also=("Ed25519",))
    ring = rotate(founded(plan, NOW), at(10), alg="Ed25519", plan=plan)
    assert [(key.alg, ring.state(key, at(20))) for key in ring.keys] == [
        ("ES256", State.ACTIVE),
        ("Ed25519", State.ACTIVE),
        ("Ed25519", State.NEXT),
    ]


def test_a_clock_that_was_put_back_to_before_all_keys_finds_one_that_signs() -> None:
    ring = rotate(founded(PLAN, NOW), at(10))
    assert ring.signer("ES256", at(-DAY)) is ring.keys[0]


def test_there_is_an_end_to_keys_that_are_shown() -> None:
    ring = founded(PLAN, NOW)
    for second in range(31):
        ring = rotate(ring, at(second), at_once=True)
    with pytest.raises(Fault, match="32 keys"):
        rotate(ring, at(40), at_once=True)


def test_a_key_does_not_show_itself() -> None:
    ring = founded(PLAN, NOW)
    private = ring.keys[0].private
    assert private is not None
    assert private.to_jwk()["d"] not in repr(ring)


@pytest.mark.parametrize(
    "fields",
    [
        {"alg": "none"},
        {"also": ("HS256",)},
        {"lead": Seconds(599)},
        {"overlap": Seconds(599)},
        {"rotate_after": Seconds(2 * DAY - 1)},
    ],
)
def test_a_plan_that_would_refuse_good_tokens_is_none(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"lead|overlap|algorithm"):
        Plan(**fields)


KEY = SigningKey.of(PrivateKey.generate(), made_at=NOW, signs_from=NOW)


@pytest.mark.parametrize(
    "fields",
    [
        {"signs_until": at(10)},
        {"shown_until": at(10)},
        {"signs_until": at(-10), "shown_until": at(10)},
        {"signs_until": at(10), "shown_until": at(5)},
    ],
)
def test_a_key_whose_times_contradict_each_other_is_none(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        dataclass_replace(KEY, **fields)


@pytest.mark.parametrize(
    "keys",
    [
        (),
        (KEY, KEY),
        (KEY, SigningKey.of(PrivateKey.generate(), made_at=NOW, signs_from=NOW)),
        (KEY.ended(at(10), PLAN),),
    ],
)
def test_a_ring_without_exactly_one_lasting_key_of_an_algorithm_is_none(keys: tuple[SigningKey, ...]) -> None:
    with pytest.raises(Malformed):
        Ring(generation=1, keys=keys)


# --- whatever is done, in whatever order ------------------------------------------------------------------------------


@dataclass
class Signed:
    """When a key last signed."""

    last: dict[str, Instant] = field(default_factory=dict)
    published: dict[str, Instant] = field(default_factory=dict)
    hurried: set[str] = field(default_factory=set)
    retired: set[str] = field(default_factory=set)


class Life(RuleBasedStateMachine):
    """Operators rotate, retire and wait; each second that is looked at, a token is signed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.plan = Plan(also=("Ed25519",), lead=Seconds(600), overlap=Seconds(900), rotate_after=Seconds(4000))
        self.ring = founded(self.plan, self.now)
        self.signed = Signed()
        self.signed.hurried = {key.kid for key in self.ring.keys}

    def changed(self, ring: Ring) -> None:
        if ring is self.ring:
            return
        assert ring.generation > self.ring.generation
        for key in ring.keys:
            self.signed.published.setdefault(key.kid, self.now)
        self.ring = ring

    @rule(alg=st.sampled_from(("ES256", "Ed25519")), at_once=st.booleans())
    @precondition(lambda self: len(self.ring.keys) < 30)
    def rotate(self, alg: str, at_once: bool) -> None:  # noqa: FBT001 (as drawn)
        self.changed(rotate(self.ring, self.now, alg=alg, at_once=at_once, plan=self.plan))
        if at_once:
            self.signed.hurried.add(self.ring.signer(alg, self.now).kid)

    @rule(which=st.integers(0, 31))
    def retire(self, which: int) -> None:
        gone = self.ring.keys[which % len(self.ring.keys)]
        self.signed.retired.add(gone.kid)
        self.changed(retired(self.ring, self.plan, self.now, kid=gone.kid))
        self.signed.hurried.add(self.ring.signer(gone.alg, self.now).kid)

    @rule()
    def tend(self) -> None:
        self.changed(tended(self.ring, self.plan, self.now))
        assert tended(self.ring, self.plan, self.now) is self.ring

    @rule(seconds=st.sampled_from((1, 30, 299, 600, 901, 5000)))
    def wait(self, seconds: int) -> None:
        self.now = Instant(self.now + seconds)

    @invariant()
    def one_signs_of_each_algorithm_and_has_been_published_long_enough(self) -> None:
        for alg in self.plan.algs:
            active = [k for k in self.ring.keys if k.alg == alg and self.ring.state(k, self.now) is State.ACTIVE]
            assert [self.ring.signer(alg, self.now)] == active
            (key,) = active
            assert key.kid not in self.signed.retired
            assert key in self.ring.shown(self.now)
            if key.kid not in self.signed.hurried:
                assert self.now >= self.signed.published[key.kid] + self.plan.lead
            self.signed.last[key.kid] = self.now

    @invariant()
    def what_was_signed_can_be_verified_until_it_ends(self) -> None:
        shown = {key.kid for key in self.ring.shown(self.now)}
        for kid, last in self.signed.last.items():
            if kid not in self.signed.retired and self.now < last + self.plan.overlap:
                assert kid in shown
        assert not shown & self.signed.retired


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
