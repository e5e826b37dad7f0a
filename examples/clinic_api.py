"""A clinic that takes mandates of a server it has nothing to do with, `python examples/clinic_api.py FILE`.

It has no client there, no key, no account: it knows the issuer by name, and reads what that publishes for everybody.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deputize import reader_env, vc
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Seconds
from deputize.resource import json_object
from deputize.vc.status_check import Policy as ListPolicy

own = json.loads(Path(sys.argv[1]).read_text())  # `deputize serve --dev` makes one: var/dev/clinic.json
way = vc.well_known(loopback=True)  # https alone, if this were not one's own machine
trusted = vc.TrustedIssuer(
    issuer=own["issuer"],
    keys=way,
    types=frozenset({"urn:deputize:agent-mandate:1"}),
    needs=frozenset({"exp", "sub", "act", "may"}),
    status=vc.status_of_issuer(vc.StatusLists(ListPolicy(ttl_min=Seconds(1))), way),
)
policy = vc.Policy(issuers=(trusted,))
nonces: set[str] = set()


async def nonce(request: Request) -> JSONResponse:
    made = request.app.state.env.random(128)
    nonces.add(made)
    return JSONResponse({"nonce": made})


async def advice(request: Request) -> JSONResponse:
    try:
        told = json_object(await request.body())
        nonces.remove(str(told.get("nonce")))  # each is good for one presentation
    except (ValueError, KeyError):
        return JSONResponse({"error": "invalid_nonce"}, 400)
    asked = vc.Asked(audience=own["url"], nonce=told["nonce"])
    try:
        seen = await vc.averify(str(told.get("presentation")), policy, asked=asked, env=request.app.state.env)
    except Refusal as refusal:
        return JSONResponse({"error": "access_denied", "error_description": refusal.rule.says}, 403)
    except Fault:
        return JSONResponse({"error": "temporarily_unavailable"}, 503)
    if not any(one.get("scope") == "prescriptions:read" for one in seen.claims["may"]):
        return JSONResponse({"error": "insufficient_scope"}, 403)
    who = {"patient": seen.claims["sub"], "agent": seen.claims["act"]["sub"]}
    return JSONResponse({**who, "advice": "Ibuprofen after a meal, and not with alcohol."})


@asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[None]:
    """Any issuer's documents may be fetched from public addresses; this one's from where it is."""
    parts = urlsplit(own["issuer"])
    async with reader_env(allowed_origins=frozenset({f"{parts.scheme}://{parts.netloc}"})) as env:
        app.state.env = env
        yield


routes = [Route("/nonce", nonce, methods=["POST"]), Route("/advice", advice, methods=["POST"])]
app = Starlette(routes=routes, lifespan=running)

if __name__ == "__main__":
    uvicorn.run(app, port=urlsplit(own["url"]).port or 9440, log_level="warning")
