"""The OpenID Foundation's modules for issuers (OpenID4VCI) and for verifiers and wallets (OpenID4VP): which test is it.

What is not mirrored stands in docs/divergences.md.
"""

import importlib
import re
from pathlib import Path

import pytest

from tools.rules import ROOT

ISSUER, ATTACKS = "tests.server.test_issuing", "tests.attacks.test_offers"
VERIFIER, WALLET, CHOICE = "tests.vc.test_presentations", "tests.vc.test_requests", "tests.vc.test_matching"

MIRRORED = {
    "oid4vci-1_0-issuer-metadata-test": f"{ISSUER}.test_the_issuer_says_what_it_issues",
    "oid4vci-1_0-issuer-metadata-test-signed": "tests.server.test_presenting.test_metadata_are_signed_for_who_asks",
    "oid4vci-1_0-issuer-happy-flow": f"{ISSUER}.test_what_was_offered_is_issued_to_the_key_that_was_proven",
    "oid4vci-1_0-issuer-happy-flow-additional-requests": f"{ISSUER}.test_the_same_token_has_a_credential_issued_again",
    "oid4vci-1_0-issuer-happy-flow-multiple-clients": f"{ISSUER}.test_two_clients_have_each_what_was_offered_to_them",
    "oid4vci-1_0-issuer-happy-flow-skip-notification": (
        f"{ISSUER}.test_what_was_offered_is_issued_to_the_key_that_was_proven"
    ),
    "oid4vci-1_0-issuer-batch-issuance": f"{ISSUER}.test_a_batch_has_a_credential_for_each_key",
    "oid4vci-1_0-issuer-fail-invalid-nonce": f"{ISSUER}.test_a_nonce_is_good_for_one_request",
    "oid4vci-1_0-issuer-fail-invalid-jwt-proof-signature": f"{ISSUER}.test_a_proof_is_signed_by_its_own_key",
    "oid4vci-1_0-issuer-fail-missing-proof": f"{ISSUER}.test_proofs_are_of_one_type_and_no_more_than_a_batch",
    "oid4vci-1_0-issuer-fail-unsupported-encryption-algorithm": (
        f"{ISSUER}.test_a_key_that_anybody_could_have_put_there_is_not_used"
    ),
    "oid4vci-1_0-issuer-fail-unknown-credential-configuration": (
        f"{ISSUER}.test_a_person_allows_a_wallet_to_have_a_credential_by_its_scope"
    ),
    "oid4vci-1_0-issuer-fail-unknown-credential-identifier": f"{ISSUER}.test_what_is_another_s_is_not_issued",
    "oid4vci-1_0-issuer-fail-on-access-token-in-query": f"{ISSUER}.test_who_asks_shows_a_token_for_this_issuer",
    "oid4vp-1final-verifier-happy-flow": f"{VERIFIER}.test_what_is_presented_is_shown_to_who_asked",
    "oid4vp-1final-verifier-minimal-cnf-jwk": f"{VERIFIER}.test_a_holder_s_key_may_be_named_by_no_more_than_it_needs",
    "oid4vp-1final-verifier-request-uri-method-post": (
        "tests.server.test_presenting.test_on_one_device_the_wallet_brings_the_browser_back"
    ),
    "oid4vp-1final-verifier-request-uri-fetched-twice": (
        "tests.server.test_presenting.test_on_one_device_the_wallet_brings_the_browser_back"
    ),
    "oid4vp-1final-verifier-invalid-kb-jwt-signature": f"{VERIFIER}.test_a_holder_signs_for_this_request_alone",
    "oid4vp-1final-verifier-invalid-credential-signature": (
        f"{VERIFIER}.test_a_credential_that_its_issuer_did_not_sign_is_refused"
    ),
    "oid4vp-1final-verifier-invalid-sd-hash": f"{VERIFIER}.test_a_holder_signs_for_this_request_alone",
    "oid4vp-1final-verifier-invalid-kb-jwt-nonce": f"{VERIFIER}.test_a_holder_signs_for_this_request_alone",
    "oid4vp-1final-verifier-invalid-kb-jwt-aud": f"{VERIFIER}.test_a_holder_signs_for_this_request_alone",
    "oid4vp-1final-verifier-kb-jwt-iat-in-past": f"{VERIFIER}.test_a_holder_signs_for_this_request_alone",
    "oid4vp-1final-verifier-kb-jwt-iat-in-future": f"{VERIFIER}.test_a_holder_signs_for_this_request_alone",
    "oid4vp-1final-wallet-happy-flow": f"{WALLET}.test_a_request_that_a_certificate_stands_for_is_read",
    "oid4vp-1final-wallet-alternate-happy-flow": (
        f"{WALLET}.test_who_is_known_by_nothing_but_an_address_is_answered_there"
    ),
    "oid4vp-1final-wallet-request-uri-method-post": (
        f"{WALLET}.test_a_request_that_was_posted_for_comes_back_with_the_nonce"
    ),
    "oid4vp-1final-wallet-ignores-unusable-encryption-key": (
        f"{WALLET}.test_an_answer_is_encrypted_with_a_key_that_fits"
    ),
    "oid4vp-1final-wallet-fewer-claims-than-available": f"{CHOICE}.test_what_is_asked_is_shown_and_nothing_else",
    "oid4vp-1final-wallet-optional-credential-set": f"{CHOICE}.test_what_is_optional_is_shown_only_by_who_wants_to",
    "oid4vp-1final-wallet-no-claims-in-dcql-query": (
        f"{CHOICE}.test_where_no_claim_is_asked_nothing_that_could_be_hidden_is_shown"
    ),
    "oid4vp-1final-wallet-negative-test-response-uri-not-client-id": (
        f"{WALLET}.test_the_answer_goes_to_the_host_that_is_named"
    ),
    "oid4vp-1final-wallet-negative-test-invalid-request-object-signature": (
        f"{WALLET}.test_a_signature_by_another_key_is_refused"
    ),
    "oid4vp-1final-wallet-negative-test-mismatched-client-id": f"{WALLET}.test_the_name_inside_is_the_name_outside",
    "oid4vp-1final-wallet-negative-test-redirect-uri-with-direct-post": (
        f"{WALLET}.test_an_answer_is_posted_and_nothing_else"
    ),
    "oid4vp-1final-wallet-negative-test-missing-nonce": f"{WALLET}.test_a_request_has_a_nonce",
    "oid4vp-1final-wallet-negative-test-invalid-client-id-prefix": (
        f"{WALLET}.test_a_verifier_that_cannot_be_believed_here_is_refused"
    ),
    "oid4vp-1final-wallet-negative-test-unknown-transaction-data-type": (
        f"{WALLET}.test_transaction_data_that_nobody_understands_are_refused"
    ),
    "oid4vp-1final-wallet-negative-test-required-non-matching-credential": (
        f"{VERIFIER}.test_a_wallet_that_cannot_answer_sends_nothing"
    ),
}
PUBLISHED = Path(ROOT).parent / "shared" / "specs" / "41-oidf-modules.txt"


@pytest.mark.parametrize("name", sorted(set(MIRRORED.values())))
def test_what_mirrors_a_module_is_there(name: str) -> None:
    module, _, test = name.rpartition(".")
    assert callable(getattr(importlib.import_module(module), test))


def test_each_module_is_mirrored_or_has_a_reason() -> None:
    if not PUBLISHED.exists():
        pytest.skip("no list of modules in ../shared/specs/41-oidf-modules.txt")
    pattern = r"^(oid4vci-1_0-issuer-\S+|oid4vp-1final-(?:verifier|wallet)-\S+)$"
    found = set(re.findall(pattern, PUBLISHED.read_text(), re.MULTILINE))
    plans = {name for name in found if name.endswith("-plan")}
    told = (ROOT / "docs" / "divergences.md").read_text()
    lacking = {name for name in found - plans - MIRRORED.keys() if f"`{name}`" not in told}
    assert not lacking
