"""Who is at the keyboard, since when; and whether a form was sent from one of our own pages."""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Issuer, Seconds
from deputize.core.wire import Headers, b64u
from deputize.oauth import backchannel_logout
from deputize.oauth.authentication import Authentication
from deputize.oauth.client import Person

FROM_OUR_PAGE = Rule("Deputize", "pages", "A form comes from a page of this server, as the browser itself says.")
WITH_ITS_TOKEN = Rule("RFC 6749", "10.12", "A form brings the secret of the session in which it was shown.")

USED_ONCE = Rule("Deputize", "sign-in", "A link, a code, a challenge or a step of signing in is used once.")

VALUE_BITS: Final = 256
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long one stays signed in: without doing anything (a page that looks for news does nothing), and at most."""

    idle: Seconds = Seconds(3600)
    life: Seconds = Seconds(12 * 3600)


SEEN_EVERY: Final = Seconds(60)  # how exactly idleness is measured: a write a minute, and not one a page


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Record):
    """Somebody is signed in. `key` is a hash of the cookie's value: who reads the store cannot be anybody.

    It began with an authentication, by the methods `amr`. Where that was elsewhere and earlier, `auth_time` says when.
    `browser` is what its user calls it, `sid` what clients do. `ended_at` makes it the tombstone of a session that was
    signed out of.
    """

    kind: ClassVar[str] = "session"
    indexed: ClassVar[tuple[str, ...]] = ("person",)

    person: str
    started_at: Instant
    seen_at: Instant
    ended_at: Instant | None = None
    amr: tuple[str, ...] = ()
    auth_time: Instant | None = None
    browser: str = ""
    sid: str = ""

    @property
    def authentication(self) -> Authentication:
        """How and when who is signed in was authenticated."""
        at = self.started_at if self.auth_time is None else self.auth_time
        return Authentication(at=at, amr=self.amr, session=self.key, sid=self.sid)

    def is_alive(self, settings: Settings, now: Instant) -> bool:
        return self.ended_at is None and now < min(self.seen_at + settings.idle, self.started_at + settings.life)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """How somebody came in: by which methods, when (None: now), and with which browser."""

    amr: tuple[str, ...] = ()
    auth_time: Instant | None = None
    browser: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """The cookie's name, and whether it travels by https alone."""

    name: str
    secure: bool

    @classmethod
    def of(cls, issuer: Issuer, what: str = "") -> "Cookie":
        """By https, no other host and no other path can set it; http is loopback (the issuer has made sure of it)."""
        secure = issuer.text.startswith("https:")
        return cls(name=f"__Host-deputize{what}" if secure else f"deputize{what}-dev", secure=secure)

    def carrying(self, value: str, life: Seconds) -> str:
        """The `Set-Cookie` that sets it."""
        secure = "; Secure" if self.secure else ""
        return f"{self.name}={value}; Max-Age={life}; Path=/; HttpOnly; SameSite=Lax{secure}"

    @property
    def removed(self) -> str:
        """The `Set-Cookie` after which the browser has it no longer."""
        return self.carrying("", Seconds(0))

    def value_in(self, headers: Headers) -> str | None:
        """What the browser sent. Sent twice it is nobody's: somebody has planted one."""
        pairs = [pair.strip().partition("=") for line in headers.all("cookie") for pair in line.split(";")]
        values = [value for name, _, value in pairs if name == self.name]
        return values[0] if len(values) == 1 and _VALUE.fullmatch(values[0]) else None


def fresh_value(env: Env) -> str:
    """A new value for the cookie. Before anybody has signed in it has no record, and only ties forms to a browser."""
    return env.random(VALUE_BITS)


def _key_of(value: str) -> str:
    return b64u(hashlib.sha256(value.encode("ascii")).digest())


# --- sessions -------------------------------------------------------------------------------------------------------


async def begin(
    person: Person, before: str | None, settings: Settings, env: Env, *also: Change, how: Entered = Entered()
) -> str:
    """Sign somebody in: the new cookie's value. What the browser had before is worth nothing any more (fixation).

    `also` is committed with it. Where that fails, somebody was faster with what can be used once: a refusal.
    """
    now = env.clock()
    value = fresh_value(env)
    old = await env.store.read(Session, _key_of(before)) if before else None
    again = old is not None and old.ended_at is None and old.person == person.key  # to clients, the same session
    made = Session(
        key=_key_of(value),
        person=person.key,
        started_at=now,
        seen_at=now,
        expires_at=Instant(now + settings.life),
        amr=how.amr,
        auth_time=how.auth_time,
        browser=how.browser,
        sid=old.sid if old is not None and again and old.sid else env.random(128),
    )
    event = Event(key="", at=now, what="signed_in", person=person.key, told={"amr": " ".join(how.amr)})
    changes: list[Change] = [Add(made), Append(event), *also]
    if old is not None and old.ended_at is None:
        await end(old, env, goes_on=again)
    if not await env.store.commit(*changes):
        if also:
            USED_ONCE.refuse("access_denied")
        raise Fault("a fresh value was there already", retry=True)
    return value


async def find(value: str | None, settings: Settings, env: Env) -> Session | None:
    """The living session that the cookie opens."""
    found = await env.store.read(Session, _key_of(value)) if value else None
    return found if found is not None and found.is_alive(settings, env.clock()) else None


async def seen(session: Session, env: Env) -> None:
    """Somebody did something: idleness is counted from here."""
    now = env.clock()
    if now - session.seen_at >= SEEN_EVERY:
        await env.store.commit(Replace(session, replace(session, seen_at=now)))  # another page may have been faster


async def of(person: Person, settings: Settings, env: Env) -> list[Session]:
    """The living sessions of a person, the latest first."""
    now = env.clock()
    found = [one async for one in _all(person.key, env) if one.is_alive(settings, now)]
    return sorted(found, key=lambda one: (-one.seen_at, one.key))


async def end_all(person: str, env: Env, *, but: str = "") -> None:
    """Sign a person out everywhere, but for the session of this key."""
    async for one in _all(person, env):
        if one.key != but:
            await end(one, env)


async def _all(person: str, env: Env) -> AsyncIterator[Session]:
    after = ""
    while page := await env.store.select(Session, "person", person, after=after):
        for one in page:
            yield one
        after = page[-1].key


async def end(session: Session, env: Env, *, goes_on: bool = False) -> None:
    """Sign out. From here on the cookie opens nothing, wherever it was copied to.

    The clients that were told of the session are told of its end, unless it `goes_on` under another cookie.
    """
    current: Session | None = session
    while current is not None and current.ended_at is None:
        now = env.clock()
        event = Event(key="", at=now, what="signed_out", person=current.person)
        due = () if goes_on else await backchannel_logout.ended(current.sid, env)
        if await env.store.commit(Replace(current, replace(current, ended_at=now)), Append(event), *due):
            return
        current = await env.store.read(Session, current.key)


# --- forms ----------------------------------------------------------------------------------------------------------


def form_token(value: str) -> str:
    """The secret that a form carries: made from the cookie, so that it tells nobody the cookie."""
    return b64u(hmac.digest(value.encode("ascii"), b"a form of this session", "sha256"))


def check_form(headers: Headers, issuer: Issuer, value: str | None, token: str | None) -> None:
    """Refuse a form that did not come from a page of ours, in this browser's own session."""
    site, origin = headers.one("sec-fetch-site"), headers.one("origin")
    # Our pages send no referrer, and browsers then name the origin of a form "null": Sec-Fetch-Site tells ours from
    # others. A browser too old to send it is let in only where it names our origin.
    if (origin not in {None, "null", issuer.origin}) or site not in {None, "same-origin"}:
        FROM_OUR_PAGE.refuse("access_denied", site=site, origin=origin)
    if site is None and origin != issuer.origin:
        FROM_OUR_PAGE.refuse("access_denied", site=site, origin=origin)
    expected = form_token(value) if value else ""
    sent = (token or "").encode("utf-8", "surrogatepass")
    if not value or not hmac.compare_digest(expected.encode("ascii"), sent):
        WITH_ITS_TOKEN.refuse("access_denied")
