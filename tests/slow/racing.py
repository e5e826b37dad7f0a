"""A worker that tries to spend what others try to spend: `python -m tests.slow.racing PLACE KIND SEED`."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from deputize.adapters.stores import open_store
from deputize.core.ports import Add, Append, Change, Event, Record, Replace
from deputize.core.values import ClientId, Instant
from deputize.oauth.asking import Answered, Ask, Collected
from deputize.oauth.assertion import AssertionSeen
from deputize.oauth.authority import Authority
from deputize.oauth.families import Family

NOW = Instant(1_800_000_000)
LATER = Instant(2_000_000_000)
AUTHORITY = Authority(audience=frozenset({"https://pharmacy.example"}), scope=frozenset({"reorder"}), until=LATER)
EACH = 2  # attempts of one worker at one thing


@dataclass(frozen=True, slots=True, kw_only=True)
class Code(Record):
    """Like an authorization code: looked up by its hash, and spent once, in the commit of what it buys."""

    kind: ClassVar[str] = "code_like"

    client: str
    spent_at: Instant | None = None


def a_family(key: str) -> Family:
    return Family(
        key=key,
        expires_at=LATER,
        client=ClientId("bot"),
        person="alice",
        authority=AUTHORITY,
        sha256="first",
        rotated_at=NOW,
        lives_until=LATER,
        idle_until=LATER,
    )


def an_ask(key: str) -> Ask:
    return Ask(
        key=key,
        expires_at=LATER,
        client=ClientId("bot"),
        person="alice",
        page=key,
        door="ciba",
        wanted=AUTHORITY,
        created_at=NOW,
        lives_until=LATER,
        state=Answered(NOW, AUTHORITY, "page"),
    )


def _spent(item: int, by: str) -> Append:
    return Append(Event(key="", at=NOW, what="spent", client=by, told={"item": str(item)}))


def jti(item: int, by: str) -> tuple[Change, ...]:
    return Add(AssertionSeen(key=f"item{item}", expires_at=LATER)), _spent(item, by)


def refresh(item: int, by: str) -> tuple[Change, ...]:
    old = a_family(f"item{item}")
    mark = Add(AssertionSeen(key=f"{by} at {item}", expires_at=LATER))
    return mark, Replace(old, replace(old, sha256=by, before=old.sha256)), _spent(item, by)


def ask(item: int, by: str) -> tuple[Change, ...]:
    old = an_ask(f"item{item}")
    return Replace(old, replace(old, state=Collected(NOW), words=by)), _spent(item, by)


def code(item: int, by: str) -> tuple[Change, ...]:
    old = Code(key=f"item{item}", client="bot", expires_at=LATER)
    return Replace(old, replace(old, client=by, spent_at=NOW)), Add(a_family(f"{by} at {item}")), _spent(item, by)


ATTEMPTS: dict[str, Callable[[int, str], tuple[Change, ...]]] = {
    "jti": jti,
    "refresh": refresh,
    "ask": ask,
    "code": code,
}
FIRST: dict[str, Callable[[str], Record]] = {
    "refresh": a_family,
    "ask": an_ask,
    "code": lambda key: Code(key=key, client="bot", expires_at=LATER),
}


async def main(place: str, kind: str, seed: str) -> None:
    store = open_store(place)
    dice = random.Random(seed)
    attempt = ATTEMPTS[kind]
    await store.ready((AssertionSeen, Family, Ask, Code, Event))
    os.write(1, b"ready\n")
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        items = list(range(*map(int, line.split())))
        tries = [(item, f"worker{seed}.{turn}") for item in items for turn in range(EACH)]
        dice.shuffle(tries)
        told = await asyncio.gather(*(store.commit(*attempt(item, by)) for item, by in tries), return_exceptions=True)
        won = [[item, by] for (item, by), ours in zip(tries, told, strict=True) if ours is True]
        faults = [repr(ours) for ours in told if isinstance(ours, BaseException)]
        os.write(1, (json.dumps([len(tries), won, faults]) + "\n").encode())
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
