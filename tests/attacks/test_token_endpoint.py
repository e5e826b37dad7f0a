"""Corpus TK (what is not about codes) and MD: requests that are none, and readers who are told another name."""

import json
from typing import Any

import joserfc.jwt as joserfc_jwt
import jwt as pyjwt
import pytest
from joserfc.jwk import KeySet as JoserfcKeySet

from deputize.core.wire import FORM, FORM_TYPE, ONCE, PRESENT
from deputize.jose.keys import PrivateKey
from deputize.oauth import tokens
from deputize.oauth.asked import SCOPE_ALLOWED, TARGET_NAMED
from deputize.oauth.client import Client
from deputize.oauth.grants import GRANTS, ciba
from deputize.oauth.server import GRANT_KNOWN, GRANT_REGISTERED
from deputize.server.http import FOUND, METHOD
from tests.support.cast import BASIC, BOT, INSURER, ORDER, PHARMACY, POST, READ, ROAMING
from tests.support.proofs import lets_through, stops
from tests.support.world import CLIENT_CREDENTIALS, World, a_world, basic

FORM_KIND = ("content-type", "application/x-www-form-urlencoded")


def header(world: World) -> tuple[str, str]:
    return ("authorization", basic(BASIC, world.secrets[BASIC]))


@lets_through(GRANT_KNOWN, GRANT_REGISTERED, PRESENT)
async def test_a_client_has_a_token_for_itself(world: World) -> None:
    answer = await world.token()
    assert answer.status == 200
    assert answer.header("cache-control") == "no-store"
    assert set(answer.json) == {"access_token", "token_type", "expires_in", "scope"}
    assert (answer["token_type"], answer.json["expires_in"], answer["scope"]) == ("Bearer", 300, f"{ORDER} {READ}")


@stops(GRANT_KNOWN, GRANT_REGISTERED, PRESENT)
async def test_tk_13_no_grant_an_unknown_one_an_unregistered_one(world: World) -> None:
    assert (await world.post("/token", {}, by=BOT)).told == (400, "invalid_request")
    assert (await world.token({"grant_type": ""})).told == (400, "invalid_request")
    for name in ("x", "CLIENT_CREDENTIALS", "client_credentials ", "urn:ietf:params:oauth:grant-type:jwt-bearer"):
        assert (await world.token({"grant_type": name})).told == (400, "unsupported_grant_type")
    refused = await world.token({"grant_type": "urn:openid:params:grant-type:ciba", "auth_req_id": "x"}, by=BASIC)
    assert refused.told == (400, "unauthorized_client")


@stops(GRANT_KNOWN)
@pytest.mark.parametrize("name", ["password", "implicit", "token", "none"])
async def test_tk_14_grants_of_the_past(world: World, name: str) -> None:
    form = {"grant_type": name, "username": "alice", "password": "canary-password", "code": "canary-code"}
    assert (await world.token(form)).told == (400, "unsupported_grant_type")


@lets_through(METHOD)
@stops(METHOD)
@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke", "/backchannel", "/transaction"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "post"])
async def test_tk_15_another_method(world: World, path: str, method: str) -> None:
    answer = await world.send(method, path + "?grant_type=client_credentials", (FORM_KIND, header(world)), b"")
    assert answer.status == 405
    assert answer.header("allow") == "POST"
    assert answer.header("cache-control") == "no-store"
    assert (await world.post(path, {}, by=BASIC)).status != 405


@lets_through(FORM_TYPE)
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=UTF-8"]
)
async def test_tk_15_a_form(world: World, kind: str) -> None:
    assert (await world.post("/token", CLIENT_CREDENTIALS, (("content-type", kind),), by=BASIC)).status == 200


@stops(FORM_TYPE)
@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded2",
        "application/x-www-form-urlencoded, application/json",
    ],
)
async def test_tk_15_no_form(world: World, kind: str) -> None:
    answer = await world.post("/token", CLIENT_CREDENTIALS, (("content-type", kind),), by=BASIC)
    assert answer.told == (415, "invalid_request")
    headers = (header(world), ("content-type", kind))
    body = json.dumps(CLIENT_CREDENTIALS).encode()
    assert (await world.send("POST", "/token", headers, body)).told == (415, "invalid_request")
    assert (await world.send("POST", "/token", (header(world),), body)).told == (415, "invalid_request")


@stops(ONCE)
@pytest.mark.parametrize("name", ["grant_type", "scope", "client_id", "client_secret", "something_unknown"])
async def test_tk_16_a_parameter_twice(world: World, name: str) -> None:
    form = [*CLIENT_CREDENTIALS.items(), ("scope", READ), ("client_id", POST), ("client_secret", world.secrets[POST])]
    assert (await world.post("/token", form)).status == 200
    first = dict(form).get(name, "x")
    for again in (first, "", "other"):
        answer = await world.post("/token", [*form, (name, first), (name, again)])
        assert answer.told == (400, "invalid_request")
        assert answer["error_description"] == ONCE.says


@lets_through(ONCE, FORM)
async def test_an_empty_parameter_is_an_absent_one(world: World) -> None:
    assert (await world.token({"scope": "", "resource": "", "actor_token": ""})).status == 200


@stops(FORM)
@pytest.mark.parametrize("body", [b"grant_type=%", b"grant_type=%zz", b"grant_type=%ff", b"a=%00", b"\xff=x", b"a%=b"])
async def test_tk_16_bytes_that_are_no_form(world: World, body: bytes) -> None:
    answer = await world.send("POST", "/token", (FORM_KIND, header(world)), body)
    assert answer.told == (400, "invalid_request")


async def test_tk_16_what_stands_in_the_query_is_not_read(world: World) -> None:
    asked = "/token?grant_type=client_credentials"
    assert (await world.send("POST", asked, (FORM_KIND, header(world)), b"")).told == (400, "invalid_request")
    in_the_query = f"/token?client_id={POST}&client_secret=x"
    answer = await world.send("POST", in_the_query, (FORM_KIND,), b"grant_type=client_credentials")
    assert answer.told == (401, "invalid_client")


async def test_tk_18_the_access_token_is_exactly_rfc_9068s(world: World) -> None:
    """Two readers who are not ours take it for what it is."""
    key = PrivateKey.generate()
    token = (await world.token(by=BOT, key=key))["access_token"]
    published: Any = (await world.get("/jwks")).json
    head = pyjwt.get_unverified_header(token)
    assert head == {"typ": "at+jwt", "alg": "ES256", "kid": world.signer.all[0].kid}
    by_pyjwt: dict[str, Any] = pyjwt.decode(
        token,
        pyjwt.PyJWKSet.from_dict(published)[head["kid"]],
        algorithms=["ES256"],
        audience=PHARMACY,
        issuer=world.here.issuer.text,
        options={"require": ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"], "verify_exp": False},
    )
    by_joserfc = joserfc_jwt.decode(token, JoserfcKeySet.import_key_set(published), algorithms=["ES256"])
    assert by_joserfc.header == head
    assert by_joserfc.claims == by_pyjwt
    assert by_pyjwt == {
        "iss": world.here.issuer.text,
        "sub": BOT,
        "aud": PHARMACY,
        "client_id": BOT,
        "iat": world.now,
        "exp": world.now + 300,
        "jti": by_pyjwt["jti"],
        "scope": f"{ORDER} {READ}",
        "cnf": {"jkt": key.public().thumbprint},
    }
    assert len(by_pyjwt["jti"]) >= 22
    assert by_pyjwt["exp"] - by_pyjwt["iat"] <= 15 * 60
    other = pyjwt.decode((await world.token())["access_token"], options={"verify_signature": False})
    assert other["jti"] != by_pyjwt["jti"]


async def test_tk_18_a_persons_token_names_person_and_actor(world: World) -> None:
    ask = await world.asked()
    await world.allow(ask)
    answer = await world.poll(ask)
    claims = pyjwt.decode(answer["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["act"], claims["aud"]) == ("alice", {"sub": BOT}, PHARMACY)
    assert claims["auth_time"] == world.now
    key_of_the_server = pyjwt.PyJWKSet.from_dict((await world.get("/jwks")).json)[world.signer.all[0].kid]
    id_token = pyjwt.decode(
        answer["id_token"], key_of_the_server, algorithms=["ES256"], audience=BOT, options={"verify_exp": False}
    )
    assert set(id_token) == {"iss", "sub", "aud", "iat", "exp", "auth_time"}
    assert id_token["sub"] == "alice"


@lets_through(SCOPE_ALLOWED, TARGET_NAMED, tokens.TARGET_KNOWN)
async def test_a_scope_and_a_resource_that_the_client_may_use(world: World) -> None:
    assert (await world.token({"scope": READ}))["scope"] == READ
    assert "scope" not in (await world.token({"scope": " "})).json
    assert (await world.token({"scope": CLAIMS_READ, "resource": INSURER}, by=ROAMING))["scope"] == CLAIMS_READ
    assert (await world.token({"resource": INSURER}, by=ROAMING))["scope"] == CLAIMS_READ


CLAIMS_READ = "claims:read"


@stops(SCOPE_ALLOWED)
@pytest.mark.parametrize(
    "scope", ["openid", "offline_access", f"{READ} admin", "claims:read", 'a"b', "a\\b", "\t", "é"]
)
async def test_tk_21_a_scope_that_is_not_the_clients_own(world: World, scope: str) -> None:
    answer = await world.token({"scope": scope})
    assert answer.told == (400, "invalid_scope")
    assert "refresh_token" not in answer.json


@stops(TARGET_NAMED, tokens.TARGET_KNOWN)
async def test_tk_21_a_resource_that_is_not_the_clients(world: World) -> None:
    for resource in (
        INSURER,
        "https://api.pharmacy.example/",
        "api.pharmacy.example",
        "x" * 3000,
        "https://x.example#a",
    ):
        assert (await world.token({"resource": resource})).told == (400, "invalid_target")
    both = [*CLIENT_CREDENTIALS.items(), ("resource", PHARMACY), ("resource", INSURER)]
    assert (await world.post("/token", both, by=ROAMING)).told == (400, "invalid_target")
    assert (await world.token(by=ROAMING)).told == (400, "invalid_target")
    await world.change(Client, BOT, audiences=frozenset({"https://gone.example"}))
    assert (await world.token()).told == (400, "invalid_target")


async def test_tk_21_nobody_without_authentication(world: World) -> None:
    answer = await world.post("/token", {**CLIENT_CREDENTIALS, "client_id": BOT})
    assert answer.told == (401, "invalid_client")


# --- MD -----------------------------------------------------------------------------------------------------------

DOCUMENTS = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks")


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_md_01_what_the_request_calls_us_is_not_what_we_are_called(world: World, path: str) -> None:
    plain = await world.get(path)
    for name in ("host", "x-forwarded-host", "x-forwarded-proto", "forwarded", "x-original-url", "x-forwarded-prefix"):
        named = await world.get(path, ((name, "evil.example"), ("x-forwarded-server", "evil.example")))
        assert named == plain
    assert "evil" not in plain.body.decode()


async def test_md_04_a_grant_that_is_switched_off_is_told_of_nowhere_and_had_nowhere() -> None:
    async with a_world(grants=tuple(grant for grant in GRANTS if grant.type != ciba.TYPE)) as world:
        for path in DOCUMENTS[:2]:
            told = (await world.get(path)).json
            assert ciba.TYPE not in told["grant_types_supported"]
            assert not [
                name for name in told if name.startswith(("backchannel_auth", "backchannel_token", "backchannel_user"))
            ]
            assert "client_id_metadata_document_supported" not in told  # nor is a way to know clients that is off
        form = {"grant_type": ciba.TYPE, "auth_req_id": "x"}
        assert (await world.post("/token", form, by=BOT)).told == (400, "unsupported_grant_type")
        answer = await world.post("/backchannel", {"scope": "openid", "login_hint": "alice"}, by=BOT)
        assert answer.status in {400, 404}


async def test_md_02_md_03_an_issuer_with_a_path_in_both_forms_and_no_other_s() -> None:
    async with a_world(issuer="https://as.example/tenants/one") as world:
        issuer = world.here.issuer.text
        asked = {
            path: await world.app_get(path)
            for path in (
                "/.well-known/oauth-authorization-server/tenants/one",
                "/.well-known/openid-configuration/tenants/one",
                "/tenants/one/.well-known/openid-configuration",
            )
        }
        assert {answer.body for answer in asked.values()} == {next(iter(asked.values())).body}
        document = next(iter(asked.values())).json
        assert document["issuer"] == issuer
        assert document["token_endpoint"] == f"{issuer}/token"
        for path in (
            "/.well-known/oauth-authorization-server",
            "/.well-known/oauth-authorization-server/tenants/two",
            "/.well-known/oauth-authorization-server/tenants/one/",
            "/.well-known/oauth-authorization-server/tenants",
            "/tenants/two/.well-known/openid-configuration",
            "/token",
            "/jwks",
        ):
            assert (await world.app_get(path)).status == 404
        assert (await world.token()).status == 200


@lets_through(FOUND)
@stops(FOUND)
@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/token/", "//token", "/TOKEN", "/token%20", "/jwks/", "/.well-known/"]
)
async def test_there_is_nothing_at_any_other_address(world: World, path: str) -> None:
    answer = await world.get(path)
    assert answer.told == (404, "invalid_request")
    assert answer["error_description"] == FOUND.says
    assert (await world.get("/jwks")).status == 200


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_md_06_conditional_head_and_range(world: World, path: str) -> None:
    whole = await world.get(path)
    tag = whole.header("etag") or ""
    assert (whole.status, whole.header("content-length")) == (200, str(len(whole.body)))
    assert whole.header("cache-control") == "public, max-age=60"
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        cached = await world.get(path, (("if-none-match", known),))
        assert (cached.status, cached.body, cached.header("etag")) == (304, b"", tag)
        assert cached.header("content-length") is None  # RFC 9110, 8.6: only the length that a 200 would have
    assert (await world.get(path, (("if-none-match", '"x"'),))).body == whole.body
    head = await world.get(path, method="HEAD")
    assert (head.status, head.body, head.header("content-length")) == (200, b"", whole.header("content-length"))
    for value in ("bytes=0-1", "bytes=9999999-", "bytes=x", "lines=1"):
        assert (await world.get(path, (("range", value),))).body == whole.body
    for method in ("POST", "PUT", "OPTIONS", "DELETE"):
        refused = await world.get(path, method=method)
        assert (refused.status, refused.header("allow")) == (405, "GET, HEAD")
