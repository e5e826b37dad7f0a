"""The one door out, against real servers on loopback that say what a peer should not."""

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deputize.adapters.dialling import Resolver
from deputize.adapters.guarded_fetch import GuardedFetch, Settings, origin_of
from deputize.core.rules import Fault
from deputize.core.wire import Call

Says = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server that says what it was told to, and remembers who came."""

    def __init__(self, says: Says) -> None:
        self.says = says
        self.connections = 0
        self.requests: list[bytes] = []
        self.sent = 0
        self.origin = ""

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
                )
                self.requests.append(head + await reader.readexactly(length))
                await self.says(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def peer(says: Says) -> AsyncIterator[Peer]:
    made = Peer(says)
    server = await asyncio.start_server(made.meet, "127.0.0.1", 0)
    made.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made
        server.close()


def plain(body: bytes, *headers: str, status: str = "200 OK") -> Says:
    async def say(writer: asyncio.StreamWriter) -> None:
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
        writer.write("\r\n".join(lines).encode() + body)

    return say


@asynccontextmanager
async def door(*origins: str, timeout: float = 5.0) -> AsyncIterator[GuardedFetch]:  # noqa: ASYNC109 (a setting)
    made = GuardedFetch(frozenset(origins), Settings(strangers=False, seconds=timeout))
    yield made
    await made.aclose()


def get(url: str, **more: object) -> Call:
    return Call(method="GET", url=url, **more)  # type: ignore[arg-type] # bytes_max, headers


async def test_an_allowed_origin_is_asked_and_answers() -> None:
    async with (
        peer(plain(b'{"a": 1}', "X-Two: 1", "X-Two: 2", status="201 Made")) as there,
        door(there.origin) as fetch,
    ):
        reply = await fetch(
            Call(method="POST", url=there.origin + "/p?q=1", headers=(("X-Own", "yes"),), body=b"grant=1")
        )
    assert (reply.status, reply.body, reply.headers.all("x-two")) == (201, b'{"a": 1}', ("1", "2"))
    (request,) = there.requests
    assert request.startswith(b"POST /p?q=1 HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\ngrant=1")
    assert b"x-own: yes" in request.lower()
    assert b"accept-encoding: identity" in request.lower()


async def test_connections_are_used_again() -> None:
    async with peer(plain(b"ok")) as there, door(there.origin) as fetch:
        for _ in range(5):
            assert (await fetch(get(there.origin))).body == b"ok"
    assert (there.connections, len(there.requests)) == (1, 5)


async def test_what_frames_the_message_is_ours_to_say() -> None:
    headers = (("Host", "other.example"), ("Accept-Encoding", "gzip"), ("Transfer-Encoding", "chunked"))
    async with peer(plain(b"ok")) as there, door(there.origin) as fetch:
        await fetch(get(there.origin, headers=headers))
    told = there.requests[0].lower()
    assert b"other.example" not in told
    assert b"gzip" not in told
    assert b"chunked" not in told


async def test_a_redirect_is_handed_back_and_not_followed() -> None:
    """SF-07."""
    async with (
        peer(plain(b"inside")) as inner,
        peer(plain(b"", f"Location: {inner.origin}/", status="302 Found")) as there,
        door(there.origin, inner.origin) as fetch,
    ):
        reply = await fetch(get(there.origin))
    assert reply.status == 302
    assert reply.headers.one("location") == inner.origin + "/"
    assert inner.connections == 0


async def test_a_body_stops_at_the_bound() -> None:
    """Ten megabytes were meant to come; the peer is cut off soon after the first kilobyte."""
    written = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()
            written += 1024
        writer.write(b"0\r\n\r\n")

    async with peer(flood) as there, door(there.origin) as fetch:
        with pytest.raises(Fault, match="more than 1024 bytes") as problem:
            await fetch(get(there.origin, bytes_max=1024))
    assert not problem.value.retry
    assert written < 10_000 * 1024


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False)])
async def test_the_bound_is_exact(size: int, fits: bool) -> None:  # noqa: FBT001 (a column of the table)
    async with peer(plain(b"x" * size)) as there, door(there.origin) as fetch:
        if fits:
            assert len((await fetch(get(there.origin, bytes_max=1000))).body) == size
        else:
            with pytest.raises(Fault):
                await fetch(get(there.origin, bytes_max=1000))


async def test_a_slow_peer_is_given_up_however_it_is_slow() -> None:
    async def silent(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def dripping(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    for says in (silent, dripping):
        async with peer(says) as there, door(there.origin, timeout=0.15) as fetch:
            with pytest.raises(Fault, match="did not answer in time") as problem:
                await fetch(get(there.origin))
        assert problem.value.retry


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "GZIP"])
async def test_a_packed_body_is_refused(coding: str) -> None:
    """SF-12: unpacked it may be any size."""
    bomb = gzip.compress(b"\0" * 10_000_000)
    async with peer(plain(bomb, f"Content-Encoding: {coding}")) as there, door(there.origin) as fetch:
        with pytest.raises(Fault, match="content coding"):
            await fetch(get(there.origin))


@pytest.mark.parametrize("count", [20, 2000])
async def test_a_flood_of_headers_is_refused(count: int) -> None:
    """SF-12."""
    flood = [f"X-{n}: {'y' * 1000}" for n in range(count)]
    async with peer(plain(b"ok", *flood)) as there, door(there.origin) as fetch:
        with pytest.raises(Fault):
            await fetch(get(there.origin))


async def test_no_cookie_is_kept() -> None:
    """SF-10."""
    async with peer(plain(b"ok", "Set-Cookie: a=b; Path=/")) as there, door(there.origin) as fetch:
        await fetch(get(there.origin))
        await fetch(get(there.origin))
    assert b"cookie" not in there.requests[1].lower()


async def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """SF-10, PY-14: no proxy and no netrc."""
    async with peer(plain(b"ok")) as there, peer(plain(b"proxy")) as proxy, door(there.origin) as fetch:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        assert (await fetch(get(there.origin))).body == b"ok"
    assert proxy.connections == 0
    assert b"authorization" not in there.requests[0].lower()


async def test_what_is_not_allowed_is_never_contacted() -> None:
    async with peer(plain(b"ok")) as there, peer(plain(b"ok")) as allowed, door(allowed.origin) as fetch:
        port = there.origin.rpartition(":")[2]
        own = allowed.origin.rpartition(":")[2]
        for url in (
            there.origin,
            f"{there.origin}/{allowed.origin}",
            f"http://localhost:{port}/",
            f"http://localhost:{own}/",  # the same place, but not the origin that was configured
            f"http://[::1]:{own}/",
            f"https://127.0.0.1:{own}/",
            f"http://127.1:{port}/",
            f"http://2130706433:{port}/",
            f"http://0x7f.1:{own}/",
            f"http://127.0.0.1.:{own}/",
            f"http://%31%32%37.0.0.1:{own}/",
            f"http://127.0.0.1:{own}@127.0.0.1:{port}/",
            f"http://user:secret@127.0.0.1:{own}/",
            f"http://127.0.0.1:{port}\\@127.0.0.1:{own}/",
            f"http://127.0.0.1:{own}#@127.0.0.1:{port}/",
            f"http:/\t/127.0.0.1:{own}/",
            f"http://127.0.0.1:{own}\r\n.example/",
            f"//127.0.0.1:{own}/",
            f"ftp://127.0.0.1:{own}/",
            "file:///etc/passwd",
            "gopher://127.0.0.1/",
            "data:text/plain,x",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:x/",
            "http:///",
            "",
        ):
            with pytest.raises(Fault, match="not an allowed origin") as problem:
                await fetch(get(url))
            assert "secret" not in str(problem.value)
    assert (there.connections, allowed.connections) == (0, 0)


async def test_nothing_is_allowed_unless_it_was_said() -> None:
    async with peer(plain(b"ok")) as there, door() as fetch:
        with pytest.raises(Fault, match="not an allowed origin"):
            await fetch(get(there.origin))
    assert there.connections == 0


@pytest.mark.parametrize(
    "origin", ["https://a.example/", "https://a.example/x", "http://a.example", "a.example", "*", "https://u@a.example"]
)
def test_an_origin_is_written_as_one(origin: str) -> None:
    with pytest.raises(ValueError, match=r"https|URI|origin|userinfo"):
        GuardedFetch(frozenset({origin}))


def test_an_origin_is_the_same_however_it_is_written() -> None:
    told = {origin_of(f"https://{host}/x") for host in ("a.example", "A.EXAMPLE", "a.example:443", "a.Example:443")}
    assert told == {("https", "a.example", 443)}
    assert origin_of("http://[::1]/") == ("http", "::1", 80)


async def test_trouble_is_a_fault_that_keeps_secrets() -> None:
    async def rude(writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-hello\r\n\r\n")

    async def short(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
        writer.close()

    async def gone(writer: asyncio.StreamWriter) -> None:
        writer.close()

    for says in (rude, short, gone):
        async with peer(says) as there, door(there.origin) as fetch:
            with pytest.raises(Fault, match="could not be reached") as problem:
                await fetch(get(f"{there.origin}/p?code=hush", headers=(("Authorization", "Bearer hush"),)))
            assert problem.value.retry
            assert "hush" not in str(problem.value)
    async with door(there.origin) as fetch:  # nobody is there any more
        with pytest.raises(Fault, match="could not be reached") as problem:
            await fetch(get(there.origin))
        assert problem.value.retry


def test_each_loop_has_connections_of_its_own() -> None:
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    async def once() -> bytes:
        body = (await fetch(get(origin))).body
        await fetch.aclose()
        return body

    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        origin = f"http://127.0.0.1:{server.server_port}"
        fetch = GuardedFetch(frozenset({origin}))
        assert [asyncio.run(once()) for _ in range(2)] == [b"ok", b"ok"]
        server.shutdown()
        serving.join()


async def test_the_system_looks_names_up() -> None:
    resolver = Resolver(absolute=False)
    assert set(await resolver("localhost", 80)) <= {"127.0.0.1", "::1"}
    with pytest.raises(OSError, match=r".+"):
        await resolver("no-such-name.invalid", 80)
    resolver.close()
