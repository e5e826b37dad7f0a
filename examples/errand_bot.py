"""A bot that runs errands for Alice. It shows who lets it do what, also to those who never heard of her server.

    python examples/errand_bot.py BOT_FILE CLINIC

It has Alice asked once, gets its mandate, and shows the clinic as much of it as the clinic needs; then it comes again
and again, until it is turned away. The first answer and the last are each one line of JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import httpx2

from deputize import PrivateKey, client_env, vc
from deputize.core.values import ClientId, Instant, Issuer
from deputize.sdk import ClientLogin, PrivateKeyJwt, arun, ciba, find_server, mandate

own, clinic = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]
key = PrivateKey.from_jwk(own["key"])


async def deputized() -> str:
    """A mandate for what Alice allows: its key is the bot's own, and without that key it is worth nothing."""
    async with client_env(own["issuer"]) as env:
        server = await arun(find_server(own["issuer"]), env)
        login = ClientLogin(
            client_id=ClientId(own["name"]),
            issuer=Issuer(own["issuer"]),
            method=PrivateKeyJwt(key),
            clock=env.clock,
            random=env.random,
            dpop_key=key,
        )
        wanted = frozenset(own["scope"])
        token = await arun(ciba(server, login, login_hint="alice", scope=wanted, resource=own["resource"]), env)
        return (await arun(mandate(server, login, token.access_token), env)).text


def shown(http: httpx2.Client, text: str) -> httpx2.Response:
    """What the clinic says to a presentation that was made for it, and for this once."""
    asked = http.post("/nonce").json()
    bound = vc.Asked(audience=clinic, nonce=asked["nonce"])
    presentation = vc.present(text, ["sub", "may"], asked=bound, key=key, now=Instant(int(time.time())))
    return http.post("/advice", json={"nonce": asked["nonce"], "presentation": presentation})


held = asyncio.run(deputized())
with httpx2.Client(base_url=clinic, trust_env=False) as http:
    first = reply = shown(http, held)
    print(json.dumps({"status": first.status_code, "body": first.json(), "mandate": held}), flush=True)
    while reply.status_code == 200:
        time.sleep(0.1)
        reply = shown(http, held)
    print(json.dumps({"status": reply.status_code, "body": reply.json()}))
