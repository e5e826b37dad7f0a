"""The whole way over HTTP, against our own server and guard: found, signed in, used, renewed, stepped up."""

import anyio
import httpx2

from deputize.jose.keys import PrivateKey
from deputize.oauth import nonces
from deputize.sdk import Access, OAuth
from deputize.sdk.answers import Refused
from tests.sdk.person import READ, WRITE, Desk, a_desk
from tests.support.proofs import lets_through


def client(desk: Desk, access: Access) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=desk.url, auth=OAuth(access, avisit=desk.visit))


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
