"""The whole way over HTTP, against our own server and guard: found, signed in, used, renewed, stepped up."""

import threading

import anyio
import anyio.from_thread
import anyio.to_thread
import httpx2
import pytest

from deputize.adapters.system import SystemClock
from deputize.cli.trying import CodeTrial, obtain_by_code
from deputize.compose.client import guarded_send
from deputize.core.rules import Fault
from deputize.jose.keys import PrivateKey
from deputize.oauth import nonces
from deputize.sdk import Access, Attempt, LoopbackReceiver, OAuth, run
from deputize.sdk.calling import no_send
from tests.sdk.person import DESK, READ, Desk, a_desk


def client(desk: Desk, access: Access) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=desk.url, auth=OAuth(access, fetch=desk.fetch, avisit=desk.visit))


async def test_a_call_finds_its_server_and_a_person_and_is_let_in() -> None:
    async with a_desk() as desk, client(desk, desk.access(scope=frozenset({READ}))) as notes:
        told = await notes.get("/notes")
        assert (told.status_code, told.json()["subject"]) == (200, "alice")
        assert (await notes.get("/notes")).status_code == 200
        assert len(desk.visits) == 1
        assert "request_uri=" in desk.visits[0], "our server takes pushed requests"


async def test_more_scope_is_asked_for_beside_what_was_there() -> None:
    async with a_desk() as desk:
        access = desk.access(scope=frozenset({READ}))
        async with client(desk, access) as notes:
            assert (await notes.get("/notes")).status_code == 200
            assert (await notes.post("/notes", content=b"{}")).status_code == 200
            assert (await notes.get("/notes")).status_code == 200
            assert len(desk.visits) == 2


async def test_a_token_is_bound_to_the_key_and_a_nonce_is_taken_along() -> None:
    async with a_desk(dpop_required=True, proofs=nonces.Settings(nonces=True)) as desk:
        desk.key = PrivateKey.generate()
        async with client(desk, desk.access(scope=frozenset({READ}))) as notes:
            for _ in range(2):
                assert (await notes.get("/notes")).status_code == 200
        assert len(desk.visits) == 1


async def test_of_many_calls_one_renews_the_token() -> None:
    async with a_desk() as desk:
        desk.key = PrivateKey.generate()
        access = desk.access(scope=frozenset({READ}))
        async with client(desk, access) as notes:
            assert (await notes.get("/notes")).status_code == 200
            desk.world.clock.forward(3600)
            statuses: list[int] = []

            async def call() -> None:
                statuses.append((await notes.get("/notes")).status_code)

            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(call)
            assert statuses == [200] * 5
        assert len(desk.visits) == 1


async def test_who_signed_in_is_known_too() -> None:
    async with a_desk() as desk, client(desk, desk.access(scope=frozenset({READ, "openid"}))) as notes:
        assert (await notes.get("/notes")).status_code == 200


async def test_a_token_goes_to_no_other_origin() -> None:
    async with a_desk() as desk, a_desk() as other:
        access = desk.access(scope=frozenset({READ}))
        async with client(desk, access) as notes:
            assert (await notes.get("/notes")).status_code == 200
            elsewhere = notes.build_request("GET", other.url + "/notes")
            told = dict(run(access.shown(Attempt(), "GET", str(elsewhere.url)), no_send))
            assert told == {}


async def test_a_sync_client_and_a_browser_that_comes_back_to_loopback() -> None:
    """The receiver listens, the browser follows the redirect to it, and the program goes on."""
    async with a_desk() as desk:

        def opened(url: str) -> None:
            back = anyio.from_thread.run(desk.opened, url)
            assert httpx2.get(back, trust_env=False).status_code == 200

        def work() -> int:
            with LoopbackReceiver(open_page=opened) as receiver:
                desk.base = receiver.base
                access = desk.access(scope=frozenset({READ}))
                with httpx2.Client(
                    base_url=desk.url,
                    auth=OAuth(access, send=guarded_send(desk.issuer, desk.url), visit=receiver.visit),
                    trust_env=False,
                ) as notes:
                    assert notes.get("/notes").status_code == 200
                    return notes.post("/notes", content=iter([b"{", b"}"])).status_code

        assert await anyio.to_thread.run_sync(work) == 200
        assert len(desk.visits) == 2


async def test_where_nobody_is_there_nothing_is_opened() -> None:
    async with (
        a_desk() as desk,
        httpx2.AsyncClient(base_url=desk.url, auth=OAuth(desk.access(), fetch=desk.fetch)) as notes,
    ):
        with pytest.raises(Fault, match="nobody is there"):
            await notes.get("/notes")


async def test_try_code_tells_each_step() -> None:
    async with a_desk() as desk:
        desk.world.clock.now = SystemClock()()

        def opened(url: str) -> None:
            back = anyio.from_thread.run(desk.opened, url)
            threading.Thread(target=httpx2.get, args=(back,), kwargs={"trust_env": False}, daemon=True).start()

        trial = CodeTrial(issuer=desk.issuer, client_id=DESK, scope=READ, resource=desk.url, dpop=True)
        told = await anyio.to_thread.run_sync(lambda: obtain_by_code(trial, opened, show_token=False))
        assert told["token_type"] == "DPoP"
        assert [step[:2] for step in told["steps"] if not step.startswith(" ")] == ["1.", "2.", "3.", "4.", "5.", "6."]
        assert "access_token" not in told
