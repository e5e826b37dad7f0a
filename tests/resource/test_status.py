"""The guard and status lists: what is refused within the list's ttl, without a question to the server."""

from typing import Any

import pytest

from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth import metadata
from deputize.resource.asgi import Receive, Scope, Send
from deputize.vc.status_list import StatusList
from deputize.vc.status_token import Content, Form, signed
from tests.resource.world import World, error_of
from tests.support.issuer import ISSUER

URI = f"{ISSUER}/status/1"
SIZE = 2**13


class Lists:
    """The issuer, and beside its endpoints the list that it publishes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: dict[int, int] = {}
        self.asked = 0
        self.signer: PrivateKey | None = None
        self.issued_at: Instant | None = None
        self.body: bytes | None = None
        self.status = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/status/1":
            await self.world.issuer(scope, receive, send)
            return
        self.asked += 1
        now = self.issued_at or self.world.clock()
        content = Content.of(
            StatusList.of(1, SIZE, self.told), uri=URI, issued_at=now, until=Instant(now + 600), ttl=Seconds(10)
        )
        body = self.body or signed(content, Form.JWT, self.signer or self.world.issuer.key)
        kind = (b"content-type", Form.JWT.media_type.encode())
        headers = [kind, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def lists() -> Lists:
    world = World(key=None)
    made = Lists(world)
    world.fetch.apps[ISSUER] = made
    return made


def at(idx: Any, uri: Any = URI) -> JsonObject:
    return {"status_list": {"idx": idx, "uri": uri}}


async def call(lists: Lists, token: str) -> int:
    return (await lists.world.call(token=token)).status_code


async def test_a_token_whose_status_is_good_is_let_through_and_nobody_is_asked_again(lists: Lists) -> None:
    token = lists.world.token(status=at(7))
    for _ in range(20):
        assert await call(lists, token) == 200
    assert lists.asked == 1
    assert lists.world.issuer.fetched[metadata.INTROSPECTION] == 0


async def test_a_revoked_one_is_refused_within_the_ttl(lists: Lists) -> None:
    token, other = (lists.world.token(status=at(idx)) for idx in (7, 8))
    assert await call(lists, token) == 200
    lists.told[7] = 1
    lists.world.clock.forward(10)
    answer = await lists.world.call(token=token)
    assert error_of(answer) == (401, "invalid_token")
    assert await call(lists, other) == 200
    assert lists.asked == 2


async def test_a_token_without_a_status_needs_no_list(lists: Lists) -> None:
    assert await call(lists, lists.world.token()) == 200
    assert lists.asked == 0


@pytest.mark.parametrize(
    "status", [None, 7, {}, {"other": {}}, at(-1), at(True), at("7"), at(7, "file:///x"), at(SIZE)]
)
async def test_a_status_that_cannot_be_looked_up_is_refused(lists: Lists, status: Any) -> None:
    claims = {**lists.world.issuer.claims(aud=lists.world.resource, scope="prescriptions:read"), "status": status}
    claims["cnf"] = {"jkt": lists.world.agent.public().thumbprint}
    token = jwt.sign(claims, lists.world.issuer.key, typ="at+jwt")
    assert error_of(await lists.world.call(token=token)) == (401, "invalid_token")


async def test_sl_08_no_list_is_fetched_for_a_token_that_is_not_good(lists: Lists) -> None:
    world = lists.world
    for bad in (
        world.token(status=at(7), exp=world.clock() - 60),
        world.token(status=at(7), aud="https://other.example"),
        world.token(status=at(7))[:-4] + "AAAA",
        jwt.sign(world.issuer.claims(aud=world.resource, status=at(7)), PrivateKey.generate(), typ="at+jwt"),
    ):
        assert await call(lists, bad) == 401
    assert lists.asked == 0


async def test_without_a_list_nobody_is_let_through(lists: Lists) -> None:
    token = lists.world.token(status=at(7))
    lists.world.fetch.out_of_reach.add(URI)
    assert await call(lists, token) == 503
    lists.world.fetch.out_of_reach.clear()
    lists.world.clock.forward(2)
    assert await call(lists, token) == 200
    lists.world.fetch.out_of_reach.add(URI)
    lists.world.clock.forward(9)
    assert await call(lists, token) == 200, "for as long as the list said that it is good"
    lists.world.clock.forward(2)
    assert await call(lists, token) == 503


@pytest.mark.parametrize("broken", ["signer", "body", "status", "old", "elsewhere"])
async def test_a_list_that_is_none_of_the_servers_lets_nobody_through(lists: Lists, broken: str) -> None:
    uri = URI
    match broken:
        case "signer":
            lists.signer = PrivateKey.generate()
        case "body":
            lists.body = b"<html>"
        case "status":
            lists.status = 404
        case "old":
            lists.issued_at = Instant(lists.world.clock() - 700)
        case _:
            uri = "https://elsewhere.example/1"
    assert await call(lists, lists.world.token(status=at(7, uri))) == 503


async def test_an_older_list_does_not_bring_a_revoked_token_back(lists: Lists) -> None:
    token = lists.world.token(status=at(7))
    lists.told[7] = 1
    assert await call(lists, token) == 401
    lists.issued_at = Instant(lists.world.clock() - 5)
    lists.told.clear()
    lists.world.clock.forward(11)
    assert await call(lists, token) == 503


async def test_the_list_may_be_signed_by_the_servers_next_key(lists: Lists) -> None:
    assert await call(lists, lists.world.token(status=at(7))) == 200
    lists.world.clock.forward(100)
    lists.world.issuer.rotate()
    assert await call(lists, lists.world.token(status=at(7))) == 200


async def test_a_guard_that_asks_the_server_needs_no_list() -> None:
    world = World()
    made = Lists(world)
    world.fetch.apps[ISSUER] = made
    assert (await world.call(token=world.token(status=at(7)))).status_code == 200
    assert made.asked == 0
    assert world.issuer.fetched[metadata.INTROSPECTION] == 1
