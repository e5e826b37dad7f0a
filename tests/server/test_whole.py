"""A request that has come whole is answered as any other is: by one piece, by many, or not at all."""

import socket
from collections.abc import Iterator

import pytest

from deputize.server.http import Receive, Scope, Send
from tests.support.live import PATIENCE, Live, get, live, read_all, status, statuses


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x-path", scope["path"].encode())]}
    match scope["path"]:
        case "/echo":
            await send(start)
            await send({"type": "http.response.body", "body": body or scope["query_string"]})
        case "/pieces":
            await send(start)
            for piece in (b"one", b"", b"two"):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
        case "/nothing-new":
            await send({**start, "status": 304})
            await send({"type": "http.response.body"})
        case "/last":
            await send({**start, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": b"good-bye"})
        case "/wrong-length":
            await send({**start, "headers": [(b"content-length", b"3")]})
            await send({"type": "http.response.body", "body": b"four"})
        case "/two-lines" | "/two-lines-of-another-kind" | "/with-a-nul":
            value = {"s": b"a\r\nset-cookie: b", "d": b"a\nset-cookie: b", "l": b"a\0b"}[scope["path"][-1]]
            await send({**start, "headers": [(b"location", value)]})
            await send({"type": "http.response.body", "body": b""})
        case "/broken-midway":
            await send(start)
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("on purpose")
        case "/until-gone":
            assert (await receive())["type"] == "http.disconnect"
            gone.append(scope["path"])
        case "/silent":
            return
        case _:
            raise RuntimeError("on purpose")


gone: list[str] = []


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(app=app) as running:
        yield running


def ask(path: bytes, body: bytes = b"", extra: bytes = b"") -> bytes:
    line = b"POST " if body else b"GET "
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return line + path + b" HTTP/1.1\r\nHost: as.example\r\n" + extra + length + b"\r\n" + body


CLOSE = b"Connection: close\r\n"


def test_one_piece_has_its_length_and_its_date(server: Live) -> None:
    answer = server.exchange(ask(b"/echo?a=b%20c", extra=CLOSE))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"a=b%20c"
    assert {b"content-length: 7", b"connection: close", b"x-path: /echo"} <= set(head.split(b"\r\n"))
    assert b"\r\ndate: " in head
    assert head.count(b"content-length") == 1


def test_a_body_in_drops_is_one_body(server: Live) -> None:
    request = ask(b"/echo", b"0123456789" * 100, CLOSE)
    assert server.exchange(*(request[at : at + 7] for at in range(0, len(request), 7))).endswith(b"0123456789" * 100)


def test_many_pieces_come_in_chunks(server: Live) -> None:
    head, _, body = server.exchange(ask(b"/pieces", extra=CLOSE)).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_what_has_no_body_says_no_length(server: Live) -> None:
    answer = server.exchange(ask(b"/nothing-new", extra=CLOSE))
    assert status(answer) == 304
    assert b"content-length" not in answer
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\n\r\n")


def test_one_connection_takes_many_requests_until_either_has_enough(server: Live) -> None:
    with server.connect() as connection:
        for said in (b"a", b"bc", b""):
            connection.sendall(ask(b"/echo", said))
            answer = connection.recv(65536)
            assert statuses(answer) == [200]
            assert answer.endswith(b"\r\n\r\n" + said)
        connection.sendall(ask(b"/last"))
        answer = read_all(connection)
    assert statuses(answer) == [200]
    assert b"connection: close" in answer
    assert answer.endswith(b"good-bye")


def test_requests_that_came_together_are_answered_in_their_order(server: Live) -> None:
    answers = server.exchange(ask(b"/echo", b"first") + ask(b"/echo", b"second") + ask(b"/echo", b"third", CLOSE))
    assert [answers.count(word) for word in (b"first", b"second", b"third")] == [1, 1, 1]
    assert answers.index(b"first") < answers.index(b"second") < answers.index(b"third")


@pytest.mark.parametrize("path", [b"/raises", b"/silent"])
def test_an_application_that_breaks_ends_in_a_bare_500(server: Live, path: bytes) -> None:
    answer = server.exchange(ask(path) + ask(b"/echo"))
    assert statuses(answer) == [500]
    assert b"purpose" not in answer


@pytest.mark.parametrize("path", [b"/wrong-length", b"/two-lines", b"/two-lines-of-another-kind", b"/with-a-nul"])
def test_an_answer_that_two_would_read_as_two_is_never_sent(server: Live, path: bytes) -> None:
    assert server.exchange(ask(path) + ask(b"/echo")) == b""


def test_one_that_breaks_midway_is_cut_off(server: Live) -> None:
    """The last chunk never comes: nobody takes half an answer for a whole one."""
    answer = server.exchange(ask(b"/broken-midway"))
    assert b"half" in answer
    assert not answer.endswith(b"0\r\n\r\n")


def test_who_waits_learns_that_the_peer_is_gone(server: Live) -> None:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(ask(b"/until-gone"))
    connection.shutdown(socket.SHUT_WR)
    read_all(connection)
    connection.close()
    while not gone:
        assert status(server.exchange(get("/echo"))) == 200
