"""How sure and how fresh an authentication is, and what is enough for whom."""

import pytest

from deputize.core.rules import Refusal
from deputize.core.values import Instant, Seconds
from deputize.oauth.authentication import (
    ACRS,
    BY_PASSKEY,
    BY_PASSWORD,
    BY_PASSWORD_AND_CODE,
    SEEN_ENOUGH,
    Authentication,
    Needed,
)
from tests.support.proofs import lets_through, stops

NOW = Instant(1_800_000_000)


def _seen(ago: int = 0, amr: tuple[str, ...] = BY_PASSWORD, session: str = "first") -> Authentication:
    return Authentication(at=Instant(NOW - ago), amr=amr, session=session)


@pytest.mark.parametrize(
    ("amr", "acrs"),
    [
        (BY_PASSKEY, ACRS),
        (BY_PASSWORD_AND_CODE, ("mfa", "pwd")),
        (BY_PASSWORD, ("pwd",)),
        (("pop",), ("pwd",)),
        ((), ()),
        (("sms",), ()),
        (("otp",), ()),
    ],
)
def test_what_was_done_says_how_sure_it_is(amr: tuple[str, ...], acrs: tuple[str, ...]) -> None:
    assert _seen(amr=amr).acrs == acrs


@pytest.mark.parametrize(
    ("amr", "asked", "told"),
    [
        (BY_PASSKEY, (), "phr"),
        (BY_PASSKEY, ("mfa",), "mfa"),
        (BY_PASSKEY, ("gold", "pwd", "phr"), "pwd"),
        (BY_PASSWORD, ("phr", "mfa"), None),
        (BY_PASSWORD, ("mfa", "pwd"), "pwd"),
        ((), (), None),
        (BY_PASSKEY, ("PHR",), None),
    ],
)
def test_az_23_a_class_is_told_only_where_it_is_met(
    amr: tuple[str, ...], asked: tuple[str, ...], told: str | None
) -> None:
    assert _seen(amr=amr).acr(asked) == told


_GOOD = [
    (_seen(9999), {}),
    (_seen(300), {"max_age": Seconds(300)}),
    (_seen(0, session="second"), {"max_age": Seconds(0)}),
    (_seen(0, session="second"), {"again": True}),
    (_seen(-60, session="second"), {"again": True, "max_age": Seconds(0)}),
    (_seen(0, BY_PASSKEY), {"acr_values": ("gold", "phr")}),
    (_seen(0, BY_PASSKEY), {"acr_values": ("pwd",)}),
]
_BAD = [
    (_seen(301), {"max_age": Seconds(300)}),
    (_seen(0), {"max_age": Seconds(0)}),
    (_seen(0), {"again": True}),
    (_seen(1, session="second"), {"again": True}),
    (_seen(-60), {"again": True}),
    (_seen(0), {"acr_values": ("mfa",)}),
    (_seen(0, BY_PASSKEY), {"acr_values": ("gold",)}),
    (_seen(0, ()), {"acr_values": ("pwd",)}),
]


@lets_through(SEEN_ENOUGH)
@pytest.mark.parametrize("case", range(len(_GOOD)))
def test_what_is_fresh_and_sure_enough_will_do(case: int) -> None:
    found, needed = _GOOD[case]
    Needed(asked_at=NOW, asked_in="first", **needed).hold(found)  # type: ignore[arg-type]  # a table of cases


@stops(SEEN_ENOUGH)
@pytest.mark.parametrize("case", range(len(_BAD)))
def test_az_21_what_is_too_old_or_too_weak_will_not(case: int) -> None:
    found, needed = _BAD[case]
    with pytest.raises(Refusal) as told:
        Needed(asked_at=NOW, asked_in="first", **needed).hold(found)  # type: ignore[arg-type]  # a table of cases
    assert told.value.error == "unmet_authentication_requirements"


def test_nobody_goes_in_circles() -> None:
    """max_age=0 is met by signing in once after the request came, however long reading takes then."""
    needed = Needed(asked_at=NOW, asked_in="first", again=True, max_age=Seconds(0))
    assert needed.is_lately(Authentication(at=Instant(NOW + 5), session="second"))


@pytest.mark.parametrize(
    ("asked", "can"), [((), True), (("phr",), True), (("gold", "pwd"), True), (("gold",), False), (("Mfa",), False)]
)
def test_what_no_way_of_signing_in_meets_is_known_beforehand(asked: tuple[str, ...], *, can: bool) -> None:
    assert Needed(asked_at=NOW, acr_values=asked).can_be_met == can
