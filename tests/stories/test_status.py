"""A token is revoked, and an API that never asks the server refuses it a few seconds later."""

from dataclasses import replace

import httpx2

from deputize.oauth.statuses import Settings
from deputize.resource import Caller, Guard
from deputize.resource.asgi import Receive, Scope, Send
from tests.support.cast import BOT, PHARMACY, READ
from tests.support.reach import Reach
from tests.support.world import a_world

TTL = 10


async def prescriptions(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    caller: Caller = scope["deputize.caller"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": caller.subject.encode()})


async def test_an_api_that_never_asks_sees_a_revocation_within_the_ttl() -> None:
    async with a_world(status=Settings(tokens=True)) as world:
        reach = Reach(world)
        guard = Guard(resource=PHARMACY, issuer=world.here.issuer.text, env=replace(world.env, fetch=reach))
        guard.needs("GET", "/prescriptions", scope=READ)
        app = guard.wrap(prescriptions)

        async def read(token: str) -> int:
            headers = {"authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=PHARMACY) as client:
                return (await client.get("/prescriptions", headers=headers)).status_code

        first, second, third = [await world.allowed() for _ in range(3)]
        for token in (first, second, third):
            assert await read(token) == 200
        lists = [path for path in reach.asked if path == "GET /status"]
        assert 1 <= len(lists) <= 2, "one for each list that is open"

        # The client gives one up; the API sees that without a word to the server but for the list.
        assert (await world.post("/revoke", {"token": first}, by=BOT)).status == 200
        world.clock.forward(TTL)
        assert [await read(token) for token in (first, second, third)] == [401, 200, 200]

        # Alice takes back what she allowed: all that rests on it ends.
        await world.take_back()
        world.clock.forward(TTL)
        assert [await read(token) for token in (first, second, third)] == [401, 401, 401]

        # The server is out of reach: nobody is let through on what was so a while ago.
        itself = (await world.token())["access_token"]
        assert await read(itself) == 200
        reach.is_down = True
        world.clock.forward(TTL + 1)
        assert await read(itself) == 503
        assert {path for path in reach.asked if path.startswith("POST")} == set(), "the server was never asked"
