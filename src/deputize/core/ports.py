"""The seven sockets in the wall, the records that a store keeps, and the changes that it commits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeVar

from deputize.core.values import Instant
from deputize.core.wire import Call, JsonObject, Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Something that is kept. One table a kind: what was stored as one kind is never read as another.

    `key` is unique within the kind. `expires_at` is when `sweep` may forget it (None: never); whoever reads a
    record looks at the time for himself. `indexed` names the fields, all `str`, that `select` may look for.
    `version` belongs to the store: it counts replacements, and is no part of the value.
    `kept` says that it is read far more often than it changes: a store may then answer from memory, for as long as it
    knows of each change that anybody has made.
    """

    kind: ClassVar[str]
    indexed: ClassVar[tuple[str, ...]] = ()
    kept: ClassVar[bool] = False

    key: str
    expires_at: Instant | None = None
    version: int = field(default=0, compare=False)


R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Add:
    """Fails if the key is there, expired or not: so a mark added once is replay protection."""

    record: Record


@dataclass(frozen=True, slots=True)
class Replace:
    """Fails if what is stored is no longer `old` (by its version): so of two, one wins. Key and kind stay."""

    old: Record
    new: Record


@dataclass(frozen=True, slots=True)
class Append:
    """Always succeeds. The store gives the key, so that the keys of a kind sort in the order of appending."""

    record: Record


Change = Add | Replace | Append


class Store(Protocol):
    """Where records lie. The only way to change anything is `commit`.

    What a commit acknowledged is durable. Raises Fault (`retry=True` where that may help) if the store cannot.
    """

    async def read(self, kind: type[R], key: str) -> R | None:
        """The record with this key."""

    async def select(self, kind: type[R], where: str, equals: str, *, after: str = "", limit: int = 100) -> list[R]:
        """Records whose indexed field has this value, in the order of their keys, from beyond the key `after`.

        `where=""` selects of all.
        """

    async def commit(self, *changes: Change) -> bool:
        """All or nothing; False if the condition of any change fails."""

    async def sweep(self, now: Instant) -> int:
        """Forget what has expired; how many."""

    async def close(self) -> None:
        """Let go of files and threads, after what was handed over is durable."""


class Clock(Protocol):
    """What time it is."""

    def __call__(self) -> Instant: ...


class Random(Protocol):
    """Unguessable text: at least `bits` bits of it, in the alphabet of base64url."""

    def __call__(self, bits: int) -> str: ...


class Fetch(Protocol):
    """The one guarded door out. Redirects are handed back; the answer is bounded in size and time.

    Whoever may follow a redirect calls again: so each hop is checked as the first address was.

    Raises Fault where the peer cannot be reached, and refuses (Fault too) addresses that are not allowed.
    """

    async def __call__(self, call: Call) -> Reply: ...


class Signer(Protocol):
    """Keys that sign and never show themselves."""

    def active(self) -> tuple[str, str]:
        """Key id and algorithm of the key to sign with now."""

    async def sign(self, kid: str, data: bytes) -> bytes:
        """The JWS signature over `data`."""

    def keys(self) -> tuple[JsonObject, ...]:
        """The public keys, as JWKs, that others may see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Record):
    """Something that a person is to be told, written in the commit of the change that it speaks of."""

    kind: ClassVar[str] = "notice"
    indexed: ClassVar[tuple[str, ...]] = ("person",)

    person: str
    about: str
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """One line of the audit trail, written in the commit of the change that it speaks of. Holds no secret."""

    kind: ClassVar[str] = "event"
    indexed: ClassVar[tuple[str, ...]] = ("client", "person")

    at: Instant
    what: str
    client: str = ""
    person: str = ""
    told: Mapping[str, str] = field(default_factory=dict)


class Notify(Protocol):
    """Brings a notice to a person."""

    async def tell(self, notice: Notice) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May `client` do this (`does` is a short verb: "ask", "issue") for `person` at `audience`?"""

    does: str
    client: str
    person: str = ""
    audience: frozenset[str] = frozenset()
    scope: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Yes or no, and which rule of the policy said so."""

    allowed: bool
    because: str


class Policy(Protocol):
    """The operator's own rules, asked last: it can refuse what the protocol would let through, never the reverse."""

    async def may(self, question: Question) -> Verdict: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """The seven ports, handed over together. Pure functions take `now`, not this."""

    clock: Clock
    random: Random
    store: Store
    fetch: Fetch
    signer: Signer
    notify: Notify
    policy: Policy
