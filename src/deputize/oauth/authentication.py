"""How a person was authenticated: when, by what, and how surely; and whether that is enough for who asks."""

from dataclasses import dataclass
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds

PHISHING_RESISTANT: Final = "phr"  # OpenID EAP ACR Values 1.0: a key that works at this origin alone
MULTI_FACTOR: Final = "mfa"
PASSWORD: Final = "pwd"  # noqa: S105 (a name, not a secret): as sure as a password, or surer
ACRS: Final = (PHISHING_RESISTANT, MULTI_FACTOR, PASSWORD)  # the surest first: each is met by what meets one before it

BY_PASSWORD: Final = ("pwd",)  # RFC 8176
BY_PASSWORD_AND_CODE: Final = ("mfa", "otp", "pwd")
BY_PASSKEY: Final = ("mfa", "pop", "user")  # with user verification: the key, and what unlocks it

SEEN_ENOUGH = Rule(
    "RFC 9470", "5", "The person is authenticated as lately and as surely as the request needs, or it fails."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """Somebody was authenticated `at` a time, by the methods `amr` (RFC 8176). `session` names what began with it.

    `sid` names it to clients, and stays when the same person is authenticated again in the same browser.
    """

    at: Instant
    amr: tuple[str, ...] = ()
    session: str = ""
    sid: str = ""

    @property
    def acrs(self) -> tuple[str, ...]:
        """The classes that this meets, the surest first; none where nobody told how it was done."""
        used = frozenset(self.amr)
        if {"mfa", "pop"} <= used:
            return ACRS
        if "mfa" in used:
            return ACRS[1:]
        return ACRS[2:] if used & {"pwd", "pop"} else ()

    def acr(self, asked: tuple[str, ...] = ()) -> str | None:
        """The class to tell of: the first of those asked for that is met; where none was asked for, the surest."""
        met = self.acrs
        if asked:
            return next((acr for acr in asked if acr in met), None)
        return met[0] if met else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What an authorization request needs of an authentication (OpenID Connect Core, 3.1.2.1; RFC 9470, 5).

    `asked_at` is when it came, in the session `asked_in` (empty: nobody was signed in). `again` is `prompt=login`. Any
    one of `acr_values` will do.
    """

    asked_at: Instant
    asked_in: str = ""
    again: bool = False
    max_age: Seconds | None = None
    acr_values: tuple[str, ...] = ()

    @property
    def can_be_met(self) -> bool:
        """Whether there is a way of signing in here that meets it."""
        return not self.acr_values or not frozenset(ACRS).isdisjoint(self.acr_values)

    def is_met_by(self, found: Authentication) -> bool:
        """Whether this authentication is enough: neither too old nor too weak."""
        return self.is_lately(found) and self.is_surely(found)

    def is_lately(self, found: Authentication) -> bool:
        """Whether it is recent enough. One that came after the request always is, so that nobody goes in circles."""
        if found.session != self.asked_in and found.at >= self.asked_at:
            return True
        if self.again or self.max_age == 0:
            return False
        return self.max_age is None or self.asked_at - found.at <= self.max_age

    def is_surely(self, found: Authentication) -> bool:
        return not self.acr_values or found.acr(self.acr_values) is not None

    def hold(self, found: Authentication) -> None:
        """Hold an authentication against it: `unmet_authentication_requirements` where it is not enough."""
        if not self.is_met_by(found):
            SEEN_ENOUGH.refuse("unmet_authentication_requirements", acr=found.acr(), at=found.at)
