"""What is asked of the servers: whole requests, made and signed before a round begins."""

import json
import socket
import time
from collections.abc import Iterable
from itertools import cycle, islice, repeat
from secrets import token_urlsafe
from typing import Final
from urllib.parse import urlencode

from benchmarks.servers import Clients, Server
from deputize.core.values import Instant
from deputize.jose.keys import PrivateKey
from deputize.oauth import assertion, dpop

TOKENS: Final = 64  # different ones that are introspected in turn
PROOF_KEY: Final = PrivateKey.generate()


def _request(server: Server, line: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    head = [f"{line} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Accept: application/json", "User-Agent: bench/1"]
    if body:
        head += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def posted(server: Server, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """One POST of a form."""
    return _request(server, f"POST {path}", headers, body)


def with_secret(server: Server, clients: Clients, *, resource: str = "") -> bytes:
    form = {"grant_type": "client_credentials", "scope": clients.scope}
    if resource:
        form["resource"] = resource
    return _request(server, "POST /token", {"Authorization": clients.basic}, urlencode(form).encode())


def secrets(server: Server, clients: Clients, count: int) -> Iterable[bytes]:
    """cc_secret: the same request each time, since nothing in it is used up."""
    return repeat(with_secret(server, clients), count)


def assertions(server: Server, clients: Clients, count: int, *, proofs: bool = False) -> Iterable[bytes]:
    """cc_pkj: a fresh assertion each (and a fresh DPoP proof)."""
    now = Instant(int(time.time()))
    made = []
    for _ in range(count):
        compact = assertion.make(clients.key_id, clients.key, audience=server.issuer, jti=token_urlsafe(16), now=now)
        form = {
            "grant_type": "client_credentials",
            "scope": clients.scope,
            "client_assertion_type": assertion.TYPE,
            "client_assertion": compact,
        }
        headers = {}
        if proofs:
            url = f"{server.issuer}/token"
            headers["DPoP"] = dpop.prove(PROOF_KEY, method="POST", url=url, jti=token_urlsafe(16), now=now)
        made.append(_request(server, "POST /token", headers, urlencode(form).encode()))
    return made


def with_proofs(server: Server, clients: Clients, count: int) -> Iterable[bytes]:
    """cc_pkj_dpop."""
    return assertions(server, clients, count, proofs=True)


def introspections(server: Server, clients: Clients, count: int) -> Iterable[bytes]:
    """introspect: live tokens in turn, asked about by the client that they were given to."""
    door = f"POST {server.introspection}"
    headers = {"Authorization": clients.basic}
    asked = []
    for _ in range(TOKENS):
        told = json.loads(_answer(server, with_secret(server, clients, resource=server.introspected)))
        asked.append(_request(server, door, headers, urlencode({"token": told["access_token"]}).encode()))
    first = json.loads(_answer(server, asked[0]))
    if first.get("active") is not True:
        raise RuntimeError(f"{server.name} does not call its own token active: {first}")
    return islice(cycle(asked), count)


def key_sets(server: Server, _: Clients, count: int) -> Iterable[bytes]:
    """jwks."""
    return repeat(_request(server, "GET /jwks", {}), count)


def _answer(server: Server, request: bytes) -> bytes:
    """The body of one answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as file:
            status, length = file.readline(), 0
            while (line := file.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = file.read(length)
    if b" 200 " not in status:
        raise RuntimeError(f"{server.name}: {status!r} {body!r}")
    return body
