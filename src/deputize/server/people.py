"""People and their passwords: enrolling, and the one check of a password that every door makes."""

import base64
import hashlib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.low_level import ARGON2_VERSION

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import b64u
from deputize.oauth import throttle
from deputize.oauth.asking import person_hinted
from deputize.oauth.client import Person
from deputize.oauth.throttle import Meter
from deputize.server import codes
from deputize.server.common import is_common

PASSWORD_BYTES_MAX: Final = 1024  # longer ones are never hashed: nobody makes us work by typing
LOGIN_LENGTH_MAX: Final = 200
NAME_LENGTH_MAX: Final = 200
BROWSER_KNOWN: Final = Seconds(180 * 24 * 3600)

RIGHT_PASSWORD = Rule("Deputize", "people", "Login and password are those of one person who may sign in.")
FIT_PASSWORD = Rule(
    "NIST SP 800-63B", "3.1.1.2", "A new password is long enough, at most 1 KiB of text, and not among the common ones."
)
FIT_LOGIN = Rule("Deputize", "people", "A login is short, printable, and nobody else's.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How passwords are hashed, and how fast they, and the codes of an authenticator, may be tried.

    The defaults of argon2id are one of OWASP's sets, at one lane, so that a sign-in never takes more than one core.
    `login_free` and `address_free` failures cost nothing; each further one doubles the pause, up to `pause_max`.
    After `failures_remembered` without an attempt all is forgotten.
    """

    time_cost: int = 2
    memory_kib: int = 19 * 1024
    lanes: int = 1
    hashing_at_once: int = 1
    hashing_queue: int = 50
    password_length_min: int = 15
    login_free: int = 5
    address_free: int = throttle.SOURCE_FREE
    pause_max: Seconds = throttle.PAUSE_MAX
    failures_remembered: Seconds = throttle.REMEMBERED

    @property
    def throttle(self) -> throttle.Settings:
        return throttle.Settings(pause_max=self.pause_max, remembered=self.failures_remembered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Password(Record):
    """A person's password. `key` is the person's subject; `argon2id` is all that is kept of it (empty: none)."""

    kind: ClassVar[str] = "password"

    argon2id: str

    def __repr__(self) -> str:
        return f"Password(key={self.key!r}, …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBrowser(Record):
    """Somebody has signed in with this browser before: failures elsewhere do not slow it down.

    `key` is a hash of the person and of what the browser keeps.
    """

    kind: ClassVar[str] = "known_browser"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an attempt comes from: its address, and what a browser that was here before keeps (empty: nothing)."""

    address: str
    browser: str = ""


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
        self._nobodys = _nobodys(self._hasher)  # for logins that nobody has: they take as long as the others

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


def _nobodys(hasher: PasswordHasher) -> str:
    """What reads like a password that this hasher kept, and is none; verifying it takes as long."""
    salt, digest = (base64.b64encode(bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len))
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${costs}${salt}${digest}"


def _normal(password: str) -> bytes:
    """The bytes that are hashed: the same however a keyboard composes its letters (RFC 8265)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def login_of(typed: str) -> str:
    """A login in the one form in which it is kept and counted."""
    return unicodedata.normalize("NFKC", typed).strip().lower()


# --- enrolling ------------------------------------------------------------------------------------------------------


def check_new(password: str, settings: Settings, *, login: str = "") -> None:
    """Hold a new password against what a password has to be."""
    plain = _normal(password)
    if len(password) < settings.password_length_min or len(plain) > PASSWORD_BYTES_MAX or b"\0" in plain:
        FIT_PASSWORD.refuse("invalid_request")
    if is_common(password) or login_of(password) == login:
        FIT_PASSWORD.refuse("invalid_request", common=True)


def fit_login(typed: str) -> str:
    """A login for somebody new, in the form in which it is kept."""
    key = login_of(typed)
    if not key or len(key) > LOGIN_LENGTH_MAX or not key.isprintable():
        FIT_LOGIN.refuse("invalid_request")
    return key


async def enrol(env: Env, *, login: str, name: str, password: str, settings: Settings = Settings()) -> Person:
    """Make a person who can sign in. Their subject is their login, so that two cannot have the same."""
    check_new(password, settings, login=login_of(login))
    key = fit_login(login)
    if await person_hinted(key, env) is not None:
        FIT_LOGIN.refuse("invalid_request")
    kept = await Hashing(settings).hashed(password)
    person = Person(key=key, login=key, name=name)
    event = Event(key="", at=env.clock(), what="person_enrolled", person=key)
    if not await env.store.commit(Add(person), Add(Password(key=key, argon2id=kept)), Append(event)):
        FIT_LOGIN.refuse("invalid_request", race=True)
    return person


# --- signing in -----------------------------------------------------------------------------------------------------


async def check_password(
    env: Env, login: str, password: str, source: Source, settings: Settings, hashing: Hashing | None = None
) -> Person:
    """The person whose login and password these are.

    Says the same, in the same time, of a wrong password, a login that nobody has and a person who was disabled. A long
    running process hands over its own `hashing`, so that its bounds hold for all sign-ins together. Where the person
    has an authenticator, this was the first half, and the attempt still counts.
    """
    known_as = login_of(login)[: LOGIN_LENGTH_MAX + 1]
    account, place = await meters(known_as, source, settings, env)
    await throttle.attempt(account, place, settings=settings.throttle, env=env)
    person = await person_hinted(known_as, env)
    kept = await env.store.read(Password, person.key if person else "")
    kept = kept if kept is not None and kept.argon2id else None
    hashing = hashing or Hashing(settings)
    right = await hashing.matches(kept.argon2id if kept else None, password)
    if person is None or kept is None or not right:
        named = person.key if person else ""
        await env.store.commit(Append(Event(key="", at=env.clock(), what="sign_in_failed", person=named)))
        RIGHT_PASSWORD.refuse("access_denied")
    if await codes.of(person, env) is None:
        await throttle.succeeded(account, place, env)
    if hashing.is_dated(kept.argon2id):
        # where this loses a race, the next sign-in does it
        await env.store.commit(Replace(kept, replace(kept, argon2id=await hashing.hashed(password))))
    return person


async def check_code(env: Env, person: Person, typed: str, source: Source, settings: Settings) -> Change:
    """The second half, for who has an authenticator: the change that makes this code one that was used."""
    account, place = await meters(person.login, source, settings, env)
    await throttle.attempt(account, place, settings=settings.throttle, env=env)
    try:
        used = await codes.check(person, typed, env)
    except Refusal:
        await env.store.commit(Append(Event(key="", at=env.clock(), what="sign_in_failed", person=person.key)))
        raise
    await throttle.succeeded(account, place, env)
    return used


async def meters(known_as: str, source: Source, settings: Settings, env: Env) -> tuple[Meter, Meter]:
    """What attempts at a login from somewhere are counted with.

    Failures of strangers slow strangers down. A browser that has signed in before counts for itself, so that nobody
    keeps a person out by guessing at their password for ever.
    """
    known = _browser_key(known_as, source.browser)
    if source.browser and await env.store.read(KnownBrowser, known) is not None:
        place = throttle.meter("known address", known, settings.address_free)
        return throttle.meter("browser", known, settings.login_free), place
    account = throttle.meter("login", known_as, settings.login_free)
    return account, throttle.of_source(source.address, settings.address_free)


def known(person: Person, browser: str, env: Env) -> KnownBrowser:
    """To be added where it is not there: this person has signed in with this browser."""
    return KnownBrowser(key=_browser_key(person.login, browser), expires_at=Instant(env.clock() + BROWSER_KNOWN))


def _browser_key(known_as: str, browser: str) -> str:
    return b64u(hashlib.sha256(f"{browser}:{known_as}".encode("utf-8", "surrogatepass")).digest())
