"""Door to asking: a resource's signed challenge (draft-rosomakho-oauth-txn-challenge), collected by polling."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Final

from deputize.core.ports import Add, Env, Record
from deputize.core.rules import Refusal, Rule
from deputize.core.values import Instant, Issuer
from deputize.core.wire import Form, JsonObject, b64u
from deputize.jose import jwt
from deputize.oauth import asking, challenge
from deputize.oauth.approval import Approval
from deputize.oauth.client import Person, Resource
from deputize.oauth.login import AuthenticatedClient
from deputize.oauth.tokens import TARGET_KNOWN

DOOR: Final = "urn:deputize:grant-type:transaction"
_SPEC: Final = "draft-rosomakho-oauth-txn-challenge"

REGISTERED = Rule(_SPEC, "Challenge Validation", "The client is permitted to present challenges.")
KNOWN_RESOURCE = Rule(
    _SPEC, "Challenge Validation", "The resource that made the challenge is known, and the client may use it."
)
NAMES_THE_PRESENTER = Rule(
    _SPEC, "Challenge Validation", "The client that presents the challenge is the one that acted."
)
FOR_A_PERSON = Rule(_SPEC, "Challenge Validation", "The challenge names a person who may be asked.")
SAME_PRESENTER = Rule(_SPEC, "Pending Transaction Authorization", "A challenge is presented by one client.")
ONE_OF_BOTH = Rule(_SPEC, "Transaction Authorization Request", "The request has either a challenge or an identifier.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented(Record):
    """A challenge that was presented: by whom, and what ask came of it. `key` is a hash of resource and jti."""

    kind: ClassVar[str] = "challenge_presented"

    client: str
    ask: str


@dataclass(frozen=True, slots=True)
class Begin:
    """A challenge is presented."""

    compact: str


@dataclass(frozen=True, slots=True)
class Poll:
    """What came of it?"""

    id: str


def parse(form: Form) -> Begin | Poll:
    compact, name = form.get("transaction_challenge"), form.get("transaction_authorization_id")
    if (compact is None) == (name is None):
        ONE_OF_BOTH.refuse("invalid_request")
    return Poll(name) if name is not None else Begin(form.one("transaction_challenge"))


def _hold_registered(client: AuthenticatedClient) -> None:
    if DOOR not in client.client.grant_types:
        REGISTERED.refuse("unauthorized_client")
    client.hold_confidential()


async def begin(
    request: Begin, client: AuthenticatedClient, issuer: Issuer, settings: asking.Settings, env: Env
) -> JsonObject:
    """Ask the person for exactly what the resource described; where to look for the answer."""
    _hold_registered(client)
    now = env.clock()
    name = challenge.issuer_of(request.compact, error="invalid_request")
    resource = await env.store.read(Resource, name) if name in client.client.audiences else None
    if resource is None:
        KNOWN_RESOURCE.refuse("invalid_grant")
    told = challenge.read(
        request.compact, resource.keys, resource=resource.key, authorization_server=issuer.text, now=now
    )
    if resource.disabled_at is not None:
        TARGET_KNOWN.refuse("invalid_target")
    if told.until <= now:  # our own clock: an ask that nobody can answer is not made
        jwt.UNEXPIRED.refuse("invalid_grant")
    if told.actor is not None and not told.actor.is_of(issuer, client.id):
        NAMES_THE_PRESENTER.refuse("invalid_grant", act=told.actor.subject)
    person = await env.store.read(Person, told.subject)
    if person is None or person.disabled_at is not None:
        FOR_A_PERSON.refuse("invalid_grant")
    seen = b64u(hashlib.sha256(f"{len(resource.key)}:{resource.key}:{told.jti}".encode()).digest())
    lives_until = min(told.until, Instant(now + settings.life))
    wanted = asking.Ask(
        key=env.random(256),
        client=client.id,
        person=person.key,
        page=env.random(128),
        door=DOOR,
        wanted=challenge.authority_of(told),
        created_at=now,
        lives_until=lives_until,
        expires_at=Instant(lives_until + asking.KEPT_AFTER),
        state=asking.Waiting(now, settings.interval),
        reason=told.reason,
        actor=told.actor,
        txn=told.txn,
        jkt=client.key.name if client.key else None,
    )
    once = Presented(key=seen, client=client.id, ask=wanted.key, expires_at=wanted.expires_at)
    earlier = await env.store.read(Presented, seen)
    if earlier is None:
        try:
            return _where(await asking.ask(wanted, settings, env, Add(once)), issuer, now, settings)
        except Refusal as refusal:
            if refusal.rule is not asking.ONCE:
                raise
            earlier = await env.store.read(Presented, seen)
    found = await env.store.read(asking.Ask, earlier.ask) if earlier and earlier.client == client.id else None
    if found is None:
        SAME_PRESENTER.refuse("invalid_grant")
    return _where(found, issuer, now, settings)


def _where(ask: asking.Ask, issuer: Issuer, now: Instant, settings: asking.Settings) -> JsonObject:
    return {
        "transaction_authorization_id": ask.key,
        "expires_in": max(0, ask.lives_until - now),
        "interval": settings.interval,
        "authorization_uri": issuer.at(f"/asks/{ask.page}"),
    }


async def collect(poll: Poll, client: AuthenticatedClient, env: Env) -> Approval:
    """The approval, once; or why not yet, or why never."""
    _hold_registered(client)
    return await asking.collect(poll.id, client, DOOR, env)
