"""audience × scope × details × until, and the one law: it only narrows."""

from dataclasses import dataclass, replace
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import Instant
from deputize.oauth import details as kinds
from deputize.oauth.details import Detail

NO_WIDER_SCOPE = Rule("RFC 6749", "6", "The scope asked for does not exceed the scope granted.")
NO_WIDER_TARGET = Rule("RFC 8707", "2", "The resource asked for is one of those granted.")
NO_WIDER_DETAILS = Rule("RFC 9396", "6.1", "The authorization details asked for are within those granted.")

FOREVER: Final = Instant(253402300799)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What may be done: at which resources, in which scope, in which detail, until when."""

    audience: frozenset[str]
    scope: frozenset[str] = frozenset()
    details: tuple[Detail, ...] = ()
    until: Instant

    def covers(self, other: "Authority") -> bool:
        """Whether all of `other` is within this."""
        return (
            other.audience <= self.audience
            and other.scope <= self.scope
            and all(any(kinds.covers(mine, theirs) for mine in self.details) for theirs in other.details)
            and (other.is_bound or not self.is_bound)  # what was for one call alone never gets rid of that
            and other.until <= self.until
        )

    @property
    def is_bound(self) -> bool:
        """Whether it is for what its details say, and for nothing else."""
        return any(kinds.binds(mine) for mine in self.details)

    def narrowed(
        self,
        *,
        audience: frozenset[str] | None = None,
        scope: frozenset[str] | None = None,
        details: tuple[Detail, ...] | None = None,
        until: Instant | None = None,
    ) -> "Authority":
        """Narrow to what was asked (None: as it is). What would be wider is refused; a later end is cut."""
        wanted = replace(
            self,
            audience=self.audience if audience is None else audience,
            scope=self.scope if scope is None else scope,
            details=self.details if details is None else details,
            until=self.until if until is None else min(until, self.until),
        )
        if not wanted.audience <= self.audience:
            NO_WIDER_TARGET.refuse("invalid_target", asked=sorted(wanted.audience))
        if not wanted.scope <= self.scope:
            NO_WIDER_SCOPE.refuse("invalid_scope", asked=sorted(wanted.scope))
        if not self.covers(wanted):
            NO_WIDER_DETAILS.refuse("invalid_authorization_details")
        return wanted
