"""What a person has agreed to, may look at, and may take back: one record for each person and client."""

from dataclasses import dataclass, replace
from typing import ClassVar

from deputize.core.ports import Add, Append, Env, Event, Record, Replace
from deputize.core.rules import Rule
from deputize.core.values import ClientId, Instant, Subject
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client

NOT_TAKEN_BACK = Rule(
    "Deputize", "standing", "A client asks a person again only while that person has not taken back what it had."
)

ALLOWED_MAX = 50  # what one person remembers of one client; the oldest goes first


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(Record):
    """How a person stands to a client. `allowed` is what they said yes to and want remembered.

    `since` is when this standing began: what was issued before is dead, since it was taken back in between. `rests_on`
    stands for the client as it was then: where its own document has changed since, nothing of it covers anything.
    `origins` are those that answers went to with the person's consent, in a browser.
    """

    kind: ClassVar[str] = "standing"
    kept: ClassVar[bool] = True
    indexed: ClassVar[tuple[str, ...]] = ("person", "client")

    person: str
    client: str
    since: Instant
    allowed: tuple[Authority, ...] = ()
    taken_back_at: Instant | None = None
    rests_on: str = ""
    origins: frozenset[str] = frozenset()

    def covering(self, wanted: Authority, client: Client | None, now: Instant) -> Authority | None:
        """What is wanted, for as long as the longest remembered yes to it runs; None where none runs any more."""
        if self.taken_back_at is not None or not self._is_to(client):
            return None
        fitting = [once.until for once in self.allowed if replace(once, until=wanted.until).covers(wanted)]
        until = max(fitting, default=now)
        return wanted.narrowed(until=until) if until > now else None

    def _is_to(self, client: Client | None) -> bool:
        """Whether it is to the client as it is now, and not to one that is asked for each time."""
        if client is None:
            return False
        return self.rests_on == client.rests_on and not (client.document and client.document.always_asked)

    def lets_live(self, issued_at: Instant) -> bool:
        """Whether a token issued at this time still rests on it."""
        return self.taken_back_at is None and issued_at >= self.since


def key_of(person: Subject, client: ClientId) -> str:
    """The key of the one standing between these two."""
    return f"{len(person)}:{person}:{client}"


async def find(person: Subject, client: ClientId, env: Env) -> Standing | None:
    return await env.store.read(Standing, key_of(person, client))


def allowing(
    standing: Standing | None,
    person: Subject,
    client: ClientId,
    remembered: Authority | None,
    now: Instant,
    *,
    rests_on: str,
    origin: str = "",
) -> Add | Replace:
    """Note a yes. Where all was taken back, nobody can say yes before the client is welcome again."""
    more = () if remembered is None else (remembered,)
    origins = frozenset({origin} if origin else ())
    if standing is None:
        key = key_of(person, client)
        made = Standing(key=key, person=person, client=client, since=now, allowed=more, rests_on=rests_on)
        return Add(replace(made, origins=origins))
    same = standing.rests_on == rests_on  # what was said to another is not said to this
    before = standing.allowed if same else ()
    live = tuple(once for once in before if once.until > now and not (remembered and remembered.covers(once)))
    origins |= standing.origins if same else frozenset()
    after = replace(standing, allowed=(*live, *more)[-ALLOWED_MAX:], rests_on=rests_on, origins=origins)
    return Replace(standing, after)


def take_back(standing: Standing, now: Instant) -> tuple[Replace, Append]:
    """Take everything back: each token that rests on it ends, and the client may not ask again until welcomed.

    To be committed by `statuses.commit`, which tells the status lists of those tokens.
    """
    after = replace(standing, allowed=(), taken_back_at=now, origins=frozenset())
    event = Event(key="", at=now, what="standing_taken_back", client=standing.client, person=standing.person)
    return Replace(standing, after), Append(event)


def welcome(standing: Standing, now: Instant) -> tuple[Replace, Append]:
    """Let the client ask again. Nothing is allowed by this; what was issued before stays dead."""
    # A whole second later: what was issued within the second of the taking back must not come alive again.
    after = replace(standing, since=Instant(now + 1), allowed=(), taken_back_at=None)
    event = Event(key="", at=now, what="standing_welcomed", client=standing.client, person=standing.person)
    return Replace(standing, after), Append(event)
