"""The attacker publishes a document, or names one of others, and wants to be taken for a client, or to have us fetch.

They hold a domain with all that lies on it, may change it whenever they like, and may ask as often as they like.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest

from deputize.core.ports import Event
from deputize.core.rules import Refusal
from deputize.core.values import ClientId, Instant, Seconds, Subject
from deputize.core.wire import json_bytes
from deputize.jose.jwt import TYPED
from deputize.jose.keys import PrivateKey
from deputize.oauth import clients, metadata
from deputize.oauth import standing as standings
from deputize.oauth.asking import Answered, Waiting
from deputize.oauth.client import EVERY, Client, SecretHash, secret_hash
from deputize.oauth.client_document import ID_URL, NAMES_ITSELF, NO_QUERY, NO_SECRET, NO_SHARED_METHOD, UNCHANGED
from deputize.oauth.clients import document
from deputize.oauth.clients.document import (
    FOUND,
    KEYS_FOUND,
    LOOKS_A_HOST_MAX,
    LOOKS_MAX,
    METHOD_COMMON,
    NOT_TOO_OFTEN,
    SAME_ORIGIN,
    TRUSTED,
)
from tests.support.cast import BOT, ORDER, PHARMACY, READ
from tests.support.documents import (
    BACKCHANNEL,
    HOST,
    KEY,
    KEYS_URL,
    METHODS,
    URL,
    Published,
    Web,
    a_document,
    a_published_world,
    a_reply,
)
from tests.support.flow import Flow, a_flow, ticks_on
from tests.support.pages import text_of
from tests.support.proofs import lets_through, stops

REFUSED = (401, "invalid_client")


@pytest.fixture
async def there() -> AsyncIterator[Published]:
    async with a_published_world() as found:
        yield found


async def known(there: Published, url: str = URL) -> Client:
    found = await there.world.store.read(Client, url)
    assert found is not None
    assert found.document is not None
    return found


@lets_through(FOUND, METHOD_COMMON, TRUSTED, NOT_TOO_OFTEN)
async def test_a_client_that_nobody_registered_is_let_in(there: Published) -> None:
    answer = await there.token()
    assert answer.status == 200, answer.body
    assert answer["scope"] == f"{ORDER} {READ}"
    client = await known(there)
    assert client.name == HOST  # what was proven, and not what it calls itself
    assert client.how_known == (
        f"known by its own document at {URL}; nobody here has registered it, "
        "and nobody has checked what it calls itself"
    )
    assert there.web.asked == [URL]
    assert (await there.token()).status == 200
    assert there.web.asked == [URL]


async def test_it_is_told_of_in_the_metadata_and_only_where_it_is_so(there: Published) -> None:
    """MD-04, rule 35."""
    assert metadata.of_server(there.world.here)["client_id_metadata_document_supported"] is True
    off = replace(there.world.here, ways=())
    assert "client_id_metadata_document_supported" not in metadata.of_server(off)
    assert await clients.find(URL, off.ways, there.world.env) is None
    assert there.web.asked == []


@stops(ID_URL, NO_QUERY)
@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://app.example", ID_URL),
        ("https://u@app.example/a", ID_URL),
        ("https://app.example/a#b", ID_URL),
        ("https://app.example/a/../b", ID_URL),
        ("https://app.example/%2e%2E/b", ID_URL),
        ("https://app.example/" + "a" * 2100, ID_URL),
        ("https://app.example/a?b=c", NO_QUERY),
    ],
)
async def test_a_bad_url_is_refused_before_anything_is_fetched(there: Published, url: str, rule: Any) -> None:
    """CM-01, N2."""
    there.publish(url)
    answer = await there.token(url)
    assert (answer.told, answer["error_description"]) == (REFUSED, rule.says)
    assert there.web.asked == []


async def test_http_is_no_url_of_a_client(there: Published) -> None:
    """CM-01, N1."""
    there.publish("http://app.example/client.json")
    assert (await there.token("http://app.example/client.json")).told == REFUSED
    assert there.web.asked == []


@stops(NAMES_ITSELF)
async def test_a_document_of_another_is_no_client(there: Published) -> None:
    """CM-02, N3: the attacker serves the honest client's document, whose keys they would like to be held for."""
    there.web.pages["https://evil.example/c"] = a_document(URL)
    answer = await there.token("https://evil.example/c")
    assert (answer.told, answer["error_description"]) == (REFUSED, NAMES_ITSELF.says)


@stops(FOUND)
@pytest.mark.parametrize(
    "reply",
    [
        *(a_reply(a_document(), status=status) for status in (201, 204, 206, 301, 302, 303, 307, 308, 404, 500)),
        *(
            a_reply(a_document(), kind=kind)
            for kind in ("text/html", "text/plain", "application/json; charset=utf-7", "")
        ),
        a_reply(json_bytes(a_document())[:-1] + b',"client_id":"' + URL.encode() + b'"}'),
        a_reply(b"[]"),
        a_reply(json_bytes(a_document()).decode().encode("utf-16")),
        a_reply(a_document(padding="x" * 6000)),
        None,
    ],
)
async def test_whatever_went_wrong_is_told_alike_and_never_kept(there: Published, reply: Any) -> None:
    """CM-03, CM-04, CM-05, CM-11, SF-13, SF-15; N4, N5, N6, N8, N23."""
    there.web.pages = {} if reply is None else {URL: reply}
    answer = await there.token()
    assert (answer.told, answer["error_description"]) == (REFUSED, FOUND.says)
    assert await there.world.store.read(Client, URL) is None
    there.publish()
    assert (await there.token()).status == 200  # at once: the error was not kept
    assert there.web.asked == [URL, URL]


async def test_another_type_of_json_is_one(there: Published) -> None:
    """N7."""
    for kind in ("application/cimd+json", "application/x+json; charset=utf-8"):
        url = f"https://app.example/{kind[12]}"
        there.web.pages[url] = a_reply(a_document(url), kind=kind)
        assert (await there.token(url)).status == 200


@stops(NO_SECRET, NO_SHARED_METHOD)
@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"client_secret": "hush-hush-hush"}, NO_SECRET),
        ({"jwks": {"keys": [KEY.to_jwk()]}}, NO_SECRET),
        (
            {"token_endpoint_auth_method": "client_secret_jwt", "token_endpoint_auth_methods_supported": None},
            NO_SHARED_METHOD,
        ),
    ],
)
async def test_who_publishes_a_secret_is_refused(there: Published, members: dict[str, Any], rule: Any) -> None:
    """CM-07, N13, N17."""
    there.publish(**members)
    answer = await there.token()
    assert (answer.told, answer["error_description"]) == (REFUSED, rule.says)
    assert "hush" not in str(there.world.logged)


async def test_a_document_s_client_has_no_shared_secret(there: Published) -> None:
    """CM-07: not even where one were put into its record."""
    await there.token()
    await there.world.change(Client, URL, secrets=(SecretHash(secret_hash("hush" * 10)),))
    form = {"grant_type": "client_credentials", "client_id": URL, "client_secret": "hush" * 10}
    assert (await there.world.post("/token", form)).told == REFUSED


@stops(METHOD_COMMON)
async def test_without_a_common_method_nothing_is_done(there: Published) -> None:
    """N14, rule 26; and rule 23: a list without `none` is no public client."""
    both: dict[str, Any] = {
        "token_endpoint_auth_method": None,
        "token_endpoint_auth_methods_supported": ["spiffe_jwt", "unheard_of"],
    }
    there.publish(**both)
    answer = await there.token()
    assert answer.told == (400, "unauthorized_client")
    assert await there.world.store.read(Client, URL) is None


@lets_through(METHOD_COMMON)
async def test_of_several_methods_the_stronger_known_one_is_it(there: Published) -> None:
    """Rule 25: what is not known in the list does no harm."""
    several = ["none", "x", "private_key_jwt"]
    there.publish(token_endpoint_auth_method=None, token_endpoint_auth_methods_supported=several)
    assert (await there.token()).status == 200
    assert (await known(there)).auth_method == "private_key_jwt"


async def test_who_declares_a_key_shows_it(there: Published) -> None:
    """Rule 27: the id alone, as of a public client, is nobody."""
    assert (await there.token()).status == 200
    form = {"grant_type": "client_credentials", "client_id": URL, "resource": PHARMACY}
    assert (await there.world.post("/token", form)).told == REFUSED


@stops(TYPED)
async def test_an_assertion_says_what_it_is(there: Published) -> None:
    """N19: an untyped one is taken from clients of before, and from no client that tells of itself."""
    for typ in ("client-authentication+jwt", "oauth-client-auth+jwt"):
        assert (await there.token(header={"typ": typ})).status == 200
    for wrong in (None, "JWT", "at+jwt", "dpop+jwt"):
        assert (await there.token(header={"typ": wrong})).told == REFUSED
    assert (await there.world.token(by=BOT)).status == 200
    compact = there.world.assertion(BOT, header={"typ": None})
    form = {"grant_type": "client_credentials", "client_assertion": compact}
    form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert (await there.world.post("/token", form)).status == 200


async def test_a_key_is_its_owner_s_alone(there: Published) -> None:
    """CM-08: another client's key, and an attacker's, sign for nobody else."""
    other = PrivateKey.generate()
    there.publish("https://other.example/c", jwks={"keys": [other.public_jwk()]})
    assert (await there.token("https://other.example/c", key=other)).status == 200
    assert (await there.token(key=other)).told == REFUSED
    assert (await there.token("https://other.example/c")).told == REFUSED


@lets_through(KEYS_FOUND)
async def test_keys_may_lie_elsewhere(there: Published) -> None:
    """CM-08: over the same door."""
    there.publish(jwks=None, jwks_uri=KEYS_URL)
    there.web.pages[KEYS_URL] = {"keys": [KEY.public_jwk()]}
    assert (await there.token()).status == 200
    assert (await there.token()).status == 200
    assert there.web.asked == [URL, KEYS_URL]
    new = PrivateKey.generate()
    there.web.pages[KEYS_URL] = {"keys": [new.public_jwk()]}
    there.world.clock.forward(60)
    assert (await there.token(key=new)).status == 200
    assert (await there.token()).told == REFUSED


@stops(KEYS_FOUND)
@pytest.mark.parametrize(
    "keys",
    [
        None,
        {"keys": []},
        {"keys": [KEY.to_jwk()]},
        {"keys": [KEY.public_jwk(), {"kty": "oct", "k": "AAAA"}]},
        a_reply({"keys": [KEY.public_jwk()]}, status=302, headers={"location": "https://10.0.0.1/"}),
        a_reply({"keys": [KEY.public_jwk()]}, kind="text/html"),
    ],
)
async def test_keys_that_are_not_there_or_not_public_are_none(there: Published, keys: Any) -> None:
    """CM-08, N12, N17."""
    there.publish(jwks=None, jwks_uri=KEYS_URL)
    if keys is not None:
        there.web.pages[KEYS_URL] = keys
    answer = await there.token()
    assert (answer.told, answer["error_description"]) == (REFUSED, KEYS_FOUND.says)


async def test_nothing_that_is_shown_is_fetched(there: Published) -> None:
    """Rules 9 and 31: no logo, and no other URL of a document."""
    named = ("logo_uri", "client_uri", "tos_uri", "policy_uri", "sector_identifier_uri")
    there.publish(**{name: f"https://10.0.0.1/{name}" for name in named}, request_uris=["https://10.0.0.1/r"])
    assert (await there.token()).status == 200
    assert there.web.asked == [URL]


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({}, 3600),
        ({"cache-control": "max-age=600"}, 600),
        ({"cache-control": "max-age=31536000"}, 24 * 3600),
        ({"cache-control": "no-store"}, 60),
        ({"cache-control": "max-age=1"}, 60),
    ],
)
async def test_a_document_is_kept_for_as_long_as_it_says_within_bounds(
    there: Published, told: dict[str, str], seconds: int
) -> None:
    """CM-11, N22."""
    there.web.pages[URL] = a_reply(a_document(), headers=told)
    assert (await there.token()).status == 200
    there.world.clock.forward(seconds - 1)
    assert (await there.token()).status == 200
    assert len(there.web.asked) == 1
    there.world.clock.forward(1)
    assert (await there.token()).status == 200
    assert len(there.web.asked) == 2


async def test_a_document_that_is_gone_is_no_client(there: Published) -> None:
    """Rule 15: what was good once is not believed for longer than it said."""
    assert (await there.token()).status == 200
    there.web.pages.clear()
    there.world.clock.forward(3600)
    assert (await there.token()).told == REFUSED
    there.publish()
    assert (await there.token()).status == 200


async def test_a_thousand_at_once_are_one_client(there: Published) -> None:
    """CM-12: a client that many use is looked at once, and its keys too, however many come at once."""
    there.publish(jwks=None, jwks_uri=KEYS_URL)
    there.web.pages[KEYS_URL] = {"keys": [KEY.public_jwk()]}
    there.web.joins = True
    env, ways = there.world.env, there.world.here.ways
    found = await asyncio.gather(*(clients.find(URL, ways, env) for _ in range(1000)))
    assert {client.key for client in found if client} == {URL}
    assert there.web.asked == [URL, KEYS_URL]
    assert (await known(there)).version == 0  # written once
    there.world.clock.forward(3600)
    found = await asyncio.gather(*(clients.find(URL, ways, env) for _ in range(1000)))
    assert None not in found
    assert there.web.asked == [URL, KEYS_URL] * 2


async def test_keys_are_looked_at_once_a_minute_and_outlive_a_short_outage(there: Published) -> None:
    """CA-17, KR-07: rotated away, out of reach, and answered with something else."""
    there.publish(jwks=None, jwks_uri=KEYS_URL)
    there.web.pages[KEYS_URL] = {"keys": [KEY.public_jwk()]}
    assert (await there.token()).status == 200
    for wrong in (a_reply(b"<html>", kind="text/html"), a_reply({"keys": []}), None):
        if wrong is None:
            del there.web.pages[KEYS_URL]
        else:
            there.web.pages[KEYS_URL] = wrong
        there.world.clock.forward(60)
        assert (await there.token()).status == 200
    for _ in range(20):
        assert (await there.token()).status == 200
    assert there.web.asked.count(KEYS_URL) == 4  # one a minute
    there.world.clock.forward(12 * 60)
    assert (await there.token()).told == REFUSED  # the last good set is over


@stops(NOT_TOO_OFTEN)
async def test_who_makes_up_ids_uses_up_nobody_else_s_looks(there: Published) -> None:
    """CM-12: by one host, and by ten thousand; a client that is known goes on."""
    env, ways = there.world.env, there.world.here.ways
    assert (await there.token()).status == 200
    there.world.clock.forward(3600)  # its document is looked at again, amid all that

    async def tried(url: str) -> bool:
        before = len(there.web.asked)
        with pytest.raises(Refusal):
            await clients.find(url, ways, env)
        return len(there.web.asked) > before

    at_one = [await tried(f"https://{HOST}/{n}") for n in range(50)]
    assert at_one.count(True) == LOOKS_A_HOST_MAX
    at_many = [await tried(f"https://h{n}.example/c") for n in range(1000)]
    assert at_many.count(True) == LOOKS_MAX - LOOKS_A_HOST_MAX
    assert (await there.token()).status == 200
    new = "https://new.example/c"
    there.publish(new)
    assert (await there.token(new)).told == REFUSED
    there.world.clock.forward(60)
    assert (await there.token(new)).status == 200


async def test_a_registered_client_stays_what_it_is(there: Published) -> None:
    """CM-15: its id may be a URL, and whoever holds that URL changes nothing of it."""
    own = PrivateKey.generate()
    there.world.keys[URL] = own
    await there.world.client(URL, grant_types=frozenset({"client_credentials"}))
    assert (await there.token(key=own)).status == 200
    assert (await there.token()).told == REFUSED
    assert there.web.asked == []
    long = "https://app.example/" + "a" * 1000
    there.publish(long)
    await there.world.client(long, jwks='{"keys":[]}')
    assert (await there.token(long)).told == REFUSED
    found = await there.world.store.read(Client, long)
    assert found is not None
    assert found.document is None


async def test_a_client_that_was_disabled_stays_so(there: Published) -> None:
    assert (await there.token()).status == 200
    await there.world.change(Client, URL, disabled_at=there.world.now)
    there.world.clock.forward(24 * 3600)
    assert (await there.token()).told == REFUSED
    assert there.web.asked == [URL]


@stops(TRUSTED)
@pytest.mark.parametrize(
    "policy",
    [{"others": "blocked"}, {"blocked": ("app.example",)}, {"blocked": ("*.example",), "allowed": ("app.example",)}],
)
async def test_a_host_that_is_blocked_is_not_even_looked_up(policy: dict[str, Any]) -> None:
    """CM-16."""
    async with a_published_world(replace(BACKCHANNEL, **policy)) as there:
        answer = await there.token()
        assert (answer.told, answer["error_description"]) == (REFUSED, TRUSTED.says)
        assert there.web.asked == []


async def test_a_host_that_is_allowed_is_let_in_and_the_person_told() -> None:
    policy = replace(BACKCHANNEL, allowed=(HOST,), others="blocked")
    async with a_published_world(policy) as there:
        assert (await there.token()).status == 200
        assert "its host is one that your administrator allows" in (await known(there)).how_known


async def test_what_the_operator_changes_holds_at_once(there: Published) -> None:
    """A document that was read under other settings is read again."""
    assert (await there.token()).status == 200
    stricter = document.way(replace(BACKCHANNEL, audiences=()), METHODS)
    found = await stricter.find(URL, there.world.env)
    assert found is not None
    assert found.audiences == frozenset()


@stops(SAME_ORIGIN)
@lets_through(SAME_ORIGIN)
async def test_redirect_uris_stay_at_home_where_the_operator_wants_it() -> None:
    """Rule 32."""
    async with a_published_world(replace(BACKCHANNEL, same_origin=True)) as there:
        there.publish(redirect_uris=["https://app.example/cb", "http://127.0.0.1/cb"])
        assert (await there.token()).status == 200
        there.publish("https://app.example/b", redirect_uris=["https://app.example.evil.example/cb"])
        answer = await there.token("https://app.example/b")
        assert (answer.told, answer["error_description"]) == (REFUSED, SAME_ORIGIN.says)


async def test_a_client_has_no_more_than_strangers_may_have(there: Published) -> None:
    """Its document asks for everything; the settings say what there is."""
    there.publish(
        grant_types=["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange", "refresh_token"],
        scope=f"{READ} admin",
        redirect_uris=None,
        serves=PHARMACY,
        audiences=["https://admin.example"],
        disabled_at=None,
        certificate_subject="subject_dn:CN=admin",
    )
    assert (await there.token()).status == 200
    client = await known(there)
    assert client.grant_types == {"client_credentials"}
    assert client.scope == {READ}
    assert client.serves is None
    assert client.certificate_subject is None
    named = document.way(replace(BACKCHANNEL, audiences=(PHARMACY, "https://gone.example")), METHODS)
    found = await named.find(URL, there.world.env)
    assert found is not None
    assert found.audiences == {PHARMACY}


# --- change ---------------------------------------------------------------------------------------------------------


async def asked_again(there: Published) -> bool:
    """Whether Alice is asked when the client comes once more; she says yes."""
    form = {"scope": f"openid {READ}", "login_hint": "alice", "client_assertion": there.world.assertion(URL, key=KEY)}
    form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    answer = await there.world.post("/backchannel", form)
    assert answer.status == 200, answer.body
    ask = await there.world.ask_of(answer["auth_req_id"])
    if isinstance(ask.state, Waiting):
        await there.world.allow(ask)
        return True
    assert isinstance(ask.state, Answered)
    return False


async def test_who_has_changed_is_asked_for_again() -> None:
    """CM-10, N21, rule 33: a new owner of the domain inherits no yes."""
    async with a_published_world(replace(BACKCHANNEL, allowed=(HOST,), audiences=(PHARMACY,))) as there:
        assert await asked_again(there)
        assert not await asked_again(there)
        for changed in (
            {"redirect_uris": ["https://app.example/new"]},
            {"jwks": {"keys": [PrivateKey.generate().public_jwk(), KEY.public_jwk()]}},
            {"client_name": "Your Bank"},
            {"token_endpoint_auth_methods_supported": ["private_key_jwt", "x"]},
        ):
            there.publish(**changed)
            there.world.clock.forward(3600)
            assert await asked_again(there), changed
            assert not await asked_again(there), changed
        there.publish(client_name="Your Bank", contacts=["a@app.example"])
        there.world.clock.forward(3600)
        assert await asked_again(there)  # the name is the last one, the rest is as at first
        events = [one.what for one in await there.world.store.select(Event, "client", URL)]
        assert events.count("client_document_changed") == 5


async def test_a_client_of_an_unknown_host_is_asked_for_each_time() -> None:
    async with a_published_world(replace(BACKCHANNEL, audiences=(PHARMACY,))) as there:
        assert await asked_again(there)
        assert await asked_again(there)
        standing = await standings.find(Subject("alice"), ClientId(URL), there.world.env)
        assert standing is not None
        assert standing.allowed


async def test_what_is_not_changed_is_not_told_of(there: Published) -> None:
    """G2: nor does who names a client leave a line in the audit trail."""
    assert (await there.token()).status == 200
    there.world.clock.forward(3600)
    assert (await there.token()).status == 200
    assert (await known(there)).version == 1
    events = [one.what for one in await there.world.store.select(Event, "client", URL)]
    assert not [what for what in events if what.startswith("client_document")]


async def test_who_is_only_named_is_soon_forgotten() -> None:
    """CM-12: what strangers leave behind goes after two days; a client that somebody allowed something stays longer."""
    async with a_published_world(replace(BACKCHANNEL, audiences=(PHARMACY,))) as there:
        for _ in range(2):
            assert (await there.token()).status == 200
            assert (await known(there)).expires_at == Instant(there.world.now + document.NAMED_KEPT)
            there.world.clock.forward(3600)
        assert await asked_again(there)
        there.world.clock.forward(3600)
        assert (await there.token()).status == 200
        assert (await known(there)).expires_at == Instant(there.world.now + document.KEPT)
        there.world.clock.forward(document.KEPT)
        await there.world.store.sweep(there.world.now)
        assert await there.world.store.read(Client, URL) is None
        assert (await there.token()).status == 200


# --- in the browser -------------------------------------------------------------------------------------------------

PUBLIC: dict[str, Any] = {
    "jwks": None,
    "token_endpoint_auth_method": "none",
    "token_endpoint_auth_methods_supported": None,
    "redirect_uris": ["https://app.example/callback", "http://127.0.0.1/cb"],
    "grant_types": ["authorization_code", "refresh_token"],
}
ASKED = {"redirect_uri": "https://app.example/callback", "scope": READ, "resource": PHARMACY}


@dataclass
class Browsed:
    """A flow whose clients publish what they are."""

    flow: Flow
    web: Web

    def publish(self, url: str = URL, **members: Any) -> None:
        self.web.pages[url] = a_document(url, **{**PUBLIC, **members})

    async def page(self, url: str = URL, **asked: Any) -> httpx2.Response:
        return await self.flow.shown(await self.flow.browser(), url, **{**ASKED, **asked})


@pytest.fixture
async def browsed() -> AsyncIterator[Browsed]:
    web = Web({URL: a_document(**PUBLIC)})
    ways = (document.way(document.Settings(audiences=(EVERY,)), METHODS),)
    async with a_flow(ways=ways, fetch=web) as flow:
        yield Browsed(flow, web)


@stops(ID_URL, NAMES_ITSELF, FOUND)
@pytest.mark.parametrize(
    ("url", "members"),
    [
        ("https://app.example/a/../b", {}),
        ("https://app.example", {}),
        ("https://nobody.example/c", None),
        ("https://app.example/c", {"client_id": URL}),
        ("https://app.example/c", {"client_secret": "hush"}),
        ("https://app.example/c", {"redirect_uris": ["https://other.example/cb"]}),
        ("https://app.example/c", {"redirect_uris": []}),
        ("https://app.example/c", {"token_endpoint_auth_method": "spiffe_jwt"}),
        ("https://app.example/c", {"grant_types": ["client_credentials"], "redirect_uris": None}),
    ],
)
async def test_what_is_wrong_with_a_client_is_told_to_nobody_but_who_is_there(
    browsed: Browsed, url: str, members: dict[str, Any] | None
) -> None:
    """CM-01 to CM-04, CM-07, CM-09, N20: a page, and no redirect anywhere."""
    if members is not None:
        browsed.publish(url, **members)
    answer = await browsed.flow.begin(await browsed.flow.browser(), url, **ASKED)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_the_host_stands_first_and_the_name_is_only_claimed(browsed: Browsed) -> None:
    """CM-13, CM-14, SF-15: markup is shown as text, and no picture comes from anywhere."""
    browsed.publish(client_name="<b>Your\u202e Bank</b>" + "x" * 3000, logo_uri="https://evil.example/logo.svg")
    page = await browsed.page()
    text = text_of(page)
    assert text.index(HOST) < text.index("<b>Your Bank</b>")
    assert "x" * 65 not in text
    assert "<b>Your" not in page.text
    assert "logo.svg" not in page.text
    assert "\u202e" not in page.text
    assert browsed.web.asked == [URL]


async def test_an_answer_that_goes_elsewhere_is_shown_to(browsed: Browsed) -> None:
    """What MCP asks for: the redirect URI's host, and a warning where it is on one's own machine."""
    browsed.publish(redirect_uris=["https://app.example/callback", "https://other.example/cb", "http://127.0.0.1/cb"])
    home = text_of(await browsed.page())
    assert "The answer goes to" not in home
    away = text_of(await browsed.page(redirect_uri="https://other.example/cb"))
    assert f"The answer goes to other.example, and not to {HOST}." in away
    here = text_of(await browsed.page(redirect_uri="http://127.0.0.1:4321/cb"))
    assert "any program on it could say that it belongs to app.example" in here
    assert "http://127.0.0.1:4321" in here


@lets_through(UNCHANGED)
async def test_a_public_client_of_its_own_document_gets_what_was_allowed(browsed: Browsed) -> None:
    flow = browsed.flow
    flow.world.public.add(URL)
    landing = await flow.allowed(URL, **ASKED)
    answer = await flow.redeem(landing.told["code"], URL, redirect_uri=ASKED["redirect_uri"])
    assert answer.status == 200, answer.body
    again = await flow.shown(await flow.browser(), URL, **ASKED)
    assert again.status_code == 200  # a public client is asked for each time


@stops(UNCHANGED)
async def test_a_document_that_changes_ends_what_was_begun(browsed: Browsed) -> None:
    """CM-10: between the page and its answer, and between the code and its use: the first version counts."""
    flow = browsed.flow
    flow.world.public.add(URL)
    browser = await flow.browser()
    page = await flow.shown(browser, URL, **ASKED)
    code = (await flow.allowed(URL, **ASKED)).told["code"]
    settings = document.Settings(audiences=(EVERY,), fresh_max=Seconds(60))
    await document.way(settings, METHODS).find(URL, flow.world.env)  # another worker looks, and sees the new one
    browsed.publish(redirect_uris=["https://app.example/callback", "https://evil.example/cb"])
    flow.world.clock.forward(60)
    await document.way(settings, METHODS).find(URL, flow.world.env)
    flow.world.clock.forward(-60)  # by the code's own time, it lives
    answer = await flow.redeem(code, URL, redirect_uri=ASKED["redirect_uri"], spends=("client",))
    assert (answer.told, answer["error_description"]) == ((400, "invalid_grant"), UNCHANGED.says)
    told = await flow.sends(browser, page, "allow", *ticks_on(page))
    assert told.status_code == 400
    assert UNCHANGED.says in text_of(told)
    assert "location" not in told.headers


async def test_a_loopback_port_floats_for_a_document_too(browsed: Browsed) -> None:
    assert (await browsed.page(redirect_uri="http://127.0.0.1:4321/cb")).status_code == 200
    assert (await browsed.page(redirect_uri="http://localhost:4321/cb")).status_code == 400
    assert (await browsed.page(redirect_uri="https://app.example:4321/callback")).status_code == 400
