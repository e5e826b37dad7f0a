"""Who acts for whom: the `act` chain (RFC 8693, 4.1), bounded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import ClientId, Issuer, Subject
from deputize.core.wire import JsonObject

DEPTH_MAX: Final = 5

CHAIN = Rule("RFC 8693", "4.1", "The chain of actors is well formed and has at most five of them.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The party that acts now; `before` is who acted earlier: history, never a reason to allow anything."""

    subject: Subject
    issuer: str | None = None
    before: "Actor | None" = None

    def claim(self) -> JsonObject:
        """As an `act` claim."""
        told: JsonObject = {"sub": self.subject}
        if self.issuer is not None:
            told["iss"] = self.issuer
        if self.before is not None:
            told["act"] = self.before.claim()
        return told

    @property
    def depth(self) -> int:
        return 1 + (self.before.depth if self.before else 0)

    def is_of(self, issuer: Issuer, client: ClientId) -> bool:
        """Whether it is this client of this server, and not one that another server calls so."""
        return str(self.subject) == client and self.issuer in {None, issuer.text}

    def followed_by(self, subject: Subject, *, error: str) -> "Actor":
        """The chain with one more actor, outermost."""
        if self.depth >= DEPTH_MAX:
            CHAIN.refuse(error, depth=self.depth)
        return Actor(subject=subject, before=self)


def from_claim(claim: object, *, error: str, depth: int = 1) -> Actor | None:
    """Read an `act` claim; None where there is none."""
    if claim is None:
        return None
    subject = claim.get("sub") if isinstance(claim, Mapping) else None
    issuer = claim.get("iss") if isinstance(claim, Mapping) else None
    if depth > DEPTH_MAX or not isinstance(subject, str) or not subject or not isinstance(issuer, str | None):
        CHAIN.refuse(error, depth=depth)
    before = from_claim(claim.get("act"), error=error, depth=depth + 1) if isinstance(claim, Mapping) else None
    return Actor(subject=Subject(subject), issuer=issuer, before=before)
