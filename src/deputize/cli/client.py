"""The verbs of `deputize client`: what an operator does for clients, on the records of the server."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from deputize.cli.serving import with_records
from deputize.compose.parts import ServerParts
from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import ClientId, Instant, Seconds, Secret, scope_text
from deputize.core.wire import JsonObject
from deputize.oauth import client_secret, newcomers
from deputize.oauth.client import Client
from deputize.oauth.newcomers import Registration

_SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_ROWS: Final = 100
_TRIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A client's new secret, and until when the one before works beside it."""

    secret: Secret
    before_until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A client as an operator sees one. `name` is what it calls itself.

    `known_by` is "document", "registration" or "hand"; `state` is "waiting", "disabled" or "enabled". `forgotten_at` is
    when it will be forgotten if nobody uses it (0: never).
    """

    client_id: str
    name: str
    known_by: str
    state: str
    auth_method: str
    grant_types: tuple[str, ...]
    redirect_uris: tuple[str, ...]
    scope: str
    forgotten_at: Instant

    def as_json(self) -> JsonObject:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Who it is, and what there is to know before it is let in."""
        yield f"{self.client_id}  {self.name}: {self.state}, known by {self.known_by}"
        yield f"  authenticates with {self.auth_method}; {' '.join(self.grant_types) or 'no grants'}"
        if self.redirect_uris:
            yield f"  answers go to {' '.join(self.redirect_uris)}"
        if self.scope:
            yield f"  may ask for {self.scope}"


def listed(config: Path | None, *, waiting: bool = False, dev: bool) -> list[Shown]:
    """All clients, or those that wait to be let in."""
    found = with_records(config, lambda parts: _listed(parts.env), dev=dev)
    return [one for one in found if one.state == "waiting" or not waiting]


async def _listed(env: Env) -> list[Shown]:
    found: list[Shown] = []
    after, now = "", env.clock()
    while page := await env.store.select(Client, "", "", after=after, limit=_ROWS):
        for one in page:
            kept = await env.store.read(Registration, one.key)
            gone = kept.is_over(now) if kept else one.expires_at is not None and one.expires_at <= now
            if not gone:
                found.append(_shown(one, kept))
        after = page[-1].key
    return found


def _shown(client: Client, kept: Registration | None) -> Shown:
    waits = kept is not None and kept.waiting
    known_by = "registration" if kept else "document" if client.document else "hand"
    return Shown(
        client_id=client.key,
        name=client.document.calls_itself if client.document else client.name,
        known_by=known_by,
        state="waiting" if waits else "enabled" if client.disabled_at is None else "disabled",
        auth_method=client.auth_method,
        grant_types=tuple(sorted(client.grant_types)),
        redirect_uris=client.redirect_uris,
        scope=scope_text(client.scope),
        forgotten_at=client.expires_at or Instant(0),
    )


def allow(config: Path | None, client: str, *, dev: bool) -> None:
    """Let a client in that registered itself and waits."""
    with_records(config, lambda parts: newcomers.let_in(client, parts.env), dev=dev)


def remove(config: Path | None, client: str, *, dev: bool) -> None:
    """Remove a client with its tokens, and with all that people allowed it."""

    async def work(parts: ServerParts) -> None:
        for _ in range(_TRIES):
            found = await parts.env.store.read(Client, client)
            kept = await parts.env.store.read(Registration, client)
            if found is None or (kept is not None and kept.removed):
                raise Fault("there is no client of this name")
            if found.document is not None:
                raise Fault("nobody registered it: name its host in oauth.clients.document.blocked")
            if await newcomers.remove(found, kept, parts.env):
                return
        raise Fault("the client changes all the time", retry=True)

    with_records(config, work, dev=dev)


def invite(config: Path | None, *, uses: int, life: Seconds, dev: bool) -> Secret:
    """Make an initial access token: told here, and kept nowhere."""

    async def work(parts: ServerParts) -> Secret:
        if parts.here.registration.mode != "initial-token":
            raise Fault("nobody is asked for such a token: oauth.registration.mode is not initial-token")
        return await newcomers.invite(parts.env, uses=uses, life=life)

    return with_records(config, work, dev=dev)


def rotate_secret(config: Path | None, client: str, overlap: Seconds, *, dev: bool) -> NewSecret:
    """Give a client a new secret; the one before works for `overlap` longer. Servers that run know it at once."""

    async def work(parts: ServerParts) -> NewSecret:
        now = parts.env.clock()
        secret = await client_secret.rotate(ClientId(client), parts.env, overlap=overlap)
        return NewSecret(secret=secret, before_until=Instant(now + overlap))

    return with_records(config, work, dev=dev)


def span(text: str) -> Seconds:
    """Read a span of time such as 90s, 30m, 24h or 7d. Raises Fault."""
    told = _SPAN.fullmatch(text)
    if told is None:
        raise Fault(f"{text!r} is no span of time such as 90s, 30m, 24h or 7d")
    return Seconds(int(told[1]) * _UNITS[told[2]])
