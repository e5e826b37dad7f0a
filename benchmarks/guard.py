"""guard_verify: what the guard adds to the one signature check that no one can do without.

A bearer token, checked offline: parse, verify, all claims, row, scope, and the way through ASGI. Against the raw
ES256 check of `cryptography` in the same run, interleaved. The second row shows a bound token: two checks, and the
proof's mark in a memory store.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from deputize.adapters.memory import MemoryStore
from deputize.adapters.policy import SettingsPolicy
from deputize.adapters.system import SystemClock, SystemRandom
from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.wire import Call, Headers, JsonObject, Reply, json_bytes
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth import dpop, metadata
from deputize.resource import Guard
from deputize.resource.asgi import App, Message, Receive, Scope, Send

ISSUER, RESOURCE = "https://as.example", "https://api.example"
_JSON = Headers((("content-type", "application/json"),))
TOKENS = 300  # short enough that ours and the limit are measured in the same weather


class Fixed:
    """A server's documents, and nothing else."""

    def __init__(self, key: PrivateKey) -> None:
        self.documents: dict[str, JsonObject] = {
            metadata.well_known(ISSUER, metadata.OAUTH_WELL_KNOWN): {
                "issuer": ISSUER,
                "token_endpoint": f"{ISSUER}/token",
                "jwks_uri": f"{ISSUER}/jwks",
            },
            f"{ISSUER}/jwks": {"keys": [key.public_jwk()]},
        }

    async def __call__(self, call: Call) -> Reply:
        if call.url not in self.documents:
            raise Fault(call.url)
        return Reply(status=200, headers=_JSON, body=json_bytes(self.documents[call.url]))


class Unused:
    """The ports that a guard does not use."""

    def active(self) -> tuple[str, str]:
        raise LookupError

    async def sign(self, kid: str, data: bytes) -> bytes:
        raise LookupError(kid, data)

    def keys(self) -> tuple[JsonObject, ...]:
        return ()

    async def tell(self, notice: object) -> None:
        raise LookupError(notice)


async def api(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def scopes(tokens: list[str], agent: PrivateKey | None, now: int) -> list[dict[str, Any]]:
    made = []
    for number, token in enumerate(tokens):
        headers = [(b"host", b"api.example"), (b"user-agent", b"bench"), (b"accept", b"*/*")]
        if agent is None:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        else:
            told: dict[str, Any] = {"url": f"{RESOURCE}/prescriptions", "jti": f"p{number}", "now": now}
            proof = dpop.prove(agent, method="GET", access_token=token, **told)
            headers += [(b"authorization", f"DPoP {token}".encode()), (b"dpop", proof.encode())]
        made.append(
            {
                "type": "http",
                "method": "GET",
                "path": "/prescriptions",
                "raw_path": b"/prescriptions",
                "query_string": b"",
                "headers": headers,
            }
        )
    return made


def raw_check(count: int) -> Callable[[], None]:
    key = ec.generate_private_key(ec.SECP256R1())
    public, scheme, data = key.public_key(), ec.ECDSA(hashes.SHA256()), b"x" * 420
    signature = key.sign(data, scheme)

    def run() -> None:
        for _ in range(count):
            public.verify(signature, data, scheme)

    return run


async def per_second(app: App, calls: list[dict[str, Any]]) -> float:
    refused = 0

    async def send(message: Message) -> None:
        nonlocal refused
        refused += message.get("status", 200) != 200

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    begun = time.perf_counter()
    for scope in calls:
        await app(scope, receive, send)
    took = time.perf_counter() - begun
    if refused:
        raise AssertionError(f"{refused} calls were refused")
    return len(calls) / took


async def measure(rounds: int = 25) -> list[dict[str, Any]]:
    """Calls per second, ours and the limit's, and their ratio: medians over interleaved rounds."""
    key, agent, clock = PrivateKey.generate(), PrivateKey.generate(), SystemClock()
    ours: dict[str, list[float]] = {"guard_verify": [], "guard_verify_dpop": []}
    raw: list[float] = []
    one_check = raw_check(TOKENS)
    for _ in range(rounds):
        now = clock()
        unused = Unused()
        env = Env(
            clock=clock,
            random=SystemRandom(),
            store=MemoryStore(),
            fetch=Fixed(key),
            signer=unused,
            notify=unused,
            policy=SettingsPolicy(),
        )
        guard = Guard(resource=RESOURCE, issuer=ISSUER, env=env)
        guard.needs("GET", "/prescriptions", scope="prescriptions:read")
        app = guard.wrap(api)
        good: JsonObject = {
            "iss": ISSUER,
            "aud": RESOURCE,
            "sub": "alice",
            "client_id": "bot",
            "iat": now,
            "exp": now + 300,
        }
        good |= {"scope": "prescriptions:read", "act": {"sub": "bot"}}
        bound = {"cnf": {"jkt": agent.public().thumbprint}}
        for name, more, shown_by in (("guard_verify", {}, None), ("guard_verify_dpop", bound, agent)):
            claims = [{**good, **more, "jti": f"{name}-{number}"} for number in range(TOKENS)]
            tokens = [jwt.sign(one, key, typ="at+jwt") for one in claims]
            calls = scopes(tokens, shown_by, now)
            ours[name].append(await per_second(app, calls))
        begun = time.perf_counter()
        one_check()
        raw.append(TOKENS / (time.perf_counter() - begun))
    limit = statistics.median(raw)
    rows = []
    for name, checks in (("guard_verify", 1), ("guard_verify_dpop", 2)):
        figure = statistics.median(ours[name])
        ratio = round(statistics.median(mine / one for mine, one in zip(ours[name], raw, strict=True)) * checks, 3)
        rows.append(
            {"id": name, "ours_per_s": round(figure), "limit_per_s": round(limit / checks), "ratio_to_limit": ratio}
        )
    return rows


if __name__ == "__main__":
    for row in asyncio.run(measure()):
        print("{id:18} {ours_per_s:>7}/s   limit {limit_per_s:>7}/s   ratio {ratio_to_limit}".format(**row))
