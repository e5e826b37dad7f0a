"""Refresh tokens: one record a family, one live secret in it; a replay ends the family and all that came of it."""

import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import ClientId, Instant, Seconds, Secret, Subject
from deputize.core.wire import b64u
from deputize.jose.jwt import SKEW
from deputize.oauth import statuses
from deputize.oauth.approval import Approval
from deputize.oauth.authority import Authority
from deputize.oauth.delegation import Actor
from deputize.oauth.login import AuthenticatedClient
from deputize.oauth.tokens import NOT_REVOKED, Revoked

PREFIX: Final = "rt_"
GRACE_MAX: Final = Seconds(60)
END_TRIES: Final = 100
_NAMED: Final = re.compile(rf"{PREFIX}(?P<name>[A-Za-z0-9_-]{{1,64}})\.(?P<secret>[A-Za-z0-9_-]{{1,128}})")

LIVE = Rule("RFC 6749", "6", "The refresh token was issued to this client, is the newest of its family, and lives.")
NO_REPLAY = Rule("RFC 9700", "4.14.2", "A refresh token is used once: a second use ends its whole family.")
KEY_SHOWN = Rule("RFC 9449", "5", "A bound refresh token is used by one who shows its key.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long a family lives: at most `life`, and `idle` after its last use.

    `grace` is how long after its first use the token before the newest may be used again, where an answer was lost:
    off by default, since a thief has the same excuse, and a minute at most. A family whose newest token was issued
    before `not_before` is dead: that is for whoever restored a backup, which may hold tokens that were used or revoked
    since.
    """

    life: Seconds = Seconds(30 * 24 * 3600)
    idle: Seconds = Seconds(7 * 24 * 3600)
    grace: Seconds = Seconds(0)
    not_before: Instant = Instant(0)

    def __post_init__(self) -> None:
        if not 0 <= self.grace <= GRACE_MAX:
            raise ValueError(f"the grace is at most {GRACE_MAX} seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Record):
    """All refresh tokens that follow from one approval. `key` names it in each of them; only one secret lives.

    `sha256` is the hash of the live secret, `before` that of the one before it, first used at `rotated_at`.
    `lives_until` is when the family ends, used or not; the record's `expires_at` is when nobody could take one of its
    tokens for good any more. `jkt` is the DPoP key that it is bound to. A certificate is not kept here: the client
    authenticates with it, and may renew it (RFC 8705, 6.3). `roots` are what it came of: where one is revoked, it ends.
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
    acr: str | None = None
    amr: tuple[str, ...] = ()
    openid: bool = False
    jkt: str | None = None
    roots: tuple[str, ...] = ()
    rotates: bool = True

    @property
    def root(self) -> str:
        """What its access tokens name it by: an API that reads one does not learn how the refresh tokens begin."""
        return _hash(self.key)


def _hash(secret: str) -> str:
    return b64u(hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest())


def begin(
    approval: Approval, jkt: str | None, settings: Settings, env: Env, *, rotates: bool = True
) -> tuple[Family, Secret]:
    """A family for this approval, to be added before its first token goes out.

    Where it does not rotate, its one token is good until it ends: for clients that prove who they are (FAPI 2.0).
    """
    now = env.clock()
    secret, name = env.random(256), env.random(128)
    authority = approval.whole or approval.authority
    lives_until = min(authority.until, Instant(now + settings.life))
    family = Family(
        key=name,
        client=approval.client,
        person=approval.subject or "",
        authority=authority,
        sha256=_hash(secret),
        rotated_at=now,
        lives_until=lives_until,
        idle_until=Instant(now + settings.idle),
        expires_at=lives_until,
        actor=approval.actor,
        standing=approval.standing,
        allowed_at=approval.allowed_at,
        auth_time=approval.auth_time,
        acr=approval.acr,
        amr=approval.amr,
        openid=approval.openid,
        jkt=jkt,
        roots=approval.roots,
        rotates=rotates,
    )
    return family, Secret(f"{PREFIX}{name}.{secret}")


async def find(text: str, client: ClientId, env: Env) -> tuple[Family, str] | None:
    """The family that a token names, if it is this client's; and the token's secret, not yet held."""
    told = _NAMED.fullmatch(text)
    family = await env.store.read(Family, told["name"]) if told else None
    return (family, told["secret"]) if told and family is not None and family.client == client else None


def is_of(family: Family, secret: str) -> bool:
    """Whether this is the family's live secret, or the one before it: enough to give the family up."""
    shown = _hash(secret)
    return hmac.compare_digest(shown, family.sha256) or hmac.compare_digest(shown, family.before)


async def hold(text: str, client: AuthenticatedClient, settings: Settings, env: Env) -> tuple[Family, str]:
    """The family of a good token, and the token's secret; refuses any other, and a used one ends its family."""
    found = await find(text, client.id, env)
    if found is None:
        LIVE.refuse("invalid_grant")
    family, secret = found
    now = env.clock()
    if family.jkt is not None and (client.key is None or client.key.jkt != family.jkt):
        KEY_SHOWN.refuse("invalid_grant")
    if family.ended_at is not None or now >= family.lives_until or now >= family.idle_until:
        LIVE.refuse("invalid_grant")
    if family.rotated_at < settings.not_before:
        LIVE.refuse("invalid_grant", not_before=settings.not_before)
    for root in family.roots:
        if await env.store.read(Revoked, root) is not None:
            NOT_REVOKED.refuse("invalid_grant")
    if not _is_live(family, secret) and not (is_of(family, secret) and now < family.rotated_at + settings.grace):
        # Who knows the name of a family got hold of one of its tokens: the thief, or the victim. Nobody can tell which.
        await end(family, "refresh_reuse", env)
        NO_REPLAY.refuse("invalid_grant", root=family.root)
    return family, secret


def _is_live(family: Family, secret: str) -> bool:
    return hmac.compare_digest(_hash(secret), family.sha256)


def rotated(family: Family, secret: str, settings: Settings, env: Env) -> tuple[Replace, Secret]:
    """The family's next token: the change that makes it the live one, and its text. `secret` is what was held."""
    now = env.clock()
    if not family.rotates:
        used = replace(family, idle_until=Instant(now + settings.idle))
        return Replace(family, used), Secret(f"{PREFIX}{family.key}.{secret}")
    fresh = env.random(256)
    # By grace, the token before stays the one before: the answer that was lost is dead, and the grace does not grow.
    before, since = (family.sha256, now) if _is_live(family, secret) else (family.before, family.rotated_at)
    after = replace(
        family, sha256=_hash(fresh), before=before, rotated_at=since, idle_until=Instant(now + settings.idle)
    )
    return Replace(family, after), Secret(f"{PREFIX}{family.key}.{fresh}")


async def end(family: Family, why: str, env: Env) -> None:
    """End a family, and with it every access token that came of it. Once it is ended, it stays so."""
    current: Family | None = family
    for _ in range(END_TRIES):
        if current is None or current.ended_at is not None:
            return
        now = env.clock()
        changes: tuple[Change, ...] = (
            Replace(current, replace(current, ended_at=now)),
            Add(Revoked(key=current.root, expires_at=Instant(current.lives_until + 2 * SKEW))),
            Append(Event(key="", at=now, what=why, client=current.client, person=current.person)),
        )
        if await statuses.commit(changes, env, ends=current.root):
            return
        current = await env.store.read(Family, family.key)  # it was rotated in between: that token ends, too
    raise Fault("the family changed too often to be ended", retry=True)


def approval_of(family: Family, authority: Authority, fresh: Secret, rotation: Replace) -> Approval:
    """What comes of a family's token. Its access tokens name it among their roots: when it ends, they end."""
    return Approval(
        client=ClientId(family.client),
        subject=Subject(family.person) if family.person else None,
        actor=family.actor,
        authority=authority,
        standing=family.standing,
        allowed_at=family.allowed_at,
        auth_time=family.auth_time,
        acr=family.acr,
        amr=family.amr,
        openid=family.openid,
        roots=(*family.roots, family.root),
        refresh_token=fresh,
        once=(rotation,),
    )
