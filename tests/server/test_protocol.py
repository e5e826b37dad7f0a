"""The protocol's ASGI face: one map from refusals to statuses, faults that tell nothing, and what is not HTTP."""

from dataclasses import replace
from typing import Any

import pytest

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.wire import FORM_TYPE, PLAIN, JsonObject
from deputize.server import http
from deputize.server.app import management_app, protocol_app
from deputize.server.http import METHOD, Asgi, Message, Receive, Scope, Send
from tests.support.asgi import Answer, request
from tests.support.cast import BASIC, BOT, PHARMACY, BrokenStore
from tests.support.proofs import lets_through
from tests.support.world import CLIENT_CREDENTIALS, World

SOME = Rule("A specification", "1", "Something is so.")
FORM_KIND = ("content-type", "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("refusal", "statuses", "status"),
    [
        (Refusal("invalid_request", SOME), {}, 400),
        (Refusal("invalid_grant", SOME), {"access_denied": 403}, 400),
        (Refusal("access_denied", SOME), {}, 400),
        (Refusal("access_denied", SOME), {"access_denied": 403}, 403),
        (Refusal("invalid_client", SOME), {}, 401),
        (Refusal("invalid_request", http.METHOD), {}, 405),
        (Refusal("invalid_request", http.FOUND), {}, 404),
        (Refusal("invalid_request", http.BODY), {}, 413),
        (Refusal("invalid_request", http.FEW_HEADERS), {}, 431),
        (Refusal("invalid_request", FORM_TYPE), {}, 415),
        (Refusal("invalid_request", PLAIN), {}, 415),
    ],
)
def test_each_refusal_has_one_status(refusal: Refusal, statuses: dict[str, int], status: int) -> None:
    answer = http.refused(refusal, statuses=statuses)
    assert answer.status == status
    assert dict(answer.headers)["cache-control"] == "no-store"


def test_what_was_found_stays_in_and_params_go_out() -> None:
    refusal = Refusal("insufficient_scope", SOME, params=(("scope", "read"),), found_out="canary")
    answer = http.refused(refusal, basic=True)
    assert b"canary" not in answer.body
    assert b'"scope":"read"' in answer.body
    assert "www-authenticate" not in dict(answer.headers)
    assert "www-authenticate" in dict(http.refused(Refusal("invalid_client", SOME), basic=True).headers)


async def answered(world: World, store: Any, form: JsonObject, path: str = "/token") -> Answer:
    app = protocol_app(world.here, replace(world.env, store=store))
    headers = (FORM_KIND, *world.logs_in(BASIC)[0])
    body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
    return await request(app, "POST", world.here.issuer.at(path), headers, [body])


@pytest.mark.parametrize("kind", ["client", "resource", "revoked"])
async def test_a_store_that_cannot_is_a_503_that_tells_nothing(world: World, kind: str) -> None:
    token = (await world.token(by=BASIC))["access_token"]
    answer = await answered(world, BrokenStore(world.store, frozenset({kind})), {"token": token}, "/introspect")
    if kind == "resource":
        answer = await answered(world, BrokenStore(world.store, frozenset({kind})), CLIENT_CREDENTIALS)
    assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert answer.header("cache-control") == "no-store"
    assert answer.json["error"] == "temporarily_unavailable"
    assert b"canary" not in answer.body
    assert {"level": "error", "event": "failed"}.items() <= world.logged[-1].items()


def test_a_fault_that_will_not_pass_is_a_500_that_tells_nothing() -> None:
    answer = http.failed(Fault("the disk at /canary is gone"))
    assert answer.status == 500
    assert b"canary" not in answer.body
    assert "retry-after" not in dict(answer.headers)


async def test_what_is_not_the_protocol_goes_to_the_pages(world: World) -> None:
    """And nothing of the protocol does."""
    seen: list[str] = []

    async def pages(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(f"{scope['type']} {scope.get('path', '')}")
        if scope["type"] == "http":
            await receive()
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    app = protocol_app(world.here, world.env, pages)
    for path in ("/inbox", "/", "/token/x"):
        assert (await request(app, "GET", f"https://as.example{path}", ())).status == 204
    for path in ("/token", "/jwks", "/.well-known/openid-configuration"):
        assert (await request(app, "GET", f"https://as.example{path}", ())).status != 204
    await app({"type": "lifespan"}, _nothing, _ignored)
    assert seen == ["http /inbox", "http /", "http /token/x", "lifespan "]


async def _nothing() -> Message:
    return {"type": "lifespan.shutdown"}


async def _ignored(_: Message) -> None:
    return


async def speak(app: Asgi, kind: str, *said: str) -> list[Message]:
    """What an application answers to messages of another sort than requests."""
    told, heard = iter(said), list[Message]()

    async def receive() -> Message:
        return {"type": next(told)}

    async def send(message: Message) -> None:
        heard.append(message)

    await app({"type": kind}, receive, send)
    return heard


async def test_lifespan_is_answered_and_web_sockets_are_not(world: World) -> None:
    for app in (world.app, management_app(world.env)):
        begun = await speak(app, "lifespan", "lifespan.startup", "lifespan.shutdown")
        assert [message["type"] for message in begun] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert await speak(app, "websocket", "websocket.connect") == [{"type": "websocket.close", "code": 1008}]


async def managed(env: Env, path: str, method: str = "GET") -> Answer:
    return await request(management_app(env), method, f"http://127.0.0.1:9401{path}", ())


@lets_through(METHOD)
async def test_an_operators_tools_are_told_whether_it_lives_and_works(world: World) -> None:
    assert (await managed(world.env, "/healthz")).json == {"alive": True}
    assert (await managed(world.env, "/readyz")).json == {"ready": True}
    assert (await managed(world.env, "/healthz", "HEAD")).body == b""
    assert (await managed(world.env, "/token")).status == 404
    broken = replace(world.env, store=BrokenStore(world.store, frozenset({"client"})))
    assert (await managed(broken, "/healthz")).status == 200
    assert (await managed(broken, "/readyz")).status == 503


async def test_a_peer_that_is_gone_is_not_answered(world: World) -> None:
    sent: list[Message] = []

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await world.app({"type": "http", "method": "POST", "path": "/token", "headers": []}, gone, send)
    assert sent == []


async def test_a_bug_is_left_to_crash(world: World) -> None:
    """What is neither a refusal nor a fault is nobody's to answer but the server's: a bare 500."""

    class Bug(BrokenStore):
        async def read(self, kind: Any, key: str) -> Any:
            raise ZeroDivisionError(kind, key)

    with pytest.raises(ZeroDivisionError):
        await answered(world, Bug(world.store, frozenset()), CLIENT_CREDENTIALS)


async def test_a_log_line_says_which_rule_and_what_was_found(world: World) -> None:
    await world.token({"scope": "admin"})
    assert world.logged == [
        {
            "level": "info",
            "event": "refused",
            "path": "/token",
            "error": "invalid_scope",
            "rule": "RFC 6749 3.3",
            "found_asked": "['admin']",
        }
    ]
    await world.token({"grant_type": "x" * 5000}, by=BOT)
    assert all(len(str(value)) <= 200 for value in world.logged[-1].values())


async def test_an_answer_with_nothing_to_say_says_so(world: World) -> None:
    answer = await world.post("/revoke", {"token": "unknown"}, by=PHARMACY)
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "0")
    assert answer.header("content-type") is None
