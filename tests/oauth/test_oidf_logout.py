"""The OpenID Foundation's modules for logout, mirrored by name: each test is called as its module is.

The plans are those of RP-initiated logout and of back-channel logout. `oidcc-rp-initiated-logout-` begins each name of
the first.
"""

import re
from collections.abc import AsyncIterator

import pytest

from deputize.core.values import Instant
from deputize.jose import jwt
from deputize.jose.keys import KeySet, PublicKey
from deputize.oauth.backchannel_logout import EVENT, LIFE, TYP
from deputize.oauth.end_session import NAMED, OURS, SAME_CLIENT
from deputize.oauth.redirects import REGISTERED_AFTER
from tests.support.flow import ISSUER, TWO, WEB
from tests.support.logout import AFTER, HEARS, Leaving, leaving_in
from tests.support.pages import text_of
from tests.support.proofs import lets_through, stops
from tools.rules import ROOT

MODULES = ROOT.parent / "shared" / "specs" / "41-oidf-modules.txt"
NOT_OUT = "You were not signed out"


@pytest.fixture
async def leaving() -> AsyncIterator[Leaving]:
    async with leaving_in() as made:
        yield made


def test_each_module_is_here() -> None:
    if not MODULES.exists():
        pytest.skip(f"there is no {MODULES.name} here: the list lies beside the repository")
    listed = re.findall(r"^(oidcc-(?:rp-initiated-logout|backchannel)\S*)$", MODULES.read_text(), re.MULTILINE)
    plans = {name for name in listed if name.endswith("-test-plan")}
    assert {f"test_{name.replace('-', '_')}" for name in set(listed) - plans} <= globals().keys()


async def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(leaving: Leaving) -> None:
    told = (await leaving.flow.world.get("/.well-known/openid-configuration")).json
    assert told["end_session_endpoint"] == f"{ISSUER}/end-session"


@pytest.mark.parametrize("post", [False, True])
@lets_through(OURS, SAME_CLIENT, NAMED, REGISTERED_AFTER)
async def test_oidcc_rp_initiated_logout(leaving: Leaving, *, post: bool) -> None:
    browser = await leaving.flow.browser()
    hint = (await leaving.signed_in(browser))["id_token"]
    leaving.flow.world.clock.forward(900)  # an ID token that has expired is a good hint
    assert await leaving.is_in(browser)
    answer = await leaving.asks(
        browser, post=post, id_token_hint=hint, client_id=WEB, post_logout_redirect_uri=AFTER, state="s & t"
    )
    assert answer.headers["location"] == f"{AFTER}?state=s+%26+t"
    assert not await leaving.is_in(browser)
    again = await leaving.asks(browser, id_token_hint=hint, post_logout_redirect_uri=AFTER)
    assert again.headers["location"] == AFTER  # nobody is here any more: that is no failure


@stops(REGISTERED_AFTER)
async def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    hint = (await leaving.signed_in(browser))["id_token"]
    for where in (
        "https://evil.example/",
        "https://web.example/",
        f"{AFTER}/",
        f"{AFTER}#x",
        "/inbox",
        "//evil.example",
    ):
        answer = await leaving.asks(browser, id_token_hint=hint, post_logout_redirect_uri=where, state="s")
        assert (answer.status_code, NOT_OUT in answer.text) == (400, True)
        assert REGISTERED_AFTER.says in text_of(answer)
    assert await leaving.is_in(browser)


async def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    hint = (await leaving.signed_in(browser))["id_token"]
    answer = await leaving.asks(browser, id_token_hint=hint, post_logout_redirect_uri=f"{AFTER}?foo=bar")
    assert (answer.status_code, await leaving.is_in(browser)) == (400, True)


@stops(OURS)
async def test_oidcc_rp_initiated_logout_modified_id_token_hint(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    hint = (await leaving.signed_in(browser))["id_token"]
    head, body, signature = hint.split(".")
    changed = f"{head}.{body}.{signature[:-6]}{'AAAAAA' if signature[-6:] != 'AAAAAA' else 'BBBBBA'}"
    answer = await leaving.asks(browser, id_token_hint=changed, post_logout_redirect_uri=AFTER)
    assert (answer.status_code, await leaving.is_in(browser)) == (400, True)


@stops(OURS)
async def test_oidcc_rp_initiated_logout_bad_id_token_hint(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    tokens, world = await leaving.signed_in(browser), leaving.flow.world
    strange = world.signed({"iss": ISSUER, "sub": "alice", "aud": "nobody", "exp": world.now, "iat": world.now},
                           world.signer.all[0], "JWT")  # fmt: skip
    for hint in ("x", "a.b.c", tokens["access_token"], world.assertion(WEB), strange):
        answer = await leaving.asks(browser, id_token_hint=hint, post_logout_redirect_uri=AFTER)
        assert (answer.status_code, await leaving.is_in(browser)) == (400, True)


async def test_oidcc_rp_initiated_logout_no_id_token_hint(leaving: Leaving) -> None:
    """Anybody could send Alice's browser here: so she is asked."""
    browser = await leaving.flow.browser()
    page = await leaving.asks(browser, client_id=WEB, post_logout_redirect_uri=AFTER, state="s")
    assert (page.status_code, "Sign out here?" in page.text) == (200, True)
    assert "Afterwards it goes on at web.example" in text_of(page)
    assert await leaving.is_in(browser)
    gone = await leaving.confirms(browser, page)
    assert f'href="{AFTER}?state=s"' in gone.text
    assert not await leaving.is_in(browser)


@stops(NAMED)
async def test_oidcc_rp_initiated_logout_no_params(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    page = await leaving.asks(browser)
    assert "Sign out here?" in page.text
    assert (await leaving.confirms(browser, page)).headers["location"] == "/sign-in"
    for name in ("", "nobody"):  # and with a place to go on to, but nobody who asks
        assert (await leaving.asks(browser, client_id=name, post_logout_redirect_uri=AFTER)).status_code == 400


async def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    hint = (await leaving.signed_in(browser))["id_token"]
    answer = await leaving.asks(browser, id_token_hint=hint, state="s")
    assert (answer.headers["location"], await leaving.is_in(browser)) == ("/sign-in", False)


async def test_oidcc_rp_initiated_logout_no_state(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    hint = (await leaving.signed_in(browser))["id_token"]
    answer = await leaving.asks(browser, id_token_hint=hint, post_logout_redirect_uri=AFTER)
    assert answer.headers["location"] == AFTER


async def test_oidcc_rp_initiated_logout_only_state(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    page = await leaving.asks(browser, state="s")
    assert "Sign out here?" in page.text
    assert (await leaving.confirms(browser, page)).headers["location"] == "/sign-in"


@stops(SAME_CLIENT)
async def test_the_client_that_asks_is_the_one_that_was_told(leaving: Leaving) -> None:
    browser = await leaving.flow.browser()
    hint = (await leaving.signed_in(browser))["id_token"]
    answer = await leaving.asks(browser, id_token_hint=hint, client_id=TWO, post_logout_redirect_uri=AFTER)
    assert (answer.status_code, await leaving.is_in(browser)) == (400, True)


# --- back-channel ---------------------------------------------------------------------------------------------------


async def test_oidcc_backchannel_logout_discovery_endpoint_verification(leaving: Leaving) -> None:
    told = (await leaving.flow.world.get("/.well-known/openid-configuration")).json
    assert told["backchannel_logout_supported"] is True
    assert told["backchannel_logout_session_supported"] is True


async def test_oidcc_backchannel_rp_initiated_logout(leaving: Leaving) -> None:
    browser, world = await leaving.flow.browser(), leaving.flow.world
    hint = (await leaving.signed_in(browser))["id_token"]
    sid = jwt.peek(hint, "x")[1]["sid"]
    assert {sid} == await leaving.sids()
    await leaving.asks(browser, id_token_hint=hint, post_logout_redirect_uri=AFTER)
    assert leaving.hearing.calls == []  # it is told in the background: nobody waits for that
    [claims] = await leaving.told()
    [call] = leaving.hearing.calls
    assert (call.method, call.url) == ("POST", HEARS)
    assert ("content-type", "application/x-www-form-urlencoded") in call.headers
    assert claims["events"] == {EVENT: {}}
    assert (claims["sub"], claims["sid"]) == ("alice", sid)
    assert "nonce" not in claims
    expected = jwt.Expectation(
        typ=frozenset({TYP}),
        algs=frozenset({"ES256"}),
        issuer=ISSUER,
        audience=jwt.Sole(WEB),
        lifetime_max=LIFE,
        age_max=None,
        needs=frozenset({"iss", "sub", "aud", "iat", "exp", "jti", "events", "sid"}),
        error="x",
    )
    keys = KeySet.of(*map(PublicKey.from_jwk, world.env.signer.keys()))
    jwt.verify(leaving.hearing.tokens()[0], keys, expected, Instant(world.now))
    await leaving.told()
    assert len(leaving.hearing.calls) == 1
