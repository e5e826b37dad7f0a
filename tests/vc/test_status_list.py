"""The list: packing, looking up, inflating, and where a token says that its status stands."""

import gzip
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.rules import Refusal
from deputize.vc.status_list import BITS, REFERRED, WHOLE, WIDTHS, WITHIN, Reference, StatusList, inflated, reference_in
from tests.support.proofs import lets_through, stops


@pytest.mark.parametrize("bits", sorted(WIDTHS))
@lets_through(BITS, WHOLE, WITHIN)
def test_what_was_packed_is_found_again(bits: int) -> None:
    dice = random.Random(bits)
    statuses = bytes(dice.randrange(1 << bits) for _ in range(4000))
    packed = StatusList.of_all(bits, statuses)
    assert packed == StatusList.of(bits, 4000, dict(enumerate(statuses)))
    assert len(packed) == 4000
    found = inflated(bits, packed.deflated(), error="x")
    assert bytes(found.at(idx) for idx in range(4000)) == statuses


@given(st.sampled_from(sorted(WIDTHS)), st.data())
def test_one_entry_changes_no_other(bits: int, data: st.DataObject) -> None:
    idx, status = data.draw(st.integers(0, 63)), data.draw(st.integers(0, (1 << bits) - 1))
    made = StatusList.of(bits, 64, {idx: status})
    assert [made.at(place) for place in range(64)] == [status if place == idx else 0 for place in range(64)]


def test_least_significant_bits_come_first() -> None:
    made = StatusList.of_all(2, bytes([0, 1, 2, 0, 0, 0, 1, 3]))
    assert made.packed == bytes.fromhex("24d0")
    assert made.deflated(9).hex() == "78da53b90000011a00f5"


@pytest.mark.parametrize(
    ("bits", "size", "told"),
    [
        (3, 64, {}),
        (0, 64, {}),
        (1, 0, {}),
        (1, 12, {}),
        (1, 64, {64: 1}),
        (1, 64, {-1: 1}),
        (1, 64, {0: 2}),
        (2, 64, {0: 4}),
        (8, 64, {0: -1}),
    ],
)
def test_what_does_not_fit_is_not_packed(bits: int, size: int, told: dict[int, int]) -> None:
    with pytest.raises(ValueError, match=r"fit|bits"):
        StatusList.of(bits, size, told)


@pytest.mark.parametrize(
    ("bits", "statuses"),
    [(1, b"\2" + bytes(7)), (2, bytes(3) + b"\4"), (4, bytes(1) + b"\xf0"), (3, bytes(8)), (1, b""), (1, bytes(7))],
)
def test_what_does_not_fit_is_not_packed_at_once(bits: int, statuses: bytes) -> None:
    with pytest.raises(ValueError, match=r"fit|bits"):
        StatusList.of_all(bits, statuses)


@pytest.mark.parametrize("idx", [-1, -64, 64, 2**63, 2**200])
@stops(WITHIN)
def test_beyond_the_list_there_is_no_status(idx: int) -> None:
    with pytest.raises(Refusal) as refused:
        StatusList.of(1, 64, {63: 1}).at(idx)
    assert refused.value.rule is WITHIN


@pytest.mark.parametrize("bits", [0, 3, 5, 16, -1, True, "1", 1.0, None, [1]])
@stops(BITS)
def test_another_width_is_refused(bits: Any) -> None:
    with pytest.raises(Refusal) as refused:
        inflated(bits, zlib.compress(b"\0"), error="x")
    assert refused.value.rule is BITS


GOOD = zlib.compress(bytes(range(200)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        GOOD[:-1],
        GOOD[:20],
        GOOD + b"\0",
        GOOD + GOOD,
        GOOD[:-4] + bytes(4),
        GOOD[2:-4],
        gzip.compress(bytes(200), mtime=0),
        zlib.compress(b""),
        zlib.compress(bytes(1025)),
    ],
)
@stops(WHOLE)
def test_what_is_no_whole_stream_is_refused(data: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        inflated(1, data, bytes_max=1024, error="x")
    assert refused.value.rule is WHOLE


@lets_through(REFERRED)
def test_a_reference_is_read_and_written() -> None:
    reference = Reference(7, "https://status.example/lists/1")
    assert reference_in({"status": reference.claim()}, error="x") == reference
    assert reference_in({"status": {**reference.claim(), "other": 1}}, error="x") == reference
    assert reference_in({"sub": "alice"}, error="x") is None


@pytest.mark.parametrize(
    "status",
    [
        None,
        7,
        [],
        {},
        {"other_mechanism": {}},
        {"status_list": None},
        {"status_list": {"uri": "https://a.example"}},
        {"status_list": {"idx": 1}},
        *({"status_list": {"idx": idx, "uri": "https://a.example"}} for idx in (-1, 5.5, "5", None, True, 1.0)),
        *(
            {"status_list": {"idx": 1, "uri": uri}}
            for uri in (
                None,
                7,
                "",
                "lists/1",
                "file:///etc/passwd",
                "http://a.example/1",
                "https://u@a.example/",
                "https://a.example/#f",
            )
        ),
    ],
)
@stops(REFERRED)
def test_a_status_that_cannot_be_looked_up_is_refused(status: Any) -> None:
    with pytest.raises(Refusal) as refused:
        reference_in({"status": status}, error="x")
    assert refused.value.rule is REFERRED
