"""Corpus DR: whoever is there may call the registration endpoint, and says what they like of themselves.

The attacker is a stranger, a client that was once let in, or somebody who holds the token of another client.
"""

import asyncio
import html
import json
from itertools import product
from typing import Any

import pytest

from deputize.core.values import Seconds
from deputize.core.wire import JsonObject, b64u, json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth import newcomers
from deputize.oauth.client import Client
from deputize.oauth.client_document import KEYS, NO_SECRET, REDIRECTS, SHAPES
from deputize.oauth.newcomers import Registration
from deputize.oauth.registering import KEYS_FIT, LINKS, STATEMENT
from deputize.oauth.registration import INVITED, YOURS
from deputize.oauth.requested import CODE_ONLY
from tests.support.cast import PHARMACY, READ
from tests.support.flow import APP
from tests.support.judge import kept
from tests.support.newcomers import CALLBACK, Door, a_door, a_newcomer, an_mcp_client
from tests.support.proofs import lets_through, stops

KEY = PrivateKey.generate()
PUBLIC = KEY.public_jwk()


async def refused(door: Door, members: JsonObject, error: str = "invalid_client_metadata") -> str:
    """The rule's sentence; nothing was left behind."""
    before = await kept(door.flow.world.store)
    answer = await door.says(members)
    assert answer.told == (400, error), members
    assert await kept(door.flow.world.store) == before
    return answer["error_description"]


# --- getting in -----------------------------------------------------------------------------------------------------


@stops(INVITED)
async def test_dr_01_no_initial_token_an_invented_one_an_old_one_one_used_up() -> None:
    async with a_door("initial-token") as door:
        world = door.flow.world
        old = (await newcomers.invite(world.env, uses=1, life=Seconds(60))).reveal()
        world.clock.forward(60)
        spent = (await newcomers.invite(world.env, uses=1, life=Seconds(60))).reveal()
        await door.made(token=spent)
        before = await kept(world.store)
        for token in ("", "invented", old, spent, "a b"):
            answer = await door.says(a_newcomer(), token)
            assert answer.told == (401, "invalid_token")
            assert answer["error_description"] == INVITED.says
            assert (answer.header("www-authenticate") or "").startswith('Bearer error="invalid_token"')
        assert await kept(world.store) == before
        assert spent not in str(before)


async def test_dr_01_who_races_for_the_last_use_wins_once() -> None:
    async with a_door("initial-token") as door:
        token = (await newcomers.invite(door.flow.world.env, uses=1, life=Seconds(60))).reveal()
        answers = await asyncio.gather(*(door.says(a_newcomer(), token) for _ in range(3)))
        assert sorted(answer.status for answer in answers) == [201, 401, 401]


async def test_dr_14_a_crowd_from_one_address_is_told_to_wait_and_what_it_made_is_forgotten() -> None:
    async with a_door() as door:
        statuses = [(await door.says(a_newcomer())).status for _ in range(30)]
        assert statuses == [201] * 10 + [429] * 20
        answer = await door.says(a_newcomer())
        assert answer.told == (429, "temporarily_unavailable")
        assert 0 < int(answer.header("retry-after") or 0) <= 3600
        world = door.flow.world
        world.clock.forward(90 * 24 * 3600)
        await world.store.sweep(world.now)
        assert not await world.store.select(Registration, "", "")


# --- what they say --------------------------------------------------------------------------------------------------


NOWHERE = (
    *("http://app.example/cb", "https://app.example/cb#x", "https://*.app.example/cb", "https://app.example/*"),
    *("/cb", "app.example/cb", "", "javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd"),
    *("https://user@app.example/cb", "https://app.example/\tcb", "https:app.example/cb", "https:///cb"),
)
NO_LOOPBACK = (
    *("localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "127.0.0.2", "0.0.0.0"),
    *("localhostess", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "[::]", "localhost."),
)


@stops(REDIRECTS)
async def test_dr_02_where_no_answer_may_be_sent() -> None:
    async with a_door() as door:
        for uri in NOWHERE:
            await refused(door, a_newcomer(redirect_uris=[CALLBACK, uri]), "invalid_redirect_uri")
            await refused(door, an_mcp_client() | {"redirect_uris": [uri]}, "invalid_redirect_uri")
        await refused(door, a_newcomer(redirect_uris=None), "invalid_redirect_uri")
        await refused(door, a_newcomer(redirect_uris=[]), "invalid_redirect_uri")


async def test_dr_03_what_looks_like_loopback_and_is_not() -> None:
    async with a_door() as door:
        for host in NO_LOOPBACK:
            await refused(door, an_mcp_client() | {"redirect_uris": [f"http://{host}/cb"]}, "invalid_redirect_uri")


@stops(LINKS)
async def test_dr_04_links_that_are_not_https() -> None:
    names = ("client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri")
    async with a_door() as door:
        for name, link in product(
            names, ("http://trips.example/", "javascript:alert(1)", "data:text/html,x", "//trips.example", "x", 7)
        ):
            await refused(door, a_newcomer(**{name: link}))


def _rsa() -> JsonObject:
    """A public key of 1024 bits."""
    return {"kty": "RSA", "n": b64u(b"\xc1" + b"\x01" * 127), "e": "AQAB"}


@stops(KEYS_FIT, NO_SECRET)
@pytest.mark.parametrize(
    "keys",
    [
        [KEY.to_jwk()],
        [PUBLIC, {"kty": "oct", "k": "AAAA"}],
        [PUBLIC, _rsa()],
        [PUBLIC] * 21,
        [PUBLIC, "a key"],
        "keys",
        [],
    ],
    ids=["private", "symmetric", "short", "many", "no key", "no list", "none"],
)
async def test_dr_05_keys_that_are_none(keys: Any) -> None:
    async with a_door() as door:
        await refused(door, a_newcomer(jwks={"keys": keys}))


async def test_dr_05_more_than_fits() -> None:
    async with a_door() as door:
        large = a_newcomer(jwks={"keys": [PUBLIC | {"kid": "x" * 40_000}]})
        await refused(door, large)
        large["contacts"] = ["x" * 40_000]
        assert len(json_bytes(large)) > 64 * 1024
        assert (await door.says(large)).status == 413


@stops(KEYS)
async def test_dr_06_keys_and_a_place_for_keys() -> None:
    async with a_door() as door:
        both = a_newcomer(jwks={"keys": [PUBLIC]}, jwks_uri="https://trips.example/jwks")
        assert await refused(door, both) == KEYS.says


MISFITS: tuple[JsonObject, ...] = (
    {"response_types": ["token"]},
    {"response_types": ["code", "id_token"]},
    {"response_types": []},
    {"grant_types": ["client_credentials"], "response_types": ["code"]},
    {"grant_types": ["implicit"]},
    {"grant_types": ["password"]},
    {"token_endpoint_auth_method": "client_secret_jwt"},
    {"token_endpoint_auth_method": "tls_client_auth"},
    {"token_endpoint_auth_signing_alg": "none"},
    {"token_endpoint_auth_signing_alg": "HS256"},
    {"id_token_signed_response_alg": "none"},
    {"request_object_signing_alg": "none"},
    {"request_object_encryption_enc": "A128CBC-HS256"},
)


@stops(CODE_ONLY)
async def test_dr_07_what_does_not_fit_together_or_is_not_there() -> None:
    async with a_door() as door:
        for changed in MISFITS:
            await refused(door, a_newcomer(**changed))


async def test_dr_08_more_than_is_open_to_who_registers_is_left_out_and_told_so() -> None:
    async with a_door() as door:
        grants = ["authorization_code", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"]
        made = await door.made(a_newcomer(grant_types=grants, scope=f"{READ} admin *"))
        assert made["grant_types"] == ["authorization_code"]
        assert made["scope"] == READ
        client = await door.flow.world.store.read(Client, made["client_id"])
        assert client is not None
        assert (client.grant_types, client.scope) == ({"authorization_code"}, {READ})
        form = {"grant_type": "client_credentials"}
        answer = await door.flow.world.post("/token", form, by=made["client_id"])
        assert answer.told == (400, "unauthorized_client")


async def test_dr_09_what_is_not_a_clients_to_say_is_ignored() -> None:
    async with a_door("approval") as door:
        ours: JsonObject = {
            "client_id": APP,
            "client_secret": "chosen",
            "registration_access_token": "chosen",
            "registration_client_uri": "https://evil.example/",
            "client_id_issued_at": 1,
            "first_party": True,
            "skip_consent": True,
            "tenant": "another",
            "audiences": ["https://admin.example"],
            "disabled_at": None,
            "waiting": False,
            "how_known": "registered by your administrator",
            "serves": "https://pharmacy.example",
        }
        made = await door.made(a_newcomer(**ours))
        assert not ({"first_party", "skip_consent", "tenant", "audiences", "how_known", "serves"} & made.keys())
        assert "chosen" not in json.dumps(made)
        assert made["client_id"] not in {APP, ""}
        assert not made["client_id"].startswith(("https:", "spiffe:"))
        client = await door.flow.world.store.read(Client, made["client_id"])
        assert client is not None
        assert client.disabled_at is not None
        assert client.serves is None
        assert client.how_known.startswith("it registered itself")


@lets_through(STATEMENT)
@stops(STATEMENT)
async def test_dr_10_a_software_statement_by_nobody_whom_we_trust() -> None:
    async with a_door() as door:
        world = door.flow.world
        claims = {"iss": "https://software.example", "iat": world.now, "exp": world.now + 60, "software_id": "trips"}
        signed = world.signed(claims, KEY, "JWT")
        old = world.signed({**claims, "exp": 1}, KEY, "JWT")
        unsigned = ".".join((b64u(b'{"alg":"none"}'), b64u(json_bytes(claims)), ""))
        for statement, error in (
            (signed, "unapproved_software_statement"),
            (old, "unapproved_software_statement"),
            (unsigned, "invalid_software_statement"),
            ("not one", "invalid_software_statement"),
            ("", "invalid_software_statement"),
        ):
            said = await refused(door, a_newcomer(software_statement=statement), error)
            assert said == STATEMENT.says
        await refused(door, a_newcomer(software_statement={"iss": "x"}), "invalid_software_statement")
        await door.made(a_newcomer(software_id="trips"))  # who shows none comes in


OTHER_TYPES: tuple[JsonObject, ...] = (
    {"redirect_uris": CALLBACK},
    {"redirect_uris": {"0": CALLBACK}},
    {"redirect_uris": [[CALLBACK]]},
    {"redirect_uris": [CALLBACK] * 51},
    {"grant_types": "authorization_code"},
    {"response_types": "code"},
    {"token_endpoint_auth_method": ["none"]},
    {"application_type": ["native"]},
    {"client_name": {"en": "x"}},
    {"scope": [READ]},
    {"scope": 'a"b'},
    {"jwks": [PUBLIC]},
    {"dpop_bound_access_tokens": "false"},
    {"require_signed_request_object": 0},
    {"contacts": [{"x": 1}]},
    {"software_id": 7},
    {"subject_type": ["public"]},
    {"default_acr_values": [[[[[[[[["deep"]]]]]]]]]},
)


@stops(SHAPES)
async def test_dr_11_a_member_of_another_type_at_the_first_time_and_at_a_later_one() -> None:
    async with a_door() as door:
        made = await door.made()
        for changed in OTHER_TYPES:
            await refused(door, a_newcomer(**changed))
            assert (await door.puts(made, **changed)).told == (400, "invalid_client_metadata")
        assert (await door.manages(made)).status == 200  # by the same token: nothing was changed


async def test_dr_11_an_update_is_held_against_the_same_policy() -> None:
    async with a_door() as door:
        made = await door.made()
        for changed, error in (
            ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
            ({"application_type": "web", "redirect_uris": ["http://127.0.0.1/cb"]}, "invalid_redirect_uri"),
            ({"grant_types": ["client_credentials"], "response_types": []}, "invalid_client_metadata"),
            ({"software_statement": "x"}, "invalid_software_statement"),
            ({"jwks": {"keys": [KEY.to_jwk()]}}, "invalid_client_metadata"),
        ):
            assert (await door.puts(made, **changed)).told == (400, error)
        wide = await door.puts(made, scope=f"{READ} admin", grant_types=["authorization_code", "client_credentials"])
        assert (wide["scope"], wide.json["grant_types"]) == (READ, ["authorization_code"])


async def test_dr_11_a_client_that_was_switched_off_stays_off_whatever_it_says() -> None:
    async with a_door() as door:
        made = await door.made()
        await door.flow.world.change(Client, made["client_id"], disabled_at=door.flow.world.now)
        answer = await door.puts(made, client_name="Born Again")
        assert answer.status == 200
        client = await door.flow.world.store.read(Client, made["client_id"])
        assert client is not None
        assert client.disabled_at is not None
        asked = await door.flow.begin(await door.flow.browser(), made["client_id"], redirect_uri=CALLBACK)
        assert asked.status_code == 400


# --- whose it is ----------------------------------------------------------------------------------------------------


@stops(YOURS)
async def test_dr_12_the_token_of_another_of_nobody_of_before() -> None:
    async with a_door() as door:
        mine, yours = await door.made(), await door.made()
        fresh = (await door.puts(mine)).json
        nobody = yours | {"registration_client_uri": "https://as.example/register/nobody"}
        by_hand = yours | {"registration_client_uri": f"https://as.example/register/{APP}"}
        before = await kept(door.flow.world.store)
        told = set()
        for target, token in (
            (yours, fresh["registration_access_token"]),
            (mine, mine["registration_access_token"]),  # the one before the update
            (nobody, yours["registration_access_token"]),
            (by_hand, yours["registration_access_token"]),
            (yours, ""),
            (yours, yours["client_secret"]),
        ):
            for method, members in (("GET", None), ("PUT", a_newcomer(client_id=yours["client_id"])), ("DELETE", None)):
                answer = await door.manages(target, method, members, token=token)
                assert answer.told == (401, "invalid_token")
                told.add((answer.body, answer.header("www-authenticate")))
        assert len(told) == 1  # and nothing is revealed
        assert await kept(door.flow.world.store) == before
        await door.manages(yours, "DELETE")
        assert (await door.manages(yours)).told == (401, "invalid_token")


async def test_dr_13_who_reads_the_store_learns_no_token_and_no_secret() -> None:
    async with a_door() as door:
        made = await door.made()
        fresh = (await door.puts(made)).json
        lies_there = str(await kept(door.flow.world.store)) + json.dumps(door.flow.world.logged, default=str)
        for secret in (made["client_secret"], made["registration_access_token"], fresh["registration_access_token"]):
            assert secret not in lies_there


async def test_dr_15_mappers_of_claims_are_nothing_that_is_known_here() -> None:
    """What other servers let a client say of its tokens: ours come out the same."""
    async with a_door() as door:
        flow = door.flow
        mapped: JsonObject = {
            "protocolMappers": [{"name": "sub", "config": {"claim.name": "sub", "claim.value": "bob"}}],
            "custom_claims": {"sub": "bob", "roles": ["admin"], "act": {"sub": "bob"}, "aud": "*"},
            "default_claims": {"iss": "https://evil.example"},
        }
        made = await door.made(a_newcomer(**mapped))
        assert not mapped.keys() & made.keys()
        name = made["client_id"]
        answer = await flow.redeem(
            await flow.code(name, scope=READ, redirect_uri=CALLBACK), name, redirect_uri=CALLBACK
        )
        told = await flow.world.post("/introspect", {"token": answer["access_token"]}, by=PHARMACY)
        assert told["sub"] == "alice"
        assert not {"roles", "act"} & told.json.keys()


async def test_dr_16_a_name_with_markup_turned_round_and_very_long() -> None:
    async with a_door() as door:
        flow = door.flow
        markup = "<script>alert(1)</script>"
        shown = await door.made(a_newcomer(client_name=markup, scope=READ))
        page = await flow.shown(await flow.browser(), shown["client_id"], scope=READ, redirect_uri=CALLBACK)
        assert markup not in page.text
        assert html.escape(markup) in page.text
        turned = await door.made(a_newcomer(client_name="Trip\u202e\u2066 Planner\u0000\n\u200bLtd"))
        assert turned["client_name"] == "Trip Planner Ltd"
        long = await door.made(a_newcomer(client_name="x" * 10_000))
        assert long["client_name"] == "x" * 64
