"""A page asks for something, a wallet answers it, and the browser that began sees what it was."""

import dataclasses
import re
from html import unescape

import httpx2
import pytest

from deputize.core.rules import Refusal
from deputize.core.wire import Form, Headers, Inbound, b64u_bytes, form_bytes, json_object
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth import statuses
from deputize.oauth.client import Person
from deputize.oauth.offers import Entitled
from deputize.sdk.flow import arun
from deputize.sdk.wallet import Wallet, accept, read_offer, read_request, send
from deputize.server import presenting, session
from deputize.server.app import protocol_app
from deputize.server.credentials import Asked, Certified
from deputize.server.pages import PageSettings, pages
from deputize.server.session import Cookie
from deputize.vc import answers, presentations, requests
from deputize.vc.answers import Held, answer, choice, held
from deputize.vc.client_ids import Trust
from deputize.vc.issuance import offer
from deputize.vc.presentations import KNOWN_REQUEST, SAME_BROWSER
from deputize.vc.status_list import IS_VALID
from tests.jose.making import a_key
from tests.jose.test_x509 import between, root
from tests.support.asgi import request as sent
from tests.support.calling import Calling
from tests.support.credentials import SETTINGS, VCT, Issuing, an_issuer
from tests.support.pages import QUICK, SAME_ORIGIN, text_of, token_on
from tests.vc.verifying import leaf, roots, signing

QUERY = {
    "credentials": [
        {"id": "dip", "format": "dc+sd-jwt", "meta": {"vct_values": [VCT]}, "claims": [{"path": ["degree", "title"]}]}
    ]
}
ASKS = dataclasses.replace(
    SETTINGS,
    asked={
        "degree": Asked(purpose="The library wants to know that you have a degree.", query=QUERY),
        "desk": Asked(purpose="The desk wants to know.", query=QUERY, cross_device=True),
    },
)
TRUST = Trust(roots=roots(), unsigned=True)


@dataclasses.dataclass
class Site:
    """A server with pages that ask, and Alice's wallet with a diploma in it."""

    issuing: Issuing
    calling: Calling
    wallet: Wallet
    cards: list[Held]

    def browser(self) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self.issuing.world.app)
        return httpx2.AsyncClient(transport=transport, base_url="https://as.example")

    async def begun(self, browser: httpx2.AsyncClient, name: str = "degree", device: str = "this") -> httpx2.Response:
        page = await browser.get(f"/present/{name}")
        fields = {"token": token_on(page), "device": device}
        there = await browser.post(f"/present/{name}", data=fields, headers=SAME_ORIGIN)
        assert there.status_code == 303, there.text
        return await browser.get(there.headers["location"])

    async def presented(self, link: str) -> str | None:
        """The wallet answers the request that a link leads to."""
        request = await arun(read_request(link, TRUST, self.wallet), self.calling)
        fields = answer(request, self.cards, choice(request, self.cards), self.issuing.world.now)
        return await arun(send(request, fields), self.calling)


def link_on(page: httpx2.Response) -> str:
    found = re.search(r'href="((?:openid4vp|haip-vp)://[^"]*)"', page.text)
    assert found, page.text
    return unescape(found[1])


async def a_site(issuing: Issuing, *, certified: bool = True, haip: bool = False) -> Site:
    certificate = Certified(key=signing(leaf()), chain=(leaf().der, between().der, root().der)) if certified else None
    settings = dataclasses.replace(ASKS, haip=haip)
    made = dataclasses.replace(issuing.credentials, settings=settings, certified=certificate)
    here, env = issuing.world.here, issuing.world.env
    site = pages(here, env, PageSettings(people=QUICK), made)
    issuing.credentials, issuing.world.app = made, protocol_app(here, env, site, credentials=made)
    calling = Calling(lambda: issuing.world.app)
    wallet = Wallet(clock=env.clock, random=env.random, dpop_key=PrivateKey.generate())
    key = a_key("ES256", 61)
    (one,) = await arun(accept(offer((await issuing.offered()).told()), [key], wallet), calling)
    return Site(issuing, calling, wallet, [held(one.credential, key)])


@pytest.mark.parametrize("certified", [True, False])
async def test_on_one_device_the_wallet_brings_the_browser_back(certified: bool) -> None:  # noqa: FBT001 (a column)
    """OIDF: oid4vp-1final-verifier-request-uri-method-post, -request-uri-fetched-twice."""
    async with an_issuer(ASKS) as issuing:
        site = await a_site(issuing, certified=certified)
        browser = site.browser()
        page = await site.begun(browser)
        assert "The library wants to know that you have a degree." in text_of(page)
        link = link_on(page)
        assert ("request_uri" in link) is certified
        await arun(read_request(link, TRUST, site.wallet), site.calling)
        back = await site.presented(link)
        assert back is not None
        seen = await browser.get(back)
        assert "degree.title Physics" in text_of(seen)
        assert "Alice" not in text_of(seen)
        assert "degree.title Physics" in text_of(await browser.get(back))  # a reload, in the same browser
        stranger = site.browser()
        await stranger.get("/present/degree")
        assert (await stranger.get(back)).status_code == 403
        assert SAME_BROWSER.says not in (await stranger.get(back)).text


async def test_with_a_wallet_on_another_device_the_open_page_is_told() -> None:
    async with an_issuer(ASKS) as issuing:
        site = await a_site(issuing)
        browser = site.browser()
        page = await site.begun(browser, "desk", "other")
        assert "data:image/svg+xml" in page.text
        assert "openid4vp://" not in page.text
        path = page.url.path
        assert (await browser.get(f"{path}/live")).headers.get("hx-refresh") is None
        key = path.rpartition("/")[2]
        wanted = await presentations.found(key, issuing.world.env)
        place = f"https://as.example/present/requests/{key}"
        assert await site.presented(requests.link_to("openid4vp", wanted.client_id, place)) is None
        assert (await browser.get(f"{path}/live")).headers["hx-refresh"] == "true"
        assert "Physics" in text_of(await browser.get(path))


async def test_who_may_not_ask_another_device_has_a_link_and_no_picture() -> None:
    async with an_issuer(ASKS) as issuing:
        site = await a_site(issuing)
        browser = site.browser()
        assert "another device" not in (await browser.get("/present/degree")).text
        assert link_on(await site.begun(browser, "degree", "other"))
        assert "another device" in (await browser.get("/present/desk")).text


async def test_mallory_sees_nothing_of_what_alice_showed_to_a_link_that_mallory_sent() -> None:
    """Session fixation: Mallory begins on one device, and Alice's wallet answers on hers."""
    async with an_issuer(ASKS) as issuing:
        site = await a_site(issuing)
        mallory, alice = site.browser(), site.browser()
        page = await site.begun(mallory)
        back = await site.presented(link_on(page))
        assert back is not None
        assert "Nothing was shown" in text_of(await mallory.get(page.url.path))
        assert (await mallory.get(f"{page.url.path}/live")).headers.get("hx-refresh") is None
        assert (await alice.get(back)).status_code == 404  # where nothing was begun


async def test_a_wallet_is_told_in_json_what_is_wrong() -> None:
    async with an_issuer(ASKS) as issuing:
        site = await a_site(issuing)
        page = await site.begun(site.browser())
        key = page.url.path.rpartition("/")[2]
        headers = {"content-type": "application/x-www-form-urlencoded"}
        bad = await site.browser().post(
            f"/present/answers/{key}", content=form_bytes([("state", "x")]), headers=headers
        )
        assert (bad.status_code, bad.json()["error"]) == (400, "invalid_request")
        gone = await site.browser().get("/present/requests/nothing")
        assert gone.json() == {"error": "invalid_request", "error_description": KNOWN_REQUEST.says}
        assert (await site.browser().get("/present/nothing")).status_code == 404
        assert (await site.browser().get(f"/present/degree/{key}")).status_code == 404


def test_an_answer_is_a_form_of_which_one_field_may_be_long() -> None:
    def read(body: bytes, kind: str = "application/x-www-form-urlencoded") -> Form:
        headers = Headers((("content-type", kind),))
        return presenting.answer_form(Inbound(method="POST", url="https://as.example/x", headers=headers, body=body))

    assert read(b"vp_token=" + b"x" * 40_000 + b"&state=s").get("state") == "s"
    for body in (b"a=1&a=2", b"a", b"a=%ff", "a=ä".encode(), b"&".join(b"a%d=1" % n for n in range(11))):
        with pytest.raises(Refusal):
            read(body)
    with pytest.raises(Refusal):
        read(b"a=1", "application/json")


async def test_a_wallet_that_refuses_leaves_a_page_that_says_so() -> None:
    async with an_issuer(ASKS) as issuing:
        site = await a_site(issuing)
        browser = site.browser()
        page = await site.begun(browser)
        request = await arun(read_request(link_on(page), TRUST, site.wallet), site.calling)
        back = await arun(send(request, answers.refusal(request, "access_denied")), site.calling)
        assert back is not None
        assert "did not show anything" in text_of(await browser.get(back))


async def test_a_credential_that_was_revoked_is_refused() -> None:
    async with an_issuer(ASKS) as issuing:
        site = await a_site(issuing)
        [entitled] = await issuing.world.store.select(Entitled, "", "")
        assert await statuses.commit((), issuing.world.env, ends=entitled.key)
        page = await site.begun(site.browser())
        request = await arun(read_request(link_on(page), TRUST, site.wallet), site.calling)
        fields = answer(request, site.cards, choice(request, site.cards), issuing.world.now)
        told = await site.browser().post(
            request.response_uri,
            content=form_bytes(fields),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert told.json()["error_description"] == IS_VALID.says


async def test_a_person_puts_a_credential_of_theirs_into_a_wallet() -> None:
    async with an_issuer(ASKS) as issuing:
        site = await a_site(issuing)
        await issuing.offered(person="alice", coded=False)
        browser = site.browser()
        assert (await browser.get("/my-credentials")).headers["location"].startswith("/sign-in")
        cookie = Cookie.of(issuing.world.here.issuer)
        for login in ("bob", "alice"):
            person = await issuing.world.store.read(Person, login)
            assert person is not None
            value = await session.begin(person, None, session.Settings(), issuing.world.env)
            browser.cookies.set(cookie.name, value, domain="as.example", path="/")
            page = await browser.get("/my-credentials")
            assert ("Diploma" in text_of(page)) is (login == "alice")
        made = await browser.post("/my-credentials/diploma", data={"token": token_on(page)}, headers=SAME_ORIGIN)
        assert made.headers["cache-control"] == "no-store"
        found = re.search(r'href="(openid-credential-offer://[^"]*)"', made.text)
        code = re.search(r"<b class=\"code\">([0-9]{6})</b>", made.text)
        assert found, made.text
        assert code, made.text
        offered = await arun(read_offer(unescape(found[1])), site.calling)
        (one,) = await arun(accept(offered, [a_key("ES256", 62)], site.wallet, tx_code=code[1]), site.calling)
        assert held(one.credential, a_key("ES256", 62)).types == {VCT}
        nothing = await browser.post("/my-credentials/badge", data={"token": token_on(page)}, headers=SAME_ORIGIN)
        assert nothing.status_code == 404
        forged = await browser.post("/my-credentials/diploma", data={"token": "x"}, headers=SAME_ORIGIN)
        assert forged.status_code == 403


async def test_haip_narrows_both_ends() -> None:
    """HAIP 1.0: x509_hash, direct_post.jwt, haip-vp; credentials with x5c; and tokens that are bound."""
    async with an_issuer(ASKS) as issuing:
        site = await a_site(issuing, haip=True)
        link = link_on(await site.begun(site.browser()))
        assert link.startswith("haip-vp://?client_id=x509_hash%3A")
        request = await arun(read_request(link, TRUST, site.wallet), site.calling)
        assert request.encryption is not None
        header = site.cards[0].text.partition(".")[0]
        assert b'"x5c"' in b64u_bytes(header)
        assert len(answers.authorities(json_object(b64u_bytes(header)))) == 2  # the anchor is left out
        assert await site.presented(link) is not None  # and what was so issued is taken
        bearer = await issuing.token()
        assert (await issuing.post("/credential", {}, bearer)).told == (401, "invalid_token")
        metadata = await issuing.world.app_get("/.well-known/openid-credential-issuer/credentials")
        diploma = metadata.json["credential_configurations_supported"]["diploma"]
        assert diploma["credential_signing_alg_values_supported"] == ["ES256"]


async def test_metadata_are_signed_for_who_asks() -> None:
    """OIDF: oid4vci-1_0-issuer-metadata-test-signed."""
    async with an_issuer(ASKS) as issuing:
        await a_site(issuing)
        url = "https://as.example/.well-known/openid-credential-issuer/credentials"
        answer_ = await sent(issuing.world.app, "GET", url, (("accept", "application/jwt"),))
        assert answer_.header("content-type") == "application/jwt"
        token, claims = jwt.peek(answer_.body.decode(), "x", header_max=64 * 1024)
        assert (token.typ, claims["sub"]) == ("openidvci-issuer-metadata+jwt", issuing.name)
        assert signing(leaf()).public().verifies(token.signature, token.signing_input)
