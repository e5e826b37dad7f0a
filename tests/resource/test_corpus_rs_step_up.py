"""RS-03: a call that needs the person to have been seen lately, or in a stronger way (RFC 9470)."""

from typing import Any

import pytest

from deputize.core.values import Seconds
from deputize.oauth.caller import SEEN_WELL, Seen
from tests.resource.world import READ, World, error_of
from tests.support.proofs import lets_through, stops


def a_world(**needed: Any) -> World:
    world = World()
    world.guard.needs("GET", "/history", scope=READ, seen=Seen(**needed))
    return world


@lets_through(SEEN_WELL)
@pytest.mark.parametrize("ago", [0, 299, 300])
async def test_rs_03_seen_lately_and_well(ago: int) -> None:
    world = a_world(max_age=Seconds(300), acr_values=("phr", "phrh"))
    token = world.token(auth_time=world.clock.now - ago, acr="phrh")
    assert (await world.call(path="/history", token=token)).status_code == 200


@stops(SEEN_WELL)
@pytest.mark.parametrize(
    "told",
    [{"ago": 301, "acr": "phr"}, {"ago": 0, "acr": "pwd"}, {"ago": 0}, {"acr": "phr"}, {}],
    ids=["too long ago", "too weak", "not said how", "not said when", "not said at all"],
)
async def test_rs_03_what_is_needed_is_told(told: dict[str, Any]) -> None:
    world = a_world(max_age=Seconds(300), acr_values=("phr",))
    claims: dict[str, Any] = {"acr": told["acr"]} if "acr" in told else {}
    if "ago" in told:
        claims["auth_time"] = world.clock.now - told["ago"]
    answer = await world.call(path="/history", token=world.token(**claims))
    assert error_of(answer) == (401, "insufficient_user_authentication")
    assert answer.json()["error_description"] == SEEN_WELL.says
    challenge = answer.headers["www-authenticate"]
    assert 'acr_values="phr"' in challenge
    assert 'max_age="300"' in challenge
    assert (await world.call(token=world.token(**claims))).status_code == 200, "other calls go on as they did"


async def test_rs_03_only_what_is_needed_is_asked_for() -> None:
    answer = await (world := a_world(max_age=Seconds(60))).call(path="/history", token=world.token())
    assert "max_age" in answer.headers["www-authenticate"]
    assert "acr_values" not in answer.headers["www-authenticate"]
