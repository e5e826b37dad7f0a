"""People and their passwords: one door for every way to sign in, which gets slower with every failure."""

import hashlib
import ipaddress
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import b64u
from deputize.oauth.asking import person_hinted
from deputize.oauth.client import Person

PASSWORD_BYTES_MAX: Final = 1024  # longer ones are never hashed: nobody makes us work by typing
LOGIN_LENGTH_MAX: Final = 200

RIGHT_PASSWORD = Rule("Deputize", "people", "Login and password are those of one person who may sign in.")
NOT_TOO_FAST = Rule("Deputize", "people", "After failures, the next attempt waits until the pause is over.")
FIT_PASSWORD = Rule("NIST SP 800-63B", "3.1.1.2", "A new password is long enough, and at most 1 KiB of text.")
FIT_LOGIN = Rule("Deputize", "people", "A login is short, printable, and nobody else's.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How passwords are hashed, and how fast they may be tried.

    The defaults of argon2id are one of OWASP's sets, at one lane, so that a sign-in never takes more than one core.
    `login_free` and `address_free` failures cost nothing; each further one doubles the pause, up to `pause_max`.
    After `failures_remembered` without an attempt all is forgotten.
    """

    time_cost: int = 2
    memory_kib: int = 19 * 1024
    lanes: int = 1
    hashing_at_once: int = 1
    hashing_queue: int = 50
    password_length_min: int = 8
    login_free: int = 5
    address_free: int = 20
    pause_max: Seconds = Seconds(300)
    failures_remembered: Seconds = Seconds(24 * 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Password(Record):
    """A person's password. `key` is the person's subject; `argon2id` is all that is kept of it."""

    kind: ClassVar[str] = "password"

    argon2id: str

    def __repr__(self) -> str:
        return f"Password(key={self.key!r}, …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(Record):
    """How often signing in failed, for one login or from one address. `key` is a hash of which."""

    kind: ClassVar[str] = "throttle"

    failures: int
    not_before: Instant


T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Hashing:
    """argon2id in threads: few at once and few waiting, so that signing in never starves anything else."""

    def __init__(self, settings: Settings) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.time_cost, memory_cost=settings.memory_kib, parallelism=settings.lanes
        )
        self._at_once = CapacityLimiter(settings.hashing_at_once)
        self._room = settings.hashing_at_once + settings.hashing_queue
        self._inside = 0
        self._nobodys = self._hasher.hash(b"")  # for logins that nobody has: they take as long as the others

    async def hashed(self, password: str) -> str:
        """The password as it is kept."""
        return await self._in_turn(self._hasher.hash, _normal(password))

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether this is the password that was kept; the same work where none was."""
        plain = _normal(password)
        typed = plain if plain and len(plain) <= PASSWORD_BYTES_MAX else None
        right = await self._in_turn(self._verify, kept or self._nobodys, typed or b"\0")
        return right and kept is not None and typed is not None

    def is_dated(self, kept: str) -> bool:
        """Whether it was hashed with other parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    def _verify(self, kept: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _in_turn(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        if self._inside >= self._room:
            raise Fault("too many people are signing in at once", retry=True)
        self._inside += 1
        try:
            return await to_thread.run_sync(work, *args, limiter=self._at_once)
        finally:
            self._inside -= 1


def _normal(password: str) -> bytes:
    """The bytes that are hashed: the same however a keyboard composes its letters (RFC 8265)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def login_of(typed: str) -> str:
    """A login in the one form in which it is kept and counted."""
    return unicodedata.normalize("NFKC", typed).strip().lower()


# --- enrolling ------------------------------------------------------------------------------------------------------


async def enrol(env: Env, *, login: str, name: str, password: str, settings: Settings = Settings()) -> Person:
    """Make a person who can sign in. Their subject is their login, so that two cannot have the same."""
    plain = _normal(password)
    if len(password) < settings.password_length_min or len(plain) > PASSWORD_BYTES_MAX or b"\0" in plain:
        FIT_PASSWORD.refuse("invalid_request")
    key = login_of(login)
    if not key or len(key) > LOGIN_LENGTH_MAX or not key.isprintable() or await person_hinted(key, env) is not None:
        FIT_LOGIN.refuse("invalid_request")
    kept = await Hashing(settings).hashed(password)
    person = Person(key=key, login=key, name=name)
    event = Event(key="", at=env.clock(), what="person_enrolled", person=key)
    if not await env.store.commit(Add(person), Add(Password(key=key, argon2id=kept)), Append(event)):
        FIT_LOGIN.refuse("invalid_request", race=True)
    return person


# --- signing in -----------------------------------------------------------------------------------------------------


async def check_password(
    env: Env, login: str, password: str, address: str, settings: Settings, hashing: Hashing | None = None
) -> Person:
    """The person whose login and password these are.

    Says the same, in the same time, of a wrong password, a login that nobody has and a person who was disabled. A long
    running process hands over its own `hashing`, so that its bounds hold for all sign-ins together.
    """
    known_as = login_of(login)[: LOGIN_LENGTH_MAX + 1]
    keys = (_throttle_key("login", known_as), _throttle_key("address", _network(address)))
    await _count(keys, settings, env)
    person = await person_hinted(known_as, env)
    kept = await env.store.read(Password, person.key if person else "")
    hashing = hashing or Hashing(settings)
    right = await hashing.matches(kept.argon2id if kept else None, password)
    if person is None or kept is None or not right:
        named = person.key if person else ""
        await env.store.commit(Append(Event(key="", at=env.clock(), what="sign_in_failed", person=named)))
        RIGHT_PASSWORD.refuse("access_denied")
    await _forgive(keys, settings, env)
    if hashing.is_dated(kept.argon2id):
        # where this loses a race, the next sign-in does it
        await env.store.commit(Replace(kept, replace(kept, argon2id=await hashing.hashed(password))))
    return person


_RACES_MAX: Final = 60  # more sign-ins than the queue holds cannot be racing


def _throttle_key(what: str, value: str) -> str:
    return b64u(hashlib.sha256(f"{what}:{value}".encode("utf-8", "surrogatepass")).digest())


def _network(address: str) -> str:
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


def counted(before: Throttle | None, key: str, free: int, settings: Settings, now: Instant) -> Throttle:
    """One attempt more. It counts as failed until it has succeeded, so that guesses made at once count too."""
    if before is None or (before.expires_at or now) <= now:
        before = Throttle(key=key, failures=0, not_before=now, version=before.version if before else 0)
    if now < before.not_before:
        NOT_TOO_FAST.refuse("slow_down", params=(("retry_after", str(before.not_before - now)),))
    failures = before.failures + 1
    over = min(failures - free, 30)  # beyond, every pause is the longest
    pause = min(2**over, settings.pause_max) if over > 0 else 0
    end = Instant(now + pause + settings.failures_remembered)
    return replace(before, failures=failures, not_before=Instant(now + pause), expires_at=end)


async def _count(keys: tuple[str, str], settings: Settings, env: Env) -> None:
    for _ in range(_RACES_MAX):
        now = env.clock()
        changes: list[Change] = []
        for key, free in zip(keys, (settings.login_free, settings.address_free), strict=True):
            found = await env.store.read(Throttle, key)
            after = counted(found, key, free, settings, now)
            changes.append(Add(after) if found is None else Replace(found, after))
        if await env.store.commit(*changes):
            return
    raise Fault("too many people are signing in at once", retry=True)


async def _forgive(keys: tuple[str, str], settings: Settings, env: Env) -> None:
    """It succeeded: the login begins anew; the address takes back only this attempt.

    Who has an account of their own could otherwise wash their address clean between guesses at another's.
    """
    by_login, by_address = keys
    for _ in range(_RACES_MAX):
        login, address = await env.store.read(Throttle, by_login), await env.store.read(Throttle, by_address)
        changes: list[Change] = []
        if login is not None:
            changes.append(Replace(login, replace(login, failures=0, not_before=env.clock())))
        if address is not None:
            fewer = max(0, address.failures - 1)
            again = env.clock() if fewer <= settings.address_free else address.not_before
            changes.append(Replace(address, replace(address, failures=fewer, not_before=again)))
        if await env.store.commit(*changes):
            return
