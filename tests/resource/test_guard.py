"""What the guard admits, what it says when it does not, and what the API behind it sees."""

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from deputize.core.ports import Event
from deputize.core.wire import PLAIN
from deputize.jose import jwt
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import challenge
from deputize.oauth.caller import CALL_ONCE, CallSpent
from deputize.oauth.challenge import APPROVAL_WANTED
from deputize.oauth.details import Detail, http_call
from deputize.oauth.dpop import PROOF_ONCE, ProofSeen
from deputize.resource import Caller, Guard, Operation
from deputize.resource.asgi import BODY_SMALL, PLAIN_PATH, QUERY, Message, Scope
from deputize.resource.guard import FITS_A_HEADER, NAMED_CALL, NO_QUERY, SWEEP_EVERY
from deputize.resource.trusted import STILL_STANDS
from tests.resource.world import ACCEPTS, ORDER, READ, RESOURCE, THIRTY, World, error_of, purchase
from tests.support.issuer import ISSUER
from tests.support.proofs import lets_through, stops

METADATA = f"{RESOURCE}/.well-known/oauth-protected-resource"


def said(told: httpx2.Response) -> str:
    description: str = told.json()["error_description"]
    return description


def schemes(told: httpx2.Response) -> dict[str, dict[str, str]]:
    return dict(challenge.challenge_params(line) for line in told.headers.get_list("www-authenticate"))


# --- who gets in ------------------------------------------------------------------------------------------------


@lets_through(NAMED_CALL, STILL_STANDS, PROOF_ONCE)
async def test_a_good_call_reaches_the_api_with_its_caller() -> None:
    world = World()
    told = await world.call(token=world.token())
    assert (told.status_code, told.json()["subject"]) == (200, "alice")
    scope, _ = world.api.seen[0]
    who = scope["deputize.caller"]
    assert isinstance(who, Caller)
    assert (who.client, who.authority.audience) == ("pharmacy-bot", {RESOURCE})


async def test_the_api_does_not_see_what_the_caller_was_known_by() -> None:
    world = World()
    kept = [("x-request-id", "7"), ("cookie", "a=b"), ("accept-txn-challenge", "?1")]
    tricks = [("x-http-method-override", "DELETE"), ("x-original-url", "/orders"), ("x-rewrite-url", "/orders")]
    await world.call(token=world.token(), headers=[*kept, *tricks])
    scope, _ = world.api.seen[0]
    names = {name for name, _ in scope["headers"]}
    assert {b"x-request-id", b"cookie", b"accept-txn-challenge"} <= names
    assert names.isdisjoint(name.encode() for name in ("authorization", "dpop", *(name for name, _ in tricks)))


@stops(NAMED_CALL)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/prescriptions"),
        ("HEAD", "/prescriptions"),
        ("GET", "/"),
        ("GET", "/orders"),
        ("GET", "/prescriptions/7/x"),
    ],
)
async def test_what_was_not_named_is_refused(method: str, path: str) -> None:
    world = World()
    told = await world.call(method, path, token=world.token())
    assert told.status_code == 403
    if method != "HEAD":
        assert error_of(told) == (403, "insufficient_scope")
        assert said(told) == NAMED_CALL.says
    assert not world.api.seen
    assert (await world.call(method, path)).status_code == 401  # and a stranger learns nothing of what there is


async def test_no_credentials_no_error_code_and_a_way_to_find_out() -> None:
    told = await World().call()
    assert error_of(told) == (401, None)
    assert schemes(told) == {
        "Bearer": {"resource_metadata": METADATA},
        "DPoP": {"resource_metadata": METADATA, "algs": "ES256 ES384 Ed25519 PS256 RS256"},
    }


async def test_a_refusal_is_told_under_the_scheme_that_was_used() -> None:
    world = World()
    for bearer, scheme, other in ((True, "Bearer", "DPoP"), (False, "DPoP", "Bearer")):
        token = world.token(aud="https://other.example", bearer=bearer)
        told = await world.call(token=token, bearer=bearer)
        assert error_of(told) == (401, "invalid_token")
        assert schemes(told)[scheme]["error"] == "invalid_token"
        assert schemes(told)[scheme]["error_description"] == jwt.FOR_US.says == said(told)
        assert "error" not in schemes(told)[other]


async def test_every_refusal_is_json_and_not_kept_by_anybody() -> None:
    world = World()
    for told in (
        await world.call(),
        await world.call(token="x"),
        await world.call(token=world.token(scope=READ), method="PUT"),
        await world.order(world.token()),
    ):
        assert told.headers["cache-control"] == "no-store"
        assert told.headers["content-type"] == "application/json"
        assert told.headers["x-content-type-options"] == "nosniff"
        assert "alice" not in told.text


async def test_bearer_tokens_are_neither_offered_nor_taken_where_bound_ones_are_wanted() -> None:
    world = World(dpop_required=True)
    told = await world.call(token=world.token(bearer=True), bearer=True)
    assert error_of(told) == (401, "invalid_token")
    assert set(schemes(told)) == {"DPoP"}
    assert (await world.call(token=world.token())).status_code == 200


@pytest.mark.parametrize("bearer", [True, False])
async def test_the_proof_of_a_refused_call_is_not_spent(bearer: bool) -> None:  # noqa: FBT001 (a case of the table)
    """Nothing is written by a refusal (G2)."""
    world = World()
    token = world.token(scope=READ, bearer=bearer)
    shown = world.shown(token, "PUT", "/prescriptions", bearer=bearer)
    for _ in range(2):
        assert error_of(await world.send("PUT", "/prescriptions", headers=shown)) == (403, "insufficient_scope")
    assert not await world.env.store.select(ProofSeen, "", "")


# --- paths and queries ------------------------------------------------------------------------------------------


@lets_through(PLAIN_PATH, QUERY)
async def test_a_plain_path_is_routed_as_it_reads() -> None:
    world = World()
    token = world.token(bearer=True)
    assert await world.raw("/prescriptions", b"/prescriptions", token=token) == 200
    assert await world.raw("/prescriptions", b"/p%72escriptions", token=token) == 200
    assert await world.raw("/prescriptions", None, token=token) == 200
    assert await world.raw("/prescriptions/a b", b"/prescriptions/a%20b", token=token) == 200
    assert await world.raw("/prescriptions/é", b"/prescriptions/%C3%A9", token=token) == 200
    assert await world.raw("/prescriptions/é", None, token=token) == 200
    assert await world.raw("/prescriptions", b"/prescriptions", query=b"a=b&c[]=%20/?", token=token) == 200


@stops(PLAIN_PATH)
@pytest.mark.parametrize(
    ("path", "raw_path"),
    [
        ("/x/../prescriptions", b"/x/../prescriptions"),
        ("/./prescriptions", b"/./prescriptions"),
        ("/prescriptions/..", b"/prescriptions/.."),
        ("/prescriptions/.", b"/prescriptions/%2e"),
        ("//prescriptions", b"//prescriptions"),
        ("/prescriptions//7", b"/prescriptions//7"),
        ("/prescriptions/a/b", b"/prescriptions/a%2Fb"),
        ("/prescriptions/a/b", b"/prescriptions/a%2fb"),
        ("/prescriptions/a\\b", b"/prescriptions/a%5Cb"),
        ("/prescriptions\\7", b"/prescriptions\\7"),
        ("/prescriptions/\x00", b"/prescriptions/%00"),
        ("/prescriptions\n", b"/prescriptions%0A"),
        ("/prescriptions;a=b", b"/prescriptions;a=b"),
        ("/prescriptions;a", b"/prescriptions%3Ba"),
        ("/prescriptions/%2e", b"/prescriptions/%252e"),
        ("/prescriptions/%", b"/prescriptions/%"),
        ("/prescriptions/%7", b"/prescriptions/%7"),
        ("/prescriptions/\ufffd", b"/prescriptions/%FF"),
        ("/prescriptions/é", b"/prescriptions/\xc3\xa9"),
        ("prescriptions", b"prescriptions"),
        ("*", b"*"),
        ("", b""),
        ("http://evil.example/prescriptions", b"http://evil.example/prescriptions"),
        ("/prescriptions", b"/orders"),  # somebody in between altered one of the two
        ("/prescriptions", b"/prescriptions?x"),
        ("/prescriptions/" + "x" * 1024, b"/prescriptions/" + b"x" * 1024),
        ("/prescriptions;x", None),
        ("/prescriptions/%41", None),
    ],
)
async def test_a_path_with_two_readings_is_refused(path: str, raw_path: bytes | None) -> None:
    world = World()
    assert await world.raw(path, raw_path, token=world.token(bearer=True)) == 400
    assert not world.api.seen


@stops(QUERY)
@pytest.mark.parametrize(
    "query", [b"a=\x00", b"a=%", b"a=%zz", b"a=b c", b"a=\xc3\xa9", b"a=b#c", b"a|b", b"a\\b", b'"']
)
async def test_a_crooked_query_is_refused(query: bytes) -> None:
    world = World()
    assert await world.raw("/prescriptions", b"/prescriptions", query=query, token=world.token(bearer=True)) == 400


# --- approval ---------------------------------------------------------------------------------------------------


@lets_through(APPROVAL_WANTED, CALL_ONCE, NO_QUERY, BODY_SMALL, PLAIN)
async def test_an_approved_call_runs_and_leaves_a_line_in_the_audit_trail() -> None:
    world = World()
    told = await world.order(world.approved())
    assert (told.status_code, told.json()["body"]) == (200, THIRTY.decode())
    assert world.api.seen[0][1] == THIRTY
    (event,) = await world.env.store.select(Event, "person", "alice")
    assert (event.what, event.client) == ("approved_call", "pharmacy-bot")
    assert event.told == {"method": "POST", "url": f"{RESOURCE}/orders", "jti": "token-1", "txn": "txn-1"}


@stops(APPROVAL_WANTED)
@pytest.mark.parametrize("bearer", [False, True])
async def test_a_call_that_needs_approval_is_answered_with_a_challenge(bearer: bool) -> None:  # noqa: FBT001 (a case)
    world = World()
    told = await world.order(world.token(bearer=bearer), bearer=bearer)
    assert error_of(told) == (401, challenge.ERROR)
    assert said(told) == APPROVAL_WANTED.says
    scheme = "Bearer" if bearer else "DPoP"
    assert set(schemes(told)) == {scheme}
    signed = challenge.read(
        schemes(told)[scheme]["transaction_challenge"],
        KeySet.of(world.key.public()),
        resource=RESOURCE,
        authorization_server=ISSUER,
        now=world.clock(),
    )
    assert signed.details == (http_call("POST", f"{RESOURCE}/orders", THIRTY), Detail.of(**purchase(30)))
    assert signed.reason == "Orders of medicine are approved one by one"
    assert (signed.subject, signed.until) == ("alice", world.clock() + challenge.LIFE)
    assert not world.api.seen


async def challenged(world: World, **claims: Any) -> challenge.Challenge:
    told = await world.order(world.token(**claims))
    compact = schemes(told)["DPoP"]["transaction_challenge"]
    keys = KeySet.of(world.key.public())
    return challenge.read(compact, keys, resource=RESOURCE, authorization_server=ISSUER, now=world.clock())


async def test_the_challenge_names_who_acts() -> None:
    """The chain that the token has; else the client: the person whom it acts for does not act."""
    world = World()
    chain = (await challenged(world, act={"sub": "gateway", "act": {"sub": "pharmacy-bot"}})).actor
    assert chain is not None
    assert chain.claim() == {"sub": "gateway", "act": {"sub": "pharmacy-bot"}}
    alone = (await challenged(world, act=None)).actor
    assert alone is not None
    assert alone.claim() == {"sub": "pharmacy-bot"}


async def test_each_challenge_is_a_transaction_of_its_own() -> None:
    world = World()
    first, second = await challenged(world), await challenged(world)
    assert len({first.txn, second.txn, first.jti, second.jti}) == 4


@stops(APPROVAL_WANTED)
@pytest.mark.parametrize("headers", [(), (("accept-txn-challenge", "?0"),), (*ACCEPTS, *ACCEPTS)])
async def test_one_who_cannot_answer_a_challenge_gets_none(headers: tuple[tuple[str, str], ...]) -> None:
    world = World()
    told = await world.call("POST", "/orders", token=world.token(), body=THIRTY, headers=headers)
    assert error_of(told) == (403, "insufficient_scope")
    assert said(told) == APPROVAL_WANTED.says
    assert "transaction_challenge" not in told.headers["www-authenticate"]


async def test_one_whose_scope_is_not_enough_gets_no_challenge() -> None:
    world = World()
    told = await world.order(world.token(scope=READ))
    assert error_of(told) == (403, "insufficient_scope")
    assert schemes(told)["DPoP"]["scope"] == ORDER


async def test_a_request_that_makes_no_sense_is_not_brought_before_a_person() -> None:
    world = World()
    for body in (b"", b"{}", b'{"medicine": "Ibuprofen 400 mg", "quantity": 0}', b"\xff\xfe"):
        assert error_of(await world.order(world.token(), body)) == (400, "invalid_request")


@stops(NO_QUERY)
async def test_a_query_is_not_smuggled_past_the_description() -> None:
    world = World()
    for token in (world.token(), world.approved()):
        told = await world.call("POST", "/orders?express=1", token=token, body=THIRTY, headers=ACCEPTS)
        assert error_of(told) == (400, "invalid_request")
        assert said(told) == NO_QUERY.says


@stops(PLAIN)
async def test_ds_10_a_packed_body_is_not_described() -> None:
    world = World()
    told = await world.call(
        "POST", "/orders", token=world.approved(), body=THIRTY, headers=[("content-encoding", "gzip")]
    )
    assert error_of(told) == (415, "invalid_request")


@stops(BODY_SMALL)
async def test_a_body_beyond_its_bound_is_refused() -> None:
    world = World(body_max=len(THIRTY))
    assert (await world.order(world.approved())).status_code == 200
    assert error_of(await world.order(world.approved(txn="txn-2"), THIRTY + b" ")) == (413, "invalid_request")


@lets_through(FITS_A_HEADER)
async def test_a_long_description_fits() -> None:
    world = World()
    world.guard.needs("POST", "/many", scope=ORDER, approve=lambda _: Operation.of("why", *[purchase(1)] * 7))
    told = await world.call("POST", "/many", token=world.token(), headers=ACCEPTS)
    assert error_of(told) == (401, challenge.ERROR)


@stops(FITS_A_HEADER)
async def test_a_description_that_fits_no_header_is_refused() -> None:
    world = World()
    wordy = {**purchase(1), "item": "💊" * 80, "payee": "💊" * 80}
    world.guard.needs("POST", "/many", scope=ORDER, approve=lambda _: Operation.of("💊" * 280, *[wordy] * 7))
    told = await world.call("POST", "/many", token=world.token(), headers=ACCEPTS)
    assert error_of(told) == (400, "invalid_request")
    assert said(told) == FITS_A_HEADER.says


async def test_a_call_with_named_segments_is_described_by_them() -> None:
    world = World()

    def describe(_: bytes, *, number: str) -> Operation:
        return Operation.of("A repeat is approved", purchase(int(number)))

    world.guard.needs("POST", "/prescriptions/{number}/repeat", scope=ORDER, approve=describe)
    told = await world.call("POST", "/prescriptions/7/repeat", token=world.token(), headers=ACCEPTS)
    compact = schemes(told)["DPoP"]["transaction_challenge"]
    _, claims = jwt.peek(compact, "invalid_grant")
    assert claims["authorization_details"][1] == purchase(7)


async def test_a_body_that_came_in_parts_is_given_on_whole() -> None:
    world = World()

    async def parts() -> Any:
        yield THIRTY[:10]
        yield b""
        yield THIRTY[10:]

    token = world.approved()
    transport = httpx2.ASGITransport(app=world.app)
    async with httpx2.AsyncClient(transport=transport, base_url=RESOURCE) as client:
        told = await client.post("/orders", content=parts(), headers=dict(world.shown(token, "POST", "/orders")))
    assert told.status_code == 200
    assert world.api.seen[0][1] == THIRTY


async def test_a_peer_that_leaves_in_the_middle_spends_nothing() -> None:
    world = World()
    token = world.approved()
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/orders",
        "raw_path": b"/orders",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in world.shown(token, "POST", "/orders")],
    }
    waiting: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": THIRTY[:5], "more_body": True},
    ]

    async def receive() -> Message:
        return waiting.pop()

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await world.app(scope, receive, send)
    assert not world.api.seen
    assert (await world.order(token)).status_code == 200


@pytest.mark.parametrize("problem", [KeyError("medicine"), RuntimeError("secret of the API"), ZeroDivisionError()])
async def test_rs_10_a_bug_in_the_apis_own_callback_lets_nobody_through(problem: Exception) -> None:
    world = World()

    def broken(_: bytes) -> Operation:
        raise problem

    world.guard.needs("POST", "/broken", scope=ORDER, approve=broken)
    for token in (world.token(), world.approved(path="/broken")):
        told = await world.call("POST", "/broken", token=token, body=THIRTY, headers=ACCEPTS)
        assert (told.status_code, told.json()) == (500, {"error": "server_error"})
    assert not world.api.seen
    assert not await world.env.store.select(CallSpent, "", "")


# --- state ------------------------------------------------------------------------------------------------------


@stops(PROOF_ONCE)
async def test_two_calls_at_once_with_one_proof() -> None:
    world = World()
    shown = world.shown(world.token(), "GET", "/prescriptions")
    told = await asyncio.gather(*(world.send("GET", "/prescriptions", headers=shown) for _ in range(10)))
    assert sorted(one.status_code for one in told) == [200] + [401] * 9
    assert {error_of(one) for one in told if one.status_code == 401} == {(401, "invalid_dpop_proof")}


async def test_ds_08_old_marks_are_forgotten_in_passing() -> None:
    world = World()
    for _ in range(3):
        await world.call(token=world.token())
    assert len(await world.env.store.select(ProofSeen, "", "")) == 3
    world.clock.forward(SWEEP_EVERY)
    await world.call(token=world.token())
    assert len(await world.env.store.select(ProofSeen, "", "")) == 1


async def test_py_17_users_do_not_mix() -> None:
    """Many at once, each answered as himself."""
    world = World()

    async def call(subject: str) -> bool:
        told = await world.call(token=world.token(sub=subject))
        return bool(told.json()["subject"] == subject)

    assert all(await asyncio.gather(*(call(f"person-{number}") for number in range(200))))


async def test_ds_09_hostile_texts_take_no_time() -> None:
    world = World()
    long = 100_000
    begun = time.process_time()
    for headers in (
        [("authorization", "Bearer " + "a." * long)],
        [("authorization", "Bearer " + " " * long + "x")],
        [("authorization", "DPoP " + "a" * 1000), ("dpop", "." * long)],
        [("authorization", f"Bearer {world.token(bearer=True)}"), ("accept-txn-challenge", "?1" + ";a" * long)],
        [("authorization", f"Bearer {world.token(bearer=True)}"), ("content-length", "9" * long)],
    ):
        assert (await world.send("POST", "/orders", headers=headers)).status_code in {400, 401, 403, 413}
    for path in ("/" * long, "/." * long, "/%2e" * long, "/a" * long):
        assert await world.raw(path, path.encode(), token="x") == 400
    assert await world.raw("/orders", b"/orders", query=b"a&" * long, token="x") == 401
    assert time.process_time() - begun < 1


async def test_py_11_a_caller_that_is_cut_off_spends_at_most_once() -> None:
    """Whenever the task is cancelled, the approval ran, or it can still run, and never twice."""
    for steps in range(12):
        world = World()
        token = world.approved()
        task = asyncio.ensure_future(world.order(token))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        again = await world.order(token)
        assert len(world.api.seen) == 1 or (again.status_code == 401 and not world.api.seen)


async def test_lk_01_nothing_secret_is_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    world = World()
    token = world.token()
    shown = world.shown(token, "GET", "/prescriptions")
    answers = [await world.send("GET", "/prescriptions", headers=shown) for _ in range(2)]
    world.issuer.answers["/introspect"] = (500, {})
    answers.append(await world.call(token=token))
    world.issuer.answers["/introspect"] = (200, {"active": False})
    answers.append(await world.call(token=token))
    assert [one.status_code for one in answers] == [200, 401, 503, 401]
    assert "could not be judged" in caplog.text
    for secret in (token, token.rpartition(".")[2], shown[1][1], str(world.key.to_jwk()["d"])):
        assert secret not in caplog.text
        assert not [one for one in answers if secret in one.text or secret in str(one.headers)]


async def test_a_websocket_is_refused() -> None:
    world = World()
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await world.app({"type": "websocket", "path": "/prescriptions", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
    with pytest.raises(ValueError, match="no guard for"):
        await world.app({"type": "unheard-of"}, receive, send)


async def test_the_lifespan_passes_through() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    await World().app({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.complete"}]


def test_one_guard_serves_several_event_loops() -> None:
    world = World()
    for _ in range(2):
        assert asyncio.run(world.call(token=world.token())).status_code == 200


# --- setting up -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        {"live": True, "key": None},
        {"resource": "https://api.example/?a=b"},
        {"resource": "https://api.example/a/../b"},
        {"resource": "https://api.example/a%2Fb"},
        {"resource": "https://api.example#x"},
        {"resource": "http://api.example"},
        {"issuer": "https://as.example/"},
        {"issuer": "as.example"},
    ],
)
def test_a_guard_with_a_gap_does_not_start(told: dict[str, Any]) -> None:
    good: dict[str, Any] = {"resource": RESOURCE, "issuer": ISSUER, "env": World().env, "key": PrivateKey.generate()}
    Guard(**good)
    with pytest.raises(ValueError):  # noqa: PT011 (several)
        Guard(**{**good, **told})


def test_approval_cannot_be_asked_for_without_a_key() -> None:
    guard = Guard(resource=RESOURCE, issuer=ISSUER, env=World().env)
    with pytest.raises(ValueError, match="key"):
        guard.needs("POST", "/orders", scope=ORDER, approve=lambda _: Operation.of("why", purchase(1)))


# --- public documents -------------------------------------------------------------------------------------------


async def test_md_06_ht_05_the_resource_says_what_it_is() -> None:
    """To anybody, from anywhere, without credentials: GET and HEAD, 304 for one who has it."""
    world = World()
    told = await world.send("GET", "/.well-known/oauth-protected-resource")
    document = told.json()
    assert (document["resource"], document["authorization_servers"]) == (RESOURCE, [ISSUER])
    assert (document["resource_name"], document["scopes_supported"]) == ("Madrid Pharmacy", [ORDER, READ])
    assert document["bearer_methods_supported"] == ["header"]
    assert document["jwks_uri"] == document["txn_challenge_jwks_uri"]
    jwks = await world.send("GET", document["jwks_uri"])
    assert jwks.json() == {"keys": [world.key.public_jwk()]}
    for one in (told, jwks):
        assert one.headers["content-type"] == "application/json"
        assert one.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in one.headers
        path = str(one.request.url)
        head = await world.send("HEAD", path)
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", one.headers["etag"])
        for known in (one.headers["etag"], f'"x", W/{one.headers["etag"]}', "*"):
            again = await world.send("GET", path, headers=[("if-none-match", known)])
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", one.headers["etag"])
        assert (await world.send("GET", path, headers=[("if-none-match", '"x"')])).status_code == 200
        for method in ("POST", "OPTIONS", "DELETE"):
            other = await world.send(method, path)
            assert (other.status_code, other.headers["allow"]) == (405, "GET, HEAD")
    assert not world.api.seen


async def test_a_resource_with_a_path_says_so_at_the_inserted_place() -> None:
    world = World(resource="https://rs.example/api")
    told = await world.send("GET", "https://rs.example/.well-known/oauth-protected-resource/api")
    assert told.json()["resource"] == "https://rs.example/api"
    assert told.json()["jwks_uri"] == "https://rs.example/.well-known/deputize-jwks/api"
    assert (await world.send("GET", told.json()["jwks_uri"])).status_code == 200
    assert (await world.send("GET", "https://rs.example/.well-known/oauth-protected-resource")).status_code == 401


async def test_without_a_key_there_is_no_jwks_and_no_question_to_the_server() -> None:
    world = World(key=None, dpop_required=True)
    document = (await world.send("GET", "/.well-known/oauth-protected-resource")).json()
    assert not [name for name in document if "jwks" in name]
    assert document["dpop_bound_access_tokens_required"] is True
    assert (await world.send("GET", "/.well-known/deputize-jwks")).status_code == 401
    assert (await world.call(token=world.token())).status_code == 200
    assert world.issuer.fetched["/introspect"] == 0


async def test_a_later_row_is_published_too() -> None:
    world = World()
    world.guard.needs("GET", "/stock", scope="stock:read")
    told = await world.send("GET", "/.well-known/oauth-protected-resource")
    assert "stock:read" in json.loads(told.text)["scopes_supported"]
