"""The guard behind a real server on loopback, asking a real one: the whole way, and what no client sends."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from deputize.adapters.guarded_fetch import GuardedFetch
from deputize.adapters.policy import SettingsPolicy
from deputize.adapters.sqlite import SqliteStore
from deputize.adapters.system import SystemClock, SystemRandom
from deputize.core.ports import Env
from deputize.core.wire import json_object
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import challenge, dpop, metadata
from deputize.resource import Guard
from deputize.resource.asgi import App
from tests.resource.world import ORDER, READ, THIRTY, THREE_HUNDRED, Api, NoNotify, NoSigner, describe_order
from tests.support.issuer import SmallIssuer

pytestmark = pytest.mark.parametrize("http", ["h11", "httptools"])


def listening() -> socket.socket:
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    return found


def url_of(found: socket.socket) -> str:
    return f"http://127.0.0.1:{found.getsockname()[1]}"


@asynccontextmanager
async def served(app: App, at: socket.socket, http: Any) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, http=http, log_level="critical", lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[at]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await task


class Pharmacy:
    """A pharmacy's API and the server that it trusts, each behind a socket of its own."""

    def __init__(self, folder: Path) -> None:
        self.api_at, self.issuer_at = listening(), listening()
        self.url = url_of(self.api_at)
        self.clock = SystemClock()
        self.key, self.agent = PrivateKey.generate(), PrivateKey.generate()
        self.issuer = SmallIssuer(self.clock, {self.url: KeySet.of(self.key.public())}, url=url_of(self.issuer_at))
        self.store = SqliteStore(folder / "guard.db")
        self.fetch = GuardedFetch(frozenset({self.issuer.url}))
        env = Env(
            clock=self.clock,
            random=SystemRandom(),
            store=self.store,
            fetch=self.fetch,
            signer=NoSigner(),
            notify=NoNotify(),
            policy=SettingsPolicy(),
        )
        guard = Guard(resource=self.url, issuer=self.issuer.url, env=env, key=self.key, name="Madrid Pharmacy")
        guard.needs("GET", "/prescriptions", scope=READ)
        guard.needs("POST", "/orders", scope=ORDER, approve=describe_order)
        self.api = Api()
        self.app = guard.wrap(self.api)

    def token(self, **claims: Any) -> str:
        told = {"aud": self.url, "scope": f"{READ} {ORDER}", "act": {"sub": "pharmacy-bot"}, **claims}
        return self.issuer.mint(bound_to=self.agent, **told)

    def shown(self, token: str, method: str, path: str) -> dict[str, str]:
        proof = dpop.prove(
            self.agent,
            method=method,
            url=self.url + path,
            jti=SystemRandom()(128),
            now=self.clock(),
            access_token=token,
        )
        return {"authorization": f"DPoP {token}", "dpop": proof}

    async def raw(self, request: bytes) -> bytes:
        """What is answered to these bytes, until the server closes the connection or has no more to say."""
        reader, writer = await asyncio.open_connection(*self.api_at.getsockname())
        writer.write(request)
        answered = b""
        try:
            while part := await asyncio.wait_for(reader.read(65536), 0.2 if answered else 1):
                answered += part
        except (TimeoutError, ConnectionResetError):
            pass
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return answered


@asynccontextmanager
async def open_pharmacy(folder: Path, http: str) -> AsyncIterator[Pharmacy]:
    pharmacy = Pharmacy(folder)
    try:
        async with served(pharmacy.issuer, pharmacy.issuer_at, http):
            try:
                async with served(pharmacy.app, pharmacy.api_at, http):
                    yield pharmacy
            finally:
                await pharmacy.fetch.aclose()
    finally:
        await pharmacy.store.close()


async def test_the_whole_way_of_an_order(tmp_path: Path, http: str) -> None:
    """Found out, refused, described, approved, run; once, and not altered; and taken back at once."""
    async with open_pharmacy(tmp_path, http) as pharmacy, httpx2.AsyncClient(base_url=pharmacy.url) as client:
        stranger = await client.get("/prescriptions")
        scheme, params = challenge.challenge_params(stranger.headers.get_list("www-authenticate")[1])
        assert (stranger.status_code, scheme) == (401, "DPoP")
        document = (await client.get(params["resource_metadata"])).json()
        assert document["authorization_servers"] == [pharmacy.issuer.url]

        token = pharmacy.token()
        read = await client.get("/prescriptions?page=1", headers=pharmacy.shown(token, "GET", "/prescriptions"))
        assert (read.status_code, read.json()["subject"]) == (200, "alice")

        accepts = {challenge.ACCEPTS: "?1"}
        first = await client.post(
            "/orders", content=THIRTY, headers={**pharmacy.shown(token, "POST", "/orders"), **accepts}
        )
        _, params = challenge.challenge_params(first.headers["www-authenticate"])
        keys = KeySet.from_jwks((await client.get(document["txn_challenge_jwks_uri"])).json())
        signed = challenge.read(
            params["transaction_challenge"],
            keys,
            resource=pharmacy.url,
            authorization_server=pharmacy.issuer.url,
            now=pharmacy.clock(),
        )
        # What the server does when Alice allows it: a token for these details and this transaction, and no scope.
        details = [detail.members for detail in signed.details]
        approved = pharmacy.token(scope=None, authorization_details=details, txn=signed.txn)
        statuses = []
        for body in (THREE_HUNDRED, THIRTY, THIRTY):
            told = await client.post("/orders", content=body, headers=pharmacy.shown(approved, "POST", "/orders"))
            statuses.append(told.status_code)
        assert statuses == [401, 200, 401]
        assert [body for _, body in pharmacy.api.seen] == [b"", THIRTY]

        pharmacy.issuer.take_back(token)
        gone = await client.get("/prescriptions", headers=pharmacy.shown(token, "GET", "/prescriptions"))
        assert (gone.status_code, gone.json()["error"]) == (401, "invalid_token")


NO_CLIENT_SENDS = (
    b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n",
    b"BREW /prescriptions HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /prescriptions HTTP/3.7\r\nhost: x\r\n\r\n",
    b"GET /prescriptions\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\r\n\r\n",
    b"GET //prescriptions HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /prescriptions/../orders HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET http://evil.example/prescriptions HTTP/1.1\r\nhost: api.example\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /prescriptions%00 HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /prescriptions%ff?%zz HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
    b"POST /orders HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    b"GET /prescriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe\r\n\r\n",
    b"GET /prescriptions HTTP/1.1\r\nhost: x\r\nauthorization:\r\n\r\n",
)


async def test_ht_01_03_what_no_client_sends(tmp_path: Path, http: str) -> None:
    """Refused or cut off, never a 5xx, never the API; and the next one is served."""
    async with open_pharmacy(tmp_path, http) as pharmacy, httpx2.AsyncClient(base_url=pharmacy.url) as client:
        for request in NO_CLIENT_SENDS:
            answered = await pharmacy.raw(request)
            assert answered == b"" or answered.split(b" ", 2)[1][:1] == b"4", (request, answered[:200])
        assert not pharmacy.api.seen
        told = await client.get("/prescriptions", headers=pharmacy.shown(pharmacy.token(), "GET", "/prescriptions"))
        assert told.status_code == 200


async def test_ht_02_pipelined_requests_are_answered_each_for_itself(tmp_path: Path, http: str) -> None:
    async with open_pharmacy(tmp_path, http) as pharmacy:

        def get(subject: str | None) -> bytes:
            shown = pharmacy.shown(pharmacy.token(sub=subject), "GET", "/prescriptions") if subject else {}
            lines = "".join(f"{name}: {value}\r\n" for name, value in {"host": "x", **shown}.items())
            return f"GET /prescriptions HTTP/1.1\r\n{lines}\r\n".encode()

        answered = await pharmacy.raw(get("alice") + get(None) + get("bob") + b"GET /prescr")
        statuses = [part.split(b" ", 1)[0] for part in answered.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"401", b"200"]
        assert [scope["deputize.caller"].subject for scope, _ in pharmacy.api.seen] == ["alice", "bob"]


async def test_ds_02_a_body_that_announces_too_much_is_not_read(tmp_path: Path, http: str) -> None:
    async with open_pharmacy(tmp_path, http) as pharmacy:
        shown = {**pharmacy.shown(pharmacy.token(), "POST", "/orders"), challenge.ACCEPTS: "?1"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in shown.items())
        head = f"POST /orders HTTP/1.1\r\nhost: x\r\n{lines}content-length: 5000000000\r\n\r\n".encode()
        answered = await pharmacy.raw(head)
        assert answered.split(b" ", 2)[1] == b"413"
        assert json_object(answered.partition(b"\r\n\r\n")[2])["error"] == "invalid_request"


async def test_ds_02_a_body_without_a_length_is_cut_at_the_bound(tmp_path: Path, http: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65536

    async with open_pharmacy(tmp_path, http) as pharmacy, httpx2.AsyncClient(base_url=pharmacy.url) as client:
        shown = {**pharmacy.shown(pharmacy.token(), "POST", "/orders"), challenge.ACCEPTS: "?1"}
        try:
            told = await client.post("/orders", content=endless(), headers=shown)
            assert told.status_code == 413
        except httpx2.NetworkError:
            pass  # the server hung up on the rest
        assert not pharmacy.api.seen


async def test_the_metadata_of_the_small_issuer_is_real(tmp_path: Path, http: str) -> None:
    """It is read by the same reader as any other server's."""
    async with open_pharmacy(tmp_path, http) as pharmacy, httpx2.AsyncClient(base_url=pharmacy.issuer.url) as client:
        document = (await client.get(metadata.OAUTH_WELL_KNOWN)).text
        assert metadata.read_server(json.loads(document)).introspection_endpoint == f"{pharmacy.issuer.url}/introspect"
