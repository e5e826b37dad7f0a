"""npm @sd-jwt/sd-jwt-vc takes a mandate of ours by what the server publishes, and refuses it once it was taken back."""

import json
from pathlib import Path

import anyio
import pytest

from deputize import vc
from deputize.jose import jwt
from deputize.oauth.mandates import Settings
from tests.oauth.test_mandates import AGENT, BOTH, CLINIC, ISSUER, LISTS, asked_for
from tests.support.asgi import request
from tests.support.cast import DPOP_BOT, PHARMACY, READ
from tests.support.world import a_world
from tools.node import Node

SCRIPT = Path(__file__).with_name("mandate.mjs")
ASKED = vc.Asked(audience=CLINIC, nonce="n-0S6_WzA2Mj")


@pytest.mark.timeout(400)  # the first run installs the packages
async def test_npm_takes_our_mandate_until_alice_takes_it_back(foreign: Node) -> None:
    async with a_world(status=LISTS, mandates=Settings()) as world:
        token = await world.allowed(by=DPOP_BOT, key=AGENT, scope=BOTH)
        mandate = (await asked_for(world, token, scope=READ))["access_token"]
        uri = jwt.peek(mandate.partition("~")[0], "x")[1]["status"]["status_list"]["uri"]
        keys = (await world.get("/.well-known/jwt-vc-issuer")).json["jwks"]["keys"]
        before = (await request(world.app, "GET", uri, ())).body.decode()
        await world.take_back("alice", DPOP_BOT)
        world.clock.forward(1)
        told = {
            "presented": vc.present(mandate, ["sub", "may"], asked=ASKED, key=AGENT, now=world.now),
            "nonce": ASKED.nonce,
            "now": world.now,
            "keys": keys,
            "type": (await world.get("/types/agent-mandate/1")).json,
            "before": before,
            "after": (await request(world.app, "GET", uri, ())).body.decode(),
        }
    command = [str(foreign.program), str(foreign.script(SCRIPT)), json.dumps(told)]
    done = await anyio.run_process(command, check=False)
    assert done.returncode == 0, done.stderr.decode()
    seen = json.loads(done.stdout)
    payload = seen["before"]["payload"]
    assert (payload["iss"], payload["sub"], payload["act"]) == (ISSUER, "alice", {"sub": DPOP_BOT})
    assert seen["before"]["type"]["name"] == "Agent mandate"
    assert payload["may"] == [{"resource": PHARMACY, "scope": READ}]
    assert seen["before"]["asked"] == seen["after"]["asked"] == [uri]
    assert seen["after"]["problem"] == "Status is not valid"
