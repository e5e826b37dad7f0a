"""The attacker names an address for us to fetch: of their own server, or of somebody's who trusts our machine.

They hold a domain and its name server, a certificate for their own names, and all patience.
"""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpcore2
import pytest
import trustme

from deputize.adapters.guarded_fetch import CONNECTIONS_MAX, GuardedFetch, Settings, tls_context
from deputize.adapters.memory import MemoryStore
from deputize.compose.parts import ports
from deputize.core.rules import Fault, Refusal
from deputize.core.wire import Call, Reply, json_bytes
from deputize.oauth.clients import document
from tests.adapters.test_addresses import SPECIAL_4, SPECIAL_6
from tests.support.documents import a_document

HOST = "app.example"
URL = f"https://{HOST}/client.json"
PUBLIC = "93.184.216.34"

Says = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Names:
    """A name server: each name has a row of answers, of which the last is repeated."""

    answers: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, _: int) -> tuple[str, ...]:
        self.asked.append(host)
        await asyncio.sleep(0)
        row = self.answers.get(host, [(PUBLIC,)])
        return row.pop(0) if len(row) > 1 else row[0]


@dataclass
class Internet:
    """Every address leads to the one server of the test; `dialled` is which were meant."""

    server_port: int
    dialled: list[str] = field(default_factory=list)
    dead: frozenset[str] = frozenset()

    async def __call__(self, address: str, _: int, seconds: float | None) -> httpcore2.AsyncNetworkStream:
        self.dialled.append(address)
        if address in self.dead:
            raise httpcore2.ConnectError("nobody there")
        return await httpcore2.AnyIOBackend().connect_tcp("127.0.0.1", self.server_port, seconds)


@dataclass
class There:
    """The attacker's server, the way to it, and what came."""

    fetch: GuardedFetch
    names: Names
    internet: Internet
    requests: list[bytes]
    connections: list[str | None]  # the names in the TLS greetings


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def saying(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> Says:
    async def says(_: bytes, writer: asyncio.StreamWriter) -> None:
        lines = (
            f"HTTP/1.1 {status}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *headers,
            "",
            "",
        )
        writer.write("\r\n".join(lines).encode() + body)

    return says


Open = Callable[..., Any]


@pytest.fixture
def there(authority: trustme.CA, ca_file: str) -> Open:
    @asynccontextmanager
    async def opened(
        says: Says = saying(), *, names: tuple[str, ...] = (HOST,), tls: Any = None, **settings: Any
    ) -> AsyncIterator[There]:
        requests: list[bytes] = []
        connections: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (tls or authority.issue_cert(*names)).configure_cert(context)
        context.sni_callback = lambda _, name, __: connections.append(name)

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    requests.append(await reader.readuntil(b"\r\n\r\n"))
                    await says(requests[-1], writer)
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
        internet = Internet(server.sockets[0].getsockname()[1])
        found = Names()
        fetch = GuardedFetch(settings=Settings(**{"ca_file": ca_file} | settings), resolve=found, dial=internet)
        try:
            yield There(fetch, found, internet, requests, connections)
        finally:
            await fetch.aclose()
            server.close()

    return opened


def get(url: str = URL, **more: Any) -> Call:
    return Call(method="GET", url=url, **more)


async def test_a_stranger_s_document_is_fetched(there: Open) -> None:
    async with there(saying(b'{"a": 1}')) as here:
        reply: Reply = await here.fetch(get())
    assert (reply.status, reply.body) == (200, b'{"a": 1}')
    assert here.internet.dialled == [PUBLIC]
    assert here.connections == [HOST]  # TLS saw the name, and held the certificate against it
    assert b"Host: app.example\r\n" in here.requests[0]


async def test_a_special_address_is_never_dialled(there: Open) -> None:
    """SF-01, SF-02: no byte and no connection."""
    async with there() as here:
        for address in (*SPECIAL_4, *SPECIAL_6, "fe80::1%eth0"):
            here.names.answers[HOST] = [(address,)]
            with pytest.raises(Fault, match="not public"):
                await here.fetch(get())
    assert here.internet.dialled == []
    assert here.connections == []


@pytest.mark.parametrize("answers", [(PUBLIC, "10.0.0.1"), ("10.0.0.1", PUBLIC), (PUBLIC, "2a00::1", "::1"), ()])
async def test_all_answers_pass_or_none(there: Open, answers: tuple[str, ...]) -> None:
    """SF-04."""
    async with there() as here:
        here.names.answers[HOST] = [answers]
        with pytest.raises(Fault):
            await here.fetch(get())
    assert here.internet.dialled == []


async def test_a_name_is_looked_up_once_and_what_was_checked_is_dialled(there: Open) -> None:
    """SF-05: the name server says a public address first, and our own loopback from then on."""
    async with there() as here:
        here.names.answers[HOST] = [(PUBLIC,), ("127.0.0.1",)]
        assert (await here.fetch(get())).status == 200
        assert here.names.asked == [HOST]
        assert here.internet.dialled == [PUBLIC]
        assert (await here.fetch(get(URL + "?again"))).status == 200  # over the connection that is there
        assert here.internet.dialled == [PUBLIC]


async def test_a_new_connection_is_checked_anew(there: Open) -> None:
    """SF-05: rebinding between two connections."""
    async with there(saying(b"{}", "Connection: close")) as here:
        here.names.answers[HOST] = [(PUBLIC,), ("127.0.0.1",)]
        assert (await here.fetch(get())).status == 200
        with pytest.raises(Fault, match="not public"):
            await here.fetch(get())
    assert here.internet.dialled == [PUBLIC]


async def test_of_two_good_addresses_the_one_that_answers_is_used(there: Open) -> None:
    async with there() as here:
        here.names.answers[HOST] = [("2a00::1", PUBLIC)]
        here.internet.dead = frozenset({"2a00::1"})
        assert (await here.fetch(get())).status == 200
    assert here.internet.dialled == ["2a00::1", PUBLIC]


NOWHERE = (
    *("https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://127.0.0.1/"),
    *("https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://93.184.216.34/"),
    *("https://app.example./", "https://１２７.0.0.1/", "https://%31%32%37.0.0.1/", "https://app%2eexample/"),
    *("https://localhost/", "https://a.localhost/", "https://metadata.google.internal/", "https://nas.local/"),
    *("https://intranet/", "https://app.example:8443/", "https://app.example:80/", "http://app.example/"),
    *("file:///etc/passwd", "ftp://app.example/", "gopher://app.example/", "data:,x", "jar:https://app.example!/"),
    *("unix:///var/run/x", "ws://app.example/", "wss://app.example/", "javascript:0", "//app.example/"),
    *("https://user@app.example/", "https://app.example\\@10.0.0.1/", "https://app.example#@10.0.0.1/", ""),
)


async def test_what_is_no_stranger_s_url_is_not_even_looked_up(there: Open) -> None:
    """SF-03, SF-06, SF-08, SF-09."""
    async with there() as here:
        for url in NOWHERE:
            with pytest.raises(Fault, match="not an allowed origin"):
                await here.fetch(get(url))
    assert here.names.asked == []
    assert here.internet.dialled == []


@pytest.mark.parametrize("alias", ["127.0.0.1", "::1"])
async def test_an_alias_of_localhost_is_judged_by_where_it_leads(there: Open, alias: str) -> None:
    """SF-06: a CNAME to localhost shows in the addresses."""
    async with there() as here:
        here.names.answers[HOST] = [(alias,)]
        with pytest.raises(Fault, match=r"loopback|reserved|compatible"):
            await here.fetch(get())


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P", "300 M", "304 N"])
async def test_a_redirect_is_not_followed(there: Open, status: str) -> None:
    """SF-07."""
    async with there(saying(b"", "Location: https://inner.example/", status=status)) as here:
        assert str((await here.fetch(get())).status) == status[:3]
    assert len(here.requests) == 1


async def test_who_follows_a_redirect_comes_through_the_same_door(there: Open) -> None:
    """SF-07: the second hop leads inside, by a name and by an address; it is checked as the first was."""
    async with there(saying(b"", "Location: https://inner.example/", status="302 F")) as here:
        here.names.answers["inner.example"] = [("169.254.169.254",)]
        reply: Reply = await here.fetch(get())
        for onward in (
            reply.headers.all("location")[0],
            "https://10.0.0.1/",
            "http://app.example/",
            "file:///etc/passwd",
        ):
            with pytest.raises(Fault, match=r"not public|not an allowed origin"):
                await here.fetch(get(onward))
    assert here.internet.dialled == [PUBLIC]


async def test_a_certificate_is_for_the_name_and_by_an_authority(there: Open, authority: trustme.CA) -> None:
    """SF-11: another name, another authority, no longer in its time."""
    late = authority.issue_cert(HOST, not_after=datetime(2020, 1, 1, tzinfo=UTC))
    for tls in (authority.issue_cert("other.example"), trustme.CA().issue_cert(HOST), late):
        async with there(tls=tls) as here:
            with pytest.raises(Fault, match="could not be reached"):
                await here.fetch(get())
        assert here.requests == []


def test_old_tls_is_not_spoken() -> None:
    """SF-11."""
    tls = tls_context()
    assert tls.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert tls.verify_mode == ssl.CERT_REQUIRED
    assert tls.check_hostname


async def test_the_environment_has_no_say(there: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SF-10: a proxy would look the name up by itself; a .netrc would hand out passwords."""
    (tmp_path / ".netrc").write_text(f"machine {HOST} login u password hush")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with there() as here:
        assert (await here.fetch(get())).status == 200
    assert here.internet.dialled == [PUBLIC]
    assert b"authorization" not in here.requests[0].lower()


async def test_endless_and_packed_answers_are_cut_off(there: Open) -> None:
    """SF-12, CM-05: an endless chunked body; a length that lies; a bomb; headers without an end."""

    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"400\r\n" + b" " * 1024 + b"\r\n")
            await writer.drain()

    async def lying(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b" " * 100_000)

    async def heads(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: " + b"y" * 1000 + b"\r\n")
            await writer.drain()

    bomb = saying(gzip.compress(b"\0" * 1_000_000), "Content-Encoding: gzip")
    for says in (endless, heads, bomb):
        async with there(says) as here:
            with pytest.raises(Fault):
                await here.fetch(get(bytes_max=5120))
    async with there(lying) as here:
        assert (await here.fetch(get(bytes_max=5120))).body == b" " * 10


async def test_a_thousand_who_want_one_document_make_one_request(there: Open) -> None:
    """CM-12, and the issue's own case."""
    async with there(saying(b"[1]")) as here:
        told = await asyncio.gather(*(here.fetch(get()) for _ in range(1000)))
        assert {reply.body for reply in told} == {b"[1]"}
        assert len(here.requests) == 1
        await here.fetch(get())  # the flight has landed: nothing of it is kept
    assert len(here.requests) == 2
    assert here.internet.dialled == [PUBLIC]


async def test_a_failure_is_everybody_s_and_nobody_s_next_time(there: Open) -> None:
    """CM-11: an error is not kept."""
    row = [b"x" * 100, b"{}"]

    async def says(_: bytes, writer: asyncio.StreamWriter) -> None:
        await saying(row.pop(0))(_, writer)

    async with there(says) as here:
        told = await asyncio.gather(*(here.fetch(get(bytes_max=10)) for _ in range(10)), return_exceptions=True)
        assert all(isinstance(each, Fault) for each in told)
        assert (await here.fetch(get(bytes_max=10))).body == b"{}"
    assert len(here.requests) == 2


async def test_who_goes_away_takes_nobody_s_answer_along(there: Open) -> None:
    release = asyncio.Event()

    async def says(_: bytes, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await saying(b"[1]")(_, writer)

    async with there(says) as here:
        first, second = (asyncio.create_task(here.fetch(get())) for _ in range(2))
        while not here.requests:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        release.set()
        assert (await second).body == b"[1]"


async def test_a_call_that_says_who_we_are_is_nobody_else_s(there: Open) -> None:
    async with there() as here:
        with_key = get(headers=(("authorization", "Bearer a"),))
        await asyncio.gather(here.fetch(with_key), here.fetch(with_key), here.fetch(get()))
    assert len(here.requests) == 3


async def test_slow_strangers_hold_up_nobody_else(there: Open) -> None:
    """SF-14: more tarpits than there are connections; a configured peer is reached all the same."""
    release = asyncio.Event()
    slow = [f"s{n}.example" for n in range(CONNECTIONS_MAX + 4)]

    async def says(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"Host: peer.example" not in request:
            await release.wait()
        await saying()(request, writer)

    patient = {"seconds": 30.0, "connect_seconds": 30.0, "idle_seconds": 30.0}  # nobody is to be given up meanwhile
    origins = ("https://peer.example",)
    async with there(says, names=(*slow, "peer.example"), allowed_origins=origins, **patient) as here:
        stuck = [asyncio.create_task(here.fetch(get(f"https://{host}/"))) for host in slow]
        while len(here.requests) < CONNECTIONS_MAX:
            await asyncio.sleep(0)
        assert (await here.fetch(get("https://peer.example/"))).status == 200
        assert len(here.requests) == CONNECTIONS_MAX + 1  # bounded: the others wait for their turn
        release.set()
        assert {reply.status for reply in await asyncio.gather(*stuck)} == {200}


async def test_a_configured_peer_may_be_inside(there: Open) -> None:
    """SF-16: by name, scheme and port, and for nobody else."""
    async with there(allowed_origins=("https://app.example",), names=(HOST,)) as here:
        here.names.answers[HOST] = [("10.0.0.1",)]
        here.names.answers["b.app.example"] = [("10.0.0.1",)]
        assert (await here.fetch(get())).status == 200
        for url in ("https://b.app.example/", "https://app.example:8443/", "http://app.example/"):
            with pytest.raises(Fault):
                await here.fetch(get(url))
    assert here.internet.dialled == ["10.0.0.1"]


async def test_what_a_document_names_is_fetched_by_the_same_rules(there: Open) -> None:
    """CM-08, N9, N12: a client's document, and the keys that a good one names, on a name that leads inside."""
    documents = {
        b"GET /client.json": a_document(URL, jwks=None, jwks_uri="https://keys.example/jwks"),
        b"GET /loopback.json": a_document(
            f"https://{HOST}/loopback.json", jwks=None, jwks_uri="https://127.0.0.1/jwks"
        ),
    }

    async def says(request: bytes, writer: asyncio.StreamWriter) -> None:
        path = request.partition(b" HTTP")[0]
        await saying(json_bytes(documents[path]))(request, writer)

    async with there(says) as here:
        here.names.answers["keys.example"] = [("10.0.0.1",)]
        here.names.answers["inner.example"] = [("169.254.169.254",)]
        way = document.way(document.Settings(audiences=("*",)), frozenset({"private_key_jwt"}))
        env = ports(MemoryStore(), fetch=here.fetch)
        for client_id, rule in (
            ("https://inner.example/client.json", document.FOUND),
            (URL, document.KEYS_FOUND),
            (f"https://{HOST}/loopback.json", document.KEYS_FOUND),
        ):
            with pytest.raises(Refusal) as refused:
                await way.find(client_id, env)
            assert refused.value.rule is rule
    assert set(here.internet.dialled) == {PUBLIC}
    assert here.names.asked.count("keys.example") == 1


async def test_one_sentence_for_whatever_went_wrong(there: Open) -> None:
    """SF-15: what goes out is the same; what the log is told names no path and no query."""
    async with there() as here:
        here.names.answers[HOST] = [("127.0.0.1",)]
        with pytest.raises(Fault) as problem:
            await here.fetch(get(URL + "?code=hush"))
    assert "hush" not in str(problem.value)
    assert "client.json" not in str(problem.value)


@pytest.fixture
def silent() -> Iterator[Says]:
    async def says(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    return iter([says])


def test_the_budget_is_five_seconds_and_two_to_connect() -> None:
    """CM-06, SF-08: what holds where nobody set anything else."""
    told = Settings()
    assert (told.seconds, told.connect_seconds, told.ports, told.allowed_origins) == (5.0, 2.0, (443,), ())
    assert told.idle_seconds < told.seconds


async def test_a_slow_drip_ends_with_the_budget(there: Open, silent: Iterator[Says]) -> None:
    """CM-06: a byte now and then is never idle, and is cut off all the same."""
    async with there(next(silent), seconds=0.15) as here:
        with pytest.raises(Fault, match="in time"):
            await here.fetch(get())


async def test_a_name_server_and_a_connection_that_hang_are_given_up() -> None:
    """CM-06."""

    async def never(_: str, __: int) -> tuple[str, ...]:
        await anyio.sleep_forever()
        return ()

    async def hanging(_: str, __: int, ___: float | None) -> httpcore2.AsyncNetworkStream:
        await anyio.sleep_forever()
        raise AssertionError

    quick = Settings(connect_seconds=0.05)
    for fetch in (
        GuardedFetch(settings=quick, resolve=never),
        GuardedFetch(settings=quick, resolve=Names(), dial=hanging),
    ):
        with pytest.raises(Fault, match="in time"):
            await fetch(get())
        await fetch.aclose()
