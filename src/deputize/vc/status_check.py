"""What a token's status is now: lists that are fetched, verified, kept for a while, and looked up in microseconds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin, urlsplit

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant, Seconds, WebUrl
from deputize.core.wire import Call, Malformed, Reply, b64u_bytes
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet
from deputize.vc.status_list import INFLATED_MAX, IS_VALID, SPEC, VALID, Reference
from deputize.vc.status_token import TOKEN_MAX, Expected, Form, Unverified, VerifiedStatusList, parse, verify

HOPS_MAX: Final = 3
AGGREGATED_MAX: Final = 1000
AGGREGATION_BYTES_MAX: Final = 256 * 1024
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_NOTED_MAX: Final = 4096  # addresses: whoever issues tokens may name many

ITS_KIND = Rule(SPEC, "Status List Response", "The answer's content type is that of the form that was asked for.")
NO_OLDER = Rule("Deputize", "status lists", "A list is not older than the one that was seen at its address before.")

Keys = Callable[[Unverified], Awaitable[KeySet]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How lists are read. Where a list cannot be had, a token that refers to it is refused.

    `ttl` is for a list that tells none, `ttl_min` and `ttl_max` bound what one tells. `stale` lets a list that was
    fetched before be used on until its `exp` while no newer one can be had. `again_after` is how long a list that
    could not be had is not asked for again. `bytes_kept_max` bounds the memory of all lists that are kept.
    """

    algs: frozenset[str] = ALL
    form: Form = Form.JWT
    ttl: Seconds = Seconds(300)
    ttl_min: Seconds = Seconds(30)
    ttl_max: Seconds = Seconds(24 * 3600)
    stale: bool = False
    again_after: Seconds = Seconds(2)
    inflated_max: int = INFLATED_MAX
    bytes_kept_max: int = 64 * 1024 * 1024


STRICT: Final = Policy()


@dataclass(slots=True)
class _Kept:
    """A list, when to look for a newer one, and from when on it is no longer good."""

    told: VerifiedStatusList
    tag: str | None
    again_at: Instant
    good_until: Instant


@dataclass(slots=True)
class StatusLists:
    """Lists of any number of issuers, by their addresses; `keys` of `newest` says whose signature is expected."""

    policy: Policy = STRICT
    error: str = "invalid_token"
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _failed_at: dict[str, Instant] = field(default_factory=dict)
    _seen: dict[str, Instant] = field(default_factory=dict)  # the newest iat at each address

    def fresh(self, uri: str, now: Instant) -> VerifiedStatusList | None:
        """What is kept and needs no other look yet: nothing to wait for."""
        kept = self._kept.get(uri)
        return kept.told if kept is not None and now < kept.again_at else None

    async def hold(self, reference: Reference, keys: Keys, env: Env) -> None:
        """Refuse a token whose status is anything but VALID, or whose list is not good. Raises Fault without a list.

        To be asked after all else about the token was found good: a list is not fetched for a token that is not.
        """
        hold(
            self.fresh(reference.uri, env.clock()) or await self.newest(reference.uri, keys, env), reference, self.error
        )

    async def newest(self, uri: str, keys: Keys, env: Env) -> VerifiedStatusList:
        """The list at `uri`. Raises Fault where none can be had, Refusal where what came is none."""
        now = env.clock()
        kept = self._kept.get(uri)
        if kept is not None and now < kept.again_at:
            return kept.told
        good = kept if kept is not None and now < kept.good_until else None
        if kept is not None and good is not None:
            kept.again_at = kept.good_until  # one looks for a newer list; the others make do with this one meanwhile
        failed_at = self._failed_at.get(uri)
        try:
            if failed_at is not None and 0 <= now - failed_at < self.policy.again_after:
                raise Fault(f"{uri} was out of reach a moment ago", retry=True)
            return await self._renewed(uri, kept, keys, env)
        except (Fault, Refusal):
            if failed_at is None or not 0 <= now - failed_at < self.policy.again_after:
                _note(self._failed_at, uri, now)
            if good is not None:
                return good.told
            if kept is not None and self.policy.stale and kept.told.until is not None and now < kept.told.until:
                return kept.told
            raise

    async def at(self, reference: Reference, asked: Instant, keys: Keys, env: Env) -> int:
        """What the status was at a time that has passed. Raises Fault where the provider keeps no history."""
        mark = "&" if urlsplit(reference.uri).query else "?"
        reply = await self._fetched(f"{reference.uri}{mark}time={asked}", None, env)
        told = await self._verified(reply, reference.uri, keys, env.clock(), asked)
        return told.statuses.at(reference.idx, error=self.error)

    async def prefetch(self, aggregation: str, keys: Keys, env: Env) -> tuple[int, tuple[str, ...]]:
        """Fetch all lists that an issuer names; how many are good, and which are not. One bad one stops no other."""
        reply = await env.fetch(
            Call(
                method="GET",
                url=aggregation,
                headers=(("accept", "application/json"),),
                bytes_max=AGGREGATION_BYTES_MAX,
            )
        )
        if reply.status != 200 or _media_type(reply) != "application/json":
            raise Fault(f"{aggregation} answered {reply.status}", retry=True)
        try:
            named = reply.json_object(AGGREGATION_BYTES_MAX).get("status_lists")
        except Malformed as problem:
            raise Fault(f"{aggregation}: {problem}") from None
        if not isinstance(named, list) or len(named) > AGGREGATED_MAX:
            raise Fault(f"{aggregation} names no lists, or too many")
        bad = []
        for uri in named:
            try:
                WebUrl(uri if isinstance(uri, str) else "")
                await self.newest(uri, keys, env)
            except (Fault, Refusal, ValueError):
                bad.append(str(uri)[:200])
        return len(named) - len(bad), tuple(bad)

    # --- fetching ---------------------------------------------------------------------------------------------------

    async def _renewed(self, uri: str, kept: _Kept | None, keys: Keys, env: Env) -> VerifiedStatusList:
        reply = await self._fetched(uri, kept.tag if kept is not None else None, env)
        now = env.clock()
        if reply.status == 304 and kept is not None and not (kept.told.until is not None and kept.told.until <= now):
            told, tag = kept.told, kept.tag
        else:
            told = await self._verified(reply, uri, keys, now, None)
            tags = reply.headers.all("etag")
            tag = tags[0] if len(tags) == 1 else None
        if told.issued_at < self._seen.get(uri, 0):
            # Somebody in between plays an old list again, in which nothing is revoked yet.
            NO_OLDER.refuse(self.error, iat=told.issued_at, seen=self._seen[uri])
        self._keep(uri, told, tag, now, env)
        return told

    def _keep(self, uri: str, told: VerifiedStatusList, tag: str | None, now: Instant, env: Env) -> None:
        policy = self.policy
        ttl = min(max(told.ttl if told.ttl is not None else policy.ttl, policy.ttl_min), policy.ttl_max)
        good_until = now + ttl if told.until is None else min(now + ttl, told.until)
        # Within the last third, at a moment of one's own: else all readers would come at once.
        early = (good_until - now) * b64u_bytes(env.random(8))[0] // (3 * 256)
        self._failed_at.pop(uri, None)
        for name, one in list(self._kept.items()):
            if name == uri or now >= (one.told.until or one.good_until):
                del self._kept[name]
        self._kept[uri] = _Kept(told, tag, Instant(good_until - early), Instant(good_until))
        _note(self._seen, uri, told.issued_at)
        size = sum(len(one.told.statuses.packed) for one in self._kept.values())
        while size > policy.bytes_kept_max and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            size -= len(self._kept.pop(oldest).told.statuses.packed)

    async def _fetched(self, uri: str, tag: str | None, env: Env) -> Reply:
        """The answer at an address, or at the one that it sends us on to: each hop through the guarded door."""
        headers: tuple[tuple[str, str], ...] = (("accept", self.policy.form.media_type),)
        if tag is not None:
            headers = (*headers, ("if-none-match", tag))
        url = uri
        for _ in range(HOPS_MAX + 1):
            reply = await env.fetch(Call(method="GET", url=url, headers=headers, bytes_max=TOKEN_MAX))
            if reply.status not in _MOVED:
                if reply.status == 200 or (reply.status == 304 and tag is not None):
                    return reply
                raise Fault(f"{url} answered {reply.status}", retry=True)
            places = reply.headers.all("location")
            try:
                target = WebUrl(urljoin(url, places[0] if len(places) == 1 else ""))
            except ValueError:
                raise Fault(f"{url} sends us nowhere that we go") from None
            if target.is_loopback and not WebUrl(uri).is_loopback:
                raise Fault(f"{url} sends us to ourselves")
            url = target.text
        raise Fault(f"{uri} sends us on and on")

    async def _verified(
        self, reply: Reply, uri: str, keys: Keys, now: Instant, asked: Instant | None
    ) -> VerifiedStatusList:
        form, policy = self.policy.form, self.policy
        if _media_type(reply) != form.media_type:
            ITS_KIND.refuse(self.error, content_type=_media_type(reply)[:80])
        token = parse(reply.body, form, error=self.error)
        expected = Expected(uri=uri, algs=policy.algs, at=asked, bytes_max=policy.inflated_max, error=self.error)
        return verify(token, await keys(token), expected, now)


def hold(told: VerifiedStatusList, reference: Reference, error: str) -> None:
    """Refuse a token whose status is anything but VALID in its list."""
    status = told.statuses.at(reference.idx, error=error)
    if status != VALID:
        IS_VALID.refuse(error, status=status)


def _note(table: dict[str, Instant], uri: str, at: Instant) -> None:
    """Put an entry in as the newest."""
    table.pop(uri, None)
    while len(table) >= _NOTED_MAX:
        del table[next(iter(table))]
    table[uri] = at


def _media_type(reply: Reply) -> str:
    told = reply.headers.all("content-type")
    return told[0].partition(";")[0].strip().lower() if len(told) == 1 else ""
