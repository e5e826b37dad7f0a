"""What can be in a record, and comes back as it was."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import pytest

from deputize.adapters.packing import packing
from deputize.core.ports import Event, Notice, Record
from deputize.core.rules import Fault
from deputize.core.values import ClientId, Instant, Issuer, Secret, Subject, WebUrl


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Detail:
    type: Literal["call", "payment"]
    colour: Colour = Colour.RED
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Power:
    audience: frozenset[str]
    until: Instant | None
    details: tuple[Detail, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    not_before: Instant


@dataclass(frozen=True, slots=True)
class Answered:
    by: Subject
    allowed: Power | None


@dataclass(frozen=True, slots=True)
class Collected:
    at: Instant


State = Waiting | Answered | Collected


@dataclass(frozen=True, slots=True)
class Actor:
    subject: Subject
    acting_for: "Actor | None" = None


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Record):
    kind: ClassVar[str] = "ask"
    indexed: ClassVar[tuple[str, ...]] = ("client",)

    client: ClientId
    wanted: Power
    state: State
    last: State | None = None
    history: tuple[State, ...] = ()
    by_name: Mapping[str, State] = field(default_factory=dict)
    pair: tuple[int, State] | None = None
    seen: frozenset[State] = frozenset()
    step: Step | None = None
    actor: Actor | None = None
    secret: Secret | None = None
    url: WebUrl | None = None
    anything: dict[str, object] = field(default_factory=dict)
    raw: bytes = b""
    share: float = 0.5
    flag: bool = False


POWER = Power(frozenset({"b", "a"}), Instant(2**53), (Detail("call"), Detail("payment", Colour.BLUE, {"z": "1"})))
STATES: list[State] = [
    Waiting(Instant(1)),
    Answered(Subject("alice"), POWER),
    Answered(Subject("alice"), None),
    Collected(Instant(2)),
]
ASK = Ask(key="k", client=ClientId("c"), wanted=POWER, state=STATES[0])


def back(record: Record) -> Record:
    kept = packing(type(record))
    return kept.unpack(kept.pack(record), record.key, record.version)


@pytest.mark.parametrize("state", STATES)
def test_each_member_of_a_union_comes_back_as_itself(state: State) -> None:
    ask = replace(ASK, state=state)
    read = back(ask)
    assert read == ask
    assert isinstance(read, Ask)
    assert type(read.state) is type(state)


@pytest.mark.parametrize("state", STATES)
def test_a_union_may_lie_anywhere(state: State) -> None:
    ask = replace(
        ASK,
        last=state,
        history=(state, *STATES),
        by_name={"x": state},
        pair=(3, state),
        seen=frozenset({Waiting(Instant(5)), Collected(Instant(5))}),
        step=Step("one", state),
    )
    assert back(ask) == ask


def test_what_msgspec_can_do_alone_comes_back_too() -> None:
    ask = replace(
        ASK,
        actor=Actor(Subject("a"), Actor(Subject("b"), Actor(Subject("c")))),
        url=WebUrl("https://api.example/"),
        anything={"list": [1, {"deep": None}], "text": "ü"},
        raw=bytes(range(256)),
        share=0.1,
        flag=True,
    )
    assert back(ask) == ask
    event = Event(key="1", at=Instant(1), what="x", told={"b": "1", "a": "2"})
    assert back(event) == event
    assert back(Notice(key="1", person="alice", about="x", at=Instant(1))).key == "1"


def test_a_secret_comes_back_and_still_hides() -> None:
    read = back(replace(ASK, secret=Secret("open sesame")))
    assert isinstance(read, Ask)
    assert read.secret is not None
    assert read.secret.matches("open sesame")
    assert "sesame" not in repr(read)


def test_equal_records_have_equal_bytes() -> None:
    kept = packing(Event)
    one = Event(key="1", at=Instant(1), what="x", told={"b": "1", "a": "2"})
    other = Event(key="1", at=Instant(1), what="x", told={"a": "2", "b": "1"})
    assert kept.pack(one) == kept.pack(other)
    sets = [replace(ASK, wanted=replace(POWER, audience=frozenset(names))) for names in (["a", "b"], ["b", "a"])]
    assert packing(Ask).pack(sets[0]) == packing(Ask).pack(sets[1])


def test_key_and_version_are_the_stores_to_say() -> None:
    kept = packing(Ask)
    read = kept.unpack(kept.pack(replace(ASK, version=3)), "other", 4)
    assert (read.key, read.version) == ("other", 4)


def test_a_stranger_in_a_union_is_not_packed() -> None:
    @dataclass(frozen=True, slots=True)
    class Sudden(Waiting):
        pass

    for stranger in (Sudden(Instant(1)), Detail("call")):
        with pytest.raises(TypeError, match="no member"):
            packing(Ask).pack(replace(ASK, state=stranger))  # type: ignore[arg-type] # that is the point


def test_values_check_themselves_when_they_come_back() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Site(Record):
        kind: ClassVar[str] = "site"
        issuer: Issuer

    kept = packing(Site)
    body = kept.pack(Site(key="k", issuer=Issuer("https://as.example")))
    assert kept.unpack(body, "k", 0).issuer == Issuer("https://as.example")
    with pytest.raises(Fault, match="a stored site cannot be read"):
        kept.unpack(body.replace(b"https", b"httpx"), "k", 0)


def test_a_field_added_later_takes_its_default_from_older_rows() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Before(Record):
        kind: ClassVar[str] = "ask"
        client: str
        wanted: Power
        state: State

    old = Before(key="k", client="c", wanted=POWER, state=STATES[1])
    assert packing(Ask).unpack(packing(Before).pack(old), "k", 0) == replace(ASK, state=STATES[1])


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x80", b"\xff" * 20])
def test_other_bytes_are_a_fault_that_shows_nothing_of_them(body: bytes) -> None:
    with pytest.raises(Fault) as problem:
        packing(Ask).unpack(body, "k", 0)
    assert str(problem.value) == "a stored ask cannot be read as one"


def test_a_tag_that_names_nobody_is_a_fault() -> None:
    body = packing(Ask).pack(ASK).replace(b"\xa7Waiting", b"\xa7Waitinf")
    with pytest.raises(Fault):
        packing(Ask).unpack(body, "k", 0)


def test_an_indexed_field_is_one_of_the_record() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Odd(Record):
        kind: ClassVar[str] = "odd"
        indexed: ClassVar[tuple[str, ...]] = ("nobody",)

    with pytest.raises(TypeError, match="'nobody' cannot be an indexed field"):
        packing(Odd)


def test_a_circle_with_a_union_in_it_is_told_at_once() -> None:
    with pytest.raises(TypeError):
        packing(Ring)


@dataclass(frozen=True, slots=True)
class Link:
    state: State
    next: "Link | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring(Record):
    kind: ClassVar[str] = "ring"
    first: Link
