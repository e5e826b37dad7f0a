"""CA-09 and CA-21 with the switch for clients from before rfc7523bis: for one client, one endpoint, until one day."""

from typing import Any

import pytest

from deputize.core.ports import Event
from deputize.core.values import Instant
from deputize.jose.jwt import SOLE_AUDIENCE
from deputize.oauth import assertion
from deputize.oauth.assertion import ASSERTED_ONCE
from deputize.oauth.client import Client
from tests.support.asgi import Answer
from tests.support.cast import BOT, OTHER
from tests.support.proofs import lets_through, stops
from tests.support.world import CLIENT_CREDENTIALS, World

REFUSED = (401, "invalid_client")
TOKEN = "https://as.example/token"


@pytest.fixture
async def legacy(world: World) -> World:
    await world.change(Client, BOT, legacy_audience_until=Instant(world.now + 86400))
    return world


async def shows(world: World, aud: object, *, by: str = BOT, path: str = "/token", **claims: Any) -> Answer:
    compact = world.assertion(by, aud=aud, **claims)
    form = {**CLIENT_CREDENTIALS, "token": "x", "client_assertion_type": assertion.TYPE, "client_assertion": compact}
    return await world.post(path, form)


async def uses(world: World) -> int:
    return sum(event.what == "legacy_audience_used" for event in await world.store.select(Event, "", "", limit=1000))


@lets_through(SOLE_AUDIENCE)
async def test_until_its_day_each_use_is_told_of(legacy: World) -> None:
    for count, aud in enumerate((TOKEN, [TOKEN]), start=1):
        assert (await shows(legacy, aud)).status == 200
        assert await uses(legacy) == count
    assert (await shows(legacy, legacy.here.issuer.text)).status == 200  # as it should be: nothing to tell
    assert await uses(legacy) == 2
    [event, _] = [one for one in await legacy.store.select(Event, "client", BOT) if one.what == "legacy_audience_used"]
    assert (event.at, event.told) == (legacy.now, {"until": str(legacy.now + 86400)})


@stops(SOLE_AUDIENCE)
async def test_from_its_day_on_it_is_over(legacy: World) -> None:
    legacy.clock.forward(86399)
    assert (await shows(legacy, TOKEN)).status == 200
    legacy.clock.forward(1)
    answer = await shows(legacy, TOKEN)
    assert answer.told == REFUSED
    assert answer["error_description"] == SOLE_AUDIENCE.says
    assert await uses(legacy) == 1


@stops(SOLE_AUDIENCE)
async def test_it_is_for_this_client_and_the_token_endpoint_alone(legacy: World) -> None:
    assert (await shows(legacy, TOKEN, by=OTHER)).told == REFUSED
    for path in ("/introspect", "/revoke", "/backchannel", "/transaction"):
        assert (await shows(legacy, TOKEN, path=path)).told == REFUSED
        assert (await shows(legacy, f"https://as.example{path}", path=path)).told == REFUSED
    issuer = legacy.here.issuer.text
    for aud in ([TOKEN, issuer], [issuer, TOKEN], [TOKEN, TOKEN], f"{TOKEN}/", "https://evil.example/token", [], None):
        assert (await shows(legacy, aud)).told == REFUSED
    assert await uses(legacy) == 0


@stops(ASSERTED_ONCE)
async def test_all_else_is_held_as_ever(legacy: World) -> None:
    assert (await shows(legacy, TOKEN, jti="one")).status == 200
    assert (await shows(legacy, TOKEN, jti="one")).told == REFUSED
    assert (await shows(legacy, legacy.here.issuer.text, jti="one")).told == REFUSED
    for claims in ({"exp": legacy.now - 60}, {"iss": OTHER}, {"sub": OTHER}, {"jti": None}):
        assert (await shows(legacy, TOKEN, **claims)).told == REFUSED
    assert await uses(legacy) == 1
