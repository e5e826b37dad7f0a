"""Codes of an authenticator (TOTP, RFC 6238): six figures that change every half minute, each good once."""

import base64
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

import pyotp
from pyotp.exceptions import OTPVerificationError

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Rule
from deputize.core.values import Instant
from deputize.core.wire import b64u_bytes
from deputize.oauth.client import Person

STEP: Final = 30
WINDOW: Final = 1  # one step before and after: a phone's clock, and the time that typing takes

RIGHT_CODE = Rule("RFC 6238", "5.2", "The code is of now, or of one step before or after, and was not used before.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticator(Record):
    """A person's authenticator. `key` is the person's subject; `last_step` the latest step whose code was used.

    `off_at` makes it the tombstone of one that was removed.
    """

    kind: ClassVar[str] = "authenticator"

    secret: str = field(repr=False)
    made_at: Instant
    last_step: int
    off_at: Instant | None = None


async def of(person: Person, env: Env) -> Authenticator | None:
    """The authenticator that this person has to show a code of, if they have one."""
    found = await env.store.read(Authenticator, person.key)
    return found if found is not None and found.off_at is None else None


def fresh_secret(env: Env) -> str:
    """A new secret: 160 random bits in base32, as authenticators want them."""
    return base64.b32encode(b64u_bytes(env.random(160))[:20]).decode("ascii")


def address(secret: str, person: Person, issuer: str) -> str:
    """What an authenticator reads from the picture."""
    return pyotp.TOTP(secret).provisioning_uri(name=person.login, issuer_name=issuer)


async def check(person: Person, typed: str, env: Env) -> Change:
    """The change that makes this code a used one; to be committed with what it opens. Of two who bring it, one wins."""
    found = await of(person, env)
    if found is None:
        RIGHT_CODE.refuse("access_denied", authenticator=False)
    return Replace(found, replace(found, last_step=_step(found.secret, typed, found.last_step, env.clock())))


async def enrol(person: Person, secret: str, typed: str, env: Env) -> tuple[Change, ...]:
    """The changes that give a person an authenticator: they have shown a code of it."""
    now = env.clock()
    before = await env.store.read(Authenticator, person.key)
    if before is not None and before.off_at is None:
        RIGHT_CODE.refuse("access_denied", already=True)
    made = Authenticator(key=person.key, secret=secret, made_at=now, last_step=_step(secret, typed, 0, now))
    event = Event(key="", at=now, what="authenticator_added", person=person.key)
    put = Add(made) if before is None else Replace(before, replace(made, version=before.version))
    return put, Append(event)


def removed(found: Authenticator, now: Instant) -> tuple[Change, ...]:
    """The changes after which no code is asked for."""
    event = Event(key="", at=now, what="authenticator_removed", person=found.key)
    return Replace(found, replace(found, secret="", off_at=now)), Append(event)


def _step(secret: str, typed: str, after: int, now: Instant) -> int:
    digits = "".join(typed.split())
    if len(digits) == 6 and digits.isascii() and digits.isdigit():
        try:
            step = pyotp.TOTP(secret).verify_and_get_timecode(digits, for_time=now, valid_window=WINDOW)
        except OTPVerificationError:
            step = 0
        if step > after:
            return step
    RIGHT_CODE.refuse("access_denied")
