"""Where the status of each token stands: an entry of a list, drawn at random, told of once the token ends.

A list takes new entries for a while and is then kept until the last of its tokens is over. An entry is a record of its
own, so that it is given away once and no two changes meet in one record; ties say which tokens end with what they rest
on. The entry is written before anybody has the token, and its end in the commit of what ends the token.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from deputize.core.ports import Add, Change, Env, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Issuer, Seconds, WebUrl
from deputize.core.wire import JsonObject, b64u_bytes
from deputize.jose.jwt import SKEW

PATH: Final = "/status"
VALID: Final = 0  # draft-ietf-oauth-status-list, Status Types Values
INVALID: Final = 1
SIZES: Final = range(2**13, 2**22 + 1)  # among fewer, one is too easily told from the others
_SPANS: Final = (900, 24 * 3600, 31 * 24 * 3600, 400 * 24 * 3600)  # lists for tokens that live for so long at most
_OPEN_MIN: Final = 3600
_TRIES: Final = 100
_DRAWS: Final = 8  # all taken: three quarters of the list, or more, as good as surely
_PAGE: Final = 1000

FITS = Rule("draft-ietf-oauth-status-list", "Status List", "A status fits into the bits of an entry of its list.")

FINAL = Rule("draft-ietf-oauth-status-list", "Status Types Values", "What has become INVALID stays so.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Which tokens say where their status stands, and how lists are kept.

    `tokens`: our access tokens do, so that an API which never asks us sees a revocation within `ttl` seconds or little
    more. Each token then costs a write. `base` is where lists are served if not by this server: a CDN that holds what
    `deputize status export` writes. New lists have `size` entries of `bits` bits; `lists` of them are open at a time.
    A list that is served is good for `life` seconds at most. `history` tells whoever asks what a status was before.
    """

    tokens: bool = False
    base: str = ""
    bits: int = 1
    size: int = 2**20
    lists: int = 2
    ttl: Seconds = Seconds(10)
    life: Seconds = Seconds(3600)
    history: bool = False

    def __post_init__(self) -> None:
        if self.bits not in {1, 2, 4, 8} or self.size not in SIZES or self.size % 8:
            raise ValueError(f"a list has {SIZES[0]} to {SIZES[-1]} entries, whole bytes of them, of 1, 2, 4 or 8 bits")
        if not 1 <= self.lists <= 16:
            raise ValueError("1 to 16 lists are open at a time")
        if not 1 <= self.ttl <= self.life <= 24 * 3600:
            raise ValueError("a list is good for a day at most, and is looked at again within that time")
        if self.base:
            WebUrl(self.base)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusList(Record):
    """A list. `key` is its name; `span` how long its tokens live at most, in seconds, as a text."""

    kind: ClassVar[str] = "status_list"
    indexed: ClassVar[tuple[str, ...]] = ("span",)

    span: str
    bits: int
    size: int
    opened_at: Instant
    closes_at: Instant
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEntry(Record):
    """An entry that was given away. `key` is the list's name and the index, so that no other token ever gets it.

    `told` is what was told of the token, and when; nothing is VALID. `told_in` is the list's name once something was.
    """

    kind: ClassVar[str] = "status_entry"
    indexed: ClassVar[tuple[str, ...]] = ("told_in",)

    told_in: str = ""
    told: tuple[tuple[Instant, int], ...] = ()

    @property
    def idx(self) -> int:
        return int(self.key.rpartition(":")[2])

    def at(self, asked: Instant | None) -> int:
        """The status at a time, or now."""
        return next((status for at, status in reversed(self.told) if asked is None or at <= asked), VALID)

    def telling(self, status: int, now: Instant) -> Replace:
        name = self.key.rpartition(":")[0]
        return Replace(self, replace(self, told_in=name, told=(*self.told, (now, status))))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTie(Record):
    """The token of this entry ends when `under` does: another token, a refresh family, a standing."""

    kind: ClassVar[str] = "status_tie"
    indexed: ClassVar[tuple[str, ...]] = ("under",)

    under: str
    entry: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUse(Record):
    """That tokens have entries at all: read from memory, so that an ending looks for none where there are none."""

    kind: ClassVar[str] = "status_use"
    kept: ClassVar[bool] = True


IN_USE: Final = "in use"


def entry_key(name: str, idx: int) -> str:
    return f"{name}:{idx}"


@dataclass(frozen=True, slots=True)
class Drawn:
    """An entry for a token: its `status` claim, and what is to be committed before anybody has the token."""

    claim: JsonObject
    changes: tuple[Add, ...]


@dataclass(slots=True)
class Statuses:
    """The lists of one issuer."""

    issuer: Issuer
    settings: Settings = Settings()
    _open: dict[int, tuple[StatusList, ...]] = field(default_factory=dict)

    def uri_of(self, name: str) -> str:
        """Where a list is served: what tokens refer to, and what the list says of itself, letter for letter."""
        return f"{self.settings.base.rstrip('/') or self.issuer.at(PATH)}/{name}"

    async def draw(self, until: Instant, env: Env, *, under: Iterable[str] = ()) -> Drawn:
        """An entry for a token that lives until then and rests on all that is in `under`.

        Where the commit of its changes fails, somebody else was given the entry in between: draw again.
        """
        now = env.clock()
        for _ in range(_TRIES):
            lists = await self._lists(until, now, env)
            place = _roll(env)
            chosen = lists[place % len(lists)]
            for _ in range(_DRAWS):
                idx = _roll(env) % chosen.size
                key = entry_key(chosen.key, idx)
                if await env.store.read(StatusEntry, key) is None:
                    # While the list is open, an entry is not forgotten: it would be given away again.
                    gone = Instant(max(until, chosen.closes_at) + 2 * SKEW)
                    ties = (
                        Add(StatusTie(key=f"{key} {name}", under=name, entry=key, expires_at=Instant(until + 2 * SKEW)))
                        for name in dict.fromkeys(under)
                    )
                    claim = {"status_list": {"idx": idx, "uri": self.uri_of(chosen.key)}}
                    return Drawn(claim, (Add(StatusEntry(key=key, expires_at=gone)), *ties))
            await env.store.commit(Replace(chosen, replace(chosen, full=True)))  # False where somebody was faster
            self._open.clear()
        raise Fault("no list has an entry left", retry=True)

    async def is_taken(self, drawn: Drawn, env: Env) -> bool:
        """Whether somebody has the entry by now."""
        return await env.store.read(StatusEntry, drawn.changes[0].record.key) is not None

    async def _lists(self, until: Instant, now: Instant, env: Env) -> tuple[StatusList, ...]:
        """The lists that take a token which lives until then: as many as there are to be, or a few more."""
        span = next((span for span in _SPANS if until - now <= span), None)
        if span is None:
            raise Fault("a token that lives for longer than any list")
        lists = _taking(self._open.get(span, ()), now)
        if len(lists) < self.settings.lists:
            if await env.store.read(StatusUse, IN_USE) is None:
                await env.store.commit(Add(StatusUse(key=IN_USE)))  # False where somebody else was first
            lists = _taking(await env.store.select(StatusList, "span", str(span), limit=_PAGE), now)
            while len(lists) < self.settings.lists:
                fresh = self._opened(span, now, env)
                await env.store.commit(Add(fresh))
                lists = (*lists, fresh)
            self._open[span] = lists
        return lists

    def _opened(self, span: int, now: Instant, env: Env) -> StatusList:
        closes_at = Instant(now + max(_OPEN_MIN, span // 4))
        return StatusList(
            key=env.random(128),
            span=str(span),
            bits=self.settings.bits,
            size=self.settings.size,
            opened_at=now,
            closes_at=closes_at,
            expires_at=Instant(closes_at + span + 2 * SKEW),
        )


def _taking(lists: Iterable[StatusList], now: Instant) -> tuple[StatusList, ...]:
    return tuple(one for one in lists if not one.full and now < one.closes_at)


def _roll(env: Env) -> int:
    return int.from_bytes(b64u_bytes(env.random(64))[:8], "big")


# --- what ends ------------------------------------------------------------------------------------------------------


async def commit(changes: tuple[Change, ...], env: Env, *, ends: str, claims: Mapping[str, Any] | None = None) -> bool:
    """Commit what ends something, and with it tell the lists of each token that rests on it.

    `ends` is the name of what ends; `claims` are those of the token itself, if it is one. False where a condition of
    `changes` fails. A token that was issued in that very moment is told of right after.
    """
    before: list[tuple[str, int]] | None = None
    for _ in range(_TRIES):
        ending = await _ending(ends, claims, env)
        if await env.store.commit(*changes, *ending):
            break
        seen = [(change.old.key, change.old.version) for change in ending]
        if seen == before or not seen:
            return False
        before = seen  # it may be that one of these was told of in between: then there are others now
    else:
        raise Fault("the statuses changed too often", retry=True)
    for _ in range(_TRIES):
        late = await _ending(ends, claims, env)
        if not late:
            return True
        await env.store.commit(*late)
    raise Fault("the statuses changed too often", retry=True)


async def _ending(name: str, claims: Mapping[str, Any] | None, env: Env) -> tuple[Replace, ...]:
    """What tells the lists that everything under this name is no more; nothing where they know."""
    if await env.store.read(StatusUse, IN_USE) is None:
        return ()
    keys = [] if claims is None else list(_own(claims))
    after = ""
    while True:
        ties = await env.store.select(StatusTie, "under", name, after=after, limit=_PAGE)
        keys += [tie.entry for tie in ties]
        if len(ties) < _PAGE:
            break
        after = ties[-1].key
    now = env.clock()
    entries = [await env.store.read(StatusEntry, key) for key in dict.fromkeys(keys)]
    return tuple(one.telling(INVALID, now) for one in entries if one is not None and one.at(None) != INVALID)


def _own(claims: Mapping[str, Any]) -> Iterable[str]:
    """The entry of a token of ours, which was verified: so its `status` is as we wrote it."""
    told = claims.get("status")
    if told is not None:
        yield entry_key(told["status_list"]["uri"].rpartition("/")[2], told["status_list"]["idx"])


async def tell(chosen: StatusList, idx: int, status: int, env: Env, *also: Change) -> None:
    """Tell a list of one token's status: revoked, suspended, or good again. Refuses what does not fit in."""
    if not 0 <= status < 1 << chosen.bits or not 0 <= idx < chosen.size:
        FITS.refuse("invalid_request", status=status, idx=idx)
    key = entry_key(chosen.key, idx)
    for _ in range(_TRIES):
        entry = await env.store.read(StatusEntry, key)
        if entry is None:
            raise Fault("this entry was given to nobody, or its token is over")
        if entry.at(None) == INVALID != status:
            FINAL.refuse("invalid_request", idx=idx)
        if entry.at(None) == status or await env.store.commit(entry.telling(status, env.clock()), *also):
            return
    raise Fault("the status changed too often", retry=True)


async def told_in(name: str, env: Env) -> tuple[StatusEntry, ...]:
    """The entries of a list of which something was told."""
    entries: list[StatusEntry] = []
    while True:
        after = entries[-1].key if entries else ""
        more = await env.store.select(StatusEntry, "told_in", name, after=after, limit=_PAGE)
        entries += more
        if len(more) < _PAGE:
            return tuple(entries)


async def kept(env: Env) -> tuple[StatusList, ...]:
    """All lists that have tokens which may still be good."""
    lists: list[StatusList] = []
    while True:
        more = await env.store.select(StatusList, "", "", after=lists[-1].key if lists else "", limit=_PAGE)
        lists += more
        if len(more) < _PAGE:
            break
    now = env.clock()
    return tuple(one for one in lists if one.expires_at is None or now < one.expires_at)
