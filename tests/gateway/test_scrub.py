"""What was injected is struck out wherever it is recognised, in one piece or in many."""

import base64
import random
from collections.abc import AsyncIterator
from urllib.parse import quote

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.values import Instant
from deputize.gateway.scrub import PROOFS_MAX, Injected, Needles, beginning, worth
from deputize.jose.keys import PrivateKey
from deputize.oauth import dpop

KEY = PrivateKey.generate()
NOW = Instant(1_800_000_000)


def a_token(name: str = "1") -> str:
    return dpop.prove(KEY, method="GET", url="https://api.example/x", jti=name * 22, now=NOW)


TOKEN = a_token()
BEGINNING = [begins for begins in [beginning(TOKEN)] if begins]
NEEDLES = Needles([worth(TOKEN)], BEGINNING)
PARTS = [part.encode() for part in TOKEN.split(".")[1:]]


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: DPoP {TOKEN}",
        TOKEN,
        f'{{"header":"{TOKEN.split(".")[0]}","payload":"{TOKEN.split(".")[1]}","signature":"{TOKEN.split(".")[2]}"}}',
        quote(TOKEN, safe=""),
        TOKEN.replace(".", "%2E"),
        TOKEN.replace(".", " . "),
        TOKEN.encode().hex(),
        TOKEN.encode().hex().upper(),
    ],
)
def test_gw_11_a_secret_is_found_however_it_is_spelt(text: str) -> None:
    struck = NEEDLES.struck(f"before {text} behind".encode())
    assert len(struck) == len(f"before {text} behind")
    assert struck.startswith(b"before ")
    assert struck.endswith(b" behind")
    for part in PARTS:
        assert part not in struck
        assert part.hex().encode() not in struck.lower()


@given(before=st.binary(max_size=9), behind=st.binary(max_size=9), safe=st.booleans())
def test_gw_11_base64_hides_nothing(before: bytes, behind: bytes, safe: bool) -> None:  # noqa: FBT001 (drawn)
    encode = base64.urlsafe_b64encode if safe else base64.b64encode
    data = encode(before + TOKEN.encode() + behind)
    struck = NEEDLES.struck(data)
    assert len(struck) == len(data)
    for part in PARTS:
        for shift in range(3):
            inner = encode(b"\0" * shift + part).rstrip(b"=")[4:-4]
            assert inner not in struck


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(0, 2**32))
def test_gw_11_borders_of_parts_hide_nothing(sizes: list[int], seed: int) -> None:
    dice = random.Random(seed)
    whole = b"".join(
        dice.choice([TOKEN.encode(), b"{}", b"lorem ipsum ", base64.b64encode(TOKEN.encode()), b"eyJ", PARTS[1][:20]])
        for _ in range(12)
    )
    told: list[bytes] = []

    async def parts() -> AsyncIterator[bytes]:
        at = 0
        for size in sizes:
            yield whole[at : at + size]
            at += size
        yield whole[at:]

    async def read() -> None:
        told.extend([part async for part in NEEDLES.scrubbed(parts())])

    anyio.run(read)
    assert b"".join(told) == NEEDLES.struck(whole)
    assert not any(part in b"".join(told) for part in PARTS)


async def test_an_event_goes_out_at_once() -> None:
    """A stream of events is not held back for what could still come."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"data: one\n\n"
        raise AssertionError("the first event was held back")

    first = await anext(aiter(NEEDLES.scrubbed(parts())))
    assert first == b"data: one\n\n"


async def test_where_nothing_was_injected_nothing_is_changed() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield TOKEN.encode()

    assert [part async for part in Needles([]).scrubbed(parts())] == [TOKEN.encode()]


def test_tokens_are_known_until_they_end_and_proofs_for_a_while() -> None:
    injected = Injected()
    injected.note(TOKEN, Instant(NOW + 300), a_token("p"), NOW)
    assert PARTS[0] not in injected.needles().struck(TOKEN.encode())
    for number in range(PROOFS_MAX):
        injected.note(a_token("other"), Instant(NOW + 300), a_token(f"q{number}"), NOW)
    words = injected.needles().words
    assert PARTS[0] in words
    assert a_token("p").split(".")[1].encode() not in words
    injected.note(a_token("other"), Instant(NOW + 600), a_token("r"), Instant(NOW + 300))
    assert PARTS[0] not in injected.needles().words


def test_a_token_that_is_no_longer_remembered_is_known_by_how_it_begins() -> None:
    heads = Needles([], BEGINNING)
    other = a_token("2")
    coded = base64.b64encode(other.encode()).decode()
    text = f'[{{"proof": "{other}", "n": 1}}, "{other.replace(".", "%2E")}", "{coded}"]'
    struck = heads.struck(text.encode())
    assert len(struck) == len(text)
    assert struck.startswith(b'[{"proof": "**')
    assert b'", "n": 1}, "**' in struck
    assert not any(part.encode() in struck for part in other.split("."))


def test_an_opaque_token_is_known_as_a_whole() -> None:
    words = Needles([worth("opaque~token/of=another.server")])
    assert words.struck(b"it is opaque~token/of=another.server!") == b"it is " + b"*" * 30 + b"!"


def test_needles_do_not_show_themselves() -> None:
    assert TOKEN.split(".")[2] not in repr(NEEDLES)
