"""One-time links: how the first person comes in, and everybody after; and how one starts anew who has lost all keys."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds, Secret
from deputize.core.wire import b64u
from deputize.oauth.client import Person
from deputize.server import codes, passkeys, people
from deputize.server.people import Password

BITS: Final = 256
LIFE: Final = Seconds(3 * 24 * 3600)

GOOD_LINK = Rule("Deputize", "sign-in", "A one-time link was made here, is not too old, and was not used before.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation(Record):
    """A link that was made for one person. `key` is a hash of its secret: who reads the store cannot use it.

    `over_at` is when it was used, or when a newer one took its place.
    """

    kind: ClassVar[str] = "invitation"
    indexed: ClassVar[tuple[str, ...]] = ("person",)

    person: str
    name: str
    made_at: Instant
    until: Instant
    over_at: Instant | None = None


async def invite(env: Env, *, login: str, name: str = "", life: Seconds = LIFE) -> Secret:
    """Make a link for somebody new, or for somebody who is to start anew. Links made for them before end now."""
    key = people.fit_login(login)
    there = await env.store.read(Person, key)
    if there is not None and there.disabled_at is not None:
        raise Fault("this person was disabled")
    now, secret = env.clock(), env.random(BITS)
    made = Invitation(
        key=_key_of(secret),
        person=key,
        name=(there.name if there else name.strip() or key)[: people.NAME_LENGTH_MAX],
        made_at=now,
        until=Instant(now + life),
        expires_at=Instant(now + life),
    )
    event = Event(key="", at=now, what="person_invited", person=key)
    older = [Replace(one, replace(one, over_at=now)) async for one in _open(key, env)]
    if not await env.store.commit(Add(made), Append(event), *older):
        raise Fault("this person was invited at the same time", retry=True)
    return Secret(secret)


async def _open(person: str, env: Env) -> AsyncIterator[Invitation]:
    for one in await env.store.select(Invitation, "person", person, limit=1000):
        if one.over_at is None:
            yield one


async def find(secret: str, env: Env) -> tuple[Invitation, Person]:
    """The invitation that this link is, and who comes in by it. The same answer for all links that are none."""
    found = await env.store.read(Invitation, _key_of(secret))
    if found is None or found.over_at is not None or env.clock() >= found.until:
        GOOD_LINK.refuse("access_denied")
    there = await env.store.read(Person, found.person)
    if there is not None and there.disabled_at is not None:
        GOOD_LINK.refuse("access_denied", disabled=True)
    return found, there or Person(key=found.person, login=found.person, name=found.name)


async def accepted(found: Invitation, person: Person, argon2id: str, env: Env) -> tuple[Change, ...]:
    """The changes by which a person comes in with a new password, or (empty) a passkey that is added beside.

    Whatever opened the door before opens it no more: who starts anew may have lost it to somebody.
    """
    now = env.clock()
    changes: list[Change] = [Replace(found, replace(found, over_at=now))]
    changes.append(Append(Event(key="", at=now, what="invitation_accepted", person=person.key)))
    if await env.store.read(Person, person.key) is None:
        changes.append(Add(person))
    kept = await env.store.read(Password, person.key)
    if kept is not None:
        changes.append(Replace(kept, replace(kept, argon2id=argon2id)))
    elif argon2id:
        changes.append(Add(Password(key=person.key, argon2id=argon2id)))
    authenticator = await codes.of(person, env)
    if authenticator is not None:
        changes += codes.removed(authenticator, now)
    for one in await passkeys.of(person, env):
        changes += passkeys.removed(one, now)
    return tuple(changes)


def _key_of(secret: str) -> str:
    return b64u(hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest())
