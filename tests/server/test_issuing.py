"""A credential issuer over HTTP: offers are redeemed once, keys are proven, and what is issued is what was allowed."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from deputize.core.ports import Event, Replace
from deputize.core.wire import JsonObject, json_bytes
from deputize.jose import jwe, jwt
from deputize.jose.jwe import DecryptionKey
from deputize.oauth.grants import pre_authorized_code
from deputize.oauth.offers import Entitled
from deputize.oauth.statuses import StatusEntry
from deputize.oauth.tokens import NOT_REVOKED
from deputize.server.entitled import ENTITLED, KNOWN_CONFIGURATION, KNOWN_IDENTIFIER, SCOPE_GRANTED, SHORT_OR_BOUND
from deputize.server.issuing import KEPT_OFFER, KNOWN_NOTIFICATION, KNOWN_TRANSACTION
from deputize.vc.issuance import ENCRYPTED, ENCRYPTION, NOTIFICATION, ONE_IDENTIFIER, PROOFS, REQUEST
from deputize.vc.issuer_keys import pinned
from deputize.vc.proofs import FRESH_NONCE, ITS_ISS, KEYS_DIFFER, NONCE_ONCE
from deputize.vc.verify import Policy, TrustedIssuer, VerifiedCredential, status_ignored, verify
from tests.jose.making import a_key
from tests.support.asgi import Answer
from tests.support.credentials import (
    BADGE,
    CLAIMS,
    DIPLOMA,
    VCT,
    WALLET,
    Issuing,
    an_issuer,
    an_issuer_with_pages,
    identifier_of,
    request_keys,
)
from tests.support.proofs import lets_through, stops
from tests.support.world import a_world


@pytest.fixture
async def issuing() -> AsyncIterator[Issuing]:
    async with an_issuer() as made:
        yield made


def verified(issuing: Issuing, text: str) -> VerifiedCredential:
    keys = pinned({"keys": list(issuing.world.env.signer.keys())})
    trusted = TrustedIssuer(
        issuer=issuing.name, keys=keys, types=frozenset({VCT, "urn:example:badge"}), status=status_ignored
    )
    return verify(text, Policy(issuers=(trusted,)), asked=None, now=issuing.world.now, holder=True)


def says(answer: Answer, rule: Any, error: str, status: int = 400) -> None:
    assert (answer.told, answer["error_description"]) == ((status, error), rule.says)


async def _asked(issuing: Issuing, **changes: Any) -> Answer:
    made = await issuing.offered()
    token = (await issuing.redeem(made))["access_token"]
    return await issuing.ask(token, identifier_of(made), **changes)


# --- metadata -----------------------------------------------------------------------------------------------------


async def test_the_issuer_says_what_it_issues(issuing: Issuing) -> None:
    """OIDF: oid4vci-1_0-issuer-metadata-test."""
    answer = await issuing.world.app_get("/.well-known/openid-credential-issuer/credentials")
    told = answer.json
    assert answer.header("content-type") == "application/json"
    assert told["credential_issuer"] == issuing.name == "https://as.example/credentials"
    assert told["authorization_servers"] == ["https://as.example"]
    assert told["batch_credential_issuance"] == {"batch_size": 8}
    diploma = told["credential_configurations_supported"][DIPLOMA]
    assert (diploma["format"], diploma["vct"], diploma["scope"]) == ("dc+sd-jwt", VCT, "diploma")
    assert "credential_response_encryption" not in told
    for name in ("credential", "nonce", "deferred_credential", "notification"):
        assert told[f"{name}_endpoint"].startswith(issuing.name)
    keys = (await issuing.world.app_get("/.well-known/jwt-vc-issuer/credentials")).json
    assert keys == {"issuer": issuing.name, "jwks": {"keys": list(issuing.world.env.signer.keys())}}
    server = (await issuing.world.app_get("/.well-known/oauth-authorization-server")).json
    assert server["pre-authorized_grant_anonymous_access_supported"] is True
    assert "openid_credential" in server["authorization_details_types_supported"]


async def test_where_nothing_is_issued_nothing_is_said() -> None:
    async with a_world() as world:
        server = (await world.get("/.well-known/oauth-authorization-server")).json
        assert "openid_credential" not in server["authorization_details_types_supported"]
        assert not any("pre-authorized" in name for name in (*server, *server["grant_types_supported"]))
        assert (await world.get("/credentials/nonce", method="POST")).status == 404


@lets_through(KEPT_OFFER)
@stops(KEPT_OFFER)
async def test_an_offer_lies_at_an_address_until_it_is_taken(issuing: Issuing) -> None:
    made = await issuing.offered()
    place = f"/credentials/offers/{made.secret.reveal()}"
    assert (await issuing.world.get(place)).json == made.told()
    await issuing.redeem(made)
    for path in (place, "/credentials/offers/nothing"):
        says(await issuing.world.get(path), KEPT_OFFER, "invalid_request")
    assert made.secret.reveal() not in json.dumps([str(line) for line in issuing.world.logged])
    assert (await issuing.post("/offers/x")).status == 405


# --- the credential -----------------------------------------------------------------------------------------------


@lets_through(ENTITLED, KNOWN_IDENTIFIER, ONE_IDENTIFIER, PROOFS, REQUEST, SHORT_OR_BOUND, FRESH_NONCE, NONCE_ONCE)
async def test_what_was_offered_is_issued_to_the_key_that_was_proven(issuing: Issuing) -> None:
    """OIDF: oid4vci-1_0-issuer-happy-flow, -skip-notification."""
    made = await issuing.offered()
    taken = await issuing.redeem(made)
    (detail,) = taken.json["authorization_details"]
    assert detail["credential_identifiers"] == [identifier_of(made)]
    assert taken.json["expires_in"] <= 300
    answer = await issuing.ask(taken["access_token"], identifier_of(made))
    assert answer.status == 200, answer.body
    assert answer.header("cache-control") == "no-store"
    (one,) = answer.json["credentials"]
    seen = verified(issuing, one["credential"])
    assert (seen.claims["given_name"], seen.claims["degree"], seen.vct) == ("Alice", CLAIMS["degree"], VCT)
    assert seen.claims["cnf"]["jwk"]["x"] == issuing.key.public_jwk()["x"]
    assert seen.claims["iat"] % 86400 == seen.claims["exp"] % 86400 == 0
    assert "given_name" not in seen.shown.issued
    reference = seen.claims["status"]["status_list"]
    assert await issuing.world.store.read(StatusEntry, f"{reference['uri'].rpartition('/')[2]}:{reference['idx']}")
    events = [event.what for event in await issuing.world.store.select(Event, "", "", limit=100)]
    assert {"credential_offered", "offer_taken", "credential_issued"} <= set(events)


async def test_the_same_token_has_a_credential_issued_again(issuing: Issuing) -> None:
    """OIDF: oid4vci-1_0-issuer-happy-flow-additional-requests. What was issued before stays good."""
    made = await issuing.offered()
    token = (await issuing.redeem(made))["access_token"]
    answers = [await issuing.ask(token, identifier_of(made)) for _ in range(2)]
    first, second = (verified(issuing, one.json["credentials"][0]["credential"]) for one in answers)
    assert first.claims["status"] != second.claims["status"]
    assert first.shown.issued["_sd"] != second.shown.issued["_sd"]


async def test_two_clients_have_each_what_was_offered_to_them(issuing: Issuing) -> None:
    """One says who it is, and the other does not; neither can put the other's name into its proof (SD-25)."""
    grant = frozenset({pre_authorized_code.TYPE})
    await issuing.world.client(WALLET, auth_method="none", grant_types=grant, audiences=frozenset({issuing.name}))
    for by in (None, WALLET):
        made = await issuing.offered()
        token = (await issuing.redeem(made, by=by))["access_token"]
        other = {"jwt": [await issuing.proof(client_id="another" if by else WALLET)]}
        says(await issuing.ask(token, identifier_of(made), proofs=other), ITS_ISS, "invalid_proof")
        own = {"jwt": [await issuing.proof(client_id=by)]}
        assert (await issuing.ask(token, identifier_of(made), proofs=own)).status == 200


async def test_a_batch_has_a_credential_for_each_key(issuing: Issuing) -> None:
    """OIDF: oid4vci-1_0-issuer-batch-issuance."""
    keys, nonce = [a_key("ES256", 80 + n) for n in range(3)], await issuing.nonce()
    answer = await _asked(issuing, proofs={"jwt": [await issuing.proof(key, nonce=nonce) for key in keys]})
    seen = [verified(issuing, one["credential"]) for one in answer.json["credentials"]]
    assert [one.claims["cnf"]["jwk"]["x"] for one in seen] == [key.public_jwk()["x"] for key in keys]
    assert len({json_bytes(one.claims["status"]) for one in seen}) == 3
    assert len({str(sorted(one.shown.issued["_sd"])) for one in seen}) == 3


@stops(KEYS_DIFFER)
async def test_a_key_is_proven_once_in_a_batch(issuing: Issuing) -> None:
    nonce = await issuing.nonce()
    two = {"jwt": [await issuing.proof(nonce=nonce), await issuing.proof(nonce=nonce)]}
    says(await _asked(issuing, proofs=two), KEYS_DIFFER, "invalid_proof")


@stops(PROOFS)
@pytest.mark.parametrize(
    "told",
    [
        ...,
        {},
        [],
        {"jwt": []},
        {"jwt": "x"},
        {"jwt": [7]},
        {"jwt": ["x"] * 9},
        {"attestation": ["x"]},
        {"jwt": ["x"], "di_vp": []},
    ],
)
async def test_proofs_are_of_one_type_and_no_more_than_a_batch(issuing: Issuing, told: object) -> None:
    """OIDF: oid4vci-1_0-issuer-fail-missing-proof, -fail-invalid-key-attestation-signature (none is taken)."""
    says(await _asked(issuing, proofs=told), PROOFS, "invalid_proof")
    says(await _asked(issuing, proof={"proof_type": "jwt", "jwt": "x"}), PROOFS, "invalid_proof")


@stops(NONCE_ONCE, FRESH_NONCE)
async def test_a_nonce_is_good_for_one_request(issuing: Issuing) -> None:
    """OIDF: oid4vci-1_0-issuer-fail-invalid-nonce. SD-25."""
    proof = {"jwt": [await issuing.proof()]}
    assert (await _asked(issuing, proofs=proof)).status == 200
    says(await _asked(issuing, proofs=proof), NONCE_ONCE, "invalid_nonce")
    for nonce in ("x", "A" * 51, "ä"):
        made = {"jwt": [await issuing.proof(nonce=nonce)]}
        says(await _asked(issuing, proofs=made), FRESH_NONCE, "invalid_nonce")


@stops(jwt.SIGNED)
async def test_a_proof_is_signed_by_its_own_key(issuing: Issuing) -> None:
    """OIDF: oid4vci-1_0-issuer-fail-invalid-jwt-proof-signature."""
    head, body, signature = (await issuing.proof()).split(".")
    other = signature[:-4] + ("AAAA" if signature[-4:] != "AAAA" else "BBBB")
    says(await _asked(issuing, proofs={"jwt": [f"{head}.{body}.{other}"]}), jwt.SIGNED, "invalid_proof")


@stops(ONE_IDENTIFIER)
async def test_a_credential_is_asked_for_by_the_name_that_the_token_gives(issuing: Issuing) -> None:
    made = await issuing.offered()
    token = (await issuing.redeem(made))["access_token"]
    for told in ({}, {"credential_configuration_id": DIPLOMA}):
        says(await issuing.ask(token, **told), ONE_IDENTIFIER, "invalid_credential_request")
    both = {"credential_configuration_id": DIPLOMA}
    says(await issuing.ask(token, identifier_of(made), **both), ONE_IDENTIFIER, "invalid_credential_request")


@stops(KNOWN_IDENTIFIER)
async def test_what_is_another_s_is_not_issued(issuing: Issuing) -> None:
    """OIDF: oid4vci-1_0-issuer-fail-unknown-credential-identifier."""
    mine, theirs = await issuing.offered(), await issuing.offered()
    token = (await issuing.redeem(mine))["access_token"]
    for name in (identifier_of(theirs), "nothing"):
        says(await issuing.ask(token, name), KNOWN_IDENTIFIER, "unknown_credential_identifier")


@stops(ENTITLED, KNOWN_CONFIGURATION)
async def test_what_is_no_more_is_not_issued(issuing: Issuing) -> None:
    made = await issuing.offered()
    token = (await issuing.redeem(made))["access_token"]
    kept = await issuing.world.store.read(Entitled, identifier_of(made))
    assert kept is not None
    assert await issuing.world.store.commit(Replace(kept, replace(kept, configuration="gone")))
    says(await issuing.ask(token, kept.key), KNOWN_CONFIGURATION, "unknown_credential_configuration")


@stops(REQUEST)
async def test_a_request_is_json(issuing: Issuing) -> None:
    token = await issuing.token()
    for body, kind in (
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"{}", "text/plain"),
        (b"{}", "application/jwt"),
    ):
        answer = await issuing.post("/credential", body, token, headers=(("content-type", kind),))
        says(answer, REQUEST, "invalid_credential_request")


async def test_who_asks_shows_a_token_for_this_issuer(issuing: Issuing) -> None:
    """OIDF: oid4vci-1_0-issuer-fail-on-access-token-in-query."""
    token = await issuing.token()
    for path in ("/credential", "/deferred", "/notification"):
        assert (await issuing.post(path, {})).status == 401
        assert (await issuing.post(f"{path}?access_token={token}", {})).status == 401
        other = issuing.world.minted()
        answer = await issuing.post(path, {}, other)
        assert answer.told == (401, "invalid_token")
        assert all("invalid_token" in value for name, value in answer.headers if name == "www-authenticate")
    assert (await issuing.world.get("/credentials/credential")).status == 405


@stops(SHORT_OR_BOUND)
async def test_a_bearer_token_that_lives_long_opens_nothing(issuing: Issuing) -> None:
    long = issuing.world.minted(aud=issuing.name, exp=issuing.world.now + 900)
    says(await issuing.post("/credential", {}, long), SHORT_OR_BOUND, "invalid_token", 401)


@stops(NOT_REVOKED)
async def test_a_code_that_comes_again_ends_what_was_issued_for_it(issuing: Issuing) -> None:
    made = await issuing.offered()
    token = (await issuing.redeem(made))["access_token"]
    assert (await issuing.redeem(made)).told == (400, "invalid_grant")
    says(await issuing.ask(token, identifier_of(made)), NOT_REVOKED, "invalid_token", 401)


async def test_a_badge_has_no_status(issuing: Issuing) -> None:
    made = await issuing.offered(BADGE)
    token = (await issuing.redeem(made))["access_token"]
    answer = await issuing.ask(token, identifier_of(made, BADGE))
    assert "status" not in verified(issuing, answer.json["credentials"][0]["credential"]).claims


# --- later --------------------------------------------------------------------------------------------------------


@lets_through(KNOWN_TRANSACTION)
@stops(KNOWN_TRANSACTION)
async def test_what_is_not_ready_is_issued_later_and_once(issuing: Issuing) -> None:
    made = await issuing.offered(datasets={DIPLOMA: None})
    token = (await issuing.redeem(made))["access_token"]
    waits = await issuing.ask(token, identifier_of(made))
    assert waits.status == 202
    told = {"transaction_id": waits["transaction_id"]}
    again = await issuing.post("/deferred", told, token)
    assert (again.status, again.json) == (202, waits.json)
    kept = await issuing.world.store.read(Entitled, identifier_of(made))
    assert kept is not None
    assert await issuing.world.store.commit(Replace(kept, replace(kept, claims=json_bytes(CLAIMS).decode())))
    other = await issuing.token()
    for name, shown in ((told, other), ({"transaction_id": "x"}, token), ({}, token)):
        says(await issuing.post("/deferred", name, shown), KNOWN_TRANSACTION, "invalid_transaction_id")
    ready = await issuing.post("/deferred", told, token)
    assert ready.status == 200
    assert verified(issuing, ready.json["credentials"][0]["credential"]).claims["given_name"] == "Alice"
    says(await issuing.post("/deferred", told, token), KNOWN_TRANSACTION, "invalid_transaction_id")


# --- what a wallet tells ------------------------------------------------------------------------------------------


@lets_through(NOTIFICATION, KNOWN_NOTIFICATION)
@stops(NOTIFICATION, KNOWN_NOTIFICATION)
async def test_a_wallet_tells_what_became_of_it(issuing: Issuing) -> None:
    made = await issuing.offered()
    token = (await issuing.redeem(made))["access_token"]
    name = (await issuing.ask(token, identifier_of(made)))["notification_id"]
    good = {"notification_id": name, "event": "credential_accepted", "event_description": "kept", "more": 1}
    for _ in range(2):
        assert (await issuing.post("/notification", good, token)).status == 204
    events = await issuing.world.store.select(Event, "", "", limit=100)
    assert [event.what for event in events].count("credential_accepted") == 1
    for bad in (
        {"event": "x"},
        {"event": 7},
        {"notification_id": 7},
        {"event_description": 'a"b'},
        {"event_description": 1},
    ):
        says(await issuing.post("/notification", good | bad, token), NOTIFICATION, "invalid_notification_request")
    for shown, told in ((await issuing.token(), good), (token, good | {"notification_id": "x"})):
        says(await issuing.post("/notification", told, shown), KNOWN_NOTIFICATION, "invalid_notification_id")


# --- encryption ---------------------------------------------------------------------------------------------------


@lets_through(ENCRYPTION, ENCRYPTED)
async def test_request_and_answer_may_be_encrypted() -> None:
    async with an_issuer(requests=request_keys(required=True)) as issuing:
        made, own = await issuing.offered(), DecryptionKey.generate()
        token = (await issuing.redeem(made))["access_token"]
        metadata = (await issuing.world.app_get("/.well-known/openid-credential-issuer/credentials")).json
        (key,) = metadata["credential_request_encryption"]["jwks"]["keys"]
        assert "d" not in key
        said: JsonObject = {
            "credential_identifier": identifier_of(made),
            "proofs": {"jwt": [await issuing.proof()]},
            "credential_response_encryption": {"jwk": own.public_jwk(), "enc": "A256GCM"},
        }
        headers = (("content-type", "application/jwt"),)
        answer = await issuing.post("/credential", jwe.encrypt(json_bytes(said), key).encode(), token, headers=headers)
        assert (answer.status, answer.header("content-type")) == (200, "application/jwt")
        opened = jwe.decrypt(answer.body.decode(), (own,), encs=jwe.ENCS, error="x")
        assert (opened.kid, opened.header["enc"]) == (own.kid, "A256GCM")
        assert verified(issuing, json.loads(opened.plaintext)["credentials"][0]["credential"]).vct == VCT
        again = await issuing.post("/credential", jwe.encrypt(json_bytes(said), key).encode(), token, headers=headers)
        assert again.told == (400, "invalid_nonce")  # an error is never encrypted


@stops(ENCRYPTION, ENCRYPTED)
async def test_a_key_that_anybody_could_have_put_there_is_not_used() -> None:
    """OIDF: oid4vci-1_0-issuer-fail-unsupported-encryption-algorithm."""
    async with an_issuer(requests=request_keys()) as issuing:
        own = DecryptionKey.generate()
        good: JsonObject = {"jwk": own.public_jwk(), "enc": "A256GCM"}
        in_the_clear = await _asked(issuing, credential_response_encryption=good)
        says(in_the_clear, ENCRYPTION, "invalid_encryption_parameters")
        made = await issuing.offered()
        token = (await issuing.redeem(made))["access_token"]
        key = issuing.credentials.requests.keys[0].public_jwk()
        bad: tuple[Any, ...] = (
            {"enc": "A128CBC-HS256"},
            {"zip": "DEF"},
            {"jwk": own.to_jwk()},
            {"jwk": {**own.public_jwk(), "alg": "RSA-OAEP"}},
            {"jwk": {**own.public_jwk(), "x": "AAAA"}},
            {"jwk": 7},
        )
        for changes in bad:
            said = {"credential_identifier": identifier_of(made), "credential_response_encryption": good | changes}
            body = jwe.encrypt(json_bytes(said | {"proofs": {"jwt": [await issuing.proof()]}}), key).encode()
            answer = await issuing.post("/credential", body, token, headers=(("content-type", "application/jwt"),))
            says(answer, ENCRYPTION, "invalid_encryption_parameters")
    async with an_issuer(requests=request_keys(required=True)) as issuing:
        says(await _asked(issuing), ENCRYPTED, "invalid_encryption_parameters")


# --- the code flow ------------------------------------------------------------------------------------------------


@lets_through(SCOPE_GRANTED, KNOWN_CONFIGURATION)
@stops(SCOPE_GRANTED, KNOWN_CONFIGURATION, ENTITLED)
async def test_a_person_allows_a_wallet_to_have_a_credential_by_its_scope() -> None:
    """OIDF: oid4vci-1_0-issuer-fail-unknown-credential-configuration."""
    async with an_issuer_with_pages() as (flow, issuing):
        await issuing.offered(person="alice", coded=False)
        told = await flow.tokens(WALLET, scope="diploma", resource=issuing.name)
        answer = await issuing.ask(told["access_token"], credential_configuration_id=DIPLOMA)
        assert answer.status == 200, answer.body
        assert verified(issuing, answer.json["credentials"][0]["credential"]).claims["given_name"] == "Alice"
        unknown = await issuing.ask(told["access_token"], credential_configuration_id="nothing")
        says(unknown, KNOWN_CONFIGURATION, "unknown_credential_configuration")
        other = await issuing.ask(told["access_token"], credential_configuration_id=BADGE)
        says(other, SCOPE_GRANTED, "unknown_credential_configuration")
        bob = await flow.tokens(WALLET, by="bob", scope="diploma", resource=issuing.name)
        says(
            await issuing.ask(bob["access_token"], credential_configuration_id=DIPLOMA),
            ENTITLED,
            "credential_request_denied",
        )


async def test_a_person_allows_a_wallet_to_have_one_credential_by_details() -> None:
    """Whatever datasets the wallet names, the token has those of the person who said yes."""
    async with an_issuer_with_pages() as (flow, issuing):
        made = await issuing.offered(person="alice", coded=False)
        theirs = await issuing.offered()
        detail = {
            "type": "openid_credential",
            "credential_configuration_id": DIPLOMA,
            "locations": [issuing.name],
            "credential_identifiers": [identifier_of(theirs)],
        }
        told = await flow.tokens(
            WALLET,
            scope=None,
            authorization_details=json.dumps([detail]),
            issuer_state=made.secret.reveal(),
        )
        (granted,) = told["authorization_details"]
        assert granted["credential_identifiers"] == [identifier_of(made)]
        assert "refresh_token" not in told
        answer = await issuing.ask(told["access_token"], identifier_of(made))
        assert answer.status == 200, answer.body
