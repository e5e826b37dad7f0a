"""Corpus HT: peers who speak something else than HTTP, or HTTP that two readers would cut into other requests.

Spoken to a real uvicorn (httptools, uvloop) through `deputize.server.wire_guard`. The world's own clock stands still.
"""

import base64
import socket
import struct
from collections.abc import Iterator

import pytest

from deputize.server.http import METHOD
from tests.support.cast import BASIC
from tests.support.live import Hasty, Live, client_hello, get, live, status, statuses
from tests.support.proofs import stops
from tests.support.world import basic

HOST = b"Host: as.example\r\n"
CLOSE = b"Connection: close\r\n"
POST = b"POST /token HTTP/1.1\r\n" + HOST
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
BODY = b"grant_type=client_credentials"


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live() as running:
        yield running


@pytest.fixture(scope="module")
def hasty() -> Iterator[Live]:
    with live(Hasty) as running:
        yield running


def credentials(server: Live) -> bytes:
    return f"Authorization: {basic(BASIC, server.world.secrets[BASIC])}\r\n".encode()


def a_good_post(server: Live, extra: bytes = CLOSE) -> bytes:
    return POST + FORM + credentials(server) + extra + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def test_a_good_request_is_answered(server: Live) -> None:
    answer = server.exchange(a_good_post(server))
    assert status(answer) == 200
    assert b"cache-control: no-store" in answer
    assert b"server:" not in answer.lower()


# --- HT-01 --------------------------------------------------------------------------------------------------------


@stops(METHOD)
@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"GET /nothing HTTP/1.1\r\n" + HOST, 404),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST, 404),
        (b"GET /a%00b HTTP/1.1\r\n" + HOST, 404),
        (b"GET /%zz HTTP/1.1\r\n" + HOST, 404),
        (b"GET //token HTTP/1.1\r\n" + HOST, 404),
        (b"GET /token#fragment HTTP/1.1\r\n" + HOST, 405),
        (b"GET http://evil.example/token HTTP/1.1\r\n" + HOST, 400),
        (b"PROPFIND /token HTTP/1.1\r\n" + HOST, 405),
        (b"TRACE /token HTTP/1.1\r\n" + HOST, 405),
        (b"DELETE /jwks HTTP/1.1\r\n" + HOST, 405),
        (b"FOO /token HTTP/1.1\r\n" + HOST, 400),
        (b"get /token HTTP/1.1\r\n" + HOST, 400),
        (b"GET token HTTP/1.1\r\n" + HOST, 400),
        (b"GET /a b HTTP/1.1\r\n" + HOST, 400),
        (b"GET /\ta HTTP/1.1\r\n" + HOST, 400),
        (b"GET /\xff HTTP/1.1\r\n" + HOST, 400),
        (b"GET  HTTP/1.1\r\n" + HOST, 400),
        (b"CONNECT as.example:443 HTTP/1.1\r\n" + HOST, 400),
        (b"GET /jwks HTTP/2.0\r\n" + HOST, 505),
        (b"GET /jwks HTTP/0.9\r\n" + HOST, 505),
        (b"GET /jwks HTTP/1.2\r\n" + HOST, 400),
        (b"GET /jwks HTTP/9.9\r\n" + HOST, 400),
        (b"GET /jwks HTTP/1\r\n" + HOST, 400),
        (b"GET /jwks http/1.1\r\n" + HOST, 400),
        (b"GET /jwks\r\n", 505),
        (b"GET /jwks HTTP/1.1\r\n", 400),
        (b"GET /jwks HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n", 400),
        (b"\x00\xff\xfe garbage\r\n", 400),
        (b"\r\n\r\n\x00\r\n", 400),
        (b"{}", 400),
    ],
)
def test_ht_01_what_is_no_request_of_ours(server: Live, said: bytes, heard: int) -> None:
    assert status(server.exchange(said + CLOSE + b"\r\n")) == heard
    assert server.is_alive()


def test_ht_01_http_of_1991_and_tls_to_a_plain_port(server: Live, hasty: Live) -> None:
    assert hasty.exchange(b"GET /jwks\r\n") == b""  # no end of its head: closed when its time is over
    assert status(server.exchange(client_hello())) == 400
    assert status(server.exchange(b"\x16\x03\x01\x02\x00" + bytes(600))) == 400
    assert server.is_alive()
    assert hasty.is_alive()


# --- HT-02 --------------------------------------------------------------------------------------------------------


def test_ht_02_pipelined_requests_are_answered_in_their_order(server: Live) -> None:
    one = a_good_post(server, b"")
    several = one + b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n" + one + b"GET /token HTTP/1.1\r\n" + HOST + b"\r\n"
    answers = server.exchange(several + get("/jwks"))
    assert statuses(answers) == [200, 404, 200, 405, 200]
    in_drops = [several[at : at + 7] for at in range(0, len(several), 7)]
    assert statuses(server.exchange(*in_drops, get("/jwks"))) == [200, 404, 200, 405, 200]


def test_ht_02_after_the_last_request_nothing_is_read(server: Live) -> None:
    assert statuses(server.exchange(a_good_post(server) + get("/jwks"))) == [200]


def test_ht_02_garbage_after_a_good_request_does_not_answer_for_it(server: Live) -> None:
    answers = server.exchange(a_good_post(server, b"") + b"\x00garbage\r\n\r\n")
    assert statuses(answers) == [200]
    assert b'"access_token"' in answers


def test_ht_02_more_requests_at_once_than_anybody_needs(server: Live) -> None:
    answers = statuses(server.exchange(a_good_post(server, b"") * 200))
    assert set(answers) == {200}
    assert len(answers) < 40


def test_ht_02_a_peer_that_hangs_up_early(server: Live) -> None:
    """Nothing of it happens: the body that did not come is no shorter request."""
    before = len(server.world.logged)
    whole = a_good_post(server)
    for length in (5, 40, len(whole) - len(BODY), len(whole) - 1):
        assert server.exchange(whole[:length], half_close=True) == b""
        with server.connect() as connection:
            connection.sendall(whole[:length])
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    assert server.is_alive()
    assert len(server.world.logged) == before


def test_ht_02_a_peer_that_hangs_up_after_its_request(server: Live) -> None:
    answer = server.exchange(a_good_post(server), half_close=True)
    assert answer == b"" or statuses(answer) == [200]
    assert server.is_alive()


# --- HT-03 --------------------------------------------------------------------------------------------------------

CHUNKED = b"Transfer-Encoding: chunked\r\n"
ONE_CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def test_ht_03_chunks_are_read(server: Live) -> None:
    for coding in (CHUNKED, CHUNKED.upper().replace(b"TRANSFER-ENCODING", b"transfer-encoding")):
        answer = server.exchange(POST + FORM + credentials(server) + CLOSE + coding + b"\r\n" + ONE_CHUNK)
        assert statuses(answer) == [200]
    drops = b"".join(b"1\r\n%c\r\n" % letter for letter in BODY) + b"0\r\n\r\n"
    assert status(server.exchange(POST + FORM + credentials(server) + CLOSE + CHUNKED + b"\r\n" + drops)) == 200


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\n" + CHUNKED,
        CHUNKED + b"Content-Length: 5\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b'Transfer-Encoding: "chunked"\r\n',
        b"Transfer-Encoding: chunked;q=1\r\n",
        b"Transfer-Encoding:\r\n",
        b"Transfer-Encoding : chunked\r\n",
        CHUNKED + CHUNKED,
        CHUNKED + b"Transfer-Encoding: identity\r\n",
        b"Content-Length: 0\r\nContent-Length: 0\r\n",
        b"Content-Length: 0\r\nContent-Length: 5\r\n",
        b"Content-Length: 0, 0\r\n",
        b"Content-Length: +0\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x0\r\n",
        b"Content-Length: 1_0\r\n",
        b"Content-Length: 0 0\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"X-Folded: a\r\n b\r\nContent-Length: 0\r\n",
        b"Content-Length: 0\r\n , 5\r\n",
        b"Content-Length : 0\r\n",
        b"X-A: b\nContent-Length: 0\r\n",
        b"X-A: b\rContent-Length: 5\r\n\r\n",
        b"X-A: b\x00c\r\nContent-Length: 0\r\n",
        b"X(A): b\r\nContent-Length: 0\r\n",
        b": b\r\nContent-Length: 0\r\n",
        b"no colon\r\nContent-Length: 0\r\n",
        b"Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 5\r\n",
        b"Upgrade: x\r\nConnection: upgrade\r\n" + CHUNKED,
    ],
)
def test_ht_03_framing_that_two_readers_would_read_in_two_ways(server: Live, lines: bytes) -> None:
    """None of what follows is taken for a second request."""
    seen = len(server.seen)
    answer = server.exchange(POST + FORM + lines + b"\r\n0\r\n\r\n" + get("/jwks"))
    assert statuses(answer) == [400]
    assert b"connection: close" in answer
    assert len(server.seen) - seen <= 1
    assert server.is_alive()


@pytest.mark.parametrize(
    "chunks", [b"-1\r\na", b"0x1\r\na", b"1\na\n", b"1 \r\na", b"1\r\nabc\r\n", b"f" * 17, b"g\r\n"]
)
def test_ht_03_chunks_that_are_none(server: Live, chunks: bytes) -> None:
    answer = server.exchange(POST + FORM + credentials(server) + CHUNKED + b"\r\n" + chunks + b"\r\n0\r\n\r\n")
    assert statuses(answer) == [400]
    assert server.is_alive()


def test_ht_03_chunks_in_http_1_0(server: Live) -> None:
    head = b"POST /token HTTP/1.0\r\n" + FORM + credentials(server)
    assert statuses(server.exchange(head + CHUNKED + b"\r\n" + ONE_CHUNK)) == [400]
    assert statuses(server.exchange(head + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)) == [200]


def test_ht_03_a_trailer_is_no_header(server: Live) -> None:
    """A proxy that looks at headers has never seen these credentials."""
    late = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY) + credentials(server) + b"\r\n"
    assert statuses(server.exchange(POST + FORM + CLOSE + CHUNKED + b"\r\n" + late)) == [401]
    assert statuses(server.exchange(POST + FORM + credentials(server) + CLOSE + CHUNKED + b"\r\n" + late)) == [200]
    many = late[:-2] + b"X: y\r\n" * 200 + b"\r\n"
    assert statuses(server.exchange(POST + FORM + credentials(server) + CLOSE + CHUNKED + b"\r\n" + many)) == [431]
    assert server.is_alive()


# --- HT-04 --------------------------------------------------------------------------------------------------------

FORWARDED = (
    "X-Forwarded-For: 203.0.113.9",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Port: 80",
    "X-Forwarded-Prefix: /evil",
    "X-Real-IP: 203.0.113.9",
    "Forwarded: for=203.0.113.9;host=evil.example;proto=http",
    "X-Original-URL: /revoke",
    "X-HTTP-Method-Override: DELETE",
    "Front-End-Https: on",
)


def test_ht_04_what_a_peer_says_of_earlier_hops_is_not_believed(server: Live) -> None:
    plain = server.exchange(get("/.well-known/oauth-authorization-server"))
    named = server.exchange(get("/.well-known/oauth-authorization-server", *FORWARDED))
    assert named.partition(b"\r\n\r\n")[2] == plain.partition(b"\r\n\r\n")[2]
    before, after = server.seen[-2:]
    for name in ("scheme", "server", "path", "method", "root_path"):
        assert after[name] == before[name]
    assert after["client"][0] == "127.0.0.1"
    refused = server.exchange(get("/token", *FORWARDED))
    assert b"evil" not in refused
    assert "203.0.113.9" not in str(server.world.logged)


# --- HT-05 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke", "/backchannel", "/transaction", "/nothing"])
def test_ht_05_no_page_of_another_origin_reads_an_answer(server: Live, path: str) -> None:
    asks = (
        "Origin: https://evil.example",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: authorization",
    )
    preflight = get(path, *asks).replace(b"GET", b"OPTIONS", 1)
    for said in (preflight, get(path, *asks), a_good_post(server, CLOSE + b"Origin: https://evil.example\r\n")):
        answer = server.exchange(said)
        assert b"access-control" not in answer.lower()
    assert status(server.exchange(preflight)) in {404, 405}


def test_ht_05_public_documents_are_for_everybody_without_credentials(server: Live) -> None:
    for path in ("/jwks", "/.well-known/openid-configuration"):
        answer = server.exchange(get(path, "Origin: https://app.example")).lower()
        assert b"access-control-allow-origin: *\r\n" in answer
        assert b"access-control-allow-credentials" not in answer


# --- HT-06 --------------------------------------------------------------------------------------------------------


def test_ht_06_http_2_is_off(server: Live) -> None:
    """Its preface is no request here, and an offer to change over is passed by: so no stream, no HPACK, no reset."""
    assert status(server.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64))) in {400, 505}
    settings = base64.urlsafe_b64encode(struct.pack("!HI", 3, 100)).decode()
    offer = f"Upgrade: h2c\r\nHTTP2-Settings: {settings}\r\n".encode()
    asked = b"GET /jwks HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings\r\n" + offer + b"\r\n"
    answers = server.exchange(asked + get("/nothing"))
    assert statuses(answers) == [200, 404]
    assert b" 101 " not in answers


@pytest.mark.parametrize("kind", ["websocket", "h2c", "TLS/1.0"])
def test_ht_06_an_upgrade_is_passed_by(server: Live, kind: str) -> None:
    asked = get("/jwks", f"Upgrade: {kind}", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")
    both = asked.replace(b"Connection: close", b"Connection: Upgrade", 1)
    assert statuses(server.exchange(both + get("/nothing"))) == [200, 404]
    drops = [both[at : at + 11] for at in range(0, len(both), 11)]
    assert statuses(server.exchange(*drops, get("/nothing"))) == [200, 404]
