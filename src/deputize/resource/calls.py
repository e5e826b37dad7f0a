"""What an API asks of each kind of call: a table of rows, by method and path."""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from deputize.core import values
from deputize.core.rules import Rule
from deputize.core.wire import Malformed
from deputize.oauth import details
from deputize.oauth.caller import Seen
from deputize.oauth.details import Detail
from deputize.resource.asgi import one_reading

DESCRIBABLE = Rule("Deputize http_call", "description", "The request can be described to the person who is asked.")
SCOPE_READABLE = Rule("Deputize", "guard", "What scope a call needs can be read from its body, in one way only.")

_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_SLOT: Final = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """What a call would do, as the API itself reads it from the request: never the words of the agent.

    `reason` says in one line why a person is asked. Raises ValueError where something is not fit to be shown.
    """

    reason: str
    details: tuple[Detail, ...]

    def __post_init__(self) -> None:
        details.shown_text(self.reason, length_max=280)
        if not 0 < len(self.details) < details.DETAILS_MAX:  # one more will say which call it is
            raise Malformed("an operation has details, and not too many")
        if any(one.type == details.HTTP_CALL for one in self.details):
            raise Malformed("which call it is, the guard says itself")

    @classmethod
    def of(cls, reason: str, *authorization_details: Mapping[str, object]) -> "Operation":
        """Describe an operation by the members of its authorization details (RFC 9396)."""
        return cls(reason, tuple(details.detail(dict(members)) for members in authorization_details))


Describe = Callable[..., Operation | Awaitable[Operation]]
ScopeOf = Callable[[bytes], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A row: what one kind of call needs. `segments` are those of its path; `{name}` stands for one segment.

    `scope_of` says what scope the body of a call needs beyond `scope`.
    """

    method: str
    segments: tuple[str, ...]
    scope: frozenset[str]
    approve: Describe | None
    seen: Seen | None = None
    scope_of: ScopeOf | None = None

    @property
    def has_slots(self) -> bool:
        return any(map(_SLOT.fullmatch, self.segments))

    def named(self, segments: list[str]) -> dict[str, str] | None:
        """The segments of this path that have a name, or None where it is another path."""
        found: dict[str, str] = {}
        for mine, theirs in zip(self.segments, segments, strict=True):
            slot = _SLOT.fullmatch(mine)
            if slot and theirs:
                found[slot[1]] = theirs
            elif mine != theirs:
                return None
        return found

    def collides(self, other: "Need") -> bool:
        """Whether some path fits both."""
        pairs = zip(self.segments, other.segments, strict=True)
        return all(mine == theirs or _SLOT.fullmatch(mine) or _SLOT.fullmatch(theirs) for mine, theirs in pairs)

    async def described(self, body: bytes, named: Mapping[str, str]) -> Operation:
        """What this request would do, in the API's own words."""
        if self.approve is None:
            raise TypeError("a call that needs no approval is not described")
        try:
            told = self.approve(body, **named)
            operation = await told if inspect.isawaitable(told) else told
        except ValueError as problem:
            DESCRIBABLE.refuse("invalid_request", problem=type(problem).__name__)
        if not isinstance(operation, Operation):
            raise TypeError("approve describes the call as an Operation")
        return operation

    def scope_with(self, body: bytes) -> frozenset[str]:
        """All the scope that a call with this body needs."""
        if self.scope_of is None:
            return self.scope
        try:
            return self.scope | values.scope(self.scope_of(body))
        except ValueError as problem:
            SCOPE_READABLE.refuse("invalid_request", problem=type(problem).__name__)


class Calls:
    """The table. A path without slots goes before one with; beyond that, no path fits two rows of a method."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._plain: dict[tuple[str, str], Need] = {}
        self._slotted: dict[tuple[str, int], list[Need]] = {}

    def __iter__(self) -> Iterator[Need]:
        yield from self._plain.values()
        for group in self._slotted.values():
            yield from group

    def add(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        approve: Describe | None,
        seen: Seen | None = None,
        scope_of: ScopeOf | None = None,
    ) -> None:
        """One more row. Raises ValueError where the guard and the API could read it differently."""
        row = Need(
            method=method,
            segments=tuple((self._base + path).split("/")),
            scope=values.scope(scope),
            approve=approve,
            seen=seen,
            scope_of=scope_of,
        )
        slots = [slot[1] for segment in row.segments if (slot := _SLOT.fullmatch(segment))]
        shape = "/".join("x" if _SLOT.fullmatch(segment) else segment for segment in row.segments)
        if not _METHOD.fullmatch(method) or path[:1] not in {"", "/"} or not one_reading(shape, shape):
            raise ValueError("a row has a method in capitals and a plain path, with {name} for a whole segment")
        if len(set(slots)) != len(slots):
            raise ValueError("two segments have one name")
        if not row.scope:
            raise ValueError("a row has a scope")
        group = self._slotted.get((method, len(row.segments)), [])
        whole = "/".join(row.segments)
        if (method, whole) in self._plain or (row.has_slots and any(row.collides(other) for other in group)):
            raise ValueError(f"another row fits {method} {path} as well")
        if row.has_slots:
            self._slotted[method, len(row.segments)] = [*group, row]
        else:
            self._plain[method, whole] = row

    def find(self, method: str, path: str) -> tuple[Need | None, dict[str, str]]:
        """The row of a call, and the segments that have a name; None where nothing was said of such a call."""
        row = self._plain.get((method, path))
        if row is not None or not self._slotted:
            return row, {}
        segments = path.split("/")
        for row in self._slotted.get((method, len(segments)), ()):
            named = row.named(segments)
            if named is not None:
                return row, named
        return None, {}
