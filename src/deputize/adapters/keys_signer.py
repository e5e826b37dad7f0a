"""A signer over a ring of keys that lies somewhere else: who signs at this moment, and what others may see."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from deputize.adapters import keys_ring
from deputize.adapters.keys_ring import SKEW_MAX, Plan, Ring, SigningKey, State
from deputize.core.ports import Clock
from deputize.core.rules import Fault
from deputize.core.values import Instant
from deputize.core.wire import JsonObject

Step = Callable[[Ring, Instant], Ring]

LOOK_SECONDS: Final = 1
TEND_SECONDS: Final = 60

log = structlog.get_logger("deputize.keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTold:
    """What may be said of a key."""

    kid: str
    alg: str
    state: State
    made_at: Instant
    signs_from: Instant
    signs_until: Instant | None
    shown_until: Instant | None


class RingSigner(ABC):
    """Signs with the key that is due. Belongs to one event loop.

    What it needs for a request it works out once in a second of the clock; within the second a call is a comparison
    and a look-up. `keys()` is the same tuple until something changes, so that others can keep what they make of it.
    """

    def __init__(self, ring: Ring, plan: Plan, clock: Clock) -> None:
        self._ring = ring
        self._plan = plan
        self._clock = clock
        self._trouble: str | None = None
        self._at = clock()
        self._active = ("", "")
        self._shown: tuple[str, ...] = ()
        self._public: tuple[JsonObject, ...] = ()
        self._signing: dict[str, SigningKey] = {}
        self._settle(self._at)

    # --- the port -------------------------------------------------------------------------------------------------

    def active(self, alg: str | None = None) -> tuple[str, str]:
        """Key id and algorithm of the key to sign with now; of this algorithm's, where one is named."""
        if self._clock() != self._at:
            self._turn()
        if alg is None:
            return self._active
        key = self._ring.active(alg, self._at)
        if key is None:
            raise Fault(f"there is no key for {alg}")
        return key.kid, key.alg

    async def sign(self, kid: str, data: bytes) -> bytes:
        key = self._to_sign_with(kid)
        if key.private is None:
            raise Fault("the private part of this key is not here")
        return key.private.sign(data)

    def keys(self) -> tuple[JsonObject, ...]:
        """The public keys, as JWKs, that others may see. They are shared: who wants to change one makes a copy."""
        if self._clock() != self._at:
            self._turn()
        return self._public

    # --- for operators --------------------------------------------------------------------------------------------

    def told(self) -> tuple[KeyTold, ...]:
        """All keys that there are, and where each stands in its life."""
        self._turn()
        return tuple(
            KeyTold(
                kid=key.kid,
                alg=key.alg,
                state=self._ring.state(key, self._at),
                made_at=key.made_at,
                signs_from=key.signs_from,
                signs_until=key.signs_until,
                shown_until=key.shown_until,
            )
            for key in self._ring.keys
        )

    async def rotate(self, *, at_once: bool = False, alg: str | None = None) -> None:
        """Publish the next key, which signs after the plan's lead; where one is published, leave it at that.

        `at_once`: it signs from now on, and whoever has not seen it yet refuses its tokens until he looks again.
        """
        self._turn()
        name = alg or self._plan.alg
        if name not in (*self._plan.algs, *(key.alg for key in self._ring.keys)):
            raise Fault(f"no key is kept for {name}: keys.alg and keys.also name the algorithms")
        active = self._ring.active(name, self._at)
        away_from = active.kid if active else None

        def step(ring: Ring, now: Instant) -> Ring:
            return keys_ring.rotated(ring, self._plan, now, alg=name, away_from=away_from, at_once=at_once)

        await self._changed_by(step, "key_rotated")

    async def retire(self, kid: str) -> None:
        """Take a key away at once: what it signed is refused wherever this server decides, its private part is gone."""
        await self._changed_by(lambda ring, now: keys_ring.retired(ring, self._plan, now, kid=kid), "key_retired")

    async def tend(self) -> None:
        """Do what is due by the plan. As many processes may do it at once as there are: one new key comes of it."""
        ring = self._ring

        def step(ring: Ring, now: Instant) -> Ring:
            return keys_ring.tended(ring, self._plan, now)

        if await asyncio.to_thread(step, ring, self._clock()) is not ring:
            await self._changed_by(step, "keys_tended")

    async def look(self) -> None:
        """See whether somebody else changed the keys. What cannot be read leaves the last good ones in use."""
        self._turn()

    async def watch(self) -> None:
        """Look each second and tend each minute, for as long as the process serves."""
        turns = 0
        while True:
            try:
                await self.look()
                if turns % (TEND_SECONDS // LOOK_SECONDS) == 0:
                    await self.tend()
            except Fault as fault:
                log.error("keys not tended", what=str(fault))  # noqa: TRY400 (a Fault tells all that there is)
            except Exception:  # whatever it is: a watch that ended would leave a stolen key in use
                log.exception("keys not watched")
            turns += 1
            await asyncio.sleep(LOOK_SECONDS)

    # --- where the ring lies --------------------------------------------------------------------------------------

    @abstractmethod
    async def _change(self, step: Step, what: str) -> Ring:
        """Write what comes after, as one of many who may want to; tell the ring that lies there then."""

    @abstractmethod
    def _see(self) -> Ring:
        """The ring as it lies there, by a look that costs little. Raises Fault, for as long as it cannot be read."""

    # --- turning --------------------------------------------------------------------------------------------------

    async def _changed_by(self, step: Step, what: str) -> None:
        self._ring = await self._change(step, what)
        self._turn()

    def _turn(self) -> None:
        try:
            seen = self._see()
            if seen.generation < self._ring.generation:
                # A copy that was put back, or a database that lags: what was retired must not come back with it.
                raise Fault("the keys are of an older generation than those in use; a restart takes them")
        except Fault as fault:
            self._note(str(fault))
        else:
            self._ring = seen
            self._note(None)
        self._settle(self._clock())

    def _settle(self, now: Instant) -> None:
        ring, before = self._ring, self._active[0]
        signer, shown = ring.signer(self._plan.alg, now), ring.shown(now)
        if signer not in shown:  # where the clock was put back
            shown = (signer, *shown)
        # A request that was told who is active a moment ago may sign with that key, though another begins meanwhile.
        late = Instant(now - SKEW_MAX)
        self._signing = {key.kid: key for key in shown if key is signer or key.signs_at(now) or key.signs_at(late)}
        self._active = (signer.kid, signer.alg)
        if self._shown != (kids := tuple(key.kid for key in shown)):
            self._shown, self._public = kids, tuple(key.public for key in shown)
        if before not in {"", signer.kid}:
            log.info("another key signs", kid=_short(signer.kid), before=_short(before))
        self._at = now

    def _to_sign_with(self, kid: str) -> SigningKey:
        key = self._signing.get(kid)
        if key is None:
            raise Fault("no key of this name signs now", retry=True)
        return key

    def _note(self, trouble: str | None) -> None:
        """Tell of a trouble once, and not once a second."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble is None:
            log.info("keys are read again")
        else:
            log.error("keys not read; the last good ones stay in use", what=trouble)


def _short(kid: str) -> str:
    """Enough of a kid to recognise it: the log strikes out what is as long as a secret."""
    return kid[:12]
