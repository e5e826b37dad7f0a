"""Corpus SL, the reader's half: who serves lists that are not what they seem, or refers to what is not there.

The attacker holds the address of a list, a token that was revoked, or some issuer's signing key, but not this one's.
"""

import random
import resource
import sys
import zlib
from typing import Any

import pytest

from deputize.core.rules import Fault, Refusal
from deputize.core.values import Instant
from deputize.core.wire import b64u
from deputize.jose.keys import PrivateKey
from deputize.vc.status_list import INFLATED_MAX, Reference, StatusList, inflated, reference_in
from tests.vc.lists import GOOD, NOW, ODD, REVOKED, SIZE, URI, Reader, a_list, a_token, forged, its_keys


async def is_refused(reader: Reader, idx: int = GOOD) -> bool:
    try:
        await reader.lists.hold(Reference(idx, URI), its_keys, reader.env)
    except Refusal:
        return True
    return False


async def served(data: bytes, idx: int = GOOD, **policy: Any) -> bool:
    """Whether a token whose status stands in this list is refused."""
    reader = Reader(**policy)
    reader.provider.serve(data)
    return await is_refused(reader, idx)


async def test_sl_01_another_type_a_bad_signature_or_a_signer_who_is_not_the_issuer() -> None:
    assert not await served(a_token())
    for typ in ("JWT", "at+jwt", "statuslist+cwt"):
        assert await served(forged(typ=typ))
    good = a_token()
    assert await served(good[:-4] + b"AAAA")
    assert await served(good.replace(b".", b".e30.", 1))
    assert await served(forged(key=PrivateKey.generate()))


async def test_sl_02_the_list_of_another_address() -> None:
    for sub in (URI + "/", URI + "?x", URI.replace("https", "HTTPS"), "https://status.example/lists/2"):
        assert await served(forged(sub=sub))


@pytest.mark.parametrize("idx", [-1, 5.5, "5", None, True, [5]])
def test_sl_03_an_index_that_is_none(idx: Any) -> None:
    with pytest.raises(Refusal):
        reference_in({"status": {"status_list": {"idx": idx, "uri": URI}}}, error="x")


@pytest.mark.parametrize("idx", [SIZE, SIZE + 7, 2**63, 2**64])
async def test_sl_03_an_index_beyond_the_list(idx: int) -> None:
    assert await served(a_token(), idx)


@pytest.mark.parametrize("bits", [0, 3, 16, True, "1", None])
async def test_sl_04_another_width(bits: Any) -> None:
    assert await served(forged(status_list={"bits": bits, "lst": b64u(a_list().deflated())}))


@pytest.mark.parametrize(
    "lst",
    [
        "",
        "====",
        b64u(a_list().deflated()) + "=",
        b64u(b"not zlib"),
        b64u(zlib.compress(a_list().packed)[2:-4]),
        b64u(a_list().deflated()[:-1]),
        b64u(a_list().deflated() + b"more"),
        b64u(a_list().deflated() * 2),
    ],
)
async def test_sl_05_what_is_no_list(lst: str) -> None:
    assert await served(forged(status_list={"bits": 2, "lst": lst}))


def test_sl_05_a_bomb_is_not_unpacked() -> None:
    """A hundred megabytes of zeros in a hundred kilobytes: in memory there is never more than the limit."""
    stream = zlib.compressobj(9)
    parts = [stream.compress(bytes(4 * 1024 * 1024)) for _ in range(32)]
    bomb = b"".join([*parts, stream.flush()])
    assert len(bomb) < 200 * 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Refusal):
        inflated(1, bomb, error="x")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 8 * INFLATED_MAX


async def test_sl_05_the_limit_is_sixteen_mebibytes() -> None:
    for size, refused in ((INFLATED_MAX, False), (INFLATED_MAX + 1, True)):
        lst = b64u(zlib.compress(bytes(size)))
        assert await served(forged(status_list={"bits": 8, "lst": lst})) is refused


@pytest.mark.parametrize(
    "changed",
    [{"exp": NOW - 11}, {"exp": 0}, {"iat": NOW + 11}, {"ttl": 0}, {"ttl": -1}, {"ttl": "60"}, {"ttl": False}],
)
async def test_sl_06_a_list_outside_its_time(changed: dict[str, Any]) -> None:
    assert await served(forged(**changed))


async def test_sl_06_a_huge_ttl_is_a_day() -> None:
    reader = Reader()
    reader.provider.serve(forged(ttl=10**15, exp=None))
    await reader.get()
    assert reader.lists.fresh(URI, Instant(NOW + 24 * 3600)) is None


async def test_sl_07_nobody_passes_while_the_list_cannot_be_had() -> None:
    reader = Reader()
    for answer in (Fault("down", retry=True), Fault("no such host")):
        reader.provider.at[URI] = answer
        with pytest.raises(Fault):
            await is_refused(reader)
    for status in (404, 500, 503):
        reader.clock.forward(10)
        reader.provider.answer(status)
        with pytest.raises(Fault):
            await is_refused(reader)


async def test_sl_09_redirects_end_and_never_lead_inside() -> None:
    reader = Reader()
    reader.provider.answer(302, location=URI)
    with pytest.raises(Fault):
        await is_refused(reader)
    assert reader.asked == 4
    for inside in ("http://169.254.169.254/", "http://localhost/", "https://127.0.0.1/", "gopher://x/"):
        reader = Reader()
        reader.provider.answer(302, location=inside)
        with pytest.raises(Fault):
            await is_refused(reader)
        assert reader.asked == 1


async def test_sl_10_a_status_that_nobody_knows() -> None:
    assert await served(a_token(), ODD)
    statuses = bytes(random.Random(1).randrange(1, 256) for _ in range(64))
    packed = StatusList.of_all(8, statuses)
    for idx in range(64):
        lst = {"bits": 8, "lst": b64u(packed.deflated())}
        assert await served(forged(status_list=lst), idx)


async def test_an_old_list_played_again_does_not_bring_a_revoked_token_back() -> None:
    reader = Reader()
    reader.provider.serve(a_token(issued_at=Instant(NOW - 5)))
    assert await is_refused(reader, REVOKED)
    reader.provider.serve(a_token(told={}, issued_at=Instant(NOW - 50)))
    for _ in range(100):
        reader.clock.forward(30)
        assert await is_refused(reader, REVOKED)
