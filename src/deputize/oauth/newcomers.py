"""The clients that registered themselves: what is kept of them, for as long as they are used, and who lets them in."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds, Secret
from deputize.oauth import standing as standings
from deputize.oauth import statuses
from deputize.oauth.client import Client, secret_hash
from deputize.oauth.registering import Settings
from deputize.oauth.standing import Standing

BITS: Final = 256
REMOVED_KEPT: Final = Seconds(24 * 3600)
_PAGE: Final = 100
_TRIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration(Record):
    """What a client registered. `key` is its client_id, `token` a hash of its registration access token.

    `told` is the JSON of it. `waiting` says that no operator has let it in, `removed` is the tombstone.
    """

    kind: ClassVar[str] = "registration"

    token: str
    told: str
    issued_at: Instant
    waiting: bool = False
    removed: bool = False

    def is_over(self, now: Instant) -> bool:
        """Whether nobody may open it any more."""
        return self.removed or (self.expires_at is not None and self.expires_at <= now)


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialToken(Record):
    """An initial access token (RFC 7591, 1.2). `key` is its hash, `left` how many clients may yet register with it."""

    kind: ClassVar[str] = "initial_token"

    left: int


async def living(env: Env) -> AsyncIterator[Registration]:
    """All that are neither removed nor expired."""
    now, after = env.clock(), ""
    while page := await env.store.select(Registration, "", "", after=after, limit=_PAGE):
        for one in page:
            if not one.is_over(now):
                yield one
        after = page[-1].key


async def used(client: Client, settings: Settings, env: Env) -> None:
    """Note that a client which registered itself is in use, so that it is not forgotten.

    A write is made only once a tenth of its time is over. Where another is faster, it has noted the same.
    """
    until = Instant(env.clock() + settings.unused_life)
    ends = client.expires_at
    if ends is None or client.document is not None or until - ends < settings.unused_life // 10:
        return
    kept = await env.store.read(Registration, client.key)
    if kept is not None and not kept.removed:
        after = replace(kept, expires_at=until)
        await env.store.commit(Replace(client, replace(client, expires_at=until)), Replace(kept, after))


async def invite(env: Env, *, uses: int, life: Seconds) -> Secret:
    """Make an initial access token; it is told this once."""
    token, now = env.random(BITS), env.clock()
    kept = InitialToken(key=secret_hash(token), expires_at=Instant(now + life), left=uses)
    await env.store.commit(Add(kept), Append(Event(key="", at=now, what="client_invited", told={"uses": str(uses)})))
    return Secret(token)


async def let_in(client_id: str, env: Env) -> None:
    """Let a waiting client in. Raises Fault where none of this name waits."""
    kept, client = await env.store.read(Registration, client_id), await env.store.read(Client, client_id)
    now = env.clock()
    if kept is None or client is None or not kept.waiting or kept.is_over(now):
        raise Fault("no client of this name waits")
    event = Event(key="", at=now, what="client_let_in", client=client_id)
    changes = (Replace(client, replace(client, disabled_at=None)), Replace(kept, replace(kept, waiting=False)))
    if not await env.store.commit(*changes, Append(event)):
        raise Fault("the client was changed at the same time", retry=True)


async def remove(client: Client, kept: Registration | None, env: Env) -> bool:
    """Remove a client, and take back all that people allowed it; False where it was changed at the same time.

    Its name is kept for a day as a tombstone, and is given to nobody after.
    """
    now = env.clock()
    ends = Instant(now + REMOVED_KEPT)
    gone = replace(client, disabled_at=client.disabled_at or now, secrets=(), expires_at=ends)
    event = Event(key="", at=now, what="client_removed", client=client.key)
    changes: list[Change] = [Replace(client, gone), Append(event)]
    if kept is not None:
        changes.append(Replace(kept, replace(kept, removed=True, waiting=False, expires_at=ends)))
    if not await env.store.commit(*changes):
        return False
    for one in await _standings(client.key, env):
        await _taken_back(one, env)
    return True


async def _standings(client: str, env: Env) -> list[Standing]:
    found: list[Standing] = []
    while page := await env.store.select(Standing, "client", client, after=found[-1].key if found else "", limit=_PAGE):
        found += page
    return found


async def _taken_back(standing: Standing | None, env: Env) -> None:
    """Take it back, whoever changes it meanwhile. That the client is gone ends its tokens anyway."""
    for _ in range(_TRIES):
        if standing is None or standing.taken_back_at is not None:
            return
        if await statuses.commit(standings.take_back(standing, env.clock()), env, ends=standing.key):
            return
        standing = await env.store.read(Standing, standing.key)
