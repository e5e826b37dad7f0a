"""Authorization requests on their way in: pushed or brought by a browser, signed or not; kept until answered."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Env, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant
from deputize.core.wire import Form, Inbound, JsonObject
from deputize.oauth import clients, fapi2, redirects, request_object, requested
from deputize.oauth.asked import OPENID
from deputize.oauth.authentication import Needed
from deputize.oauth.client import Client
from deputize.oauth.client_auth import authenticate
from deputize.oauth.requested import Answering, Requested
from deputize.oauth.server import AuthorizationServer

URN: Final = "urn:ietf:params:oauth:request_uri:"
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43,128}")

KNOWN_CLIENT = Rule("RFC 6749", "4.1.2.1", "The client that asks is one that this server knows.")
PUSHED = Rule(
    "RFC 9126", "4", "The request_uri is of a request that this client pushed, in time, and that has no answer."
)
SIGNED_ONLY = Rule("RFC 9101", "10.5", "Where requests are to be signed, this one is a request object.")
NO_REFERENCE = Rule("RFC 9126", "2.1", "What is pushed is the request itself, and no reference to one.")
OUR_REFERENCE = Rule("RFC 9101", "10.4", "A request_uri is one that this server gave out: it fetches none.")
SAME_KEY = Rule("RFC 9449", "10.1", "The dpop_jkt, where it is sent, is that of the key that the proof shows.")
ANSWERED_ONCE = Rule("Deputize", "authorize", "An authorization request is answered once, before it expires.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun(Record):
    """An authorization request that has no answer yet: pushed by its client, or brought by a browser.

    `key` is what names it: in a pushed request's `request_uri`, and in the pages' addresses. A pushed one is handed to
    a browser before `pushed_until`. `asked_at` is when a browser first brought it, in the session `asked_in`;
    `lives_until` is when a person can no longer answer. `ended_at` makes it a tombstone.
    """

    kind: ClassVar[str] = "authorization_request"

    requested: Requested
    lives_until: Instant
    pushed_until: Instant | None = None
    asked_at: Instant | None = None
    asked_in: str = ""
    ended_at: Instant | None = None

    @property
    def needed(self) -> Needed:
        """How the person must have been authenticated: the one place where this is said."""
        asked = self.requested
        return Needed(
            asked_at=self.asked_at or Instant(0),
            asked_in=self.asked_in,
            again=not asked.prompt.isdisjoint({"login", "select_account"}),
            max_age=asked.max_age,
            acr_values=asked.acr_values,
        )


# --- reading --------------------------------------------------------------------------------------------------------


async def known(client_id: str | None, here: AuthorizationServer, env: Env) -> Client:
    """The client that a request is from."""
    client = await clients.find(client_id, here.ways, env) if client_id else None
    if client is None:
        KNOWN_CLIENT.refuse("invalid_request", client=(client_id or "")[:80])
    return client


def where(form: Form, client: Client) -> Answering:
    openid = OPENID in (form.get("scope") or "").split(" ")
    destination = redirects.verified(form.get("redirect_uri"), client, openid=openid)
    return requested.answering(form, client, destination)


async def push(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject:
    """POST /par (RFC 9126, 2): the request is kept, and a reference to it given out."""
    form = request.form()
    client = await authenticate(request, form, here, env)
    if "request_uri" in form:
        NO_REFERENCE.refuse("invalid_request")
    form = unsealed(form, client.client, here, env)
    if here.fapi2:
        fapi2.hold_redirect(form)
    asked = await requested.read(form, client.client, where(form, client.client), here.issuer, env)
    shown = client.key.jkt if client.key else None
    if asked.dpop_jkt is not None and shown is not None and asked.dpop_jkt != shown:
        SAME_KEY.refuse("invalid_dpop_proof")
    now = env.clock()
    until = Instant(now + here.authorize.pushed_life)
    begun = made(replace(asked, dpop_jkt=asked.dpop_jkt or shown), here, env, now=until)
    if not await env.store.commit(Add(replace(begun, pushed_until=until))):
        raise Fault("there is a request of this name already")
    return {"request_uri": f"{URN}{begun.key}", "expires_in": here.authorize.pushed_life}


def unsealed(form: Form, client: Client, here: AuthorizationServer, env: Env) -> Form:
    """What is asked: in a request object, if there is one, and then nothing beside it."""
    compact = form.get("request")
    if compact is not None:
        return request_object.opened(compact, client, here.issuer, env.clock(), fapi=here.fapi2)
    if here.authorize.signed_only or client.signs:
        SIGNED_ONLY.refuse("invalid_request")
    return form


def made(asked: Requested, here: AuthorizationServer, env: Env, *, now: Instant) -> Begun:
    until = Instant(now + here.authorize.life)
    return Begun(
        key=env.random(256), requested=asked, lives_until=until, expires_at=Instant(until + here.authorize.life)
    )


async def presented(reference: str, client: Client, session: str, env: Env) -> Begun:
    """The pushed request that a browser brings, in this session (empty: nobody is signed in).

    Before it is answered, it may be brought again, as by a reload.
    """
    if not reference.startswith(URN):
        OUR_REFERENCE.refuse("request_uri_not_supported")
    begun = await _read(reference.removeprefix(URN), env)
    now = env.clock()
    if begun is None or begun.pushed_until is None or begun.requested.client != client.key:
        PUSHED.refuse("invalid_request_uri")
    if begun.ended_at is not None or now >= begun.pushed_until:
        PUSHED.refuse("invalid_request_uri")
    if begun.asked_at is not None:
        return begun
    await env.store.commit(Replace(begun, replace(begun, asked_at=now, asked_in=session)))
    after = await _read(begun.key, env)  # as this browser has changed it, or one that brought it at the same time
    if after is None or after.asked_at is None:
        PUSHED.refuse("invalid_request_uri")
    return after


async def _read(key: str, env: Env) -> Begun | None:
    return await env.store.read(Begun, key) if _KEY.fullmatch(key) else None


async def find(key: str, env: Env) -> Begun:
    """The request that a page is about, if it can still be answered."""
    begun = await _read(key, env)
    if begun is None or begun.asked_at is None or begun.ended_at is not None or env.clock() >= begun.lives_until:
        ANSWERED_ONCE.refuse("invalid_request")
    return begun
