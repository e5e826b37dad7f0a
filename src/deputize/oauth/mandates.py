"""A mandate: what a person lets an agent do, as a credential for those who have nothing to do with this server.

Who deputized whom for what, bound to the agent's key, shown in parts, and taken back through a status list. It is asked
for by token exchange, with a token that rests on what the person has allowed until further notice.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Issuer, Seconds, Subject
from deputize.core.wire import JsonObject
from deputize.oauth import tokens
from deputize.oauth.approval import MANDATE, Approval
from deputize.oauth.binding import BoundKey
from deputize.oauth.client import Client, resources_named
from deputize.oauth.delegation import Actor
from deputize.oauth.standing import Standing
from deputize.oauth.statuses import Statuses
from deputize.oauth.tokens import NOT_REVOKED, Revoked

TYPE_PATH: Final = "/types/agent-mandate/1"
TYPE_NAME: Final = "urn:deputize:agent-mandate:1"  # the same at every server; each publishes the type under its own URL
LIFE_MAX: Final = Seconds(31 * 24 * 3600)
TRIES: Final = 20
_KEY_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e", "alg", "pub")

HOLDER = Rule(
    "Deputize agent-mandate", "issuance", "The agent shows the key that its mandate is to be bound to, by a DPoP proof."
)

Mint = Callable[[JsonObject, Env], Awaitable[str]]
"""Makes a credential of a mandate's claims, signed by the server's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long a mandate lives: at most. An agent asks for the next one while the person's word still stands.

    The server's keys are shown for at least that long after they have signed (`keys.overlap`).
    """

    life: Seconds = Seconds(12 * 3600)

    def __post_init__(self) -> None:
        if not 60 <= self.life <= LIFE_MAX:
            raise ValueError(f"a mandate lives for 60 to {LIFE_MAX} seconds")


@dataclass(frozen=True, slots=True)
class Mandates:
    """How this server gives mandates. `mint` is handed in: the format belongs to another room."""

    mint: Mint
    settings: Settings = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateOut(Record):
    """That a mandate is out, for a person to see: `key` is that of the Standing, `expires_at` the last one's end."""

    kind: ClassVar[str] = "mandate_out"

    at: Instant


async def out_until(standing: Standing, env: Env) -> Instant | None:
    """Until when the agent can show a mandate that rests on this; None where there is none."""
    found = await env.store.read(MandateOut, standing.key)
    if found is None or found.expires_at is None or not standing.lets_live(found.at):
        return None
    return found.expires_at if found.expires_at > env.clock() else None


async def _noted(approval: Approval, until: Instant, env: Env) -> Change:
    now, key = env.clock(), approval.standing or ""
    found = await env.store.read(MandateOut, key)
    if found is None:
        return Add(MandateOut(key=key, at=now, expires_at=until))
    return Replace(found, replace(found, at=now, expires_at=max(until, found.expires_at or until)))


async def issue(
    approval: Approval,
    client: Client,
    key: BoundKey | None,
    issuer: Issuer,
    mandates: Mandates,
    statuses: Statuses,
    env: Env,
) -> JsonObject:
    """What the token endpoint answers: a mandate whose entry in a status list is written before anybody has it."""
    if key is None or key.jwk is None:
        HOLDER.refuse("invalid_request")
    await tokens.check(approval, client, key, env)
    now = env.clock()
    until = min(approval.authority.until, Instant(now + mandates.settings.life))
    claims = {
        **await _told(approval, client, issuer, env),
        "iat": now,
        "exp": until,
        "cnf": {"jwk": {name: key.jwk[name] for name in _KEY_MEMBERS if name in key.jwk}},
    }
    event = Event(key="", at=now, what="mandate_issued", client=client.key, person=approval.subject or "")
    under = (approval.standing or "", *approval.roots)
    for _ in range(TRIES):
        drawn = await statuses.draw(until, env, under=under)
        compact = await mandates.mint({**claims, "status": drawn.claim}, env)
        if await env.store.commit(*drawn.changes, await _noted(approval, until, env), Append(event)):
            break
    else:
        raise Fault("no entry of a list could be had", retry=True)
    # Whoever took something back meanwhile found no entry to tell of: so all that it rests on is looked at again.
    await tokens.check(approval, client, key, env)
    for root in approval.roots:
        if await env.store.read(Revoked, root) is not None:
            NOT_REVOKED.refuse("access_denied")
    return {
        "access_token": compact,
        "issued_token_type": MANDATE,
        "token_type": "N_A",  # RFC 8693, 2.2.1: it opens nothing by itself
        "expires_in": until - now,
    }


async def _told(approval: Approval, client: Client, issuer: Issuer, env: Env) -> JsonObject:
    """Who deputized whom for what: the person, the agents with the one that acts outermost, and each permission."""
    authority = approval.authority
    resources = await resources_named(tuple(sorted(authority.audience)), env)
    actor = approval.actor or Actor(subject=Subject(client.key))
    told: JsonObject = {
        "iss": issuer.text,
        "vct": issuer.at(TYPE_PATH),
        "aka_vcts": [TYPE_NAME],
        "sub": approval.subject,
        "act": actor.claim(),
        "may": [
            {"resource": resource.key, "scope": name}
            for resource in resources
            for name in sorted(authority.scope & resource.scopes.keys())
        ],
    }
    if authority.details:
        told["authorization_details"] = [detail.members for detail in authority.details]
    return told
