"""The life of signing keys: published before they sign, shown after they have signed. Pure: `now` is an argument.

Each key carries the absolute times at which it begins to sign, ends to sign, and is no longer shown. Nothing happens
at these times: whoever uses the keys compares them with his clock. So all workers on all hosts change over at the
same moment without a word between them, and one whose clock is a few seconds off signs with a key that is published.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject, Malformed
from deputize.jose.algorithms import BY_NAME
from deputize.jose.keys import PrivateKey

CACHED_MAX: Final = Seconds(300)  # how long others may go on with the JWK set that they have
SKEW_MAX: Final = Seconds(60)  # how far the clocks of two hosts, or of a host and a verifier, may be apart
KEYS_MAX: Final = 32
_DAY: Final = 24 * 3600


class State(StrEnum):
    """Where a key stands in its life."""

    NEXT = "next"  # published, does not sign yet
    ACTIVE = "active"  # signs
    RETIRING = "retiring"  # signs no more, verifies until the last token that it signed has ended
    RETIRED = "retired"  # neither; its private part goes with the next change


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How keys come and go. `alg` is what is signed with; `also` are further algorithms with a key of their own.

    `lead`: how long a key is published before it signs. `overlap`: how long it is shown after. `rotate_after`: how
    long it signs (0: until somebody says `rotate`).
    """

    alg: str = "ES256"
    also: tuple[str, ...] = ()
    lead: Seconds = Seconds(_DAY)
    overlap: Seconds = Seconds(_DAY)
    rotate_after: Seconds = Seconds(90 * _DAY)

    def __post_init__(self) -> None:
        for name in self.algs:
            if name not in BY_NAME:
                raise ValueError(f"{name} is no algorithm that is signed with here")
        if self.lead < 2 * CACHED_MAX:
            raise ValueError(f"lead is at least {2 * CACHED_MAX} seconds: others go on with the keys that they have")
        if self.overlap < 2 * CACHED_MAX:
            raise ValueError(f"overlap is at least {2 * CACHED_MAX} seconds, and longer than a token lives")
        if self.rotate_after and self.rotate_after < self.lead + self.overlap:
            raise ValueError("rotate_after is 0, or at least lead and overlap together")

    @property
    def algs(self) -> tuple[str, ...]:
        return self.alg, *self.also


DEFAULT: Final = Plan()


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """One key and its times. `private` is None where the key lies in a token that never lets it out."""

    kid: str
    alg: str
    public: JsonObject = field(repr=False)
    private: PrivateKey | None = field(repr=False)
    made_at: Instant
    signs_from: Instant
    signs_until: Instant | None = None
    shown_until: Instant | None = None

    def __post_init__(self) -> None:
        if (self.signs_until is None) != (self.shown_until is None):
            raise Malformed("a key that ends to sign ends to be shown")
        ends = (self.signs_until or self.signs_from, self.shown_until or self.signs_until or self.signs_from)
        if not self.signs_from <= ends[0] <= ends[1]:
            raise Malformed("a key's times are in order")

    @classmethod
    def of(cls, key: PrivateKey, *, made_at: Instant, signs_from: Instant) -> "SigningKey":
        return cls(
            kid=key.kid,
            alg=key.alg.name,
            public=key.public_jwk(),
            private=key,
            made_at=made_at,
            signs_from=signs_from,
        )

    def signs_at(self, now: Instant) -> bool:
        return self.signs_from <= now and (self.signs_until is None or now < self.signs_until)

    def is_shown_at(self, now: Instant) -> bool:
        return self.shown_until is None or now < self.shown_until

    def ended(self, at: Instant, plan: Plan) -> "SigningKey":
        """The key as one that signs until then and is shown until nothing that it signed is left."""
        at = max(at, self.signs_from)
        return replace(self, signs_until=at, shown_until=Instant(at + plan.overlap))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """All keys of one server, in the order in which they begin to sign. Each change counts one `generation` up."""

    generation: int
    keys: tuple[SigningKey, ...]

    def __post_init__(self) -> None:
        if len({key.kid for key in self.keys}) != len(self.keys):
            raise Malformed("two keys have one name")
        lasting = [key.alg for key in self.keys if key.signs_until is None]
        if not lasting or len(set(lasting)) != len(lasting):
            raise Malformed("of each algorithm's keys, one signs until further notice")

    def last(self, alg: str) -> SigningKey | None:
        """The key of this algorithm that signs until further notice, now or later."""
        return next((key for key in self.keys if key.alg == alg and key.signs_until is None), None)

    def active(self, alg: str, now: Instant) -> SigningKey | None:
        """The key that signs now with this algorithm."""
        due = [key for key in self.keys if key.alg == alg and key.signs_at(now)]
        return due[-1] if due else None

    def signer(self, alg: str, now: Instant) -> SigningKey:
        """The key to sign with now: of this algorithm, or of another while its first key is not due.

        A clock that was put back to before all keys finds the oldest: there is always one that signs.
        """
        due = [key for key in self.keys if key.signs_at(now)]
        coming = [key for key in self.keys if now < key.signs_from]
        return self.active(alg, now) or (due[-1] if due else coming[0])

    def state(self, key: SigningKey, now: Instant) -> State:
        if not key.is_shown_at(now):
            return State.RETIRED
        if key is self.active(key.alg, now):
            return State.ACTIVE
        return State.NEXT if now < key.signs_from else State.RETIRING

    def shown(self, now: Instant) -> tuple[SigningKey, ...]:
        """The keys that others may verify with."""
        return tuple(key for key in self.keys if key.is_shown_at(now))

    def with_keys(self, keys: list[SigningKey]) -> "Ring":
        """The next generation."""
        if len(keys) > KEYS_MAX:
            raise Fault(f"there are {len(self.keys)} keys: more come when the oldest have retired")
        return Ring(generation=self.generation + 1, keys=tuple(sorted(keys, key=lambda key: key.signs_from)))


# --- changes: each tells the ring that comes after, or the same one where nothing is to be done -----------------------


def founded(plan: Plan, now: Instant) -> Ring:
    """The first keys: they sign at once, since there is nobody who knows others."""
    keys = tuple(_made(alg, now, signs_from=now) for alg in plan.algs)
    return Ring(generation=1, keys=keys)


def rotated(ring: Ring, plan: Plan, now: Instant, *, alg: str, away_from: str | None, at_once: bool = False) -> Ring:
    """Publish the next key of an algorithm; it signs after the lead, or at once.

    `away_from` is the key that signed when this was asked for: where another signs by now, somebody was faster.
    """
    active, last = ring.active(alg, now), ring.last(alg)
    if (active.kid if active else None) != away_from:
        return ring
    if last is not None and now < last.signs_from:  # the next one is there
        return _brought_forward(ring, plan, now, last) if at_once else ring
    begins = now if at_once else Instant(now + plan.lead)
    new = _made(alg, now, signs_from=begins)
    return ring.with_keys([*(key.ended(begins, plan) if key is last else key for key in ring.keys), new])


def retired(ring: Ring, plan: Plan, now: Instant, *, kid: str) -> Ring:
    """Take a key away at once. Where it was the one that signs, the next one does, or a new one that nobody knows."""
    gone = next((key for key in ring.keys if key.kid == kid), None)
    if gone is None:
        raise Fault(f"there is no key {kid}")
    rest = [key for key in ring.keys if key is not gone]
    if gone is not ring.active(gone.alg, now) and gone is not ring.signer(plan.alg, now):
        # Where it had not begun, the one before it goes on.
        return ring.with_keys([_unended(key) if _is_followed_by(gone, key) else key for key in rest])
    # A clock that is a little behind shall not wait for the new one: it begins a little before now.
    begins = Instant(now - SKEW_MAX)
    coming = next((key for key in rest if key.alg == gone.alg and key.signs_until is None), None)
    if coming is None:
        return ring.with_keys([*rest, _made(gone.alg, now, signs_from=begins)])
    return ring.with_keys([replace(key, signs_from=begins) if key is coming else key for key in rest])


def tended(ring: Ring, plan: Plan, now: Instant) -> Ring:
    """What is due: keys that are no longer shown go, old ones are followed by new ones."""
    after = ring
    if len(shown := list(ring.shown(now))) < len(ring.keys):
        after = after.with_keys(shown)
    for alg in plan.algs:
        last, active = after.last(alg), after.active(alg, now)
        if last is None or (plan.rotate_after and last.signs_from + plan.rotate_after - plan.lead <= now):
            after = rotated(after, plan, now, alg=alg, away_from=active.kid if active else None)
    if after.active(plan.alg, now) is None:
        return after
    over = {key.kid for key in after.keys if key.alg not in plan.algs and key.signs_until is None and key.signs_at(now)}
    return after.with_keys([key.ended(now, plan) if key.kid in over else key for key in after.keys]) if over else after


def _made(alg: str, now: Instant, *, signs_from: Instant) -> SigningKey:
    return SigningKey.of(PrivateKey.generate(alg), made_at=now, signs_from=signs_from)


def _brought_forward(ring: Ring, plan: Plan, now: Instant, coming: SigningKey) -> Ring:
    before = [key.ended(now, plan) if key.alg == coming.alg and key.signs_at(now) else key for key in ring.keys]
    return ring.with_keys([replace(key, signs_from=now) if key is coming else key for key in before])


def _is_followed_by(following: SigningKey, key: SigningKey) -> bool:
    return following.signs_until is None and key.alg == following.alg and key.signs_until == following.signs_from


def _unended(key: SigningKey) -> SigningKey:
    return replace(key, signs_until=None, shown_until=None)
