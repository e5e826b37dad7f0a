"""What each page says, as frozen values: made by pure functions here, poured into a template elsewhere."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from deputize.core.values import Instant
from deputize.core.wire import b64u
from deputize.oauth.asking import Answered, Ask, Collected, Waiting
from deputize.oauth.reading import Reading, minutes
from deputize.oauth.standing import Standing

LATELY_MAX: Final = 8
_STAYS: Final = 10 * 365 * 24 * 3600  # what ends so late has no end that a person would look for
_HURRY: Final = 60  # from here on the time left is told with some weight


def visible(text: str) -> str:
    """The text on one line, with a mark in place of all that is invisible or would turn it round."""
    return "".join(
        letter if letter.isprintable() else " " if letter.isspace() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def together(text: str) -> str:
    """The text, visible, with numbers held on one line with what they count: no pack ends in "400" and "mg"."""
    return re.sub(r"((?<![.0-9])[0-9]+|×) (?=\S)", "\\1\N{NO-BREAK SPACE}", visible(text))


def shown(text: str, *, length_max: int = 400) -> str:
    """A foreign text as it may stand on a page: on one line, visible, and bounded."""
    plain = " ".join(visible(text).split())
    return plain if len(plain) <= length_max else plain[: length_max - 1] + "…"


# --- time -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moment:
    """A time: how long ago, at what o'clock, on which day, and as a machine reads it."""

    ago: str
    clock: str
    day: str
    iso: str


def moment(at: Instant, now: Instant) -> Moment:
    when = datetime.fromtimestamp(at, UTC)
    day = f"{when.day} {when:%B %Y}"
    clock = f"{when:%H:%M} UTC" if now - at < 12 * 3600 else f"{day}, {when:%H:%M} UTC"
    return Moment(ago(now - at), clock, day, f"{when:%Y-%m-%dT%H:%M:%SZ}")


def ago(seconds: int) -> str:
    """How long ago, in the unit that a person would use; what has begun counts only when it is full."""
    if seconds < 60:
        return "just now"
    return f"{_full(seconds)} ago"


def _full(seconds: int) -> str:
    """So many whole days, hours or minutes."""
    size = next(size for size in (24 * 3600, 3600, 60) if seconds >= size)
    return minutes(seconds // size * size)


def left(seconds: int) -> str:
    """How much time is left: never more than there is, and changing seldom enough to be read."""
    if seconds >= 60:
        return _full(seconds)
    if seconds >= 10:
        return f"{seconds // 10 * 10} seconds"
    return "a few seconds"


# --- one ask --------------------------------------------------------------------------------------------------------

Kind = Literal["waiting", "allowed", "denied", "expired"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an ask: in a word (for a list), in a sentence, and what follows from it."""

    kind: Kind
    word: str
    says: str
    more: str
    at: Moment | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskView:
    """One ask. `sentence` is in three parts, of which the middle is what the agent wants.

    `again` says that it was answered before and somebody answered once more. `live` says whether anything can still
    change by itself; `seen` changes with it, and `which`, its first part, stays while only time goes by.
    """

    page: str
    sentence: tuple[str, str, str]
    who: str
    how_known: str
    facts: tuple[tuple[str, str], ...]
    small: tuple[str, ...]
    words: str
    reason: str
    reason_by: str
    outcome: Outcome
    left: str
    hurry: bool
    remembered: bool
    again: bool
    live: bool
    which: str
    seen: str
    seconds_left: int

    @property
    def title(self) -> str:
        return f"{self.who} asks" if self.outcome.kind == "waiting" else self.outcome.word


def sentence_parts(told: Reading) -> tuple[str, str, str]:
    """The sentence, with what is wanted by itself, so that it can carry the weight."""
    start = f"{told.who} wants to "
    what = " and to ".join(told.wants)
    if not told.sentence.startswith(start + what):
        return "", together(told.sentence), ""
    return visible(start), together(what), together(told.sentence[len(start + what) :])


def outcome(told: Reading, now: Instant) -> Outcome:
    """What became of it, by now."""
    who = shown(told.who)
    over = now >= told.lives_until
    match told.state:
        case Waiting():
            if not over:
                return Outcome("waiting", "Waiting", "", "", None)
            more = f"Nobody answered in time, so nothing was done. If it still matters, {who} has to ask again."
            return Outcome("expired", "Expired", "This question expired", more, moment(told.lives_until, now))
        case Answered(at, None):
            more = f"{who} is told no, and nothing is done."
            return Outcome("denied", "Denied", "You denied this", more, moment(at, now))
        case Answered(at, _, earlier=True):
            more = f"What you allowed {who} before covers it. You can take that back under My agents."
            return Outcome("allowed", "Allowed before", "You had allowed this already", more, moment(at, now))
        case Answered(at):
            if over:
                more = f"{who} did not come for the answer in time, so nothing was done."
            elif told.remembered:
                more = f"{who} may do this from now on. You can take it back at any time under My agents."
            else:
                more = f"{who} may now do exactly this{', once' if told.often == 'once' else ''}, and nothing else."
            return Outcome("allowed", "Allowed", "You allowed this", more, moment(at, now))
        case Collected(at):
            more = f"{who} has your answer, since {moment(at, now).clock}."
            return Outcome("allowed", "Allowed", "You allowed this", more, None)
    raise AssertionError(told.state)


def ask_view(told: Reading, now: Instant, *, again: bool = False) -> AskView:
    became = outcome(told, now)
    seconds = max(0, told.lives_until - now)
    waiting = became.kind == "waiting"
    remaining = left(seconds) if waiting else ""
    which = fingerprint((became.kind, became.more))
    return AskView(
        page=told.page,
        sentence=sentence_parts(told),
        who=shown(told.who),
        how_known=shown(told.how_known),
        facts=tuple((label, together(shown(said))) for label, said in told.facts),
        small=tuple(shown(line, length_max=2400) for line in told.small),
        words=shown(told.words),
        reason=shown(told.reason),
        reason_by=shown(told.reason_by) or "The other side",
        outcome=became,
        left=remaining,
        hurry=waiting and seconds <= _HURRY,
        remembered=told.remembered,
        again=again,
        live=waiting or (isinstance(told.state, Answered) and became.kind == "allowed" and seconds > 0),
        which=which,
        seen=f"{which}.{fingerprint((remaining,))}",
        seconds_left=seconds,
    )


def fingerprint(of: Iterable[str]) -> str:
    """A short text that differs where any of these do."""
    return b64u(hashlib.sha256("\0".join(of).encode("utf-8", "surrogatepass")).digest()[:12])


# --- the inbox ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingView:
    """What waits. `seen` names it, so that a page that shows it already is sent nothing.

    `which` is the part of `seen` that stays the same while only time goes by.
    """

    asks: tuple[AskView, ...]
    which: str
    seen: str

    @property
    def says(self) -> str:
        """How much there is to do, in a sentence."""
        count = len(self.asks)
        if not count:
            return "Nothing is waiting for you."
        return f"{count} questions are waiting for you." if count > 1 else "1 question is waiting for you."

    @property
    def title(self) -> str:
        return f"({len(self.asks)}) Inbox" if self.asks else "Inbox"


def seen_of(asks: Iterable[Ask], now: Instant) -> tuple[str, str]:
    """`which` and `seen` of what waits, from the records alone: that nothing changed is found without reading more."""
    waiting = [ask for ask in asks if ask.is_waiting(now)]
    which = fingerprint(sorted(ask.page for ask in waiting))
    lefts = sorted(f"{ask.page} {left(ask.lives_until - now)}" for ask in waiting)
    return which, f"{which}.{fingerprint(lefts)}"


def waiting_view(told: Iterable[Reading], names: tuple[str, str], now: Instant) -> WaitingView:
    """The one with the least time left comes first."""
    asks = sorted((ask_view(one, now) for one in told), key=lambda view: (view.seconds_left, view.page))
    which, seen = names
    return WaitingView(asks=tuple(view for view in asks if view.outcome.kind == "waiting"), which=which, seen=seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxView:
    """What waits, and what was asked lately."""

    waiting: WaitingView
    lately: tuple[AskView, ...]


def over_at(ask: Ask) -> Instant:
    """When an ask came to its end, by answer or by time; to say which ones are the latest."""
    return ask.state.at if isinstance(ask.state, Answered | Collected) else ask.lives_until


# --- my agents ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that was allowed: what (to follow "may"), until when, and how long that is (neither: it stays)."""

    may: str
    until: Moment | None
    ends_in: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """How a person stands to one agent. `taken_back` is when they took everything back, if they did.

    `mandate` is until when the agent can show others that it may, if it can.
    """

    client: str
    who: str
    how_known: str
    since: Moment
    permissions: tuple[Permission, ...]
    taken_back: Moment | None
    mandate: Moment | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A standing with what is needed to say it: the client's name, how it is known, and each permission in words.

    `mandate_until` is the end of the last mandate that rests on it, if one is out.
    """

    standing: Standing
    name: str
    how_known: str
    mays: tuple[str, ...]
    mandate_until: Instant | None = None


def agent_view(known: Known, now: Instant) -> AgentView:
    standing = known.standing
    pairs = zip(standing.allowed, known.mays, strict=True)
    running = [(once.until, may) for once, may in pairs if once.until > now]
    back = standing.taken_back_at
    return AgentView(
        client=standing.client,
        who=shown(known.name),
        how_known=shown(known.how_known),
        since=moment(standing.since, now),
        permissions=tuple(
            Permission(visible(may), moment(until, now), left(until - now))
            if until - now < _STAYS
            else Permission(visible(may), None, "")
            for until, may in running
        ),
        taken_back=None if back is None else moment(back, now),
        mandate=None if known.mandate_until is None else moment(known.mandate_until, now),
    )


def agents_view(known: Iterable[Known], now: Instant) -> tuple[AgentView, ...]:
    """Those that may do something come first, those that may nothing any more last."""
    views = [agent_view(one, now) for one in known]
    return tuple(sorted(views, key=lambda view: (view.taken_back is not None, view.who.casefold(), view.client)))


# --- signing in ------------------------------------------------------------------------------------------------------

# Where a sign-in may lead: each page of ours by its path, and nothing that a browser could read as another place.
ONWARD: Final = re.compile(
    r"/(inbox|agents|account(/(passkey|code|password))?|(asks|authorize|device)/[A-Za-z0-9_-]{1,128}"
    r"|device(\?user_code=[A-Z]{4}-[A-Z]{4})?)"
)
