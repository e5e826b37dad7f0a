"""The authorization request, pushed or not, up to its answer: who must sign in, who is asked, and what goes back."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import ClientId, Instant, Secret, Subject
from deputize.core.wire import Form, Inbound, JsonObject
from deputize.oauth import asking, clients, redirects, requested
from deputize.oauth import standing as standings
from deputize.oauth.asked import OPENID
from deputize.oauth.asking import Ask, Waiting
from deputize.oauth.authentication import SEEN_ENOUGH, Authentication, Needed
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client, Person
from deputize.oauth.client_auth import authenticate
from deputize.oauth.grants import authorization_code
from deputize.oauth.grants.authorization_code import Yes
from deputize.oauth.login import NONE
from deputize.oauth.requested import Answering, Requested
from deputize.oauth.server import AuthorizationServer
from deputize.oauth.standing import Standing

DOOR: Final = "authorize"
URN: Final = "urn:ietf:params:oauth:request_uri:"
TRIES: Final = 20
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43,128}")
# What says whom an answer goes to, and how: where one of these is doubled, there is nobody to answer.
DECIDES: Final = frozenset({"client_id", "redirect_uri", "request_uri", "request", "response_mode", "state"})

KNOWN_CLIENT = Rule("RFC 6749", "4.1.2.1", "The client that asks is one that this server knows.")
PUSHED = Rule(
    "RFC 9126", "4", "The request_uri is of a request that this client pushed, in time, and that has no answer."
)
PUSHED_ONLY = Rule("RFC 9126", "5", "Where requests are to be pushed, this one was.")
NO_REFERENCE = Rule("RFC 9126", "2.1", "What is pushed is the request itself, and no reference to one.")
OUR_REFERENCE = Rule("RFC 9101", "10.4", "A request_uri is one that this server gave out: it fetches none.")
SAME_KEY = Rule("RFC 9449", "10.1", "The dpop_jkt, where it is sent, is that of the key that the proof shows.")
SIGNED_IN = Rule(
    "OpenID Connect Core 1.0", "3.1.2.6", "Where nothing may be shown, the person is signed in as is needed."
)
CONSENTED = Rule("OpenID Connect Core 1.0", "3.1.2.6", "Where nothing may be shown, an earlier yes covers the request.")
ALLOWED = Rule("RFC 6749", "4.1.2.1", "The person allows what the client asks for.")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who is at the browser, and how they were authenticated."""

    person: Person
    seen: Authentication


# --- what comes of a request ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back to the client, through the browser."""

    to: Answering
    params: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SignIn:
    """Somebody is to sign in; `again` also where somebody is signed in."""

    begun: Begun
    again: bool = False


@dataclass(frozen=True, slots=True)
class Consent:
    """The person is to be asked: `ask` is what they read. `standing` says what they allowed before."""

    begun: Begun
    client: Client
    ask: Ask
    standing: Standing | None


Step = Answer | SignIn | Consent


def _answering(asked: Requested) -> Answering:
    return Answering(client=asked.client, destination=asked.destination, mode=asked.mode, state=asked.state)


def refused(to: Answering, refusal: Refusal, here: AuthorizationServer) -> Answer:
    """A refusal as an answer: to a redirect URI that was verified."""
    return _answer(to, (("error", refusal.error), ("error_description", refusal.rule.says)), here)


def _answer(to: Answering, params: tuple[tuple[str, str], ...], here: AuthorizationServer) -> Answer:
    state = () if to.state is None else (("state", to.state),)
    return Answer(to=to, params=(*params, *state, ("iss", here.issuer.text)))  # RFC 9207, in each answer


# --- reading --------------------------------------------------------------------------------------------------------


async def known(client_id: str | None, here: AuthorizationServer, env: Env) -> Client:
    """The client that a request is from."""
    client = await clients.find(client_id, here.ways, env) if client_id else None
    if client is None:
        KNOWN_CLIENT.refuse("invalid_request", client=(client_id or "")[:80])
    return client


def _where(form: Form, client: Client) -> Answering:
    openid = OPENID in (form.get("scope") or "").split(" ")
    destination = redirects.verified(form.get("redirect_uri"), client, openid=openid)
    return requested.answering(form, client, destination)


async def push(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject:
    """POST /par (RFC 9126, 2): the request is kept, and a reference to it given out."""
    form = request.form()
    client = await authenticate(request, form, here, env)
    if "request_uri" in form:
        NO_REFERENCE.refuse("invalid_request")
    asked = await requested.read(form, client.client, _where(form, client.client), here.issuer, env)
    shown = client.key.jkt if client.key else None
    if asked.dpop_jkt is not None and shown is not None and asked.dpop_jkt != shown:
        SAME_KEY.refuse("invalid_dpop_proof")
    now = env.clock()
    until = Instant(now + here.authorize.pushed_life)
    begun = _begun(replace(asked, dpop_jkt=asked.dpop_jkt or shown), here, env, now=until)
    if not await env.store.commit(Add(replace(begun, pushed_until=until))):
        raise Fault("there is a request of this name already")
    return {"request_uri": f"{URN}{begun.key}", "expires_in": here.authorize.pushed_life}


def _begun(asked: Requested, here: AuthorizationServer, env: Env, *, now: Instant) -> Begun:
    until = Instant(now + here.authorize.life)
    return Begun(
        key=env.random(256), requested=asked, lives_until=until, expires_at=Instant(until + here.authorize.life)
    )


async def begin(
    form: Form, doubled: frozenset[str], visitor: Visitor | None, here: AuthorizationServer, env: Env
) -> Step:
    """A browser brings a request. A refusal that is raised goes to a page: there is no place that was verified."""
    client = await known(form.get("client_id"), here, env)
    reference = form.get("request_uri")
    if reference is not None:
        return await _next(await _presented(reference, client, visitor, env), client, visitor, here, env)
    where = _where(form, client)
    try:
        if doubled:
            requested.ONCE.refuse("invalid_request", parameters=sorted(doubled)[:5])
        if here.authorize.pushed_only or client.pushes:
            PUSHED_ONLY.refuse("invalid_request")
        asked = await requested.read(form, client, where, here.issuer, env)
    except Refusal as refusal:
        return refused(where, refusal, here)
    now = env.clock()
    begun = replace(_begun(asked, here, env, now=now), asked_at=now, asked_in=visitor.seen.session if visitor else "")
    step = await _next(begun, client, visitor, here, env, kept=False)
    if not isinstance(step, Answer) and not await env.store.commit(Add(begun)):
        raise Fault("there is a request of this name already")
    return step


async def _presented(reference: str, client: Client, visitor: Visitor | None, env: Env) -> Begun:
    """The pushed request that a browser brings. Before it is answered, it may be brought again, as by a reload."""
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
    after = replace(begun, asked_at=now, asked_in=visitor.seen.session if visitor else "")
    if not await env.store.commit(Replace(begun, after)):  # brought twice at once
        raise Fault("this request was changed at the same time", retry=True)
    return await _read(begun.key, env) or after


async def _read(key: str, env: Env) -> Begun | None:
    return await env.store.read(Begun, key) if _KEY.fullmatch(key) else None


async def find(key: str, env: Env) -> Begun:
    """The request that a page is about, if it can still be answered."""
    begun = await _read(key, env)
    if begun is None or begun.asked_at is None or begun.ended_at is not None or env.clock() >= begun.lives_until:
        ANSWERED_ONCE.refuse("invalid_request")
    return begun


# --- deciding what is next ------------------------------------------------------------------------------------------


async def go_on(begun: Begun, visitor: Visitor | None, here: AuthorizationServer, env: Env) -> Step:
    """The same request again, after somebody has signed in."""
    return await _next(begun, await known(begun.requested.client, here, env), visitor, here, env)


async def _next(
    begun: Begun,
    client: Client,
    visitor: Visitor | None,
    here: AuthorizationServer,
    env: Env,
    *,
    kept: bool = True,
) -> Step:
    asked = begun.requested
    silent = "none" in asked.prompt
    try:
        again = _must_sign_in(begun, visitor, silent=silent)
        if visitor is None or again:
            return SignIn(begun, again=again)
        ask = ask_of(begun, visitor.person, here)
        standing = await asking.admitted(ask, env)
        covered = _covered(begun, client, ask, standing, env.clock())
        if standing is not None and covered is not None:
            return await _answered_before(begun, visitor, standing, covered, here, env, kept=kept)
        if silent:
            CONSENTED.refuse("consent_required")
        return Consent(begun, client, ask, standing)
    except Refusal as refusal:
        if refusal.rule is standings.NOT_TAKEN_BACK and not silent:
            raise  # the person is there, and told where they can let it ask again
        answer = refused(_answering(asked), refusal, here)
        if kept:
            await env.store.commit(_ended(begun, env.clock()))
        return answer


def _must_sign_in(begun: Begun, visitor: Visitor | None, *, silent: bool) -> bool:
    """Whether who is signed in is to sign in once more; refuses where that would not help, or may not be."""
    needed = begun.needed
    if not needed.can_be_met:
        SEEN_ENOUGH.refuse("unmet_authentication_requirements")
    enough = visitor is not None and needed.is_met_by(visitor.seen)
    if silent and not enough:
        SIGNED_IN.refuse("login_required")
    if visitor is None or enough:
        return False
    if visitor.seen.session != begun.asked_in and visitor.seen.at >= needed.asked_at:
        needed.hold(visitor.seen)  # they have just signed in for this: it will not be surer the next time
    return True


def ask_of(begun: Begun, person: Person, here: AuthorizationServer) -> Ask:
    """The request as a question to this person. It is kept once it is answered."""
    asked, at = begun.requested, begun.asked_at or Instant(0)
    # A yes to scopes stands until it is taken back; a yes to one thing is for this once.
    remember = not asked.details
    until = Instant(at + (here.asks.standing_life if remember else here.asks.life))
    return Ask(
        key=begun.key,
        client=asked.client,
        person=person.key,
        page=begun.key,
        door=DOOR,
        wanted=Authority(audience=asked.audience, scope=asked.scope, details=asked.details, until=until),
        created_at=at,
        lives_until=begun.lives_until,
        expires_at=Instant(begun.lives_until + asking.KEPT_AFTER),
        state=Waiting(at, here.asks.interval),
        remember=remember,
        openid=asked.openid,
    )


def _covered(begun: Begun, client: Client, ask: Ask, standing: Standing | None, now: Instant) -> Authority | None:
    """What an earlier yes lets through without a page: for a client that proves who it is, at a place where it went."""
    asked = begun.requested
    if standing is None or not ask.remember or "consent" in asked.prompt or client.auth_method == NONE:
        return None  # RFC 8252, 8.6: nobody can tell a public client from another that says the same
    if asked.destination.origin not in standing.origins:
        return None
    return standing.covering(ask.wanted, client, now)


async def _answered_before(
    begun: Begun,
    visitor: Visitor,
    standing: Standing,
    covered: Authority,
    here: AuthorizationServer,
    env: Env,
    *,
    kept: bool,
) -> Answer:
    now, asked = env.clock(), begun.requested
    yes = Yes(person=visitor.person.key, allowed=covered, at=now, standing=standing.key, seen=visitor.seen)
    add, code = authorization_code.make(asked, yes, env)
    event = Event(key="", at=now, what="consent_covered", client=asked.client, person=visitor.person.key)
    if not await env.store.commit(add, Append(event), *((_ended(begun, now),) if kept else ())):
        ANSWERED_ONCE.refuse("invalid_request", race=True)
    return _answer(_answering(asked), (("code", code.reveal()),), here)


def _ended(begun: Begun, now: Instant) -> Replace:
    return Replace(begun, replace(begun, ended_at=now))


# --- the person's answer --------------------------------------------------------------------------------------------


async def answer(
    consent: Consent, visitor: Visitor, allowed: Authority | None, here: AuthorizationServer, env: Env
) -> Answer:
    """The person allows it, or less of it, or says no (None). The answer and all that follows lie in one commit."""
    begun, asked = consent.begun, consent.begun.requested
    by, client = Subject(visitor.person.key), ClientId(asked.client)
    for _ in range(TRIES):
        now = env.clock()
        after = asking.answered(consent.ask, by=by, allowed=allowed, now=now)
        told = {"page": consent.ask.page, "door": DOOR, "via": "the page"}
        what = "ask_denied" if allowed is None else "ask_allowed"
        event = Event(key="", at=now, what=what, client=client, person=by, told=told)
        changes: list[Change] = [_ended(begun, now), Add(after), Append(event)]
        says = Refusal("access_denied", ALLOWED)
        code: Secret | None = None
        if allowed is not None:
            standing = await asking.admitted(consent.ask, env)
            kept = allowed if consent.ask.remember else None
            origin = asked.destination.origin
            rests_on = consent.client.rests_on
            changes.append(standings.allowing(standing, by, client, kept, now, rests_on=rests_on, origin=origin))
            key = standings.key_of(by, client)
            yes = Yes(person=by, allowed=allowed, at=now, standing=key, seen=visitor.seen, ask=consent.ask.key)
            add, code = authorization_code.make(asked, yes, env)
            changes.append(add)
        if await env.store.commit(*changes):
            to = _answering(asked)
            return refused(to, says, here) if code is None else _answer(to, (("code", code.reveal()),), here)
        begun = await find(begun.key, env)  # refuses, where it was answered meanwhile
    raise Fault("the answer met with other changes too often", retry=True)
