"""Clients register themselves (RFC 7591) and manage what they registered (RFC 7592), in each mode of the server."""

import json
from typing import Any

import pytest

from deputize.core.rules import Fault, Refusal
from deputize.core.values import ClientId, Seconds, Subject
from deputize.core.wire import JsonObject
from deputize.jose.keys import PrivateKey
from deputize.oauth import newcomers
from deputize.oauth import standing as standings
from deputize.oauth.client import Client
from deputize.oauth.client_document import MEMBERS, REDIRECTS, SHAPES
from deputize.oauth.newcomers import Registration
from deputize.oauth.registering import (
    ALGORITHMS,
    GRANTS,
    KEYS_FIT,
    KEYS_HERE,
    KIND,
    LINKS,
    METHOD,
    SUBJECTS,
    WEB_HTTPS,
)
from deputize.oauth.registration import (
    INVITED,
    JSON,
    JSON_TYPE,
    NOT_TOLD_BACK,
    QUOTA,
    ROOM,
    SAME_ID,
    SAME_SECRET,
    SETTLED,
    YOURS,
)
from tests.support.cast import INSURER, ORDER, PHARMACY, READ
from tests.support.flow import a_flow
from tests.support.newcomers import CALLBACK, LOOPBACK, Door, a_door, a_newcomer, an_mcp_client
from tests.support.proofs import lets_through, stops

DAY = 24 * 3600
KEY = PrivateKey.generate()


async def the_client(door: Door, made: JsonObject) -> Client:
    found = await door.flow.world.store.read(Client, made["client_id"])
    assert found is not None
    return found


# --- what is registered ---------------------------------------------------------------------------------------------


@lets_through(JSON_TYPE, JSON, METHOD, GRANTS, WEB_HTTPS, SHAPES, REDIRECTS, MEMBERS)
async def test_b4_02_a_client_is_told_all_that_was_registered_of_it() -> None:
    async with a_door() as door:
        answer = await door.says(a_newcomer(client_uri="https://trips.example/", contacts=["bob@trips.example"]))
        assert answer.status == 201
        assert answer.header("cache-control") == "no-store"
        made = answer.json
        secrets = {name: made.pop(name) for name in ("client_secret", "registration_access_token", "client_id")}
        assert all(len(secret) >= 22 for secret in secrets.values())
        assert made == {
            "client_name": "Trip Planner",
            "client_uri": "https://trips.example/",
            "contacts": ["bob@trips.example"],
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_basic",
            "application_type": "web",
            "scope": f"openid {READ}",
            "client_id_issued_at": door.flow.world.now,
            "client_secret_expires_at": 0,
            "registration_client_uri": f"https://as.example/register/{secrets['client_id']}",
        }


async def test_what_is_left_out_is_what_the_specification_says() -> None:
    async with a_door() as door:
        made = await door.made({"redirect_uris": [CALLBACK]})
        assert made["token_endpoint_auth_method"] == "client_secret_basic"
        assert made["grant_types"] == ["authorization_code"]
        assert made["response_types"] == ["code"]
        assert "client_secret" in made
        assert "client_name" not in made
        assert {READ, ORDER, "openid"} <= set(made["scope"].split())


@pytest.mark.parametrize(
    ("step_up", "grants", "scope"),
    [
        (True, ["authorization_code", "refresh_token"], {READ, ORDER}),
        (False, ["authorization_code", "refresh_token"], {READ}),
        (True, ["authorization_code", "client_credentials"], {READ}),
    ],
)
async def test_where_clients_step_up_the_scope_that_they_register_is_where_they_begin(
    *, step_up: bool, grants: list[str], scope: set[str]
) -> None:
    """But for a client that has tokens of its own, it stays the bound: no person is asked for those."""
    possible = ("authorization_code", "refresh_token", "client_credentials")
    async with a_door(audiences=(PHARMACY,), grant_types=possible, step_up=step_up) as door:
        made = await door.made(a_newcomer(scope=READ, grant_types=grants))
        assert set(made["scope"].split()) == scope


async def test_an_mcp_client_registers_and_a_person_allows_it_what_it_asks() -> None:
    """As MCP's clients do it: no secret, loopback, no scope; the page says first what was verified."""
    async with a_door() as door:
        flow = door.flow
        made = await door.made(an_mcp_client())
        assert "client_secret" not in made
        there: dict[str, Any] = {"redirect_uri": LOOPBACK.replace("3334", "51999"), "scope": None, "resource": PHARMACY}
        page = await flow.shown(await flow.browser(), made["client_id"], **there)
        assert "An app on this device" in page.text
        assert "Trip Planner" in page.text
        assert "It registered itself; nobody here has checked it." in page.text
        code = await flow.code(made["client_id"], **there)
        answer = await flow.redeem(code, made["client_id"], redirect_uri=there["redirect_uri"], resource=PHARMACY)
        assert answer.status == 200, answer.body
        assert await flow.world.is_active(answer["access_token"])
        assert "refresh_token" in answer.json


@lets_through(KEYS_HERE, KEYS_FIT, ALGORITHMS, KIND, SUBJECTS, LINKS)
async def test_a_client_that_signs_registers_its_keys() -> None:
    async with a_door(grant_types=("client_credentials",)) as door:
        made = await door.made(
            a_newcomer(
                grant_types=["client_credentials"],
                response_types=[],
                redirect_uris=None,
                token_endpoint_auth_method="private_key_jwt",
                token_endpoint_auth_signing_alg="ES256",
                jwks={"keys": [KEY.public_jwk()]},
                application_type="web",
                subject_type="public",
                policy_uri="https://trips.example/policy",
            )
        )
        door.flow.world.keys[made["client_id"]] = KEY
        assert made["jwks"] == {"keys": [KEY.public_jwk()]}
        answer = await door.flow.world.token({"resource": PHARMACY}, by=made["client_id"])
        assert answer.status == 200, answer.body


async def test_what_it_wants_held_of_itself_is_held() -> None:
    async with a_door() as door:
        switches = ("dpop_bound_access_tokens", "require_pushed_authorization_requests")
        made = await door.made(a_newcomer(**dict.fromkeys(switches, True), require_signed_request_object=False))
        assert all(made[name] is True for name in switches)
        client = await the_client(door, made)
        assert (client.dpop_bound, client.pushes, client.signs) == (True, True, False)
        bound = await door.made(a_newcomer(tls_client_certificate_bound_access_tokens=True))
        assert (await the_client(door, bound)).certificate_bound


@stops(KIND, WEB_HTTPS, SUBJECTS, ALGORITHMS, METHOD, GRANTS, KEYS_HERE)
@pytest.mark.parametrize(
    ("changed", "error", "rule"),
    [
        ({"application_type": "robot"}, "invalid_client_metadata", KIND),
        ({"application_type": "web", "redirect_uris": [LOOPBACK]}, "invalid_redirect_uri", WEB_HTTPS),
        ({"subject_type": "pairwise"}, "invalid_client_metadata", SUBJECTS),
        ({"id_token_signed_response_alg": "RS256"}, "invalid_client_metadata", ALGORITHMS),
        ({"id_token_encrypted_response_alg": "ECDH-ES"}, "invalid_client_metadata", ALGORITHMS),
        ({"userinfo_signed_response_alg": "ES256"}, "invalid_client_metadata", ALGORITHMS),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "invalid_client_metadata", METHOD),
        ({"grant_types": ["refresh_token"], "response_types": []}, "invalid_client_metadata", GRANTS),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata", None),
        ({"require_signed_request_object": True}, "invalid_client_metadata", KEYS_HERE),
    ],
)
async def test_what_nobody_could_hold_is_refused(changed: dict[str, Any], error: str, rule: Any) -> None:
    async with a_door() as door:
        answer = await door.says(a_newcomer(**changed))
        assert answer.told == (400, error)
        assert rule is None or answer["error_description"] == rule.says
        assert not [one async for one in newcomers.living(door.flow.world.env)]


@stops(JSON_TYPE, JSON)
async def test_what_is_no_json_object_is_refused() -> None:
    async with a_door() as door:
        assert (await door.says(a_newcomer(), kind="text/plain")).status == 415
        assert (await door.says(b"redirect_uris=x", kind="application/x-www-form-urlencoded")).status == 415
        for body in (b"", b"[]", b"{", b'{"scope":"a","scope":"b"}', b'{"client_name":"' + b"x" * 40_000 + b'"}'):
            assert (await door.says(body)).told == (400, "invalid_client_metadata")
        squeezed = await door.says(a_newcomer(), more=(("content-encoding", "gzip"),))
        assert squeezed.told == (415, "invalid_request")


# --- the modes ------------------------------------------------------------------------------------------------------


async def test_where_it_is_off_nothing_is_there_and_nothing_is_told_of_it() -> None:
    async with a_flow() as flow:
        door = Door(flow)
        assert (await door.says(a_newcomer())).status == 404
        assert (await flow.world.get("/register/x")).status == 404
        told = await flow.world.get("/.well-known/openid-configuration")
        assert "registration_endpoint" not in told.json
    async with a_door() as door:
        told = await door.flow.world.get("/.well-known/openid-configuration")
        assert told["registration_endpoint"] == "https://as.example/register"


@lets_through(INVITED)
async def test_an_initial_token_lets_as_many_register_as_it_says() -> None:
    async with a_door("initial-token") as door:
        token = (await newcomers.invite(door.flow.world.env, uses=2, life=Seconds(DAY))).reveal()
        assert (await door.says(a_newcomer(client_name=5), token)).status == 400  # which uses nothing up
        made = await door.made(token=token)
        await door.made(token=token)
        assert (await door.says(a_newcomer(), token)).told == (401, "invalid_token")
        assert "invited by your administrator" in (await the_client(door, made)).how_known


async def test_with_approval_a_client_waits_until_an_operator_lets_it_in() -> None:
    async with a_door("approval") as door:
        flow = door.flow
        made = await door.made(a_newcomer(grant_types=["authorization_code"]))
        asks = {"redirect_uri": CALLBACK}
        assert (await flow.begin(await flow.browser(), made["client_id"], **asks)).status_code == 400
        assert (await flow.world.token(by=made["client_id"])).told == (401, "invalid_client")
        await newcomers.let_in(made["client_id"], flow.world.env)
        assert (await flow.allowed(made["client_id"], scope=READ, **asks)).told["code"]
        with pytest.raises(Fault, match="waits"):
            await newcomers.let_in(made["client_id"], flow.world.env)
        # It was let in as it was: what it says anew, somebody looks at anew.
        assert (await door.puts(made, grant_types=["authorization_code"])).status == 200
        assert (await the_client(door, made)).disabled_at is None


async def test_who_was_let_in_and_says_something_else_waits_again() -> None:
    async with a_door("approval") as door:
        made = await door.made()
        await newcomers.let_in(made["client_id"], door.flow.world.env)
        answer = await door.puts(made, redirect_uris=["https://elsewhere.example/cb"])
        assert answer.status == 200
        assert (await the_client(door, made)).disabled_at is not None
        await newcomers.let_in(made["client_id"], door.flow.world.env)
        assert (await the_client(door, made)).redirect_uris == ("https://elsewhere.example/cb",)


@lets_through(QUOTA, ROOM)
@stops(QUOTA)
async def test_b4_10_one_network_uses_up_its_own_quota_and_not_that_of_others() -> None:
    async with a_door(per_source=2, per_hour=5) as door:
        for _ in range(2):
            await door.from_("2001:db8:0:1::7")
        with pytest.raises(Refusal) as no:
            await door.from_("2001:db8:0:1:ffff::8")
        assert no.value.rule is QUOTA
        for source in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
            await door.from_(source)
        with pytest.raises(Refusal):
            await door.from_("192.0.2.4")
        door.flow.world.clock.forward(3600)
        await door.from_("192.0.2.4")


async def test_an_update_counts_like_a_registration() -> None:
    async with a_door(per_source=2) as door:
        made = await door.made()
        fresh = (await door.puts(made)).json
        assert (await door.puts(fresh)).told == (429, "temporarily_unavailable")
        assert (await door.manages(fresh)).status == 200


@lets_through(SETTLED)
@stops(SETTLED)
async def test_what_an_operator_looks_at_is_what_they_let_in() -> None:
    async with a_door("approval") as door:
        made = await door.made()
        answer = await door.puts(made, redirect_uris=["https://elsewhere.example/cb"])
        assert answer.told == (403, "access_denied")
        assert (await the_client(door, made)).redirect_uris == (CALLBACK,)
        assert (await door.manages(made)).status == 200
        await newcomers.let_in(made["client_id"], door.flow.world.env)
        assert (await door.puts(made, client_name="Travel Planner")).status == 200


@stops(ROOM)
async def test_who_finds_no_room_has_used_up_a_try() -> None:
    async with a_door(most=1, per_source=3) as door:
        await door.made()
        rules = [(await door.says(a_newcomer()))["error_description"] for _ in range(3)]
        assert rules == [ROOM.says, ROOM.says, QUOTA.says]


@stops(ROOM)
async def test_only_so_many_are_kept_at_once() -> None:
    async with a_door(most=2) as door:
        made = await door.made()
        await door.made()
        answer = await door.says(a_newcomer())
        assert answer.told == (429, "temporarily_unavailable")
        assert answer.header("retry-after") == "3600"
        assert (await door.manages(made, "DELETE")).status == 204
        await door.made()


# --- managing -------------------------------------------------------------------------------------------------------


@lets_through(YOURS, SAME_ID, SAME_SECRET, NOT_TOLD_BACK)
async def test_what_was_registered_is_read_changed_and_removed() -> None:
    async with a_door() as door:
        made = await door.made()
        told = (await door.manages(made)).json
        assert "client_secret" not in told  # only its hash is here
        assert told == {name: value for name, value in made.items() if not name.startswith("client_secret")}
        answer = await door.puts(made, client_name="Travel Planner", scope=READ, client_secret=made["client_secret"])
        assert answer.status == 200
        fresh = answer.json
        assert (fresh["client_name"], fresh["scope"]) == ("Travel Planner", READ)
        assert fresh["registration_access_token"] != made["registration_access_token"]
        assert (await door.manages(made)).told == (401, "invalid_token")
        assert (await door.manages(fresh)).json == fresh
        gone = await door.manages(fresh, "DELETE")
        assert (gone.status, gone.body, gone.header("cache-control")) == (204, b"", "no-store")
        assert (await door.manages(fresh)).told == (401, "invalid_token")


async def test_b4_12_what_an_update_leaves_out_is_no_more() -> None:
    async with a_door() as door:
        made = await door.made(a_newcomer(client_uri="https://trips.example/", dpop_bound_access_tokens=True))
        fresh = (await door.puts(made, client_name=None)).json
        assert not {"client_uri", "client_name", "dpop_bound_access_tokens"} & fresh.keys()
        assert not (await the_client(door, made)).dpop_bound


async def test_a_secret_comes_and_goes_with_the_method() -> None:
    async with a_door() as door:
        made = await door.made()
        public = (await door.puts(made, token_endpoint_auth_method="none")).json
        assert "client_secret" not in public
        assert (await the_client(door, made)).secrets == ()
        again = (await door.puts(public)).json
        assert again["client_secret"] != made["client_secret"]
        assert again["client_secret_expires_at"] == 0


@stops(SAME_ID, SAME_SECRET, NOT_TOLD_BACK)
@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"client_id": "another"}, SAME_ID),
        ({"client_id": None}, SAME_ID),
        ({"client_secret": "another"}, SAME_SECRET),
        ({"client_secret": 7}, SAME_SECRET),
        ({"registration_access_token": "mine"}, NOT_TOLD_BACK),
        ({"client_id_issued_at": 0}, NOT_TOLD_BACK),
    ],
)
async def test_b4_13_an_update_that_says_what_only_the_server_says(changed: JsonObject, rule: Any) -> None:
    async with a_door() as door:
        made = await door.made()
        body = {**a_newcomer(client_id=made["client_id"]), **changed}
        answer = await door.manages(made, "PUT", {name: value for name, value in body.items() if value is not None})
        assert answer.told == (400, "invalid_client_metadata")
        assert answer["error_description"] == rule.says
        assert (await door.manages(made)).status == 200  # and the token is the same


async def test_only_three_methods_open_it() -> None:
    async with a_door() as door:
        made = await door.made()
        for method in ("POST", "PATCH"):
            answer = await door.manages(made, method, a_newcomer())
            assert answer.status == 405
            assert answer.header("allow") == "GET, PUT, DELETE"
        assert (await door.flow.world.get("/register")).header("allow") == "POST"


async def test_b4_14_who_is_removed_loses_its_tokens_and_what_people_allowed_it() -> None:
    async with a_door() as door:
        flow = door.flow
        made = await door.made(a_newcomer(scope=READ))
        name = made["client_id"]
        answer = await flow.redeem(
            await flow.code(name, scope=READ, redirect_uri=CALLBACK), name, redirect_uri=CALLBACK
        )
        token, refresh = answer["access_token"], answer["refresh_token"]
        assert await flow.world.is_active(token)
        assert (await door.manages(made, "DELETE")).status == 204
        assert not await flow.world.is_active(token)
        form = {"grant_type": "refresh_token", "refresh_token": refresh}
        assert (await flow.world.post("/token", form, by=name)).told == (401, "invalid_client")
        standing = await standings.find(Subject("alice"), ClientId(name), flow.world.env)
        assert standing is not None
        assert standing.taken_back_at is not None
        flow.world.clock.forward(DAY)
        await flow.world.store.sweep(flow.world.now)
        assert await flow.world.store.read(Registration, name) is None
        assert await flow.world.store.read(Client, name) is None


async def test_a_client_that_says_something_else_is_asked_for_again() -> None:
    """What a person allowed, they allowed to the client as it was."""
    async with a_door() as door:
        flow = door.flow
        made = await door.made(a_newcomer(scope=READ))
        asks = {"scope": READ, "redirect_uri": CALLBACK}
        await flow.allowed(made["client_id"], **asks)
        browser = await flow.browser()
        assert (await flow.begin(browser, made["client_id"], **asks)).status_code == 303  # and no page
        assert (await door.puts(made, scope=READ, client_name="Somebody Else")).status == 200
        page = await flow.shown(browser, made["client_id"], **asks)
        assert page.status_code == 200
        assert "Somebody Else" in page.text


# --- for how long ---------------------------------------------------------------------------------------------------


async def test_a_client_in_use_is_kept_and_one_that_nobody_uses_is_forgotten() -> None:
    async with a_door(unused_life=Seconds(10 * DAY)) as door:
        world = door.flow.world
        in_use, unused = await door.made(), await door.made()
        name = in_use["client_id"]
        answer = await door.flow.redeem(
            await door.flow.code(name, scope=READ, redirect_uri=CALLBACK), name, redirect_uri=CALLBACK
        )
        for _ in range(3):
            world.clock.forward(4 * DAY)
            form = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
            answer = await world.post("/token", form, by=name)
            assert answer.status == 200, answer.body
        await world.store.sweep(world.now)
        assert await world.store.read(Client, unused["client_id"]) is None
        assert (await door.manages(unused)).told == (401, "invalid_token")
        assert (await door.manages(in_use)).status == 200
        world.clock.forward(10 * DAY)
        form = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
        assert (await world.post("/token", form, by=name)).told == (401, "invalid_client")  # swept or not


async def test_use_costs_a_write_only_now_and_then() -> None:
    async with a_door(grant_types=("client_credentials",)) as door:
        world = door.flow.world
        made = await door.made(a_newcomer(grant_types=["client_credentials"], response_types=[], redirect_uris=None))
        versions = []
        for days in (0, 8, 1, 0):
            world.clock.forward(days * DAY)
            assert (await world.token({"resource": PHARMACY, "scope": READ}, by=made["client_id"])).status == 200
            versions.append((await the_client(door, made)).version)
        assert versions[0] == versions[1] < versions[2] == versions[3]


async def test_it_leads_only_where_the_settings_say() -> None:
    async with a_door(audiences=(INSURER,)) as door:
        made = await door.made()
        assert made["scope"] == ""
        client = await the_client(door, made)
        assert client.audiences == {INSURER}
        assert json.loads(client.jwks) == {"keys": []}
