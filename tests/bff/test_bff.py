"""A page signs Alice in and calls an API through its backend; whatever it is told, no token is in it."""

import asyncio
from dataclasses import replace
from http.cookies import SimpleCookie
from typing import Any, Final

import httpx2
import pytest

from deputize.bff import Api, Bff, proxy
from deputize.bff.app import BEGUN_HERE, BY_METHOD, CONFIDENTIAL, THERE
from deputize.bff.door import BACK_HERE, GONE_TO, OWN_PAGE
from deputize.bff.proxy import LISTED, METHOD, NO_TOKEN_OUT, STAYS
from deputize.bff.renewing import SIGNED_IN
from deputize.bff.sessions import BffBegun, BffSession, Cookie, key_of
from deputize.core.ports import Add
from deputize.core.rules import Rule
from deputize.core.values import Seconds
from deputize.core.wire import Headers, Reply, json_object
from deputize.jose.keys import PrivateKey
from deputize.resource.asgi import BODY_SMALL, PLAIN_PATH, QUERY
from deputize.sdk.authorize import ANSWERED_BY, STATE
from deputize.sdk.login import Public
from tests.bff.shop import GONE, PAGE, SHOP, Shop, Unreachable, a_shop, said
from tests.support.cast import PHARMACY, READ
from tests.support.flow import ISSUER, query_of
from tests.support.proofs import lets_through, stops


def because(answer: httpx2.Response, rule: Rule) -> bool:
    """Whether it was this rule that said no."""
    return bool(answer.json()["error_description"] == rule.says)


@lets_through(OWN_PAGE, GONE_TO, BACK_HERE, BEGUN_HERE, SIGNED_IN, LISTED, METHOD, NO_TOKEN_OUT, STAYS, CONFIDENTIAL)
@lets_through(THERE, BY_METHOD)
async def test_alice_signs_in_calls_the_api_and_signs_out_and_the_browser_sees_no_token() -> None:
    async with a_shop() as shop:
        assert (await shop.call("GET", "/bff/user")).status_code == 401
        back = await shop.signs_in("/orders?page=2")
        assert (back.status_code, back.headers["location"]) == (303, "/orders?page=2")
        user = (await shop.call("GET", "/bff/user")).json()
        assert (user["sub"], "auth_time" in user) == ("alice", True)

        answer = await shop.call("POST", "/api/orders?x=1", json={"n": 1})
        assert (answer.status_code, answer.json()) == (200, {"good": True})
        [called] = shop.ways.called
        assert (called.method, called.url, json_object(called.body)) == ("POST", f"{PHARMACY}/v1/orders?x=1", {"n": 1})
        token, refresh = shop.ways.token, await refresh_token_of(shop)
        assert await shop.flow.world.is_active(token)
        for secret in (token, refresh, *token.split(".")[1:]):
            assert secret not in shop.told()
        kept = await shop.session()
        assert kept is not None
        assert token not in repr(kept)
        assert shop.name() not in repr(kept)

        assert (await shop.call("POST", "/bff/logout")).json() == {"signed_out": True}
        assert not await shop.flow.world.is_active(token)
        assert (await shop.call("GET", "/api/orders")).status_code == 401
        assert (await shop.browser.get("/else")).text == "the page /else"


async def refresh_token_of(shop: Shop) -> str:
    held = await shop.bff._renewing.token(shop.name())
    assert held.refresh_token is not None
    return held.refresh_token.reveal()


async def test_the_request_is_pushed_with_pkce_and_says_nothing_in_the_browser() -> None:
    async with a_shop() as shop:
        answer = await shop.goes("/bff/login")
        assert answer.headers["location"].startswith(f"{ISSUER}/authorize?")
        assert query_of(answer.headers["location"]).keys() == {"client_id", "request_uri"}
        assert "POST /par" in shop.ways.reach.asked


async def test_cookies_are_for_this_host_and_for_no_script() -> None:
    async with a_shop() as shop:
        begun = SimpleCookie((await shop.goes("/bff/login")).headers["set-cookie"])
        done = await shop.signs_in()
        session = SimpleCookie(done.headers.get_list("set-cookie")[1])["__Host-Http-bff"]
        assert begun["__Host-Http-bff-begun"]["samesite"] == "Lax"
        assert session["samesite"] == "Strict"
        for one in (session, begun["__Host-Http-bff-begun"]):
            assert (one["secure"], one["httponly"], one["path"], one["domain"]) == (True, True, "/", "")
    plain = Cookie.of("http://127.0.0.1:8000", "bff", "Strict")
    assert (plain.name, "Secure" in plain.carrying("x", Seconds(1))) == ("bff-dev", False)


# --- other pages ----------------------------------------------------------------------------------------------------


ELSEWHERE: Final[tuple[dict[str, str], ...]] = (
    {},
    {"sec-fetch-site": "same-origin"},
    {"x-bff": "0"},
    {"x-bff": "1", "sec-fetch-site": "same-site"},  # a sibling subdomain
    {"x-bff": "1", "sec-fetch-site": "cross-site"},
    {"x-bff": "1", "origin": "https://evil.shop.example"},
    {"x-bff": "1", "origin": "null"},
    {"content-type": "text/plain"},  # what a form elsewhere can send
)


@stops(OWN_PAGE)
async def test_no_other_page_makes_calls_with_alices_cookie() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        calls = (("POST", "/api/orders"), ("GET", "/api/orders"), ("POST", "/bff/logout"), ("GET", "/bff/user"))
        for headers in ELSEWHERE:
            for method, path in calls:
                answer = await shop.call(method, path, headers=headers)
                assert (answer.status_code, because(answer, OWN_PAGE)) == (403, True)
        assert shop.ways.called == []
        assert (await shop.call("GET", "/bff/user")).status_code == 200


async def test_nobody_elsewhere_is_let_read_or_ask_before() -> None:
    """There is no CORS here at all: an API's own is taken away."""
    async with a_shop() as shop:
        await shop.signs_in()
        shop.ways.answers = [
            said(200, None, ("access-control-allow-origin", "*"), ("set-cookie", "a=b"), ("server", "x"))
        ]
        for answer in (
            await shop.call("GET", "/api/orders"),
            await shop.call("OPTIONS", "/api/orders", headers={"origin": "https://evil.example"}),
            await shop.call("OPTIONS", "/bff/user", headers={"origin": "https://evil.example"}),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control") or name == "server"]
            assert "set-cookie" not in answer.headers
        assert "frame-ancestors 'none'" in answer.headers.get("content-security-policy", "frame-ancestors 'none'")


@stops(GONE_TO)
async def test_signing_in_is_begun_by_no_picture_and_in_no_frame() -> None:
    async with a_shop() as shop:
        for what in ("image", "iframe", "empty", "script"):
            answer = await shop.browser.get("/bff/login", headers={"sec-fetch-dest": what})
            assert (answer.status_code, because(answer, GONE_TO)) == (403, True)


FALSE_PATHS: Final = (
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "/%2F/evil.example",
    "/%5Cevil.example",
    "evil",
    "javascript:alert(1)",
    "/a%0d%0aset-cookie:x=y",
    "/../x",
    "/a#b",
    "/a?b c",
    "/bff/login",
    "/bff",
    "/a&return=/b",
)


@stops(BACK_HERE)
async def test_after_signing_in_nobody_is_sent_elsewhere() -> None:
    async with a_shop() as shop:
        for back in FALSE_PATHS:
            query = f"return={back.replace('%', '%25')}" if "&" not in back else f"return={back}"
            answer = await shop.goes(f"/bff/login?{query.replace('#', '%23')}")
            assert (answer.status_code, because(answer, BACK_HERE)) == (400, True)
        assert shop.ways.reach.asked == []


# --- signing in -----------------------------------------------------------------------------------------------------


@stops(BEGUN_HERE)
async def test_an_answer_counts_in_the_browser_that_asked_and_once() -> None:
    """Mallory has Alice's browser open an answer of hers (login CSRF); and Alice reloads the page."""
    async with a_shop() as shop:
        arrived = await shop.allowed(await shop.goes("/bff/login"))
        mine = shop.browser.cookies.get("__Host-Http-bff-begun")
        shop.browser.cookies.clear()
        assert because(await shop.goes(arrived), BEGUN_HERE)
        shop.browser.cookies.set("__Host-Http-bff-begun", str(mine), domain="shop.example")
        assert (await shop.goes(arrived)).status_code == 303
        shop.browser.cookies.set("__Host-Http-bff-begun", str(mine), domain="shop.example")
        assert because(await shop.goes(arrived), BEGUN_HERE)
        record = await shop.env.store.read(BffBegun, key_of(str(mine)))
        assert record is not None
        assert (record.used, record.sealed) == (True, "")


async def test_what_was_begun_ends_after_ten_minutes() -> None:
    async with a_shop() as shop:
        arrived = await shop.allowed(await shop.goes("/bff/login"))
        shop.flow.world.clock.forward(600)
        assert because(await shop.goes(arrived), BEGUN_HERE)


async def test_another_servers_answer_is_no_answer_and_ends_nothing() -> None:
    async with a_shop() as shop:
        arrived = await shop.allowed(await shop.goes("/bff/login"))
        other = arrived.replace("iss=https%3A%2F%2Fas.example", "iss=https%3A%2F%2Fevil.example")
        assert other != arrived
        assert because(await shop.goes(other), ANSWERED_BY)
        assert because(await shop.goes(arrived.replace("state=", "state=x")), STATE)
        assert (await shop.goes(arrived)).status_code == 303


async def test_alice_says_no() -> None:
    async with a_shop() as shop:
        answer = await shop.goes(await shop.allowed(await shop.goes("/bff/login"), says="deny"))
        assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")
        assert shop.browser.cookies.get("__Host-Http-bff") is None


async def test_each_sign_in_has_a_name_of_its_own_and_the_one_before_ends() -> None:
    """Session fixation: what was planted before, or known before, is worth nothing after."""
    async with a_shop() as shop:
        shop.browser.cookies.set("__Host-Http-bff", "A" * 43, domain="shop.example", path="/")
        await shop.signs_in()
        first = [
            one.value for one in shop.browser.cookies.jar if one.name == "__Host-Http-bff" and one.value != "A" * 43
        ]
        shop.browser.cookies.clear()
        shop.browser.cookies.set("__Host-Http-bff", str(first[0]), domain="shop.example", path="/")
        await shop.call("GET", "/api/orders")
        token = shop.ways.token
        begun = await shop.goes("/bff/login")
        await shop.goes(await shop.allowed(begun))
        assert not await shop.flow.world.is_active(token)
        old = await shop.env.store.read(BffSession, key_of(str(first[0])))
        assert old is not None
        assert (old.ended_at is not None, old.sealed) == (True, "")
        shop.browser.cookies.clear()
        shop.browser.cookies.set("__Host-Http-bff", str(first[0]), domain="shop.example", path="/")
        assert because(await shop.call("GET", "/bff/user"), SIGNED_IN)


# --- the session ----------------------------------------------------------------------------------------------------


@stops(SIGNED_IN)
async def test_a_session_ends_with_its_time() -> None:
    async with a_shop(life=Seconds(100)) as shop:
        await shop.signs_in()
        shop.flow.world.clock.forward(100)
        assert because(await shop.call("GET", "/api/orders"), SIGNED_IN)


async def test_tokens_are_renewed_by_one_of_many_calls() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        await shop.call("GET", "/api/orders")
        before = shop.ways.token
        shop.flow.world.clock.forward(290)
        asked = shop.ways.reach.asked.count("POST /token")
        answers = await asyncio.gather(*(shop.call("GET", f"/api/orders/{n}") for n in range(20)))
        assert {one.status_code for one in answers} == {200}
        assert shop.ways.reach.asked.count("POST /token") == asked + 1
        assert shop.ways.token != before


async def test_where_another_process_renews_nobody_does_so_beside_it() -> None:
    """Two backends over one store: a refresh token that is used twice would end the whole family."""
    async with a_shop() as shop:
        await shop.signs_in()
        held = await shop.bff._renewing.token(shop.name())
        shop.flow.world.clock.forward(290)
        other = replace(shop.bff._renewing, _turns=type(shop.bff._renewing._turns)())
        asked = shop.ways.reach.asked.count("POST /token")
        one, two = await asyncio.gather(shop.bff._renewing.token(shop.name()), other.token(shop.name()))
        assert shop.ways.reach.asked.count("POST /token") == asked + 1
        assert one.access_token.reveal() == two.access_token.reveal() != held.access_token.reveal()


async def test_a_dead_refresh_token_ends_the_session() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        await shop.flow.world.take_back("alice", "shop-web")
        shop.flow.world.clock.forward(290)
        assert because(await shop.call("GET", "/api/orders"), SIGNED_IN)
        session = await shop.session()
        assert session is not None
        assert session.ended_at is not None


async def test_a_server_out_of_reach_ends_nothing() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        shop.flow.world.clock.forward(290)
        shop.ways.reach.is_down = True
        assert (await shop.call("GET", "/api/orders")).status_code == 502
        shop.ways.reach.is_down = False
        shop.flow.world.clock.forward(31)
        assert (await shop.call("GET", "/api/orders")).status_code == 200


async def test_who_signs_out_while_tokens_are_renewed_is_signed_out() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        name = shop.name()
        shop.flow.world.clock.forward(290)
        real = shop.ways.reach

        async def slow(call: object) -> object:
            if "/token" in getattr(call, "url", ""):
                shop.ways.reach = real
                await shop.call("POST", "/bff/logout")
            return await real(call)  # type: ignore[arg-type]  # a Call, as it came

        shop.ways.reach = slow  # type: ignore[assignment]  # one that takes its time
        assert because(await shop.call("GET", "/api/orders"), SIGNED_IN)
        shop.browser.cookies.set("__Host-Http-bff", name, domain="shop.example", path="/")
        assert because(await shop.call("GET", "/bff/user"), SIGNED_IN)


async def test_a_record_that_somebody_moved_is_no_session() -> None:
    """Mallory can write to the store, and puts Alice's tokens under a name of hers."""
    async with a_shop() as shop:
        await shop.signs_in()
        alices = await shop.session()
        assert alices is not None
        from_mallory = "M" * 43
        assert await shop.env.store.commit(Add(replace(alices, key=key_of(from_mallory))))
        shop.browser.cookies.clear()
        shop.browser.cookies.set("__Host-Http-bff", from_mallory, domain="shop.example", path="/")
        assert (await shop.call("GET", "/bff/user")).status_code == 502


async def test_signing_out_holds_where_the_server_is_out_of_reach() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        shop.ways.reach.is_down = True
        assert (await shop.call("POST", "/bff/logout")).status_code == 200
        assert (await shop.call("POST", "/bff/logout")).status_code == 200


# --- calls ----------------------------------------------------------------------------------------------------------


@stops(LISTED, METHOD, THERE, BY_METHOD)
async def test_what_is_not_listed_is_not_reached() -> None:
    api = Api(prefix="/api", url=PHARMACY, methods=frozenset({"GET"}))
    async with a_shop(apis=(api,)) as shop:
        await shop.signs_in()
        answer = await shop.call("POST", "/api/orders")
        assert (answer.status_code, answer.headers["allow"], because(answer, METHOD)) == (405, "GET", True)
        assert because(await shop.call("GET", "/%61pi/orders"), LISTED)
        assert because(await shop.call("GET", "/bff/proxy?u=https://evil.example"), THERE)
        assert because(await shop.call("GET", "/bff/logout"), BY_METHOD)
        assert (await shop.call("GET", "/apiary")).text == "the page /apiary"
        assert shop.ways.called == []


@stops(PLAIN_PATH, QUERY)
async def test_a_path_with_two_readings_goes_nowhere() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        for path in ("/api/..%2fadmin", "/api//evil.example", "/api/%2e%2e/x", "/api/a%5cb", "/api/a;b"):
            answer = await shop.call("GET", path, headers={**PAGE, "x-forwarded-host": "evil.example"})
            assert because(answer, PLAIN_PATH)
        assert because(await shop.call("GET", "/api/a?b|c"), QUERY)
        assert shop.ways.called == []


async def test_what_goes_to_the_api_is_listed_and_the_cookie_is_not() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        more = {"authorization": "Bearer mine", "x-forwarded-for": "1.2.3.4", "accept": "text/csv", "dpop": "x"}
        await shop.call("GET", "/api/orders", headers={**PAGE, **more})
        sent = dict(shop.ways.called[0].headers)
        assert sent == {"accept": "text/csv", "authorization": f"Bearer {shop.ways.token}"}
        assert shop.ways.token != "mine"


@stops(BODY_SMALL)
async def test_a_body_has_its_bounds() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        assert (await shop.call("POST", "/api/orders", content=b"x" * (1024 * 1024 + 1))).status_code == 413


@stops(STAYS, NO_TOKEN_OUT)
async def test_an_api_that_sends_elsewhere_or_tells_the_token_is_not_followed_or_passed_on() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        shop.ways.answers = [said(302, None, ("location", "https://evil.example/"))]
        answer = await shop.call("GET", "/api/orders")
        assert (answer.status_code, because(answer, STAYS), "location" in answer.headers) == (502, True, False)
        assert len(shop.ways.called) == 1
        for where in ("body", "etag"):
            token = shop.ways.token
            shop.ways.answers = [said(500, {"debug": token}) if where == "body" else said(200, None, ("etag", token))]
            answer = await shop.call("GET", "/api/orders")
            assert (answer.status_code, because(answer, NO_TOKEN_OUT)) == (502, True)
            assert token not in shop.told()


async def test_an_answer_without_a_body_does_not_say_how_long_it_is() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        shop.ways.answers = [Reply(status=204), Reply(status=304, headers=Headers((("etag", '"1"'),)))]
        for status in (204, 304):
            answer = await shop.call("DELETE", "/api/orders/1")
            assert (answer.status_code, "content-length" in answer.headers, answer.content) == (status, False, b"")


async def test_a_token_that_the_api_takes_no_more_is_replaced_once() -> None:
    async with a_shop() as shop:
        await shop.signs_in()
        bad = ("www-authenticate", 'Bearer error="invalid_token"')
        shop.ways.answers = [said(401, None, bad)]
        assert (await shop.call("POST", "/api/orders", content=b"1")).status_code == 200
        first, second = (dict(call.headers)["authorization"] for call in shop.ways.called)
        assert first != second
        assert [call.body for call in shop.ways.called] == [b"1", b"1"]
        shop.ways.answers = [said(401, None, bad), said(401, None, bad)]
        assert (await shop.call("GET", "/api/orders")).status_code == 403
        shop.ways.answers = [said(401, None, ("www-authenticate", 'Bearer error="insufficient_user_authentication"'))]
        answer = await shop.call("GET", "/api/orders")
        assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_user_authentication")


async def test_tokens_can_be_bound_to_a_key_of_the_backends() -> None:
    async with a_shop(dpop_key=PrivateKey.generate()) as shop:
        await shop.signs_in()
        nonce = said(401, None, ("www-authenticate", 'DPoP error="use_dpop_nonce"'), ("dpop-nonce", "n1"))
        shop.ways.answers = [nonce]
        assert (await shop.call("GET", "/api/orders?a=1")).status_code == 200
        sent = dict(shop.ways.called[-1].headers)
        assert sent["authorization"].startswith("DPoP ")
        assert sent["dpop"] not in shop.told()
        assert "dpop-nonce" not in shop.seen[-1].headers


async def test_nothing_of_a_failure_is_told() -> None:
    async with a_shop() as shop:
        shop.bff._env = replace(shop.env, fetch=Unreachable(shop.ways.reach))
        answer = await shop.browser.get("/bff/login", headers=GONE)
        assert (answer.status_code, answer.json()) == (502, {"error": "bad_gateway"})


# --- settings -------------------------------------------------------------------------------------------------------


@stops(CONFIDENTIAL)
async def test_a_backend_authenticates_and_has_an_origin_of_its_own() -> None:
    async with a_shop() as shop:
        good = shop.bff._login
        made: dict[str, Any] = {"resource": PHARMACY, "scope": frozenset({READ}), "env": shop.env}
        api = Api(prefix="/api", url=PHARMACY)
        with pytest.raises(ValueError, match="authenticates"):
            Bff(SHOP, login=replace(good, method=Public()), apis=(api,), **made)
        with pytest.raises(ValueError, match="origin of their own"):
            Bff(f"{SHOP}/app", login=good, apis=(api,), **made)
        for apis in ((), (Api(prefix="/bff", url=PHARMACY),), (Api(prefix="/bff/api", url=PHARMACY),)):
            with pytest.raises(ValueError, match="name the APIs"):
                Bff(SHOP, login=good, apis=apis, **made)
    for prefix, url, methods in (
        ("api", PHARMACY, proxy.METHODS),
        ("/a/../b", PHARMACY, proxy.METHODS),
        ("/api", "http://api.example", proxy.METHODS),
        ("/api", f"{PHARMACY}?a=1", proxy.METHODS),
        ("/api", PHARMACY, frozenset({"TRACE"})),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 (several)
            Api(prefix=prefix, url=url, methods=methods)
