"""Ask a person, be answered once, be collected once. Every door to a person leads here."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Notice, Question, Record, Replace
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import ClientId, Instant, Seconds, Subject
from deputize.oauth import standing as standings
from deputize.oauth.approval import Approval
from deputize.oauth.authentication import Authentication
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client, Person
from deputize.oauth.delegation import Actor
from deputize.oauth.login import AuthenticatedClient

_CIBA: Final = "OpenID CIBA Core 1.0"
YOURS = Rule(_CIBA, "11", "The request that is collected is one that this client made.")
PENDING = Rule(_CIBA, "11", "A token is collected after the person has answered.")
SLOW_DOWN = Rule(_CIBA, "11", "Polls are at least as far apart as the interval.")
DENIED = Rule(_CIBA, "11", "A token is issued where the person allowed it, and not otherwise.")
IN_TIME = Rule(_CIBA, "11", "The request is collected before it expires.")
ONCE = Rule(_CIBA, "11", "What the person allowed is collected once.")
ANSWERED_ONCE = Rule("Deputize", "asking", "An ask is answered once, before it expires.")
BY_THE_ASKED = Rule("Deputize", "asking", "An ask is answered by the person who is asked.")
NEVER_WIDER = Rule("Deputize", "asking", "An answer allows at most what was asked.")
NOT_TOO_MANY = Rule("Deputize", "asking", "Only so many asks wait for one person, and for one client, at a time.")
MAY_ASK = Rule("Deputize", "policy", "The operator's policy lets this client ask this person for this.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How people are asked.

    How long an ask waits, how often a client may look, how many may wait for one person (and, together, four times
    as many of one client), and how long what was allowed stands.
    """

    life: Seconds = Seconds(300)
    interval: Seconds = Seconds(2)
    waiting_max: int = 30
    standing_life: Seconds = Seconds(30 * 24 * 3600)


SLOWER: Final = Seconds(5)
ANSWER_TRIES: Final = 20
KEPT_AFTER: Final = Seconds(3600)  # a collected or expired ask is remembered, so that a replay meets a tombstone


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nobody has answered. `not_before` is when the client may look again, `interval` how far apart looks are."""

    not_before: Instant
    interval: Seconds


@dataclass(frozen=True, slots=True)
class Answered:
    """The person has answered: `allowed` is None for no. `standing` is the key of what the yes rests on.

    `earlier` says that nobody was asked: what they allowed before covered it. `seen` is how the person who answered
    had been authenticated.
    """

    at: Instant
    allowed: Authority | None
    by: str
    standing: str | None = None
    earlier: bool = False
    seen: Authentication | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """The client has what was `allowed`. The tombstone of every later poll."""

    at: Instant
    allowed: Authority | None = None


State = Waiting | Answered | Collected


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Record):
    """A question to a person. What is shown and what is issued are both read from this one record.

    `key` is the handle that the client polls with; `page` names it at the person's pages (so that no address
    that a person sees is worth anything to a client). `words` is what the agent said, `reason` what the resource
    said and signed. `lives_until` ends the asking, `expires_at` (the record's) the remembering.
    `remember` says that a yes is to stand for the next time; `jkt` is the key that the client showed. `open_for` and
    `open_by` name person and client while nobody has answered, so that what waits is found without what is past.
    """

    kind: ClassVar[str] = "ask"
    indexed: ClassVar[tuple[str, ...]] = ("person", "page", "open_for", "open_by")

    client: str
    person: str
    page: str
    door: str
    wanted: Authority
    created_at: Instant
    lives_until: Instant
    state: State
    words: str = ""
    reason: str = ""
    actor: Actor | None = None
    txn: str | None = None
    remember: bool = False
    jkt: str | None = None
    openid: bool = False
    open_for: str = ""
    open_by: str = ""

    def is_waiting(self, now: Instant) -> bool:
        return isinstance(self.state, Waiting) and now < self.lives_until

    @property
    def shown(self) -> Authority:
        """What a person reads of it: what is wanted, and from their yes on, what they allowed of it."""
        allowed = None if isinstance(self.state, Waiting) else self.state.allowed
        return self.wanted if allowed is None else allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Record):
    """Counts the asks of one person, so that two at once cannot both be the last that fits."""

    kind: ClassVar[str] = "turn"

    count: int = 0


# --- asking ---------------------------------------------------------------------------------------------------------


async def ask(wanted: Ask, settings: Settings, env: Env, *also: Change) -> Ask:
    """Put an ask before its person, or let an earlier yes answer it. `also` is committed with it.

    Refuses with `access_denied` where the person has taken back what they once allowed this client.
    """
    now = env.clock()
    person = Subject(wanted.person)
    standing = await admitted(wanted, env)
    known = await env.store.read(Client, wanted.client)
    earlier = standing.covering(wanted.wanted, known, now) if standing is not None and wanted.remember else None
    if standing is not None and earlier is not None:
        made = replace(wanted, state=Answered(now, earlier, person, standing.key, earlier=True))
        if not await env.store.commit(Add(made), Append(_event(made, "ask_covered", now)), *also):
            ONCE.refuse("invalid_grant", ask="already there")
        return made
    made = replace(wanted, open_for=wanted.person, open_by=wanted.client)
    notice = Notice(key="", person=person, about=wanted.page, at=now, expires_at=wanted.expires_at)
    changes = (Add(made), Append(notice), Append(_event(made, "ask_opened", now)), *also)
    while True:
        turn = await env.store.read(Turn, person)
        await _hold_back(wanted, settings, env, now)
        if await env.store.commit(*changes, _next(turn, wanted)):
            break
        if await env.store.read(Turn, person) == turn:  # no other ask came between: it is this one that is there
            ONCE.refuse("invalid_grant", ask="already there")
    with suppress(Fault):  # the notice lies in the commit: who cannot be told now is told later
        await env.notify.tell(Notice(key="", person=person, about=made.page, at=now))
    return made


async def admitted(wanted: Ask, env: Env) -> standings.Standing | None:
    """How the person stands to the client that asks, where policy and person let it ask."""
    person, client = Subject(wanted.person), ClientId(wanted.client)
    verdict = await env.policy.may(
        Question(does="ask", client=client, person=person, audience=wanted.wanted.audience, scope=wanted.wanted.scope)
    )
    if not verdict.allowed:
        MAY_ASK.refuse("access_denied", because=verdict.because)
    standing = await standings.find(person, client, env)
    if standing is not None and standing.taken_back_at is not None:
        standings.NOT_TAKEN_BACK.refuse("access_denied")
    return standing


def _next(turn: Turn | None, wanted: Ask) -> Add | Replace:
    if turn is None:
        return Add(Turn(key=wanted.person, expires_at=wanted.expires_at))
    return Replace(turn, replace(turn, count=turn.count + 1, expires_at=wanted.expires_at))


async def _hold_back(wanted: Ask, settings: Settings, env: Env, now: Instant) -> None:
    # Push fatigue: a person who is asked thirty times says yes once. However briefly an ask lives, it has its place for
    # as long as another would: else asks of one second each would be thirty a second.
    for field, value, most in (
        ("open_for", wanted.person, settings.waiting_max),
        ("open_by", wanted.client, settings.waiting_max * 4),
    ):
        waiting, after = 0, ""
        while page := await env.store.select(Ask, field, value, after=after):
            waiting += sum(now < max(other.lives_until, other.created_at + settings.life) for other in page)
            after = page[-1].key
            if waiting >= most:
                NOT_TOO_MANY.refuse("access_denied", field=field)


def _event(about: Ask, what: str, now: Instant) -> Event:
    told = {"page": about.page, "door": about.door}
    return Event(key="", at=now, what=what, client=about.client, person=about.person, told=told)


# --- answering ------------------------------------------------------------------------------------------------------


def answered(
    ask: Ask, *, by: Subject, allowed: Authority | None, now: Instant, seen: Authentication | None = None
) -> Ask:
    """The ask with its answer (None: no). In time, once, by the one who was asked, never wider."""
    if by != ask.person:
        BY_THE_ASKED.refuse("access_denied", by=by)
    if not ask.is_waiting(now):
        ANSWERED_ONCE.refuse("invalid_request")
    if allowed is not None and not ask.wanted.covers(allowed):
        NEVER_WIDER.refuse("invalid_request")
    key = standings.key_of(by, ClientId(ask.client)) if allowed is not None else None
    return replace(ask, state=Answered(now, allowed, by, key, seen=seen), open_for="", open_by="")


async def answer(
    ask: Ask,
    *,
    by: Subject,
    allow: bool,
    env: Env,
    via: str,
    seen: Authentication | None = None,
    less: Authority | None = None,
) -> Ask:
    """Answer, and note it: the answer, what stands from now on, and the event lie in one commit.

    `seen` is how who answers was authenticated; without it, the answer itself is all that tells of them. `less` is what
    is allowed where that is not all that is wanted.

    A poll may change the record between our reading and our writing, and so may an answer to another ask of the same
    client: then both are read again, until this answer is in or somebody else's is.
    """
    for _ in range(ANSWER_TRIES):
        now = env.clock()
        allowed = (less or ask.wanted) if allow else None
        after = answered(ask, by=by, allowed=allowed, now=now, seen=seen)
        event = _event(ask, "ask_allowed" if allow else "ask_denied", now)
        changes: list[Change] = [Replace(ask, after), Append(replace(event, told={**event.told, "via": via}))]
        if allow:
            client = ClientId(ask.client)
            standing = await standings.find(by, client, env)
            if standing is not None and standing.taken_back_at is not None:
                standings.NOT_TAKEN_BACK.refuse("access_denied")
            known = await env.store.read(Client, client)
            remembered = allowed if ask.remember else None
            rests_on = known.rests_on if known else ""
            changes.append(standings.allowing(standing, by, client, remembered, now, rests_on=rests_on))
        if await env.store.commit(*changes):
            return after
        ask = await env.store.read(Ask, ask.key) or ask
    raise Fault("the answer met with other changes too often", retry=True)


# --- collecting -----------------------------------------------------------------------------------------------------


def looked(waiting: Waiting, now: Instant) -> tuple[Waiting, Refusal]:
    """A poll before there is an answer: when the next one may be, and what is said to this one."""
    if now < waiting.not_before:
        slower = Seconds(waiting.interval + SLOWER)
        return Waiting(Instant(now + slower), slower), Refusal("slow_down", SLOW_DOWN)
    return Waiting(Instant(now + waiting.interval), waiting.interval), Refusal("authorization_pending", PENDING)


def collected(ask: Ask, now: Instant) -> tuple[Ask, Approval | Refusal]:
    """One poll: what we remember of it, and what we say."""
    if isinstance(ask.state, Collected):
        raise Refusal("invalid_grant", ONCE)
    if now >= ask.lives_until:
        raise Refusal("expired_token", IN_TIME)
    match ask.state:
        case Answered(_, Authority(until=ends)) if now >= ends:  # an earlier yes that has run out since
            raise Refusal("expired_token", IN_TIME)
        case Waiting() as waiting:
            after, says = looked(waiting, now)
            return replace(ask, state=after), says
        case Answered(_, None):
            raise Refusal("access_denied", DENIED)
        case Answered(at, Authority() as allowed, by, standing, earlier, seen):
            approval = Approval(
                client=ClientId(ask.client),
                subject=Subject(by),
                actor=ask.actor or Actor(subject=Subject(ask.client)),
                authority=allowed,
                standing=standing,
                txn=ask.txn,
                auth_time=None if earlier else seen.at if seen else at,
                acr=seen.acr() if seen else None,
                amr=seen.amr if seen else (),
                allowed_at=at,
                openid=ask.openid,
                refreshable=ask.remember,
            )
            return replace(ask, state=Collected(now, allowed)), approval
    raise TypeError(ask.state)  # pragma: no cover - the states are all above


async def collect(key: str, client: AuthenticatedClient, door: str, env: Env) -> Approval:
    """Poll: the approval, once; or a refusal that says why not yet, or why never."""
    found = await env.store.read(Ask, key)
    jkt = client.key.name if client.key else None
    # A key that was shown when asking is shown again. One that is first shown here is welcome: CIBA asks without any.
    if found is None or found.client != client.id or found.door != door or found.jkt not in {None, jkt}:
        YOURS.refuse("invalid_grant")  # the same for another client's as for one that never was
    after, says = collected(found, env.clock())
    changes: list[Change] = [Replace(found, after)]
    if isinstance(says, Approval):
        changes.append(Append(_event(found, "ask_collected", env.clock())))
    if not await env.store.commit(*changes):  # another poll, or the person, was faster: come again
        SLOW_DOWN.refuse("slow_down", race=True)
    if isinstance(says, Refusal):
        raise says
    return says


async def person_hinted(login: str, env: Env) -> Person | None:
    """The person whom a client names, if there is one and they may be asked."""
    for person in await env.store.select(Person, "login", login.strip().lower(), limit=2):
        if person.disabled_at is None:
            return person
    return None
