"""A worker of a server that others are workers of, too: `python -m tests.slow.racing PLACE KIND SEED KEY`.

It is the whole server but for the socket: each attempt is a request that goes through the application.
"""

import asyncio
import hashlib
import json
import os
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

import structlog

from deputize.adapters.stores import open_store
from deputize.compose.kinds import KINDS
from deputize.compose.parts import ports
from deputize.core.ports import Env, Record
from deputize.core.values import ClientId, Instant, Issuer, Subject
from deputize.core.wire import b64u, json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth import assertion
from deputize.oauth import standing as standings
from deputize.oauth.asking import Answered, Ask
from deputize.oauth.authentication import Authentication
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client, Person, Resource, SecretHash, secret_hash
from deputize.oauth.client_auth import METHODS
from deputize.oauth.families import PREFIX, Family
from deputize.oauth.grants import GRANTS, authorization_code, ciba, client_credentials, refresh_token
from deputize.oauth.grants.authorization_code import Code
from deputize.oauth.server import AuthorizationServer
from deputize.oauth.standing import Standing
from deputize.server.app import protocol_app
from deputize.server.http import Asgi
from tests.support.asgi import request
from tests.support.cast import KeySigner, jwks
from tests.support.world import basic

ISSUER: Final = Issuer("https://as.example")
API: Final = "https://pharmacy.example"
WITH_KEY, WITH_SECRET, SECRET = "bot-with-key", "bot-with-secret", "what only the bot knows"
VERIFIER: Final = "a-verifier-that-has-as-many-letters-as-it-needs"
EACH: Final = 2  # attempts of one worker at one thing
LIFE: Final = 24 * 3600


def people(key: PrivateKey) -> tuple[Record, ...]:
    """Who has to be there, whatever is raced for."""
    common: dict[str, Any] = {
        "grant_types": frozenset(
            {client_credentials.GRANT.type, refresh_token.TYPE, ciba.TYPE, authorization_code.TYPE}
        ),
        "audiences": frozenset({API}),
        "scope": frozenset({"reorder"}),
    }
    secrets = (SecretHash(secret_hash(SECRET)),)
    return (
        Resource(key=API, name="Pharmacy", scopes={"reorder": "reorder"}),
        Person(key="alice", login="alice", name="Alice"),
        Standing(
            key=standings.key_of(Subject("alice"), ClientId(WITH_SECRET)),
            person="alice",
            client=WITH_SECRET,
            since=Instant(0),
        ),
        Client(key=WITH_KEY, name="A bot", auth_method="private_key_jwt", jwks=jwks(key), **common),
        Client(key=WITH_SECRET, name="A bot", auth_method="client_secret_basic", secrets=secrets, **common),
    )


def a_family(item: int, now: Instant) -> Family:
    return Family(
        key=f"item{item}",
        expires_at=Instant(now + LIFE),
        client=WITH_SECRET,
        person="alice",
        authority=_authority(now),
        sha256=secret_hash("first"),
        rotated_at=now,
        lives_until=Instant(now + LIFE),
        idle_until=Instant(now + LIFE),
        allowed_at=now,
    )


def an_ask(item: int, now: Instant) -> Ask:
    return Ask(
        key=f"item{item}",
        expires_at=Instant(now + LIFE),
        client=WITH_SECRET,
        person="alice",
        page=f"page{item}",
        door=ciba.TYPE,
        wanted=_authority(now),
        created_at=now,
        lives_until=Instant(now + LIFE),
        state=Answered(now, _authority(now), "alice"),
        remember=True,
    )


def a_code(item: int, now: Instant) -> Code:
    return Code(
        key=b64u(hashlib.sha256(f"code {item}".encode()).digest()),
        expires_at=Instant(now + LIFE),
        client=WITH_SECRET,
        person="alice",
        redirect_uri="https://bot.example/back",
        code_challenge=b64u(hashlib.sha256(VERIFIER.encode()).digest()),
        dpop_jkt=None,
        allowed=_authority(now),
        allowed_at=now,
        standing=standings.key_of(Subject("alice"), ClientId(WITH_SECRET)),
        refreshable=True,
        openid=True,
        seen=Authentication(at=now, amr=("pwd",)),
        acr=None,
        nonce=None,
        lives_until=Instant(now + LIFE),
    )


def _authority(now: Instant) -> Authority:
    return Authority(audience=frozenset({API}), scope=frozenset({"reorder"}), until=Instant(now + LIFE))


FIRST: Final[dict[str, Callable[[int, Instant], Record]]] = {"refresh": a_family, "ask": an_ask, "code": a_code}


@dataclass(frozen=True, slots=True)
class Worker:
    """The application, and what it takes to ask it as one of the bots."""

    app: Asgi
    env: Env
    key: PrivateKey

    async def jti(self, item: int) -> bool:
        """RC-03: the same assertion, by whomever it is shown."""
        now = self.env.clock()
        compact = assertion.make(WITH_KEY, self.key, audience=ISSUER.text, jti=f"item{item}", now=now)
        return await self._is_told(
            grant_type=client_credentials.GRANT.type,
            client_assertion_type=assertion.TYPE,
            client_assertion=compact,
        )

    async def refresh(self, item: int) -> bool:
        """RC-02."""
        return await self._is_told(grant_type=refresh_token.TYPE, refresh_token=f"{PREFIX}item{item}.first")

    async def ask(self, item: int) -> bool:
        """RC-04."""
        return await self._is_told(grant_type=ciba.TYPE, auth_req_id=f"item{item}")

    async def code(self, item: int) -> bool:
        """RC-01."""
        return await self._is_told(grant_type=authorization_code.TYPE, code=f"code {item}", code_verifier=VERIFIER)

    async def _is_told(self, **form: str) -> bool:
        headers = [("content-type", "application/x-www-form-urlencoded")]
        if "client_assertion" not in form:
            headers.append(("authorization", basic(WITH_SECRET, SECRET)))
        answer = await request(self.app, "POST", ISSUER.at("/token"), headers, [urlencode(form).encode()])
        if answer.status >= 500:
            raise RuntimeError(answer.body.decode())
        return answer.status == 200 and "access_token" in answer.json


RACES: Final[dict[str, Callable[[Worker, int], Awaitable[bool]]]] = {
    "jti": Worker.jti,
    "refresh": Worker.refresh,
    "ask": Worker.ask,
    "code": Worker.code,
}


async def main(place: str, kind: str, seed: str, key: str) -> None:
    structlog.configure(processors=[_quiet])
    store = open_store(place)
    await store.ready(KINDS)
    env = replace(ports(store), signer=KeySigner())
    here = AuthorizationServer(issuer=ISSUER, grants=GRANTS, methods=METHODS)
    worker = Worker(protocol_app(here, env), env, PrivateKey.from_jwk(json.loads(key)))
    attempt, dice = RACES[kind], random.Random(seed)
    os.write(1, b"ready\n")
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        tries = [item for item in range(*map(int, line.split())) for _ in range(EACH)]
        dice.shuffle(tries)
        told = await asyncio.gather(*(attempt(worker, item) for item in tries), return_exceptions=True)
        won = [item for item, ours in zip(tries, told, strict=True) if ours is True]
        faults = [repr(ours) for ours in told if isinstance(ours, BaseException)]
        os.write(1, json_bytes([len(tries), won, faults]) + b"\n")
    await store.close()


def _quiet(*_: object) -> str:
    raise structlog.DropEvent


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
