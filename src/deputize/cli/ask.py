"""Asks from the command line: the same engine, the same rules, and the person's own password."""

from dataclasses import dataclass

from deputize.core.ports import Env
from deputize.core.values import Subject
from deputize.oauth import asking
from deputize.oauth import reading as readings
from deputize.oauth.asking import Ask
from deputize.oauth.authentication import Authentication
from deputize.oauth.reading import Reading


@dataclass(frozen=True, slots=True)
class Shown:
    """An ask as the command line shows it."""

    page: str
    state: str
    sentence: str
    words: str


async def listed(person: Subject, env: Env) -> list[Shown]:
    """What waits for this person."""
    found = await env.store.select(Ask, "open_for", person)
    now = env.clock()
    return [_shown(await readings.read_out(ask, env), "waiting") for ask in found if ask.is_waiting(now)]


async def answer(page: str, person: Subject, *, allow: bool, amr: tuple[str, ...], env: Env) -> Shown:
    """Allow or deny. Refuses as the page does."""
    found = await env.store.select(Ask, "page", page, limit=1)
    mine = [ask for ask in found if ask.person == person]
    if not mine:
        asking.YOURS.refuse("invalid_request")
    seen = Authentication(at=env.clock(), amr=amr)
    after = await asking.answer(mine[0], by=person, allow=allow, env=env, via="the command line", seen=seen)
    return _shown(await readings.read_out(after, env), "allowed" if allow else "denied")


def _shown(told: Reading, state: str) -> Shown:
    return Shown(told.page, state, told.sentence, told.words)
