"""An MCP server (FastMCP) behind the guard: `python examples/fastmcp_server.py var/dev/tools.json`."""

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.dependencies import CurrentRequest
from starlette.requests import Request

from deputize import Guard, GuardedProtocol, PrivateKey, guard_env
from deputize.resource import guard_tools

own = json.loads(Path(sys.argv[1]).read_text())  # `deputize serve --dev` makes one
key, env = PrivateKey.from_jwk(own["key"]), guard_env("var/tools.db", issuer=own["issuer"])
guard = Guard(resource=own["resource"], issuer=own["issuer"], env=env, key=key, name=own["name"])
guard_tools(guard, scope="prescriptions:read", tools={"order": "prescriptions:order"})
server = FastMCP(own["name"])


@server.tool
def prescriptions(request: Request = CurrentRequest()) -> dict[str, object]:
    """What has been prescribed, and to whom; and who asks for them."""
    caller = request.scope["deputize.caller"]
    by = caller.actor.subject if caller.actor else caller.client
    return {"patient": caller.subject, "asked_by": by, "medicines": ["Ibuprofen 400 mg", "Loratadine 10 mg"]}


@server.tool
def order(medicine: str, request: Request = CurrentRequest()) -> str:
    """Order a medicine: the guard has seen to it that the person allowed orders, too."""
    return f"{medicine} is ordered for {request.scope['deputize.caller'].subject}"


app = guard.wrap(server.http_app(stateless_http=True))
if __name__ == "__main__":
    uvicorn.run(app, port=urlsplit(own["resource"]).port or 9430, http=GuardedProtocol, log_level="warning")
