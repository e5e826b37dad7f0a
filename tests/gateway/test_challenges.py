"""What an API may make a person be asked: only about the very call that it was sent, in its own signed words."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from deputize.core.values import Seconds, Subject
from deputize.core.wire import JsonObject, json_bytes
from deputize.gateway.routes import Route
from deputize.jose.keys import PrivateKey
from deputize.oauth import challenge, details
from deputize.oauth.delegation import Actor
from deputize.oauth.metadata import RESOURCE_WELL_KNOWN
from deputize.resource.asgi import Receive, Scope, Send
from tests.gateway.world import World, body_of, say, usual_routes, world
from tests.support.cast import BOT, a_purchase

BODY = b'{"quantity": 30}'


@dataclass
class Challenger:
    """An API that answers each call with a challenge, of which a test may alter anything."""

    alter: dict[str, Any] = field(default_factory=dict)
    lines: Callable[[str], tuple[str, ...]] = lambda compact: (
        f'DPoP error="{challenge.ERROR}", transaction_challenge="{compact}"',
    )
    key: PrivateKey | None = None
    calls: int = 0
    here: World | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.here is not None
        body = await body_of(receive)
        at = self.here.origins["leaky"]
        told: JsonObject = {"resource": at, "txn_challenge_jwks_uri": f"{at}/jwks"}
        if scope["path"] == RESOURCE_WELL_KNOWN:
            await say(send, json_bytes(told), kind="application/json")
        elif scope["path"] == "/jwks":
            await say(send, json_bytes({"keys": [self.here.api_key.public_jwk()]}), kind="application/json")
        else:
            self.calls += 1
            lines = self.lines(self._compact(at + scope["path"], scope["method"], body))
            await say(send, b"no", status=401, headers=tuple(("www-authenticate", line) for line in lines))

    def _compact(self, url: str, method: str, body: bytes) -> str:
        assert self.here is not None
        now = self.here.env.clock()
        call = {"method": method, "url": url, "body": body, **self.alter.get("call", {})}
        made = challenge.Challenge(
            resource=self.alter.get("iss", self.here.origins["leaky"]),
            subject=Subject("alice"),
            jti=self.here.env.random(128),
            txn=self.here.env.random(128),
            details=(details.http_call(**call), details.detail(a_purchase())),
            reason="Because we say so",
            actor=Actor(subject=Subject(BOT)),
            until=self.alter.get("until", now + 300),
        )
        audience = self.alter.get("aud", self.here.origins["server"])
        return challenge.make(made, authorization_server=audience, key=self.key or self.here.api_key, now=now)


def asking(origins: dict[str, str]) -> tuple[Route, ...]:
    pharmacy, other, leaky = usual_routes(origins)
    return pharmacy, other, replace(leaky, may_ask=True)


async def outcome(api: Challenger, **told: Any) -> tuple[int, str, int]:
    """Status and error of a call, and how many people are asked."""
    told = {"routes": asking, "settings": lambda usual: replace(usual, hold_seconds=Seconds(0)), **told}
    async with world(leaky=api, **told) as here, here.agent() as bot:
        api.here = here
        reply = await bot.post("/leaky/orders", content=BODY)
        error = reply.json().get("error", "") if reply.headers["content-type"] == "application/json" else reply.text
        return reply.status_code, error, len(await here.asks())


async def test_a_good_challenge_reaches_the_person() -> None:
    assert await outcome(Challenger()) == (202, "", 1)


@pytest.mark.parametrize(
    "alter",
    [
        {"call": {"body": BODY.replace(b"30", b"3")}},
        {"call": {"method": "PUT"}},
        {"call": {"url": "http://127.0.0.1:1/orders"}},
        {"iss": "https://other.example"},
        {"aud": "https://other-as.example"},
        {"until": 1_000},
        {"until": 3_000_000_000},
    ],
)
async def test_a_challenge_about_anything_else_is_not_presented(alter: dict[str, Any]) -> None:
    assert await outcome(Challenger(alter)) == (502, "bad_gateway", 0)


async def test_a_challenge_by_another_key_is_not_presented() -> None:
    assert await outcome(Challenger(key=PrivateKey.generate())) == (502, "bad_gateway", 0)


@pytest.mark.parametrize(
    "lines",
    [
        lambda _: (),
        lambda _: ('DPoP error="transaction_authorization_required"',),
        lambda compact: (f'DPoP transaction_challenge="{compact}"',),
        lambda compact: (f'DPoP error="transaction_authorization_required", transaction_challenge="{compact}',),
        lambda compact: (f'DPoP error="transaction_authorization_required", transaction_challenge="{compact}"',) * 2,
        lambda _: (f'DPoP error="transaction_authorization_required", transaction_challenge="{"x" * 9000}"',),
        lambda _: ("DPoP error", '=,"', "\\"),
    ],
)
async def test_what_is_no_challenge_is_an_answer_like_any_other(lines: Callable[[str], tuple[str, ...]]) -> None:
    assert await outcome(Challenger(lines=lines)) == (401, "no", 0)


async def test_where_nobody_is_to_be_asked_nobody_is() -> None:
    """The route does not say that the API may ask: the API is told so, and a challenge is an answer like any other."""
    assert await outcome(Challenger(), routes=usual_routes) == (401, "no", 0)


async def test_a_challenge_is_followed_once() -> None:
    api = Challenger()
    async with world(leaky=api, routes=asking) as here, here.agent() as bot:
        api.here = here
        held = asyncio.create_task(bot.post("/leaky/orders", content=BODY))
        await here.answers()
        reply = await held
        assert (reply.status_code, reply.text) == (401, "no")
        assert (api.calls, await here.asks()) == (2, [])
        assert "www-authenticate" not in reply.headers


async def test_an_api_that_takes_no_token_is_asked_twice_and_no_more() -> None:
    api = Challenger(lines=lambda _: ('Bearer realm="x"', 'DPoP error="invalid_token"'))
    assert await outcome(api) == (502, "bad_gateway", 0)
    assert api.calls == 2
    streaming = Challenger(lines=lambda _: ('DPoP error="invalid_token"',))
    assert await outcome(streaming, routes=usual_routes) == (502, "bad_gateway", 0)
    assert streaming.calls == 1  # its body is gone: the agent has to come again
