"""How fast secrets may be guessed: every door counts with the same meters, in the store: none is a way around."""

import hashlib
import ipaddress
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Change, Env, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import b64u

NOT_TOO_FAST = Rule("Deputize", "throttle", "After failures, the next attempt waits until the pause is over.")

PAUSE_MAX: Final = Seconds(300)
REMEMBERED: Final = Seconds(24 * 3600)
SOURCE_FREE: Final = 20
_RACES_MAX: Final = 60  # more attempts than the queue for hashing holds cannot be racing


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long the longest pause is, and after how long without an attempt all is forgotten."""

    pause_max: Seconds = PAUSE_MAX
    remembered: Seconds = REMEMBERED


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(Record):
    """How often it failed, for one account or from one address. `key` is a hash of which."""

    kind: ClassVar[str] = "throttle"

    failures: int
    not_before: Instant


@dataclass(frozen=True, slots=True)
class Meter:
    """What attempts are counted for. `free` failures cost nothing; each further one doubles the pause."""

    key: str
    free: int


def meter(what: str, value: str, free: int) -> Meter:
    """The meter of an account or a source: who reads the store learns neither."""
    return Meter(b64u(hashlib.sha256(f"{what}:{value}".encode("utf-8", "surrogatepass")).digest()), free)


def of_source(address: str, free: int = SOURCE_FREE) -> Meter:
    """The meter of where a request comes from."""
    return meter("address", network(address), free)


def network(address: str) -> str:
    """Whom an address stands for: in IPv6 one household has a whole /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)


def counted(before: Throttle | None, meter: Meter, settings: Settings, now: Instant, error: str) -> Throttle:
    """One attempt more. It counts as failed until it has succeeded, so that guesses made at once count too."""
    if before is None or (before.expires_at or now) <= now:
        before = Throttle(key=meter.key, failures=0, not_before=now, version=before.version if before else 0)
    if now < before.not_before:
        NOT_TOO_FAST.refuse(error, params=(("retry_after", str(before.not_before - now)),))
    failures = before.failures + 1
    over = min(failures - meter.free, 30)  # beyond, every pause is the longest
    pause = min(2**over, settings.pause_max) if over > 0 else 0
    end = Instant(now + pause + settings.remembered)
    return replace(before, failures=failures, not_before=Instant(now + pause), expires_at=end)


async def attempt(*meters: Meter, settings: Settings = Settings(), env: Env, error: str = "slow_down") -> None:
    """Count an attempt with each meter, or refuse it (`error`, with `retry_after`) while any of them pauses.

    What is typed by people is counted before it is looked at. A secret that nobody can guess is counted only where it
    was wrong: then it is the answers that become rarer, and whoever has the right one is never kept out.
    """
    for _ in range(_RACES_MAX):
        now = env.clock()
        changes: list[Change] = []
        for one in meters:
            found = await env.store.read(Throttle, one.key)
            after = counted(found, one, settings, now, error)
            changes.append(Add(after) if found is None else Replace(found, after))
        if await env.store.commit(*changes):
            return
    raise Fault("too many attempts are made at once", retry=True)


async def succeeded(account: Meter, source: Meter, env: Env) -> None:
    """It succeeded: the account begins anew; the source takes back only this attempt.

    Who has an account of their own could otherwise wash their address clean between guesses at another's.
    """
    for _ in range(_RACES_MAX):
        own, shared = await env.store.read(Throttle, account.key), await env.store.read(Throttle, source.key)
        changes: list[Change] = []
        if own is not None:
            changes.append(Replace(own, replace(own, failures=0, not_before=env.clock())))
        if shared is not None:
            changes.append(_one_fewer(shared, source, env.clock()))
        if await env.store.commit(*changes):
            return


async def taken_back(*meters: Meter, env: Env) -> None:
    """It succeeded, where who guesses can have as many right answers as they like: no meter begins anew."""
    for _ in range(_RACES_MAX):
        found = [(await env.store.read(Throttle, one.key), one) for one in meters]
        changes = [_one_fewer(before, one, env.clock()) for before, one in found if before is not None]
        if await env.store.commit(*changes):
            return


def _one_fewer(before: Throttle, meter: Meter, now: Instant) -> Replace:
    fewer = max(0, before.failures - 1)
    again = now if fewer <= meter.free else before.not_before
    return Replace(before, replace(before, failures=fewer, not_before=again))
