"""The authorization request, pushed or not, up to its answer: who must sign in, who is asked, and what goes back."""

from dataclasses import dataclass, replace
from typing import Final

from deputize.core.ports import Add, Append, Change, Env, Event, Replace
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import ClientId, Instant, Seconds, Secret, Subject
from deputize.core.wire import Form, JsonObject
from deputize.oauth import asking, requested, tokens
from deputize.oauth import standing as standings
from deputize.oauth.asking import Ask, Waiting
from deputize.oauth.authentication import SEEN_ENOUGH, Authentication
from deputize.oauth.authority import Authority
from deputize.oauth.begun import ANSWERED_ONCE, Begun, find, known, made, presented, unsealed, where
from deputize.oauth.client import Client, Person
from deputize.oauth.client_document import UNCHANGED
from deputize.oauth.grants import authorization_code
from deputize.oauth.grants.authorization_code import Yes
from deputize.oauth.login import NONE
from deputize.oauth.requested import Answering, Requested
from deputize.oauth.server import AuthorizationServer
from deputize.oauth.standing import Standing

DOOR: Final = "authorize"
TRIES: Final = 20
SIGNED_LIFE: Final = Seconds(600)  # JARM, 2.1: so long at most
# What says whom an answer goes to, and how: where one of these is doubled, there is nobody to answer.
DECIDES: Final = frozenset({"client_id", "redirect_uri", "request_uri", "request", "response_mode", "state"})

ONE_OF_BOTH = Rule("RFC 9101", "5", "A request has a request object or a reference to one, and not both.")
PUSHED_ONLY = Rule("RFC 9126", "5", "Where requests are to be pushed, this one was.")
SIGNED_IN = Rule(
    "OpenID Connect Core 1.0", "3.1.2.6", "Where nothing may be shown, the person is signed in as is needed."
)
CONSENTED = Rule("OpenID Connect Core 1.0", "3.1.2.6", "Where nothing may be shown, an earlier yes covers the request.")
ALLOWED = Rule("RFC 6749", "4.1.2.1", "The person allows what the client asks for.")


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


async def told(answer: Answer, env: Env) -> tuple[tuple[str, str], ...]:
    """The parameters that go out: as they are, or as one JWT where the client wants that (JARM, 2.1)."""
    if answer.to.mode not in requested.SIGNED_MODES:
        return answer.params
    claims: JsonObject = {**dict(answer.params), "aud": answer.to.client, "exp": env.clock() + SIGNED_LIFE}
    return (("response", await tokens.mint(claims, "JWT", env)),)


async def begin(
    form: Form, doubled: frozenset[str], visitor: Visitor | None, here: AuthorizationServer, env: Env
) -> Step:
    """A browser brings a request. A refusal that is raised goes to a page: there is no place that was verified."""
    client = await known(form.get("client_id"), here, env)
    session = visitor.seen.session if visitor else ""
    reference = form.get("request_uri")
    if reference is not None:
        if "request" in form:
            ONE_OF_BOTH.refuse("invalid_request")
        return await _next(await presented(reference, client, session, env), client, visitor, here, env)
    form = unsealed(form, client, here, env)
    to = where(form, client)
    try:
        if doubled:
            requested.ONCE.refuse("invalid_request", parameters=sorted(doubled)[:5])
        if here.pushed_only or client.pushes:
            PUSHED_ONLY.refuse("invalid_request")
        asked = await requested.read(form, client, to, here.issuer, env)
    except Refusal as refusal:
        return refused(to, refusal, here)
    now = env.clock()
    begun = replace(made(asked, here, env, now=now), asked_at=now, asked_in=session)
    step = await _next(begun, client, visitor, here, env, kept=False)
    if not isinstance(step, Answer) and not await env.store.commit(Add(begun)):
        raise Fault("there is a request of this name already")
    return step


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
    if client.rests_on != asked.rests_on:  # nor is anything sent to a redirect URI that may be no longer the client's
        UNCHANGED.refuse("invalid_request")
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
    hinted = begun.requested.hinted  # the one whom an ID token names, and nobody else who may sit there
    enough = visitor is not None and needed.is_met_by(visitor.seen) and hinted in {"", visitor.person.key}
    if silent and not enough:
        SIGNED_IN.refuse("login_required")
    if visitor is None or enough:
        return False
    if visitor.seen.session != begun.asked_in and visitor.seen.at >= needed.asked_at:
        needed.hold(visitor.seen)  # they have just signed in for this: it will not be surer the next time
        SIGNED_IN.refuse("login_required")
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
