"""A document at a URL that vouches for itself by naming that URL."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final, Generic, TypeVar

from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Call, Headers, JsonObject, Malformed

T = TypeVar("T")

V = TypeVar("V")

_JSON: Final = re.compile(
    r"application/([a-z0-9!#$&^_.-]+\+)?json[ \t]*(;[ \t]*charset=\"?utf-8\"?[ \t]*)?", re.IGNORECASE
)
_DIGITS: Final = re.compile(r"[0-9]{1,9}")

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
    fresh_for: Seconds


@dataclass(slots=True)
class Published(Generic[T]):
    """Documents of one sort: fetched with limits, checked, and kept only if good.

    `names_itself` is the member that must equal the name given to `get` (None where another document names this
    one, as with a JWK set). `read` turns the object into a value and raises ValueError on a bad one. Kept for as long
    as the answer says, at most `keep` seconds; while it is kept, fetched once in `again_after` at most, however many
    unknown key ids somebody makes up. Where there is none, whoever is out of reach is tried again after
    `failed_after`. Raises Fault: a peer's broken document is nothing that a request can be blamed for.
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
        return kept.value if kept and 0 <= now - kept.fetched_at < kept.fresh_for else None

    async def get(self, url: str, env: Env, *, named: str | None = None, fresher: bool = False) -> T:
        """The document at `url`. `fresher` asks for another look (an unknown key id), within `again_after`."""
        now = env.clock()
        kept = self._kept.get(url)
        if kept and now - kept.fetched_at >= self.keep * 12:
            kept = None  # the last good answer outlives a short outage of the peer, not a long one
        tried_at = self._tried_at.get(url)
        rest = self.again_after if kept else self.failed_after
        rested = tried_at is None or not 0 <= now - tried_at < rest
        if kept and (not rested or (not fresher and 0 <= now - kept.fetched_at < kept.fresh_for)):
            return kept.value
        if not kept and not rested:
            raise Fault(f"{url} was out of reach a moment ago", retry=True)
        if kept:
            self._tried(url, now)  # others make do with what is kept while this one looks
        try:
            value, fresh_for = await self._fetched(url, named or url, env)
        except Fault:
            self._tried(url, now)
            if kept:
                return kept.value
            raise
        self._tried(url, now)
        _note(self._kept, url, _Kept(value, now, fresh_for), KEPT_MAX)
        return value

    def _tried(self, url: str, now: Instant) -> None:
        _note(self._tried_at, url, now, TRIED_MAX)

    async def _fetched(self, url: str, named: str, env: Env) -> tuple[T, Seconds]:
        document, headers = await fetched(url, self.bytes_max, env)
        try:
            if self.names_itself is not None and document.get(self.names_itself) != named:
                raise Malformed(f"{self.names_itself} does not name where the document came from")
            value = self.read(document)
        except ValueError as problem:
            raise Fault(f"{url}: {problem}") from None
        return value, fresh_for(headers, self.keep, at_least=min(self.again_after, self.keep), at_most=self.keep)


async def fetched(url: str, bytes_max: int, env: Env) -> tuple[JsonObject, Headers]:
    """One JSON object, with status 200 and a type of JSON in UTF-8, and the headers that came with it. Raises Fault."""
    call = Call(method="GET", url=url, headers=(("accept", "application/json"),), bytes_max=bytes_max)
    reply = await env.fetch(call)
    if reply.status != 200:
        raise Fault(f"{url} answered {reply.status}", retry=True)
    if not all(_JSON.fullmatch(told) for told in reply.headers.all("content-type") or ("",)):
        raise Fault(f"{url} answered with something else than JSON in UTF-8")
    try:
        return reply.json_object(bytes_max), reply.headers
    except ValueError as problem:
        raise Fault(f"{url}: {problem}") from None


def fresh_for(headers: Headers, default: Seconds, *, at_least: Seconds, at_most: Seconds) -> Seconds:
    """How long an answer stays fresh by its own word (RFC 9111, 4.2.1), within bounds; `default` where it says none."""
    told: dict[str, str] = {}
    for part in ",".join(headers.all("cache-control")).split(","):
        name, _, value = part.strip().lower().partition("=")
        told.setdefault(name, value.strip('"'))
    if "no-store" in told or "no-cache" in told:
        return at_least
    age = _seconds(",".join(headers.all("age"))) or 0
    lasting = _seconds(told.get("max-age", "0")) if "max-age" in told else _until_expiry(headers)
    seconds = default if lasting is None else Seconds(lasting - age)
    return max(at_least, min(seconds, at_most))


def _seconds(text: str) -> int | None:
    return int(text) if _DIGITS.fullmatch(text) else None


def _until_expiry(headers: Headers) -> int | None:
    expires, date = headers.all("expires"), headers.all("date")
    if not expires:
        return None
    try:
        return int((parsedate_to_datetime(expires[0]) - parsedate_to_datetime(date[0])).total_seconds())
    except (ValueError, TypeError, IndexError):
        return 0  # RFC 9111, 5.3: one that cannot be read is over
