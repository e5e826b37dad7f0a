"""Back-channel logout: the clients that were told who signed in are told when that ends, in the background."""

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault
from deputize.core.values import Instant, Issuer, Seconds
from deputize.core.wire import Call, JsonObject, form_bytes
from deputize.oauth import tokens
from deputize.oauth.client import Client

TYP: Final = "logout+jwt"
EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LIFE: Final = Seconds(120)  # 2.4: two minutes at most
SIGNED_IN_KEPT: Final = Seconds(30 * 24 * 3600)  # longer than anybody stays signed in without doing it again
TRIES_MAX: Final = 6
PAUSE: Final = Seconds(10)  # after the first failure; each further one doubles it
_ANSWER_BYTES: Final = 4096
_GOOD: Final = frozenset({200, 204})
_REFUSED: Final = 400  # 2.8: the client will not take it, however often it is sent
_WAITS: Final = "yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedInAt(Record):
    """A client was told who signed in: `sid` is what both call the session."""

    kind: ClassVar[str] = "signed_in_at"
    indexed: ClassVar[tuple[str, ...]] = ("sid",)

    sid: str
    client: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutDue(Record):
    """A client is to be told. It was written with what ended the session, so that no crash loses it.

    `waits` finds those that are not over; `not_before` is when to try (again), `tries` how often that was done.
    """

    kind: ClassVar[str] = "logout_due"
    indexed: ClassVar[tuple[str, ...]] = ("waits",)

    client: str
    person: str
    sid: str
    not_before: Instant
    tries: int = 0
    waits: str = _WAITS


async def signed_in(sid: str, client: Client, person: str, env: Env) -> tuple[Change, ...]:
    """Note that this client learns of this session, if it wants to hear of its end."""
    if not sid or not client.backchannel_logout_uri:
        return ()
    key = f"{sid} {client.key}"
    if await env.store.read(SignedInAt, key) is not None:
        return ()
    until = Instant(env.clock() + SIGNED_IN_KEPT)
    return (Add(SignedInAt(key=key, sid=sid, client=client.key, person=person, expires_at=until)),)


async def ended(sid: str, env: Env) -> tuple[Change, ...]:
    """What is to be committed with the end of a session: a line for each client that is to be told."""
    changes: list[Change] = []
    now, after = env.clock(), ""
    while sid and (page := await env.store.select(SignedInAt, "sid", sid, after=after)):
        changes += [Add(_due(one, now, env)) for one in page]
        after = page[-1].key
    return tuple(changes)


def _due(one: SignedInAt, now: Instant, env: Env) -> LogoutDue:
    forgotten = Instant(now + (PAUSE << TRIES_MAX) + 3600)
    return LogoutDue(
        key=env.random(128), client=one.client, person=one.person, sid=one.sid, not_before=now, expires_at=forgotten
    )


async def waiting(env: Env) -> list[LogoutDue]:
    """Those whose time has come."""
    now = env.clock()
    return [one for one in await env.store.select(LogoutDue, "waits", _WAITS) if one.not_before <= now]


async def tell(due: LogoutDue, issuer: Issuer, env: Env) -> bool:
    """Try to tell one client; whether it knows. Whoever takes it up first is the one who tries."""
    pause = Seconds(PAUSE << due.tries)
    taken = replace(due, tries=due.tries + 1, not_before=Instant(env.clock() + pause))
    if not await env.store.commit(Replace(due, taken)):
        return False
    client = await env.store.read(Client, due.client)
    status = 0
    if client is not None and client.disabled_at is None and client.backchannel_logout_uri:
        status = await _sent(due, client, issuer, env)
    elif client is None or not client.backchannel_logout_uri:
        status = _REFUSED
    latest = await env.store.read(LogoutDue, due.key)
    if latest is None or (status not in _GOOD and status != _REFUSED and latest.tries < TRIES_MAX):
        return False
    what = "client_told_of_logout" if status in _GOOD else "client_not_told_of_logout"
    told = {"status": str(status), "tries": str(latest.tries)}
    event = Event(key="", at=env.clock(), what=what, client=due.client, person=due.person, told=told)
    await env.store.commit(Replace(latest, replace(latest, waits="")), Append(event))
    return status in _GOOD


async def _sent(due: LogoutDue, client: Client, issuer: Issuer, env: Env) -> int:
    """The status of the answer; 0 where there was none."""
    body = form_bytes((("logout_token", await logout_token(due, issuer, env)),))
    headers = (("content-type", "application/x-www-form-urlencoded"),)
    call = Call(method="POST", url=client.backchannel_logout_uri, headers=headers, body=body, bytes_max=_ANSWER_BYTES)
    try:
        return (await env.fetch(call)).status
    except Fault:  # it is not there, or at no address that may be asked: said by the event, once it is given up
        return 0


async def logout_token(due: LogoutDue, issuer: Issuer, env: Env) -> str:
    """The logout token (2.4): for this client alone, and good for nothing else: it has no nonce, and a type."""
    now = env.clock()
    claims: JsonObject = {
        "iss": issuer.text,
        "aud": due.client,
        "sub": due.person,
        "sid": due.sid,
        "iat": now,
        "exp": now + LIFE,
        "jti": env.random(128),
        "events": {EVENT: {}},
    }
    return await tokens.mint(claims, TYP, env)
