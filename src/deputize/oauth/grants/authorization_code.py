"""The code (RFC 6749, 4.1): bound to client, redirect URI, PKCE and key; short; spent once; a replay revokes."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Rule
from deputize.core.values import ClientId, Instant, Issuer, Seconds, Secret, Subject
from deputize.core.wire import Form, b64u
from deputize.jose.jwt import SKEW
from deputize.oauth import backchannel_logout, statuses
from deputize.oauth.approval import Approval
from deputize.oauth.asked import asked_scope
from deputize.oauth.asking import Ask, Collected
from deputize.oauth.authentication import Authentication
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client, Resource
from deputize.oauth.client_document import UNCHANGED
from deputize.oauth.details import Detail, details, granted
from deputize.oauth.grant import Grant
from deputize.oauth.login import AuthenticatedClient
from deputize.oauth.requested import Requested
from deputize.oauth.tokens import Revoked

TYPE: Final = "authorization_code"
LIFE: Final = Seconds(60)
KEPT_AFTER: Final = Seconds(3600)  # so long a replay meets a tombstone
WRONG_MAX: Final = 3
TRIES: Final = 20

LIVE = Rule("RFC 6749", "4.1.3", "The code was issued to this client, has not expired, and was not used.")
NO_REPLAY = Rule("RFC 6749", "4.1.2", "A code is used once: a second use ends everything that was issued for it.")
SAME_REDIRECT = Rule("RFC 6749", "4.1.3", "The redirect URI is the one that the authorization request named.")
VERIFIED = Rule("RFC 7636", "4.6", "The SHA-256 of the code verifier is the code challenge of the request.")
SAME_KEY = Rule("RFC 9449", "10", "A code that is bound to a key is used by one who shows that key.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code(Record):
    """A code, from its issue to its tombstone. `key` is a hash of its text: who reads the store cannot use it.

    `allowed` is what the person said yes to, at `allowed_at`, and `seen` how they had been authenticated. `wrong`
    counts uses with a wrong verifier. `ask` is what was asked, where
    it was not covered by what was allowed before. `rests_on` stands for the client as it was then.
    """

    kind: ClassVar[str] = "code"

    client: str
    person: str
    redirect_uri: str
    code_challenge: str
    dpop_jkt: str | None
    allowed: Authority
    allowed_at: Instant
    standing: str
    refreshable: bool
    openid: bool
    seen: Authentication
    acr: str | None
    nonce: str | None
    lives_until: Instant
    ask: str = ""
    wrong: int = 0
    spent_at: Instant | None = None
    rests_on: str = ""

    @property
    def root(self) -> str:
        """What every token that comes of it is named by: where this is revoked, all of them end."""
        return _hash(f"root {self.key}")


def _hash(text: str) -> str:
    return b64u(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Yes:
    """A person's yes that a code is made for; `ask` is the key of what they were asked, if they were."""

    person: str
    allowed: Authority
    at: Instant
    standing: str
    seen: Authentication
    ask: str = ""


def make(asked: Requested, yes: Yes, env: Env) -> tuple[Add, Secret]:
    """A code for what was allowed: the change that adds it, and its text."""
    text, now = env.random(256), env.clock()
    code = Code(
        key=_hash(text),
        client=asked.client,
        person=yes.person,
        redirect_uri=asked.destination.uri,
        code_challenge=asked.code_challenge,
        dpop_jkt=asked.dpop_jkt,
        allowed=yes.allowed,
        allowed_at=yes.at,
        standing=yes.standing,
        refreshable=not asked.details,
        openid=asked.openid,
        seen=yes.seen,
        acr=yes.seen.acr(asked.acr_values),
        nonce=asked.nonce,
        rests_on=asked.rests_on,
        lives_until=Instant(now + LIFE),
        expires_at=Instant(now + LIFE + KEPT_AFTER),
        ask=yes.ask,
    )
    return Add(code), Secret(text)


@dataclass(frozen=True, slots=True)
class Request:
    """What this grant asks: a token for a code, and a narrowing of what comes of it."""

    code: Secret
    redirect_uri: str | None
    verifier: Secret
    scope: frozenset[str] | None
    resources: frozenset[str] | None
    details: tuple[Detail, ...] | None


def parse(form: Form) -> Request:
    told = form.get("authorization_details")
    return Request(
        code=Secret(form.one("code")),
        redirect_uri=form.get("redirect_uri"),
        verifier=Secret(form.get("code_verifier") or ""),
        scope=asked_scope(form),
        resources=frozenset(form.all("resource")) or None,
        details=None if told is None else details(told),
    )


async def approve(request: Request, client: AuthenticatedClient, _: Issuer, env: Env) -> Approval:
    code = await env.store.read(Code, _hash(request.code.reveal()))
    if code is None:
        LIVE.refuse("invalid_grant")
    if code.client != client.id:  # another client cannot use it up: whose it is may still come
        told = {"issued_to": code.client}
        event = Event(key="", at=env.clock(), what="code_client_mismatch", client=client.id, told=told)
        await env.store.commit(Append(event))
        LIVE.refuse("invalid_grant", issued_to=code.client)
    now = env.clock()
    if now >= code.lives_until and code.spent_at is None:
        LIVE.refuse("invalid_grant")
    # A client of OAuth 2.1 does not name it again; one that does names the same.
    if request.redirect_uri is not None and request.redirect_uri != code.redirect_uri:
        SAME_REDIRECT.refuse("invalid_grant")
    if code.dpop_jkt is not None and (client.key is None or client.key.jkt != code.dpop_jkt):
        SAME_KEY.refuse("invalid_grant")
    if not _fits(request.verifier, code.code_challenge):
        await _count_wrong(code, env)
        VERIFIED.refuse("invalid_grant", wrong=code.wrong + 1)
    if code.spent_at is not None:  # by its own client, who knows the verifier: that one, or a thief of both
        await _revoke(code, env)
        NO_REPLAY.refuse("invalid_grant")
    if client.client.rests_on != code.rests_on:
        UNCHANGED.refuse("invalid_grant")
    return await _approval(request, code, client.client, env)


def _fits(verifier: Secret, challenge: str) -> bool:
    made = b64u(hashlib.sha256(verifier.reveal().encode("utf-8", "surrogatepass")).digest())
    return hmac.compare_digest(made, challenge)


async def _count_wrong(code: Code, env: Env) -> None:
    """Note a wrong verifier; with the third, the code is dead."""
    current: Code | None = code
    for _ in range(TRIES):
        if current is None or current.spent_at is not None or current.lives_until <= env.clock():
            return
        dies = current.wrong + 1 >= WRONG_MAX
        after = replace(current, wrong=current.wrong + 1, lives_until=env.clock() if dies else current.lives_until)
        if await env.store.commit(Replace(current, after)):
            return
        current = await env.store.read(Code, code.key)


async def _revoke(code: Code, env: Env) -> None:
    """End everything that was issued for the code: each token of it names the code's root, and each family keeps it."""
    mark = Add(Revoked(key=code.root, expires_at=Instant(code.allowed.until + 2 * SKEW)))
    event = Event(key="", at=env.clock(), what="code_replayed", client=code.client, person=code.person)
    await statuses.commit((mark, Append(event)), env, ends=code.root)  # False where another replay was faster


async def _approval(request: Request, code: Code, client: Client, env: Env) -> Approval:
    scope = request.scope
    if request.resources is not None and scope is None:
        scope = await _scope_of(request.resources & code.allowed.audience, code.allowed.scope, env)
    narrowed = code.allowed.narrowed(audience=request.resources, scope=scope, details=request.details)
    narrowed = replace(narrowed, details=tuple(granted(one, code.person) for one in narrowed.details))
    now = env.clock()
    once: tuple[Change, ...] = (
        Replace(code, replace(code, spent_at=now)),
        Append(Event(key="", at=now, what="code_used", client=code.client, person=code.person)),
    )
    ask = await env.store.read(Ask, code.ask) if code.ask else None
    if ask is not None:
        once = (*once, Replace(ask, replace(ask, state=Collected(now, code.allowed))))
    tells = code.openid and bool(client.backchannel_logout_uri)
    if tells:
        once = (*once, *await backchannel_logout.signed_in(code.seen.sid, client, code.person, env))
    return Approval(
        client=ClientId(code.client),
        subject=Subject(code.person),
        authority=narrowed,
        standing=code.standing,
        auth_time=code.seen.at,
        acr=code.acr,
        amr=code.seen.amr,
        allowed_at=code.allowed_at,
        roots=(code.root,),
        openid=code.openid,
        refreshable=code.refreshable,
        whole=code.allowed,
        nonce=code.nonce,
        sid=(code.seen.sid or None) if tells else None,
        once=once,
    )


async def _scope_of(resources: Iterable[str], allowed: frozenset[str], env: Env) -> frozenset[str]:
    """What was allowed at these resources: a token that is for some of them alone does not name what others know."""
    found = [await env.store.read(Resource, name) for name in resources]
    return allowed & frozenset(name for one in found if one is not None for name in one.scopes)


GRANT = Grant(TYPE, parse, approve, public=True, gone="invalid_grant")
