"""Refresh tokens: one record a family, one live secret in it; a replay ends the family and all that came of it."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Rule
from deputize.core.values import ClientId, Instant, Seconds, Secret, Subject
from deputize.core.wire import b64u
from deputize.jose.jwt import SKEW
from deputize.oauth.approval import Approval
from deputize.oauth.authority import Authority
from deputize.oauth.delegation import Actor
from deputize.oauth.login import AuthenticatedClient
from deputize.oauth.tokens import Revoked

PREFIX: Final = "rt_"

LIVE = Rule("RFC 6749", "6", "The refresh token was issued to this client, is the newest of its family, and lives.")
NO_REPLAY = Rule("RFC 9700", "4.14.2", "A refresh token is used once: a second use ends its whole family.")
KEY_SHOWN = Rule("RFC 9449", "5", "A bound refresh token is used by one who shows its key.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long a family lives: at most `life`, and `idle` after its last use.

    `grace` is how long the token before the newest may be used once more where an answer was lost: off by default,
    since a thief has the same excuse.
    """

    life: Seconds = Seconds(30 * 24 * 3600)
    idle: Seconds = Seconds(7 * 24 * 3600)
    grace: Seconds = Seconds(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Record):
    """All refresh tokens that follow from one approval. `key` names it in each of them; only one secret lives.

    `sha256` is the hash of the live secret, `before` that of the one before it. `lives_until` is when the family
    ends, used or not; the record's `expires_at` is when nobody could take one of its tokens for good any more.
    """

    kind: ClassVar[str] = "family"
    indexed: ClassVar[tuple[str, ...]] = ("client", "person")

    client: str
    person: str
    authority: Authority
    sha256: str
    rotated_at: Instant
    lives_until: Instant
    before: str = ""
    idle_until: Instant
    ended_at: Instant | None = None
    actor: Actor | None = None
    standing: str | None = None
    allowed_at: Instant | None = None
    auth_time: Instant | None = None
    openid: bool = False
    jkt: str | None = None


def _hash(secret: str) -> str:
    return b64u(hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest())


def begin(approval: Approval, jkt: str | None, settings: Settings, env: Env) -> tuple[Add, Secret]:
    """A family for this approval: the change that founds it, and its first token."""
    now = env.clock()
    secret, name = env.random(256), env.random(128)
    lives_until = min(approval.authority.until, Instant(now + settings.life))
    family = Family(
        key=name,
        client=approval.client,
        person=approval.subject or "",
        authority=approval.authority,
        sha256=_hash(secret),
        rotated_at=now,
        lives_until=lives_until,
        idle_until=Instant(now + settings.idle),
        expires_at=lives_until,
        actor=approval.actor,
        standing=approval.standing,
        allowed_at=approval.allowed_at,
        auth_time=approval.auth_time,
        openid=approval.openid,
        jkt=jkt,
    )
    return Add(family), Secret(f"{PREFIX}{name}.{secret}")


async def find(text: str, client: ClientId, env: Env) -> tuple[Family, str] | None:
    """The family that a token names, if it is this client's; and the token's secret, not yet held."""
    name, dot, secret = text.removeprefix(PREFIX).partition(".")
    if not text.startswith(PREFIX) or not dot or not 0 < len(name) <= 64 or not 0 < len(secret) <= 128:
        return None
    family = await env.store.read(Family, name)
    return (family, secret) if family is not None and family.client == client else None


def is_of(family: Family, secret: str) -> bool:
    """Whether this is the family's live secret, or the one before it: enough to give the family up."""
    shown = _hash(secret)
    return hmac.compare_digest(shown, family.sha256) or hmac.compare_digest(shown, family.before)


async def hold(text: str, client: AuthenticatedClient, settings: Settings, env: Env) -> Family:
    """The family of a good token; refuses any other, and ends the family where the token was used before."""
    found = await find(text, client.id, env)
    if found is None:
        LIVE.refuse("invalid_grant")
    family, secret = found
    now = env.clock()
    if family.jkt is not None and (client.key is None or client.key.name != family.jkt):
        KEY_SHOWN.refuse("invalid_grant")
    if family.ended_at is not None or now >= family.lives_until or now >= family.idle_until:
        LIVE.refuse("invalid_grant")
    shown = _hash(secret)
    if hmac.compare_digest(shown, family.sha256):
        return family
    lost = bool(family.before) and hmac.compare_digest(shown, family.before)
    if lost and now < family.rotated_at + settings.grace:
        return family
    # Whoever shows a used token of this family got hold of one: the thief, or the victim. Nobody can tell which.
    await end(family, "refresh_replayed", env)
    NO_REPLAY.refuse("invalid_grant", family=family.key)


def rotated(family: Family, settings: Settings, env: Env) -> tuple[Replace, Secret]:
    """The family's next token: the change that makes it the live one, and its text."""
    now = env.clock()
    secret = env.random(256)
    after = replace(
        family,
        sha256=_hash(secret),
        before=family.sha256,
        rotated_at=now,
        idle_until=Instant(now + settings.idle),
    )
    return Replace(family, after), Secret(f"{PREFIX}{family.key}.{secret}")


async def end(family: Family, why: str, env: Env) -> None:
    """End a family, and with it every access token that came of it. Once it is ended, it stays so."""
    current: Family | None = family
    while current is not None and current.ended_at is None:
        now = env.clock()
        changes: tuple[Change, ...] = (
            Replace(current, replace(current, ended_at=now)),
            Add(Revoked(key=current.key, expires_at=Instant(current.lives_until + 2 * SKEW))),
            Append(Event(key="", at=now, what=why, client=current.client, person=current.person)),
        )
        if await env.store.commit(*changes):
            return
        current = await env.store.read(Family, family.key)


def approval_of(family: Family) -> Approval:
    """What the family stands for. Its access tokens name it among their roots: when it ends, they end."""
    return Approval(
        client=ClientId(family.client),
        subject=Subject(family.person) if family.person else None,
        actor=family.actor,
        authority=family.authority.narrowed(until=family.lives_until),
        standing=family.standing,
        allowed_at=family.allowed_at,
        auth_time=family.auth_time,
        openid=family.openid,
        roots=(family.key,),
    )
