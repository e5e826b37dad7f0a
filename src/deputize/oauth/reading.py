"""What the person reads: a sentence made from what is asked, and around it who, where, how often, for how long."""

from dataclasses import dataclass

from deputize.core.ports import Env
from deputize.core.values import Instant
from deputize.oauth import details as kinds
from deputize.oauth.asking import Ask, State
from deputize.oauth.authority import Authority
from deputize.oauth.client import OWN_SCOPES, Client, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An ask as a person reads it. `sentence` and all but `words` and `reason` is our own text.

    `facts` says the sentence again as a table: a label and what it says.
    """

    page: str
    sentence: str
    who: str
    how_known: str
    wants: tuple[str, ...]
    where: tuple[str, ...]
    often: str
    until: Instant
    remembered: bool
    facts: tuple[tuple[str, str], ...]
    small: tuple[str, ...]
    words: str
    reason: str
    reason_by: str
    created_at: Instant
    lives_until: Instant
    state: State


def minutes(seconds: int) -> str:
    """A length of time as a person says it; rounded up to the unit that it is told in."""
    for size, name in ((24 * 3600, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = -(-seconds // size)
            return f"{count} {name}{'s' if count != 1 else ''}"
    return f"{seconds} second{'s' if seconds != 1 else ''}"


def words_of(scope: frozenset[str], resources: tuple[Resource, ...]) -> tuple[str, ...]:
    """Each of these, by name, in words that follow "to …"."""
    words = {**OWN_SCOPES, **{name: text for resource in resources for name, text in resource.scopes.items()}}
    return tuple(words.get(name, f"use “{name}”") for name in sorted(scope))


def _in_words(authority: Authority, resources: tuple[Resource, ...]) -> tuple[tuple[str, ...], str]:
    """All that an authority lets a client do, each to follow "to …"; and where, unless details have said so."""
    said = [(detail.type, kinds.says(detail).wants) for detail in authority.details]
    speaking = tuple(wants for kind, wants in said if kind != kinds.HTTP_CALL)
    scopes = words_of(authority.scope, resources)
    wants = (*(speaking or tuple(wants for _, wants in said)), *scopes) or ("know who you are",)
    names = " and ".join(resource.name for resource in resources if not resource.own)
    return wants, f" at {names}" if names and (scopes or not speaking) else ""


def may(authority: Authority, resources: tuple[Resource, ...]) -> str:
    """What was allowed, in words that follow "may …"."""
    wants, place = _in_words(authority, resources)
    return " and ".join(wants) + place


def reading(ask: Ask, client: Client, resources: tuple[Resource, ...]) -> Reading:
    """Make the sentence: who wants what, from whom, how much, how often, for how long."""
    said = [kinds.says(detail) for detail in ask.shown.details]
    wants, place = _in_words(ask.shown, resources)
    where = tuple(resource.name for resource in resources if not resource.own)
    often = "" if ask.shown.scope else next((one.often for one in said if one.often), "")  # a scope is not used up
    length = minutes(max(0, ask.wanted.until - ask.created_at))
    limit = f"for {length}, or until you take it back" if ask.remember else f"within {length}"
    sentence = f"{client.name} wants to {' and to '.join(wants)}{place}, {f'{often}, ' if often else ''}{limit}."
    facts = [fact for one in said for fact in one.facts]
    if not facts:
        facts.append(("What", "; ".join(wants)))
    facts += [("Where", name) for name in where if ("From whom", name) not in facts]
    facts.append(("How often", often or "as often as it needs in that time"))
    facts.append(("For how long", limit.removeprefix("for ")))
    if said and ask.shown.scope:  # issued with the rest, so shown with the rest
        facts.append(("And also", "; ".join(words_of(ask.shown.scope, resources))))
    return Reading(
        page=ask.page,
        sentence=sentence,
        who=client.name,
        how_known=client.how_known,
        wants=wants,
        where=where,
        often=often,
        until=ask.wanted.until,
        remembered=ask.remember,
        facts=tuple(facts),
        small=tuple(line for one in said for line in one.small),
        words=ask.words,
        reason=ask.reason,
        reason_by=where[0] if where else "",
        created_at=ask.created_at,
        lives_until=ask.lives_until,
        state=ask.state,
    )


async def read_out(ask: Ask, env: Env) -> Reading:
    """Gather what the sentence needs."""
    client = await env.store.read(Client, ask.client)
    if client is None:
        client = Client(key=ask.client, name=ask.client, auth_method="", grant_types=frozenset(), how_known="unknown")
    found = [await env.store.read(Resource, name) for name in sorted(ask.wanted.audience)]
    return reading(ask, client, tuple(resource for resource in found if resource is not None))
