"""A document at a URL that vouches for itself by naming that URL."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Call, JsonObject, Malformed

T = TypeVar("T")

V = TypeVar("V")

KEPT_MAX: Final = 256  # documents held by one `Published`; the oldest goes first
TRIED_MAX: Final = 4 * KEPT_MAX  # and marks of when a URL was tried: whoever may name one may name many


def _note(table: dict[str, V], key: str, value: V, at_most: int) -> None:
    """Put an entry in as the newest."""
    table.pop(key, None)
    while len(table) >= at_most:
        del table[next(iter(table))]
    table[key] = value


@dataclass(slots=True)
class _Kept(Generic[T]):
    value: T
    fetched_at: Instant


@dataclass(slots=True)
class Published(Generic[T]):
    """Documents of one sort: fetched with limits, checked, and kept only if good.

    `names_itself` is the member that must equal the name given to `get` (None where another document names this
    one, as with a JWK set). `read` turns the object into a value and raises ValueError on a bad one. Kept for
    `keep` seconds; while it is kept, fetched once in `again_after` at most, however many unknown key ids somebody makes
    up. Where there is none, whoever is out of reach is tried again after `failed_after`. Raises Fault: a peer's broken
    document is nothing that a request can be blamed for.
    """

    read: Callable[[JsonObject], T]
    names_itself: str | None = None
    keep: Seconds = Seconds(300)
    again_after: Seconds = Seconds(60)
    failed_after: Seconds = Seconds(30)
    bytes_max: int = 256 * 1024
    _kept: dict[str, _Kept[T]] = field(default_factory=dict)
    _tried_at: dict[str, Instant] = field(default_factory=dict)

    def fresh(self, url: str, now: Instant) -> T | None:
        """What is kept and needs no other look yet: nothing to wait for."""
        kept = self._kept.get(url)
        return kept.value if kept and 0 <= now - kept.fetched_at < self.keep else None

    async def get(self, url: str, env: Env, *, named: str | None = None, fresher: bool = False) -> T:
        """The document at `url`. `fresher` asks for another look (an unknown key id), within `again_after`."""
        now = env.clock()
        kept = self._kept.get(url)
        if kept and now - kept.fetched_at >= self.keep * 12:
            kept = None  # the last good answer outlives a short outage of the peer, not a long one
        tried_at = self._tried_at.get(url)
        rest = self.again_after if kept else self.failed_after
        rested = tried_at is None or not 0 <= now - tried_at < rest
        if kept and (not rested or (not fresher and 0 <= now - kept.fetched_at < self.keep)):
            return kept.value
        if not kept and not rested:
            raise Fault(f"{url} was out of reach a moment ago", retry=True)
        if kept:
            self._tried(url, now)  # others make do with what is kept while this one looks
        try:
            value = await self._fetched(url, named or url, env)
        except Fault:
            self._tried(url, now)
            if kept:
                return kept.value
            raise
        self._tried(url, now)
        _note(self._kept, url, _Kept(value, now), KEPT_MAX)
        return value

    def _tried(self, url: str, now: Instant) -> None:
        _note(self._tried_at, url, now, TRIED_MAX)

    async def _fetched(self, url: str, named: str, env: Env) -> T:
        reply = await env.fetch(
            Call(method="GET", url=url, headers=(("accept", "application/json"),), bytes_max=self.bytes_max)
        )
        if reply.status != 200:
            raise Fault(f"{url} answered {reply.status}", retry=True)
        try:
            document = reply.json_object(self.bytes_max)
            if self.names_itself is not None and document.get(self.names_itself) != named:
                raise Malformed(f"{self.names_itself} does not name where the document came from")
            return self.read(document)
        except ValueError as problem:
            raise Fault(f"{url}: {problem}") from None
