"""What a person's own page says: how they sign in, and where they are signed in; and what the doors say."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from deputize.core.values import Instant
from deputize.server.passkeys import Passkey
from deputize.server.session import Session
from deputize.server.views import Moment, fingerprint, moment, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInView:
    """The sign-in. `problem` says what was wrong; `login` is what was typed; `passkey` what the browser is to ask for.

    `again` says that somebody is signed in and has to show that it is still they; `sure` that a passkey is needed.
    `upstreams` are other providers: how each is named in addresses, and on the page.
    """

    onward: str
    token: str
    ticket: str = ""
    passkey: str = ""
    login: str = ""
    problem: str = ""
    again: bool = False
    sure: bool = False
    upstreams: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeView:
    """The second half: a code of the authenticator."""

    token: str
    ticket: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WelcomeView:
    """A one-time link: who it is for, and the two ways to come in."""

    token: str
    secret: str
    name: str
    login: str
    length_min: int
    ticket: str = ""
    passkey: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyView:
    """One passkey. `where` says whether it is on one device or on all of the person's."""

    which: str
    name: str
    made: Moment
    used: Moment | None
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """Where somebody is signed in. `here` is the browser that asks."""

    which: str
    browser: str
    since: Moment
    seen: Moment
    here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """All ways in, and all places where one is."""

    login: str
    passkeys: tuple[PasskeyView, ...]
    passkeys_possible: bool
    has_password: bool
    has_code: bool
    sessions: tuple[SessionView, ...]

    @property
    def one_way_left(self) -> bool:
        """Whether taking one passkey away would lock the person out."""
        return len(self.passkeys) == 1 and not self.has_password


def which(key: str) -> str:
    """What names a record of a person's own in a form."""
    return fingerprint((key,))


def passkey_views(found: Iterable[Passkey], now: Instant) -> tuple[PasskeyView, ...]:
    return tuple(
        PasskeyView(
            which=which(one.key),
            name=shown(one.name),
            made=moment(one.made_at, now),
            used=None if one.used_at is None else moment(one.used_at, now),
            where="on all your devices that share it" if one.synced else "on one device",
        )
        for one in found
    )


def session_views(found: Iterable[Session], here: str, now: Instant) -> tuple[SessionView, ...]:
    return tuple(
        SessionView(
            which=which(one.key),
            browser=one.browser or "A browser",
            since=moment(one.started_at, now),
            seen=moment(one.seen_at, now),
            here=one.key == here,
        )
        for one in found
    )


_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("Chrom", "Chrome"),
    ("CriOS", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "an iPhone"),
    ("iPad", "an iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "a Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_in_words(agent: str) -> str:
    """What a person would call this browser. It says so itself, and nobody has checked it."""
    told = re.sub(r"[^A-Za-z0-9 ._/;()]", "", agent[:400])
    browser = next((name for mark, name in _BROWSERS if f"{mark}" in told), "A browser")
    system = next((name for mark, name in _SYSTEMS if mark in told), "")
    return f"{browser} on {system}" if system else browser
