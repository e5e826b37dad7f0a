"""A wallet reads a request: who asks is proven in the way that their client_id says, and what is odd is refused."""

from typing import Any

import pytest
from cryptography import x509 as certificates

from deputize.core.rules import Refusal, Rule
from deputize.core.values import Instant
from deputize.core.wire import JsonObject, b64u
from deputize.jose import jwt
from deputize.jose.jwt import FOR_US, SIGNED, TYPED, UNEXPIRED
from deputize.jose.keys import KeySet
from deputize.jose.x509 import TRUSTED as CHAINED
from deputize.vc import presentations, requests
from deputize.vc.client_ids import (
    ITS_CERTIFICATE,
    ITS_HOST,
    ITS_REDIRECT_URI,
    KNOWN_PREFIX,
    REGISTERED_PLACE,
    SIGNED_WHERE_MEANT,
    Registered,
    Trust,
    certificate_hash,
    prefix_of,
)
from deputize.vc.requests import (
    ANSWERED_DIRECTLY,
    ENCRYPTABLE,
    FETCHED_SO,
    FORMATS,
    LINK,
    NONCE,
    ONE_QUERY,
    OUR_WALLET_NONCE,
    SAME_NAME,
    STATE,
    TRANSACTION,
    TRANSACTION_HASH,
    VP_TOKEN,
    PresentationRequest,
    is_signed,
    link_to,
    link_with,
    read_link,
    transaction_text,
)
from tests.jose.test_x509 import TODAY, between, issue, root
from tests.support.proofs import lets_through, stops
from tests.vc.made import NOW
from tests.vc.verifying import (
    BY_HASH,
    BY_NAME,
    HOST,
    QUERY,
    RESPONSE_URI,
    SESSION,
    TRUST,
    a_verifier,
    another_key,
    chain,
    dns,
    env,
    leaf,
    read,
    roots,
    sealed,
    signing,
)

KINDS = {"payment": frozenset({"amount"})}


def wanted(client_id: str = BY_HASH, *, encrypted: bool = True, **told: Any) -> presentations.Wanted:
    return presentations.begin(
        a_verifier(client_id, encrypted=encrypted), told.pop("query", QUERY), SESSION, env(), **told
    )


def why_not(
    compact: str, client_id: str = BY_HASH, trust: Trust = TRUST, *, error: str = "invalid_request", **told: Any
) -> Rule | None:
    try:
        read(compact, client_id, trust, **told)
    except Refusal as refusal:
        return refusal.rule if refusal.error == error else None
    return None


@lets_through(KNOWN_PREFIX, SIGNED_WHERE_MEANT, ITS_CERTIFICATE, ITS_HOST, SAME_NAME, VP_TOKEN, ANSWERED_DIRECTLY)
@lets_through(NONCE, STATE, ONE_QUERY, FORMATS, ENCRYPTABLE)
@pytest.mark.parametrize("client_id", [BY_HASH, BY_NAME], ids=["by hash", "by name"])  # a run has its own hash
def test_a_request_that_a_certificate_stands_for_is_read(client_id: str) -> None:
    """OIDF: oid4vp-1final-wallet-happy-flow."""
    made = wanted(client_id)
    told = read(sealed(made), client_id)
    assert isinstance(told, PresentationRequest)
    assert (told.client_id, told.nonce, told.state) == (client_id, made.nonce, made.state)
    assert told.response_uri == f"{RESPONSE_URI}/{made.key}"
    assert told.encryption is not None
    assert told.encryption.enc == "A128GCM"


def test_what_is_said_of_the_issuer_of_a_request_is_ignored() -> None:
    assert read(sealed(wanted(), iss="https://somebody.example")).client_id == BY_HASH
    assert read(sealed(wanted(), iss=7)).client_id == BY_HASH


@stops(TYPED)
def test_a_request_object_has_its_own_type() -> None:
    params = {**wanted().params(), "aud": requests.SELF_ISSUED}
    for typ in ("JWT", "oauth-client-auth+jwt", "kb+jwt"):
        text = jwt.sign(params, signing(leaf()), typ=typ, header={"x5c": chain(leaf())})
        assert why_not(text) is TYPED


@stops(SIGNED)
def test_a_signature_by_another_key_is_refused() -> None:
    """OIDF: oid4vp-1final-wallet-negative-test-invalid-request-object-signature."""
    text = requests.sealed(wanted().params(), another_key(), now=NOW, life=presentations.LIFE, chain=chain(leaf()))
    assert why_not(text) is SIGNED


@stops(FOR_US, UNEXPIRED)
def test_a_request_is_for_a_wallet_and_of_now() -> None:
    text = requests.sealed(
        wanted().params(), signing(leaf()), now=Instant(NOW - 400), life=presentations.LIFE, chain=chain(leaf())
    )
    assert why_not(text) is UNEXPIRED


@stops(SAME_NAME)
def test_the_name_inside_is_the_name_outside() -> None:
    """OIDF: oid4vp-1final-wallet-negative-test-mismatched-client-id."""
    assert why_not(sealed(wanted(BY_HASH)), BY_NAME) is SAME_NAME
    assert why_not(sealed(wanted(), client_id=...)) is SAME_NAME


@stops(ITS_CERTIFICATE)
@pytest.mark.parametrize(
    ("names", "asks"),
    [
        (["verifier.example"], "evil.example"),
        (["*.verifier.example"], "a.verifier.example"),
        (["a.verifier.example"], "verifier.example"),
        (["verifier.example.evil.example"], "verifier.example"),
    ],
)
def test_a_certificate_is_for_the_very_name(names: list[str], asks: str) -> None:
    made = issue("verifier", root(), extra=(dns(*names),))
    text = requests.sealed(
        wanted(f"x509_san_dns:{asks}").params(), signing(made), now=NOW, life=presentations.LIFE, chain=chain(made)[:1]
    )
    assert why_not(text, f"x509_san_dns:{asks}") is ITS_CERTIFICATE


@stops(ITS_CERTIFICATE)
def test_the_hash_is_that_of_the_leaf() -> None:
    name = f"x509_hash:{certificate_hash(between().der)}"
    assert why_not(sealed(wanted(name)), name) is ITS_CERTIFICATE
    text = requests.sealed(wanted().params(), signing(leaf()), now=NOW, life=presentations.LIFE)
    assert why_not(text) is ITS_CERTIFICATE  # no certificate at all


@stops(CHAINED)
def test_a_chain_is_good_now() -> None:
    old = issue(
        "verifier",
        root(),
        extra=(dns(HOST),),
        until=TODAY.replace(year=TODAY.year - 1),
        since=TODAY.replace(year=TODAY.year - 2),
    )
    text = requests.sealed(
        wanted(BY_NAME).params(), signing(old), now=NOW, life=presentations.LIFE, chain=chain(old)[:1]
    )
    assert why_not(text, BY_NAME) is CHAINED
    stranger = Trust(roots=None)
    assert why_not(sealed(wanted()), trust=stranger) is KNOWN_PREFIX


@stops(ITS_HOST)
def test_the_answer_goes_to_the_host_that_is_named() -> None:
    """OIDF: oid4vp-1final-wallet-negative-test-response-uri-not-client-id."""
    text = sealed(wanted(BY_NAME), response_uri="https://evil.example/answer")
    assert why_not(text, BY_NAME) is ITS_HOST


@stops(KNOWN_PREFIX)
@pytest.mark.parametrize(
    "client_id",
    [
        "decentralized_identifier:did:web:verifier.example",
        "openid_federation:https://verifier.example",
        "verifier_attestation:verifier.example",
        "origin:https://verifier.example",
        "x509_san_uri:https://verifier.example",
        "https://verifier.example",
        "nobody",
    ],
)
def test_a_verifier_that_cannot_be_believed_here_is_refused(client_id: str) -> None:
    """OIDF: oid4vp-1final-wallet-negative-test-invalid-client-id-prefix."""
    assert why_not(sealed(wanted(client_id)), client_id) is KNOWN_PREFIX


def test_a_prefix_ends_at_the_first_colon() -> None:
    assert prefix_of("redirect_uri:https://a.example/x:y") == ("redirect_uri", "https://a.example/x:y")
    assert prefix_of("x509_hash:") == ("", "x509_hash:")
    assert prefix_of("Redirect_uri:https://a.example") == ("", "Redirect_uri:https://a.example")


@lets_through(REGISTERED_PLACE)
@stops(REGISTERED_PLACE, SIGNED)
def test_a_registered_verifier_signs_with_its_own_key() -> None:
    made, known = wanted("shop"), another_key()
    place = Registered(keys=KeySet.of(known.public()), response_uris=frozenset({f"{RESPONSE_URI}/{made.key}"}))
    trust = Trust(registered={"shop": place})
    text = requests.sealed(made.params(), known, now=NOW, life=presentations.LIFE)
    assert why_not(text, "shop", trust) is None
    assert (
        why_not(requests.sealed(made.params(), signing(leaf()), now=NOW, life=presentations.LIFE), "shop", trust)
        is SIGNED
    )
    elsewhere = {**made.params(), "response_uri": "https://evil.example/x"}
    assert (
        why_not(requests.sealed(elsewhere, known, now=NOW, life=presentations.LIFE), "shop", trust) is REGISTERED_PLACE
    )
    assert unsigned_why_not(trust, **link_params(made)) is SIGNED_WHERE_MEANT


# --- what is not signed -------------------------------------------------------------------------------------------


def link_params(made: presentations.Wanted, **changes: Any) -> dict[str, str]:
    link = read_link(link_with("openid4vp", made.params()))
    return {name: value for name, value in (dict(link.params) | changes).items() if value is not ...}


def unsigned_why_not(trust: Trust = TRUST, /, **params: str) -> Rule | None:
    try:
        requests.unsigned(params, trust=trust, kinds=KINDS)
    except Refusal as refusal:
        return refusal.rule
    return None


@lets_through(ITS_REDIRECT_URI, KNOWN_PREFIX, SIGNED_WHERE_MEANT, LINK)
def test_who_is_known_by_nothing_but_an_address_is_answered_there() -> None:
    made = wanted("redirect_uri:", encrypted=False)
    link = read_link(link_with("openid4vp", made.params()))
    assert not is_signed(link)
    told = requests.unsigned(link.params, trust=TRUST)
    assert told.client_id == f"redirect_uri:{told.response_uri}"
    assert told.query.credentials[0].id == "dip"


@stops(ITS_REDIRECT_URI, SIGNED_WHERE_MEANT, KNOWN_PREFIX)
def test_what_is_not_signed_says_nothing_more() -> None:
    made = wanted("redirect_uri:")
    assert unsigned_why_not(**link_params(made, response_uri="https://evil.example/x")) is ITS_REDIRECT_URI
    assert unsigned_why_not(**link_params(made, client_id=BY_NAME)) is SIGNED_WHERE_MEANT
    assert unsigned_why_not(Trust(roots=roots()), **link_params(made)) is KNOWN_PREFIX
    assert why_not(sealed(made), made.client_id) is SIGNED_WHERE_MEANT  # and what may not be signed is not


@stops(ONE_QUERY)
def test_parameters_in_a_link_are_json() -> None:
    made = wanted("redirect_uri:")
    for name in ("dcql_query", "client_metadata", "transaction_data"):
        assert unsigned_why_not(**link_params(made, **{name: "{"})) is ONE_QUERY


# --- what is asked ------------------------------------------------------------------------------------------------


@stops(VP_TOKEN)
def test_another_response_type_is_not_answered() -> None:
    for kind in ("code", "vp_token id_token", ...):
        assert why_not(sealed(wanted(), response_type=kind), error="unsupported_response_type") is VP_TOKEN


@stops(ANSWERED_DIRECTLY)
@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": RESPONSE_URI},
        {"response_mode": "fragment"},
        {"response_mode": "dc_api.jwt"},
        {"response_mode": ...},
        {"response_uri": ...},
        {"response_uri": "http://verifier.example/x"},
        {"response_uri": 7},
    ],
)
def test_an_answer_is_posted_and_nothing_else(changes: dict[str, Any]) -> None:
    """OIDF: oid4vp-1final-wallet-negative-test-redirect-uri-with-direct-post."""
    assert why_not(sealed(wanted(), **changes)) is ANSWERED_DIRECTLY


@stops(NONCE)
@pytest.mark.parametrize("nonce", [..., "", "a b", "ä", 7, "n" * 513])
def test_a_request_has_a_nonce(nonce: object) -> None:
    """OIDF: oid4vp-1final-wallet-negative-test-missing-nonce."""
    assert why_not(sealed(wanted(), nonce=nonce)) is NONCE


@stops(STATE)
def test_without_a_holders_signature_there_is_a_state() -> None:
    loose = {"credentials": [QUERY["credentials"][0] | {"require_cryptographic_holder_binding": False}]}
    assert why_not(sealed(wanted(query=loose), state=...)) is STATE
    assert why_not(sealed(wanted(), state="a b")) is STATE
    assert why_not(sealed(wanted(), state=...)) is None


@stops(ONE_QUERY)
def test_a_scope_stands_for_no_query_here() -> None:
    assert why_not(sealed(wanted(), scope="diploma")) is ONE_QUERY
    assert why_not(sealed(wanted(), scope="diploma", dcql_query=...), error="invalid_scope") is ONE_QUERY
    assert why_not(sealed(wanted(), dcql_query=...)) is ONE_QUERY


@stops(FORMATS)
def test_a_verifier_that_takes_other_formats_gets_nothing() -> None:
    told: JsonObject = {"vp_formats_supported": {"mso_mdoc": {}}}
    assert why_not(sealed(wanted(encrypted=False), client_metadata=told), error="vp_formats_not_supported") is FORMATS
    assert why_not(sealed(wanted(encrypted=False), client_metadata=[])) is FORMATS
    assert why_not(sealed(wanted(encrypted=False), client_metadata=...)) is None


@stops(ENCRYPTABLE)
def test_an_answer_is_encrypted_with_a_key_that_fits() -> None:
    """OIDF: oid4vp-1final-wallet-ignores-unusable-encryption-key."""
    made = wanted()
    metadata = made.params()["client_metadata"]
    (good,) = metadata["jwks"]["keys"]
    bad = [{**good, "alg": "RSA-OAEP"}, {**good, "use": "sig"}, {**good, "x": "AAAA"}, {"kty": "oct"}, 7]
    told = read(sealed(made, client_metadata={**metadata, "jwks": {"keys": [*bad, good]}}))
    assert told.encryption is not None
    assert told.encryption.jwk == good
    for changes in (
        {"jwks": {"keys": bad}},
        {"jwks": ...},
        {"encrypted_response_enc_values_supported": ["A256CBC-HS512"]},
    ):
        less = {name: value for name, value in (metadata | changes).items() if value is not ...}
        assert why_not(sealed(made, client_metadata=less)) is ENCRYPTABLE


@lets_through(OUR_WALLET_NONCE)
@stops(OUR_WALLET_NONCE)
def test_a_request_that_was_posted_for_comes_back_with_the_nonce() -> None:
    """OIDF: oid4vp-1final-wallet-request-uri-method-post."""
    made = wanted()
    assert why_not(sealed(made, wallet_nonce="mine"), wallet_nonce="mine") is None
    assert why_not(sealed(made, wallet_nonce="other"), wallet_nonce="mine") is OUR_WALLET_NONCE
    assert why_not(sealed(made), wallet_nonce="mine") is OUR_WALLET_NONCE


@lets_through(TRANSACTION, TRANSACTION_HASH)
def test_transaction_data_of_a_known_type_are_read() -> None:
    text = transaction_text("payment", ["dip"], amount="9.90", transaction_data_hashes_alg=["md5", "sha-384"])
    (one,) = read(sealed(wanted(transactions=(text,))), kinds=KINDS).transactions
    assert (one.type, one.credential_ids, one.hashes, one.text) == ("payment", ("dip",), ("sha-384",), text)


@stops(TRANSACTION)
@pytest.mark.parametrize(
    "text",
    [
        transaction_text("unknown", ["dip"]),
        transaction_text("payment", ["dip"], colour="red"),
        transaction_text("payment", ["nobody"]),
        transaction_text("payment", []),
        b64u(b"[]"),
        "{}",
        7,
    ],
)
def test_transaction_data_that_nobody_understands_are_refused(text: object) -> None:
    """OIDF: oid4vp-1final-wallet-negative-test-unknown-transaction-data-type."""
    compact = sealed(wanted(), transaction_data=[text])
    assert why_not(compact, kinds=KINDS, error="invalid_transaction_data") is TRANSACTION


@stops(TRANSACTION)
def test_transaction_data_go_with_a_holders_signature() -> None:
    loose = {"credentials": [QUERY["credentials"][0] | {"require_cryptographic_holder_binding": False}]}
    compact = sealed(wanted(query=loose), transaction_data=[transaction_text("payment", ["dip"])])
    assert why_not(compact, kinds=KINDS, error="invalid_transaction_data") is TRANSACTION
    assert why_not(sealed(wanted(), transaction_data=[]), error="invalid_transaction_data") is TRANSACTION


@stops(TRANSACTION_HASH)
def test_a_hash_that_we_do_not_have_is_refused() -> None:
    compact = sealed(
        wanted(), transaction_data=[transaction_text("payment", ["dip"], transaction_data_hashes_alg=["md5"])]
    )
    assert why_not(compact, kinds=KINDS, error="invalid_transaction_data") is TRANSACTION_HASH


# --- links --------------------------------------------------------------------------------------------------------


@lets_through(LINK, FETCHED_SO)
def test_a_link_leads_to_a_request() -> None:
    link = read_link(link_to("openid4vp", BY_NAME, "https://verifier.example/r/1", post=True))
    assert (link.client_id, link.request_uri, link.post) == (BY_NAME, "https://verifier.example/r/1", True)
    assert not read_link(link_to("haip-vp", BY_NAME, "https://verifier.example/r/1")).post
    assert is_signed(read_link("openid4vp://?client_id=x509_hash%3Aabc&request=e.y.z"))


@stops(LINK, FETCHED_SO)
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("openid4vp://?request_uri=https%3A%2F%2Fv.example", LINK),
        ("openid4vp://?client_id=a&client_id=b", LINK),
        ("openid4vp://?client_id=a&request=x&request_uri=https%3A%2F%2Fv.example", LINK),
        ("openid4vp://?client_id=a&x=" + "y" * 20_000, LINK),
        ("openid4vp://?client_id=a&request_uri=http%3A%2F%2Fv.example", FETCHED_SO),
        ("openid4vp://?client_id=a&request_uri=file%3A%2F%2F%2Fetc", FETCHED_SO),
        ("openid4vp://?client_id=a&request_uri=https%3A%2F%2Fv.example&request_uri_method=put", FETCHED_SO),
        ("openid4vp://?client_id=a&request_uri_method=post", FETCHED_SO),
    ],
)
def test_a_link_that_leads_nowhere_good_is_refused(text: str, rule: Rule) -> None:
    with pytest.raises(Refusal) as refused:
        read_link(text)
    assert refused.value.rule is rule


def test_nothing_of_a_certificate_is_read_that_is_not_there() -> None:
    made = issue("verifier", root())
    assert not any(isinstance(one.value, certificates.SubjectAlternativeName) for one in made.certificate.extensions)
    text = requests.sealed(
        wanted(BY_NAME).params(), signing(made), now=NOW, life=presentations.LIFE, chain=chain(made)[:1]
    )
    assert why_not(text, BY_NAME) is ITS_CERTIFICATE
