"""Our SDK as the client that MCP's conformance suite looks at: `URL`, and the scenario in the environment.

The program does what any would: it lists the server's tools and calls the first, and then lists them again. Where the
suite tells it of a client that was registered by hand, it is that one.
"""

import itertools
import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit

import httpx2
from joserfc.jwk import ECKey

from deputize.adapters.system import SystemClock, SystemRandom
from deputize.core.rules import Fault
from deputize.core.values import ClientId, Secret
from deputize.core.wire import Call, Headers, Reply
from deputize.jose.keys import PrivateKey
from deputize.sdk import Access, Application, OAuth, PrivateKeyJwt, Registered, SecretBasic, Visit, find_resource, run

URL = sys.argv[1]
SCENARIO = os.environ["MCP_CONFORMANCE_SCENARIO"]
VERSION = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2025-11-25")
TOLD = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
STATELESS = VERSION >= "2026-07-28"
DOCUMENT = "https://conformance-test.local/client-metadata.json"
ABOUT = {"name": "deputize", "version": "0.1.0"}

plain = httpx2.Client(trust_env=False, follow_redirects=False, timeout=10)
number = itertools.count(1)


def send(call: Call) -> Reply:
    """The suite's servers are on loopback, at ports that nobody knows before: here, the guarded door has no use."""
    try:
        told = plain.request(call.method, call.url, headers=list(call.headers), content=call.body)
    except httpx2.TransportError as problem:
        raise Fault(f"{urlsplit(call.url).netloc} is out of reach", retry=True) from problem
    headers = Headers(tuple((name.lower(), value) for name, value in told.headers.multi_items()))
    return Reply(status=told.status_code, headers=headers, body=told.content)


def visit(page: Visit) -> str:
    """The suite's server asks nobody, and sends a browser back at once."""
    return str(plain.get(page.url).headers["location"])


def known() -> dict[str, Registered]:
    """The client that somebody registered at the server that guards this, if the suite says so."""
    if "client_id" not in TOLD:
        return {}
    pem = TOLD.get("private_key_pem")
    key = PrivateKey.from_jwk({**ECKey.import_key(pem).as_dict(private=True), "alg": "ES256"}) if pem else None
    method = PrivateKeyJwt(key) if key else SecretBasic(Secret(TOLD["client_secret"]))
    (issuer,) = run(find_resource(URL), send).authorization_servers
    return {issuer: Registered(client_id=ClientId(TOLD["client_id"]), method=method)}


def said(http: httpx2.Client, method: str, *, notified: bool = False, **params: Any) -> dict[str, Any]:
    """What the MCP server answers to a message."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": VERSION}
    if not notified:
        message["id"] = next(number)
    if STATELESS:
        about = {"protocolVersion": VERSION, "clientInfo": ABOUT, "clientCapabilities": {}}
        params["_meta"] = {f"io.modelcontextprotocol/{name}": value for name, value in about.items()}
        headers |= {"mcp-method": method} | ({"mcp-name": params["name"]} if "name" in params else {})
    reply = http.post(URL, json={**message, "params": params}, headers=headers)
    reply.raise_for_status()
    if notified:
        return {}
    lines = [line.removeprefix("data:") for line in reply.text.splitlines() if line.startswith("data:")]
    answer = json.loads(lines[-1] if lines else reply.text)
    result: dict[str, Any] = answer["result"]
    return result


def main() -> None:
    application = Application(
        name="Deputize",
        redirect_base="http://127.0.0.1:3000/callback",
        clock=SystemClock(),
        random=SystemRandom(),
        key=PrivateKey.generate(),
        known=known(),
        document=DOCUMENT,
    )
    access = Access(
        application=application,
        person=not SCENARIO.startswith("auth/client-credentials"),
        legacy_2025_03_26=SCENARIO.startswith("auth/2025-03-26"),
    )
    with httpx2.Client(auth=OAuth(access, send=send, visit=visit), trust_env=False, timeout=10) as http:
        if not STATELESS:
            said(http, "initialize", protocolVersion=VERSION, capabilities={}, clientInfo=ABOUT)
            said(http, "notifications/initialized", notified=True)
        tools = said(http, "tools/list")["tools"]
        if tools:
            said(http, "tools/call", name=tools[0]["name"], arguments={})
        said(http, "tools/list")


main()
