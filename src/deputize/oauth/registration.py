"""A client registers itself, and later reads, changes or removes what it registered (RFC 7591, RFC 7592)."""

import hashlib
import hmac
import json
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import PLAIN, Headers, Inbound, JsonObject, Malformed, b64u, json_object
from deputize.oauth import client_secret, newcomers
from deputize.oauth.client import Client, SecretHash, resources_named, secret_hash
from deputize.oauth.newcomers import BITS, InitialToken, Registration
from deputize.oauth.registering import BYTES_MAX, Offer, as_client, registered
from deputize.oauth.server import REGISTRATION_PATH, AuthorizationServer
from deputize.oauth.throttle import network

TRIES: Final = 20
HOUR: Final = Seconds(3600)

JSON_TYPE = Rule("RFC 7591", "3.1", "A registration has the content type application/json.")
JSON = Rule("RFC 7591", "3.1", "A registration is one JSON object of at most 32 KiB, with no member twice.")
INVITED = Rule("RFC 7591", "3", "Who registers shows an initial access token, in time, that is not used up.")
QUOTA = Rule("RFC 7591", "5", "Only so many clients register or change in an hour, from one network and in all.")
ROOM = Rule("Deputize", "registration", "Only so many clients that registered themselves are kept at once.")
SETTLED = Rule(
    "Deputize", "registration", "While a client waits to be let in, what it registered stays as it was seen."
)
YOURS = Rule("RFC 7592", "2", "What a client registered is opened by its own registration access token alone.")
SAME_ID = Rule("RFC 7592", "2.2", "An update has the client's own client_id.")
SAME_SECRET = Rule("RFC 7592", "2.2", "A client_secret in an update is the client's own.")
NOT_TOLD_BACK = Rule("RFC 7592", "2.2", "An update leaves out what only the server says.")

_OURS: Final = frozenset(
    {"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"}
)
_HOW: Final = {
    "open": "it registered itself; nobody here has checked it",
    "approval": "it registered itself; your administrator let it in",
    "initial-token": "it registered itself, invited by your administrator",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota(Record):
    """How many have registered in one hour, from one network or in all. `key` is a hash of which."""

    kind: ClassVar[str] = "registration_quota"

    used: int


# --- registering ----------------------------------------------------------------------------------------------------


async def register(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject:
    """POST /register (RFC 7591, 3)."""
    settings = here.registration
    for _ in range(TRIES):
        now = env.clock()
        by_token = settings.mode == "initial-token"
        gate = await _invited(request.headers, env, now) if by_token else await _counted(request.source, here, env, now)
        offer = await _offer(here, env)
        told = registered(_members(request), offer)
        if not by_token and len([one async for one in newcomers.living(env)]) >= settings.most:
            await env.store.commit(*gate)  # it counts: else who finds no room could have us look for it all day
            ROOM.refuse("temporarily_unavailable", params=(("retry_after", str(HOUR)),))
        token, waiting = env.random(BITS), settings.mode == "approval"
        secret = _secret_for(told, env)
        until = Instant(now + settings.unused_life)
        blank = Client(
            key=f"c-{env.random(128)}",  # so that none begins with a dash, or as another kind of id does
            expires_at=until,
            name="",
            auth_method="",
            grant_types=frozenset(),
            how_known=_HOW[settings.mode],
            disabled_at=now if waiting else None,
            secrets=() if secret is None else (SecretHash(secret_hash(secret)),),
        )
        client = as_client(told, blank, offer.resources)
        kept = Registration(
            key=client.key,
            expires_at=until,
            token=secret_hash(token),
            told=json.dumps(told),
            issued_at=now,
            waiting=waiting,
        )
        event = Event(key="", at=now, what="client_registered", client=client.key, told={"mode": settings.mode})
        if await env.store.commit(Add(client), Add(kept), Append(event), *gate):
            return _answer(kept, here, token, secret)
    raise Fault("too many register at once", retry=True)


def _members(request: Inbound) -> JsonObject:
    if request.headers.one("content-encoding") not in {None, "identity"}:
        PLAIN.refuse("invalid_request")
    kind = (request.headers.one("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        JSON_TYPE.refuse("invalid_request", content_type=kind[:80])
    try:
        return json_object(request.body, bytes_max=BYTES_MAX)
    except Malformed as problem:
        JSON.refuse("invalid_client_metadata", because=str(problem))


async def _offer(here: AuthorizationServer, env: Env) -> Offer:
    settings = here.registration
    return Offer(
        grant_types=frozenset(grant.type for grant in here.grants) & frozenset(settings.grant_types),
        methods=frozenset(here.method_names) & frozenset(settings.methods),
        resources=await resources_named(settings.audiences, env),
        signs_with=env.signer.active()[1],
        step_up=settings.step_up,
    )


def _secret_for(told: JsonObject, env: Env) -> str | None:
    return env.random(client_secret.BITS) if told["token_endpoint_auth_method"] in client_secret.METHODS else None


def _answer(kept: Registration, here: AuthorizationServer, token: str, secret: str | None) -> JsonObject:
    members: JsonObject = {
        **json.loads(kept.told),
        "client_id": kept.key,
        "client_id_issued_at": kept.issued_at,
        "registration_access_token": token,
        "registration_client_uri": here.issuer.at(f"{REGISTRATION_PATH}/{kept.key}"),
    }
    return members if secret is None else {**members, "client_secret": secret, "client_secret_expires_at": 0}


def _bearer(headers: Headers) -> str:
    """The token of the request; the empty text, which is nobody's, where there is none."""
    scheme, _, token = (headers.one("authorization") or "").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else ""


async def _invited(headers: Headers, env: Env, now: Instant) -> tuple[Change, ...]:
    found = await env.store.read(InitialToken, secret_hash(_bearer(headers)))
    if found is None or found.left < 1 or (found.expires_at or now) <= now:
        INVITED.refuse("invalid_token")
    return (Replace(found, replace(found, left=found.left - 1)),)


async def _counted(source: str, here: AuthorizationServer, env: Env, now: Instant) -> tuple[Change, ...]:
    """Hold the quotas; the counting itself, to be committed, is what two at once cannot both do."""
    settings, hour = here.registration, now // HOUR
    ends = Instant((hour + 1) * HOUR)
    changes: list[Change] = []
    for what, most in (("all", settings.per_hour), (f"from {network(source)}", settings.per_source)):
        key = b64u(hashlib.sha256(f"{here.issuer.text} {hour} {what}".encode()).digest())
        found = await env.store.read(Quota, key)
        if found is not None and found.used >= most:
            QUOTA.refuse("temporarily_unavailable", params=(("retry_after", str(ends - now)),))
        fresh = Quota(key=key, expires_at=ends, used=1)
        changes.append(Add(fresh) if found is None else Replace(found, replace(found, used=found.used + 1)))
    return tuple(changes)


# --- managing -------------------------------------------------------------------------------------------------------


async def manage(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject | None:
    """GET, PUT or DELETE /register/{client_id} (RFC 7592, 2). None where it was removed."""
    token, key = _bearer(request.headers), request.url.rpartition("/")[2]
    for _ in range(TRIES):
        kept, client = await env.store.read(Registration, key), await env.store.read(Client, key)
        same = hmac.compare_digest(secret_hash(token), kept.token if kept else "A" * 43)
        if kept is None or client is None or not same or kept.is_over(env.clock()):
            YOURS.refuse("invalid_token")
        if request.method == "GET":
            return _answer(kept, here, token, None)
        if request.method == "DELETE":
            if await newcomers.remove(client, kept, env):
                return None
            continue
        answer = await _updated(request, kept, client, here, env)
        if answer is not None:
            return answer
    raise Fault("this registration changes all the time", retry=True)


async def _updated(
    request: Inbound, kept: Registration, client: Client, here: AuthorizationServer, env: Env
) -> JsonObject | None:
    if kept.waiting:  # else an operator could look at one thing and let in another
        SETTLED.refuse("access_denied")
    now = env.clock()
    by_token = here.registration.mode == "initial-token"
    gate = () if by_token else await _counted(request.source, here, env, now)
    members, offer = _members(request), await _offer(here, env)
    if _OURS & members.keys():
        NOT_TOLD_BACK.refuse("invalid_client_metadata")
    if members.get("client_id") != kept.key:
        SAME_ID.refuse("invalid_client_metadata")
    shown = members.get("client_secret")
    if shown is not None and not (
        isinstance(shown, str) and any([one.matches(shown, now) for one in client.secrets])  # noqa: C419 (all compared)
    ):
        SAME_SECRET.refuse("invalid_client_metadata")
    told = registered(members, offer)
    token, secret = env.random(BITS), None if client.secrets else _secret_for(told, env)
    has_secret = told["token_endpoint_auth_method"] in client_secret.METHODS
    secrets = client.secrets if secret is None else (SecretHash(secret_hash(secret)),)
    text = json.dumps(told)
    # An operator let in what they saw: whatever else it says now, they see again.
    waiting = here.registration.mode == "approval" and text != kept.told
    after = replace(
        as_client(told, client, offer.resources),
        secrets=secrets if has_secret else (),
        disabled_at=client.disabled_at or (now if waiting else None),
    )
    fresh = replace(kept, token=secret_hash(token), told=text, waiting=waiting)
    event = Event(key="", at=now, what="client_changed_itself", client=kept.key)
    done = await env.store.commit(Replace(client, after), Replace(kept, fresh), Append(event), *gate)
    return _answer(fresh, here, token, secret) if done else None
