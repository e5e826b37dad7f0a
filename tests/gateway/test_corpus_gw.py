"""Group GW of the attack corpus, over real connections: each row that a first gateway meets, by its number."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deputize.adapters.memory import MemoryStore
from deputize.core.ports import Change, Question, Verdict
from deputize.core.rules import Fault
from deputize.core.values import Seconds, WebUrl
from deputize.core.wire import Call, Reply
from deputize.gateway.app import BUSY, NO_PAGE, OUR_NAME, TARGET
from deputize.gateway.body import SMALL, STEADY
from deputize.gateway.calls import POLICY
from deputize.gateway.routes import Route
from deputize.gateway.settings import Settings
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth.metadata import RESOURCE_WELL_KNOWN
from deputize.resource.asgi import PLAIN_PATH, Receive, Scope, Send
from deputize.sdk.agent import KeyShown
from tests.gateway.raw import Raw, raw
from tests.gateway.world import ECHO, World, body_of, loopback_socket, origin_of, say, usual_routes, world
from tests.support.cast import BOT, OTHER
from tests.support.proofs import lets_through, stops


def told(reply: httpx2.Response) -> tuple[int, str]:
    return reply.status_code, reply.json().get("error_description", "")


# --- GW-01 ------------------------------------------------------------------------------------------------------------


async def test_gw_01_who_is_not_known_reaches_nothing() -> None:
    async with world() as here, httpx2.AsyncClient(base_url=here.url, trust_env=False) as nobody:
        stranger = KeyShown(PrivateKey.generate())
        for reply in (
            await nobody.get("/leaky/x"),
            await nobody.get("/leaky/x", headers={"authorization": "Bearer x"}),
            await nobody.get("/leaky/x", auth=stranger),
            await nobody.get("/"),
            await nobody.get("/approvals/x"),
            await nobody.get("/nowhere"),
        ):
            assert reply.status_code == 401
            challenges = reply.headers.get_list("www-authenticate")
            assert {line.split(" ")[0] for line in challenges} == {"DPoP", "Bearer"}
            assert all(f'resource_metadata="{here.url}{RESOURCE_WELL_KNOWN}"' in line for line in challenges)
            assert reply.headers["cache-control"] == "no-store"
        assert here.leaky.seen == []
        metadata = await nobody.get(RESOURCE_WELL_KNOWN)
        assert (metadata.status_code, metadata.json()["resource"]) == (200, here.url)
        assert (await nobody.get("/healthz")).json() == {"alive": True}


async def test_gw_01_a_proof_that_was_overheard_is_used_up() -> None:
    async with world() as here, httpx2.AsyncClient(base_url=here.url, trust_env=False) as client:
        proof = {"dpop": here.proof("GET", "/leaky/x")}
        assert (await client.get("/leaky/x", headers=proof)).status_code == 200
        for again in (await client.get("/leaky/x", headers=proof), await client.post("/leaky/x", headers=proof)):
            assert (again.status_code, again.json()["error"]) == (401, "invalid_dpop_proof")
        assert len(here.leaky.seen) == 1


async def test_an_agent_is_told_its_own_routes_and_no_others() -> None:
    async with world() as here, here.agent() as bot, here.agent(OTHER) as other:
        mine, theirs = (await bot.get("/")).json(), (await other.get("/")).json()
        assert [route["prefix"] for route in mine["routes"]] == ["/pharmacy", "/leaky"]
        assert [route["prefix"] for route in theirs["routes"]] == ["/pharmacy"]
        assert theirs["routes"][0]["methods"] == ["GET", "POST"]
        assert here.origins["pharmacy"] not in json.dumps(mine)


# --- GW-02, 03, 04 ----------------------------------------------------------------------------------------------------

UNWANTED = {
    "authorization": "Bearer of-the-agent",
    "cookie": "session=of-the-agent",
    "proxy-authorization": "Basic of-the-agent",
    "x-api-key": "of-the-agent",
    "x-forwarded-for": "10.0.0.1",
    "forwarded": "for=10.0.0.1",
    "x-real-ip": "10.0.0.1",
    "x-forwarded-user": "root",
    "x_forwarded_user": "root",
    "X-Forwarded_User": "root",
    "remote-user": "root",
    "client-cert": ":MII=:",
    "accept-txn-challenge": "?1",
    "x-http-method-override": "DELETE",
    "accept-encoding": "gzip",
    "range": "bytes=0-10",
}


async def test_gw_02_gw_03_only_the_injected_credential_leaves() -> None:
    async with world() as here, here.agent() as bot:
        reply = await bot.get("/leaky/x?q=1", headers={**UNWANTED, "accept": "text/plain", "idempotency-key": "k"})
        assert reply.status_code == 200
        seen = here.leaky.headers()
        assert set(seen) == {
            "host", "accept", "user-agent", "idempotency-key", "authorization", "dpop", "accept-encoding",
        }  # fmt: skip
        assert seen["host"] == WebUrl(here.origins["leaky"]).origin.removeprefix("http://")
        assert seen["accept-encoding"] == "identity"
        assert "of-the-agent" not in repr(here.leaky.seen)
        token = seen["authorization"].removeprefix("DPoP ")
        claims = jwt.peek(token, "invalid_token")[1]
        assert (claims["aud"], claims["scope"], claims["sub"], claims["act"]) == (
            here.origins["leaky"], ECHO, "alice", {"sub": BOT},
        )  # fmt: skip
        proof = jwt.peek(seen["dpop"], "invalid_token")[1]
        assert (proof["htm"], proof["htu"]) == ("GET", f"{here.origins['leaky']}/x")
        assert seen["dpop"] != reply.request.headers["dpop"]


async def test_gw_04_connection_cannot_take_away_what_is_injected() -> None:
    async with world() as here:
        request = (
            b"GET /leaky/x HTTP/1.1\r\nHost: {host}\r\nDPoP: %b\r\n"
            b"Connection: close, Authorization, DPoP, Accept, Host\r\nAccept: text/html\r\n\r\n"
        ) % here.proof("GET", "/leaky/x").encode()
        assert (await raw(here.url, request)).status == 200
        seen = here.leaky.headers()
        assert seen["authorization"].startswith("DPoP eyJ")
        assert {"dpop", "host"} <= set(seen)
        assert "accept" not in seen


# --- GW-05, 06, 08: on the wire ---------------------------------------------------------------------------------------

HOST = b"Host: {host}\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
REFUSED: dict[str, tuple[bytes, set[int]]] = {
    "gw_05 folded": (b"GET /leaky/x HTTP/1.1\r\n" + HOST + b"Accept: a\r\n b\r\n\r\n", {400}),
    "gw_05 bare LF": (b"GET /leaky/x HTTP/1.1\r\n" + HOST + b"Accept: a\nAuthorization: x\r\n\r\n", {400}),
    "gw_05 bare CR": (b"GET /leaky/x HTTP/1.1\r\n" + HOST + b"Accept: a\rb\r\n\r\n", {400}),
    "gw_05 NUL": (b"GET /leaky/x HTTP/1.1\r\n" + HOST + b"Accept: a\x00b\r\n\r\n", {400}),
    "gw_05 space in a name": (b"GET /leaky/x HTTP/1.1\r\n" + HOST + b"Acc ept: a\r\n\r\n", {400}),
    "gw_05 space before the colon": (b"GET /leaky/x HTTP/1.1\r\n" + HOST + b"Accept : a\r\n\r\n", {400}),
    "gw_05 two hosts": (b"GET /leaky/x HTTP/1.1\r\n" + HOST + HOST + b"\r\n", {400}),
    "gw_05 two proofs": (b"GET /leaky/x HTTP/1.1\r\n" + HOST + b"DPoP: a\r\nDPoP: b\r\n\r\n", {400}),
    "gw_06 both lengths": (
        b"POST /leaky/x HTTP/1.1\r\n" + HOST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n", {400},
    ),
    "gw_06 two lengths": (
        b"POST /leaky/x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456", {400},
    ),
    "gw_06 the same length twice": (
        b"POST /leaky/x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345", {400},
    ),
    "gw_06 another coding": (
        b"POST /leaky/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", {400},
    ),
    "gw_06 a coding that is none": (
        b"POST /leaky/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400},
    ),
    "gw_08 connect": (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", {400, 405, 421, 501}),
    "gw_08 websocket": (
        b"GET /leaky/x HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", {501},
    ),
    "gw_08 h2c": (
        b"GET /leaky/x HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", {501},
    ),
    "gw_08 h2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    "gw_08 te": (b"GET /leaky/x HTTP/1.1\r\n" + HOST + b"TE: trailers\r\n\r\n", {501}),
    "gw_08 asterisk": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
}  # fmt: skip


async def test_gw_05_gw_06_gw_08_what_two_readers_could_understand_differently_is_refused() -> None:
    async with world() as here:
        answers = {name: await raw(here.url, data) for name, (data, _) in REFUSED.items()}
        wrong = {name: one for name, one in answers.items() if one.status not in REFUSED[name][1]}
        assert not wrong
        assert all(one.closed for name, one in answers.items() if name.startswith("gw_06"))
        assert here.leaky.seen == []


async def test_gw_06_a_trailer_is_dropped_and_an_extension_goes_nowhere() -> None:
    async with world() as here:
        head = b"POST /leaky/x HTTP/1.1\r\n" + HOST + CHUNKED
        shown = b"DPoP: %b\r\n" % here.proof("POST", "/leaky/x").encode()
        body = b"\r\n3;a=b\r\nabc\r\n0\r\nAuthorization: Bearer of-the-agent\r\nX-User: root\r\n\r\n"
        assert (await raw(here.url, head + shown + body)).status == 200
        assert here.leaky.seen[0][1] == b"abc"
        assert here.leaky.headers()["authorization"].startswith("DPoP eyJ")
        assert "x-user" not in here.leaky.headers()
        late = b"\r\n3\r\nabc\r\n0\r\nDPoP: %b\r\n\r\n" % here.proof("POST", "/leaky/x").encode()
        assert (await raw(here.url, head + late)).status == 401


@stops(TARGET)
async def test_gw_08_an_absolute_target_leads_nowhere_else() -> None:
    """A parser that hides the authority of such a target leaves a path: then `Host` is what is held."""
    async with world() as here:
        scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": "http://evil.example/leaky/x",
            "raw_path": b"http://evil.example/leaky/x",
            "query_string": b"",
            "headers": [(b"host", here.url.removeprefix("http://").encode())],
            "client": ("127.0.0.1", 1),
        }
        assert await _status_of(here, scope) == 400
        sent = await raw(here.url, b"GET http://evil.example/leaky/x HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert sent.status in {400, 421}
        assert here.leaky.seen == []


async def _status_of(here: World, scope: Scope) -> int:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await here.gateway(scope, receive, send)
    return int(sent[0]["status"])


# --- GW-07, 09 --------------------------------------------------------------------------------------------------------


async def got(here: World, target: str, path: str | None = None) -> Raw:
    """GET this target, byte for byte, with a good proof."""
    proof = here.proof("GET", path or target.partition("?")[0])
    request = f"GET {target} HTTP/1.1\r\nHost: {{host}}\r\nDPoP: {proof}\r\n\r\n"
    return await raw(here.url, request.encode("latin-1"))


@pytest.mark.parametrize(
    "paths",
    [
        ["/leaky/../pharmacy/x", "/leaky/..", "/leaky/./x", "/leaky/.", "/../leaky/x", "/leaky/x/.."],
        ["/leaky//x", "//leaky/x", "/leaky/x//", "//evil.example/leaky"],
        ["/leaky/%2e%2e/x", "/leaky/%2E/x", "/leaky/.%2e/x", "/leaky/a%2fb", "/leaky/a%2Fb", "/leaky%2fx"],
        ["/leaky/a%5cb", "/leaky/a\\b", "/leaky/..\\x", "/leaky/a;b=c", "/leaky/a%3bb", "/leaky;x/y"],
        ["/leaky/a%00b", "/leaky/a%0ab", "/leaky/a%0d%0aX:y", "/leaky/a%7fb", "/leaky/a%ffb", "/leaky/%c0%af/x"],
        ["/leaky/%252e%252e/x", "/leaky/a%25b", "/leaky/a%", "/leaky/a%2", "/leaky/a%zz"],
        ["/leaky/%61dmin", "/%6ceaky/x", "/leaky/a%2Db", "/leaky/a%7Eb", "/leaky/a|b", "/leaky/a^b", '/leaky/a"b'],
    ],
)
@stops(PLAIN_PATH)
async def test_gw_07_a_path_with_two_readings_is_refused(paths: list[str]) -> None:
    async with world() as here:
        assert {path: (await got(here, path)).status for path in paths} == dict.fromkeys(paths, 400)
        assert here.leaky.seen == []


@lets_through(TARGET, OUR_NAME, NO_PAGE, PLAIN_PATH)
async def test_gw_07_policy_and_api_see_the_same_path_and_the_query_is_kept_byte_for_byte() -> None:
    targets = [
        "/leaky/a%20b/c%C3%A9/d",
        "/leaky/a:b@c!$&'()*+,=~",
        "/leaky/x?q=%2F..%2f&y=[1]&z=a+b&e=&&;p=%zz",
        "/leaky/x?",
        "/leaky/",
        "/leaky/trailing/",
    ]
    async with world() as here:
        for target in targets:
            assert (await got(here, target)).status == 200
            scope = here.leaky.seen[-1][0]
            path, _, query = target.removeprefix("/leaky").partition("?")
            assert (scope["raw_path"].decode(), scope["query_string"].decode()) == (path, query)
        paths = [event.told["path"] for event in await here.trail()]
        assert paths == [target.partition("?")[0] for target in targets]


@stops(OUR_NAME)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "{host}.evil.example", "user@{host}", "127.0.0.1", "127.0.0.1:1", "[::1]:9410", "localhost", ""],
)
async def test_gw_09_gw_22_another_host_is_misdirected(host: str) -> None:
    async with world() as here:
        proof = here.proof("GET", "/leaky/x")
        request = f"GET /leaky/x HTTP/1.1\r\nHost: {host}\r\nDPoP: {proof}\r\n\r\n".encode()
        assert (await raw(here.url, request)).status in {400, 421}
        assert here.leaky.seen == []


@stops(NO_PAGE)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "http://localhost:9410"])
async def test_gw_22_a_page_of_another_origin_is_refused(origin: str) -> None:
    async with world() as here, here.agent() as bot:
        for path in ("/leaky/x", "/", "/healthz"):
            assert told(await bot.get(path, headers={"origin": origin})) == (403, NO_PAGE.says)
        assert (await bot.get("/leaky/x", headers={"origin": here.url})).status_code == 200
        assert len(here.leaky.seen) == 1


# --- GW-10, 11 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_gw_10_a_redirect_is_not_followed_and_leads_nowhere_else(status: int) -> None:
    async with world() as here, here.agent() as bot:
        elsewhere = [
            "https://evil.example/x",
            "//evil.example/x",
            here.origins["pharmacy"] + "/x",
            here.origins["leaky"] + ".evil.example/",
            here.origins["leaky"].replace("http://", "http://user@") + "/x",
            "javascript:alert(1)",
            "http://[",
        ]
        where = [*elsewhere, "/next?a=b", here.origins["leaky"] + "/next", "next", "/a/../b"]

        async def redirect(scope: Scope, _: bytes, send: Send) -> None:
            target = where[int(scope["query_string"])]
            await say(send, b"", status=status, headers=(("location", target),))

        here.leaky.answer = redirect
        found = [await bot.get(f"/leaky/dir/x?{number}") for number in range(len(where))]
        assert {reply.status_code for reply in found} == {status}
        told_of = [reply.headers.get("location") for reply in found]
        assert told_of == [None] * len(elsewhere) + ["/leaky/next?a=b", "/leaky/next", "/leaky/dir/next", "/leaky/b"]
        assert len(here.leaky.seen) == len(where)


async def test_gw_11_what_an_api_says_of_credentials_stays_here() -> None:
    async def answer(scope: Scope, _: bytes, send: Send) -> None:
        token = dict(scope["headers"])[b"authorization"].decode()
        headers = (
            ("set-cookie", "session=1"),
            ("www-authenticate", f'DPoP error="x", token="{token}"'),
            ("authentication-info", token),
            ("dpop-nonce", "n"),
            ("x-debug-authorization", token),
            ("etag", f'"{token}"'),
            ("content-disposition", f"attachment; filename={token.split('.')[2]}"),
            ("proxy-authenticate", "Basic"),
        )
        await say(send, f"You sent {token}.".encode(), headers=headers)

    async with world() as here, here.agent() as bot:
        here.leaky.answer = answer
        reply = await bot.get("/leaky/x")
        token = here.leaky.headers()["authorization"].removeprefix("DPoP ")
        assert not {
            "set-cookie",
            "www-authenticate",
            "authentication-info",
            "dpop-nonce",
            "x-debug-authorization",
        } & set(reply.headers)
        everything = reply.text + repr(reply.headers)
        assert not [part for part in token.split(".")[1:] if part in everything]
        assert reply.text.startswith("You sent DPoP **")
        assert reply.text.endswith("**")


async def test_gw_11_an_answer_that_cannot_be_looked_through_is_no_answer() -> None:
    async def answer(_: Scope, __: bytes, send: Send) -> None:
        await say(send, b"\x1f\x8b", headers=(("content-encoding", "gzip"),))

    async with world() as here, here.agent() as bot:
        here.leaky.answer = answer
        assert (await bot.get("/leaky/x")).status_code == 502


# --- GW-12, 13, 23, 24 ------------------------------------------------------------------------------------------------


async def test_gw_12_another_agents_route_is_as_if_it_were_not_there() -> None:
    async with world() as here, here.agent(OTHER) as other:
        theirs, none = await other.get("/leaky/x"), await other.get("/no-such/x")
        assert (theirs.status_code, theirs.content) == (none.status_code, none.content) == (404, none.content)
        assert {*theirs.headers} == {*none.headers}
        assert here.leaky.seen == []


async def test_gw_13_each_call_is_held_against_its_route_and_gets_no_more_than_it_needs() -> None:
    async with world() as here, here.agent() as bot:
        refused = await bot.delete("/pharmacy/prescriptions")
        assert refused.status_code == 405
        assert refused.headers["allow"] == "GET, POST"
        assert (await bot.request("TRACE", "/leaky/x")).status_code in {400, 405}
        assert (await bot.get("/pharmacy/prescriptions")).status_code == 200
        narrow = await bot.post("/pharmacy/prescriptions", content=b"{}")  # a write, where the API has none
        assert narrow.status_code == 403
        assert here.pharmacy.orders == []


@lets_through(POLICY)
@stops(POLICY)
async def test_gw_13_the_operators_policy_has_the_last_word() -> None:
    class NoLeaks:
        async def may(self, question: Question) -> Verdict:
            return Verdict(allowed=ECHO not in question.scope, because="no leaks")

    async with world(policy=NoLeaks()) as here, here.agent() as bot:
        assert (await bot.get("/pharmacy/prescriptions")).status_code == 200
        assert told(await bot.get("/leaky/x")) == (403, POLICY.says)
        assert here.leaky.seen == []


class Broken:
    """A port that breaks in one way or another when it is used."""

    def __init__(self, problem: Exception) -> None:
        self.problem = problem

    async def may(self, question: Question) -> Verdict:
        del question
        raise self.problem

    def __call__(self, *_: object) -> Any:
        raise self.problem


class BrokenStore(MemoryStore):
    """Cannot write."""

    def __init__(self, problem: Exception) -> None:
        super().__init__()
        self.problem = problem

    async def commit(self, *changes: Change) -> bool:
        del changes
        raise self.problem


class BrokenFetch:
    """Cannot fetch."""

    def __init__(self, problem: Exception) -> None:
        self.problem = problem

    async def __call__(self, call: Call) -> Reply:
        del call
        raise self.problem


@pytest.mark.parametrize("port", ["policy", "store", "fetch", "clock", "random"])
@pytest.mark.parametrize("problem", [Fault("out of reach", retry=True), RuntimeError("a bug"), KeyError("x")])
async def test_gw_23_gw_24_whatever_breaks_nothing_goes_through(port: str, problem: Exception) -> None:
    broken: dict[str, Any] = {
        "policy": Broken(problem),
        "store": BrokenStore(problem),
        "fetch": BrokenFetch(problem),
        "clock": Broken(problem),
        "random": Broken(problem),
    }
    async with world(**{port: broken[port]}) as here, here.agent() as bot:
        reply = await bot.get("/leaky/x")
        assert reply.status_code == (503 if isinstance(problem, Fault) else 500)
        assert "out of reach" not in reply.text
        assert "bug" not in reply.text
        assert here.leaky.seen == []


# --- GW-19, 20: bounds ------------------------------------------------------------------------------------------------


@lets_through(SMALL, STEADY)
async def test_gw_19_a_large_body_streams_through() -> None:
    size = 8 * 1024 * 1024
    async with world() as here, here.agent() as bot:

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(size // 65536):
                yield b"x" * 65536

        assert (await bot.put("/leaky/x", content=parts())).status_code == 200
        assert (await bot.put("/leaky/x", content=b"y" * size)).status_code == 200
        assert [len(body) for _, body in here.leaky.seen] == [size, size]
        assert here.leaky.headers(0)["transfer-encoding"] == "chunked"
        assert here.leaky.headers(1)["content-length"] == str(size)


@stops(SMALL)
async def test_gw_19_a_body_beyond_its_bound_is_refused() -> None:
    def small(usual: Settings) -> Settings:
        return replace(usual, body_max=1000, kept_max=500)

    async with world(settings=small) as here, here.agent() as bot:

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * 100

        assert told(await bot.put("/leaky/x", content=b"x" * 1001)) == (413, SMALL.says)
        assert told(await bot.put("/leaky/x", content=parts())) == (413, SMALL.says)
        assert told(await bot.post("/pharmacy/orders", content=b"x" * 501)) == (413, SMALL.says)
        assert (await bot.put("/leaky/x", content=b"x" * 1000)).status_code == 200
        assert [len(body) for _, body in here.leaky.seen if len(body) == 1000] == [1000]


@stops(STEADY)
async def test_gw_19_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with world(settings=lambda usual: replace(usual, idle_seconds=Seconds(1))) as here:
        proof = here.proof("POST", "/pharmacy/orders").encode()
        head = b"POST /pharmacy/orders HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\nDPoP: %b\r\n\r\n{" % proof
        answer = await raw(here.url, head)
        assert (answer.status, answer.closed) == (408, True)


@lets_through(BUSY)
@stops(BUSY)
async def test_gw_19_an_agent_makes_so_many_calls_at_a_time() -> None:
    release = asyncio.Event()

    async def slow(_: Scope, __: bytes, send: Send) -> None:
        await release.wait()
        await say(send, b"done")

    async with world(settings=lambda usual: replace(usual, calls_max=3)) as here, here.agent() as bot:
        here.leaky.answer = slow
        calls = [asyncio.create_task(bot.get("/leaky/x")) for _ in range(3)]
        async with asyncio.timeout(10):
            while len(here.leaky.seen) < 3:
                await asyncio.sleep(0.01)
        assert told(await bot.get("/leaky/x")) == (429, BUSY.says)
        async with here.agent(OTHER) as other:  # one agent's calls are not another's affair
            assert (await other.get("/pharmacy/prescriptions")).status_code == 200
        release.set()
        assert [(await call).status_code for call in calls] == [200] * 3
        assert (await bot.get("/leaky/x")).status_code == 200


async def test_gw_19_events_pass_as_they_come_and_end_when_nobody_listens() -> None:
    left = asyncio.Event()

    async def events(_: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True})
        await receive()  # until the gateway is no longer there
        left.set()

    async with world(leaky=events) as here, here.agent() as bot, asyncio.timeout(10):
        async with bot.stream("GET", "/leaky/x") as reply:
            assert reply.headers["content-type"] == "text/event-stream"
            assert await anext(aiter(reply.aiter_raw())) == b"data: tick\n\n"
            assert not left.is_set()
        await left.wait()


async def test_gw_19_an_answer_that_breaks_off_is_known_to_be_cut() -> None:
    async def half(_: Scope, __: bytes, send: Send) -> None:
        head = [(b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async with world() as here, here.agent() as bot:
        here.leaky.answer = half
        with pytest.raises(httpx2.RemoteProtocolError):
            await bot.get("/leaky/x")


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody has vouched for."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]),
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (folder / "pem").write_bytes(key.private_bytes(pem, *plain) + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem")
    return context


async def test_gw_20_an_api_that_nobody_vouches_for_gets_nothing(tmp_path: Path) -> None:
    read: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        read.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", ssl=certificate(tmp_path))
    there = WebUrl(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    def moved(origins: dict[str, str]) -> tuple[Route, ...]:
        pharmacy, other, leaky = usual_routes(origins)
        return pharmacy, other, replace(leaky, upstream=there)

    async with server, world(routes=moved) as here, here.agent() as bot:
        reply = await bot.get("/leaky/x")
        assert (reply.status_code, reply.json()["error"]) == (502, "bad_gateway")
    assert b"".join(read) == b""


async def test_gw_20_an_api_without_tls_is_not_spoken_to_in_the_clear() -> None:
    def over_tls(origins: dict[str, str]) -> tuple[Route, ...]:
        pharmacy, other, leaky = usual_routes(origins)
        return pharmacy, other, replace(leaky, upstream=WebUrl(origins["leaky"].replace("http:", "https:")))

    async with world(routes=over_tls) as here, here.agent() as bot:
        reply = await bot.get("/leaky/x")  # it speaks no TLS at all
        assert (reply.status_code, reply.json()["error"]) == (502, "bad_gateway")
        assert here.leaky.seen == []


async def test_gw_20_an_api_that_is_not_there_is_nobodys_secret() -> None:
    free = loopback_socket()
    nowhere = WebUrl(origin_of(free))
    free.close()

    def moved(origins: dict[str, str]) -> tuple[Route, ...]:
        pharmacy, other, leaky = usual_routes(origins)
        return pharmacy, other, replace(leaky, upstream=nowhere)

    async with world(routes=moved) as here, here.agent() as bot:
        reply = await bot.get("/leaky/x")
        assert (reply.status_code, reply.json()["error"]) == (502, "bad_gateway")
        assert nowhere.text.removeprefix("http://") not in reply.text
