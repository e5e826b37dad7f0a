"""Each numbered requirement on credentials and status lists has its rule, its test, or its line in the divergences.

The numbers are those of the digests of RFC 9901 (30), SD-JWT VC (31) and Token Status List (32) beside the repository.
A rule stands here by its constant, a test by its file and name, a divergence by the words in its first columns.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.vectors.places import VECTORS
from tools.rules import ROOT, live

DIGESTS = VECTORS.parent / "specs"
_NUMBER = re.compile(r"^\| ([A-Z][0-9]+) \|", re.MULTILINE)

SD_JWT = {
    "I1": "vc.issue.TYPED_SD vc/test_issue.py::test_what_may_be_hidden_is_in_disclosures_and_nowhere_else",
    "I2": "vc.sdjwt.PARTS",
    "I3": "vc.issue.UNRESERVED",
    "I4": "vc.sdjwt.DIGEST_ONCE vc/test_issue.py::test_loaded_dice_are_found_out",
    "I5": "vc.sdjwt.HASH vc/test_issue.py::test_another_hash_is_named",
    "I6": "vc/test_sdjwt.py::test_without_a_name_the_hash_is_sha_256",
    "I7": "vc.sdjwt.DISCLOSURE",
    "I8": "vc.sdjwt.NEW_NAME",
    "I9": "vc/test_issue.py::test_each_salt_is_fresh_and_has_128_bits",
    "I10": "vc/test_issue.py::test_each_salt_is_fresh_and_has_128_bits",
    "I11": "vc/test_issue.py::test_what_is_to_be_signed_does_not_show_its_salts",
    "I12": "vc/test_issue.py::test_the_order_of_digests_says_nothing_about_that_of_claims",
    "I13": "vc.sdjwt.RESERVED_NAMES",
    "I14": "vc/test_issue.py::test_decoys_stand_between_and_are_never_seen",
    "I15": "vc/test_issue.py::test_decoys_in_an_array_have_no_place_of_their_own",
    "I16": "vc/test_issue.py::test_nothing_to_hide_leaves_no_trace",
    "I17": "vc.issue.ALWAYS_SHOWN",
    "I18": "vc.issue.TYPED_SD",
    "I19": "divergence: RFC 9901, 9.4",
    "I20": "oauth/test_mandates.py::test_neither_who_gives_nor_who_takes_keeps_it",
    "I21": "divergence: RFC 9901, 10.1",
    "I22": "vc/test_issue.py::test_an_inner_disclosure_lies_in_the_outer_one",
    "H1": "vc/test_present.py::test_a_holder_is_not_given_what_nothing_references",
    "H2": "vc/test_present.py::test_a_holder_takes_no_presentation_for_a_credential",
    "H3": "vc/test_present.py::test_what_binds_needs_the_key_that_the_credential_names",
    "H4": "vc.sdjwt.SENT_ONCE vc/test_present.py::test_a_holder_that_was_given_less_shows_no_more",
    "H5": "vc/test_present.py::test_what_is_wanted_is_shown_with_what_it_lies_in_and_nothing_else",
    "H6": "vc.presented.WHAT_WAS_SENT",
    "H7": "divergence: RFC 9901, 10.2 and 10.3",
    "H8": "divergence: RFC 9901, 10.2 and 10.3",
    "V1": "vc.presented.BINDING_REQUIRED vc.presented.NO_BINDING_HERE",
    "V2": "vc.presented.BINDING_REQUIRED",
    "V3": "vc.presented.BINDING_REQUIRED vc.presented.NO_BINDING_HERE",
    "V4": "jose.jwt.ALGORITHM",
    "V5": "jose.jwt.SIGNED vc.issuer_keys.KEY_FOUND",
    "V6": "vc.sdjwt.HASH",
    "V7": "vc/test_issue.py::test_decoys_stand_between_and_are_never_seen",
    "V8": "vc.sdjwt.DISCLOSURE vc.sdjwt.RESERVED_NAMES vc.sdjwt.NEW_NAME",
    "V9": "vc.sdjwt.DIGEST_ONCE",
    "V10": "vc.sdjwt.REFERENCED",
    "V11": "vc/test_presented.py::test_claims_are_held_as_they_are_with_all_put_back",
    "V12": "vc.presented.HOLDER_KEY vc.presented.THIS_VERIFIER vc.presented.OUR_NONCE vc.presented.WHAT_WAS_SENT",
    "V13": "vc.sdjwt.FLATTENED",
    "V14": "jose.jwt.TYPED",
    "V15": "oauth/test_mandates.py::test_neither_who_gives_nor_who_takes_keeps_it",
    "V16": "vc/test_presented.py::test_all_is_refused_with_the_code_of_who_asks",
}
SD_JWT_VC = {
    "I1": "vc.issue.TYPED_SD jose.jwt.TYPED",
    "I2": "vc.credential.VCT",
    "I3": "vc.credential.AKA_VCTS",
    "I4": "vc.credential.NEVER_HIDDEN",
    "I5": "vc.presented.HOLDER_KEY",
    "I6": "vc.issuer_keys.NAMES_ITSELF oauth/test_mandates.py::test_what_is_published_is_for_machines_to_read",
    "I7": "vc.issuer_keys.KEY_FOUND",
    "I8": "vc.issuer_keys.ONE_KEY oauth/test_mandates.py::test_what_is_published_is_for_machines_to_read",
    "I9": "oauth/test_mandates.py::test_what_is_published_is_for_machines_to_read",
    "I10": "vc.type_metadata.HIDEABLE oauth/test_mandates.py::test_the_agent_shows_what_it_wants_shown",
    "I11": "divergence: SD-JWT VC, what claims say",
    "I12": "divergence: SD-JWT VC, what claims say",
    "I13": "divergence: SD-JWT VC, what claims say",
    "V1": "vc/test_verify.py::test_a_credential_of_a_trusted_issuer_is_taken",
    "V2": "vc.issuer_keys.KEY_FOUND",
    "V3": "vc/test_issuer_keys.py::test_the_way_of_an_issuer_is_not_the_attackers_to_choose",
    "V4": "vc.issuer_keys.WEB_ISSUER vc.issuer_keys.NAMES_ITSELF",
    "V5": "vc.issuer_keys.SUBJECT_IS_ISSUER jose.x509.TRUSTED",
    "V6": "vc.presented.HOLDER_KEY",
    "V7": "vc.verify.STATUS_LOOKED_AT",
    "V8": "adapters/test_guarded_fetch.py::test_a_redirect_is_handed_back_and_not_followed",
    "V9": "attacks/test_ssrf.py::test_a_special_address_is_never_dialled",
    "V10": "vc.type_metadata.INTEGRITY",
    "V11": "vc/test_type_metadata.py::test_a_type_is_put_together_from_its_root_down",
    "V12": "vc.type_metadata.ENDS",
    "V13": "vc.type_metadata.TYPE_NAMED",
    "V14": "vc.type_metadata.MANDATORY vc.type_metadata.HIDEABLE vc.type_metadata.FITTING",
    "V15": "vc/test_type_metadata.py::test_what_is_mandatory_may_be_one_of_those_that_were_not_shown",
    "V16": "vc/test_verify.py::test_a_catalogue_knows_all_types_that_are_taken",
    "V17": "vc.verify.TRUSTED_ISSUER vc.verify.TRUSTED_TYPE",
    "V18": "divergence: SD-JWT VC, rendering",
    "V19": "divergence: SD-JWT VC, rendering",
    "V20": "vc/test_verify.py::test_a_catalogue_knows_all_types_that_are_taken",
    "V21": "vc/test_presented.py::test_the_key_comes_from_the_credential_and_from_nowhere_else",
    "V22": "divergence: SD-JWT VC, rendering",
}
STATUS_LIST = {
    "S1": "vc.status_list.BITS vc.status_list.WHOLE",
    "S2": "divergence: draft-ietf-oauth-status-list, Compressed Byte Array",
    "S3": "vc.status_token.TOLD vc.status_token.ITS_NAME",
    "S4": "server/test_status.py::test_what_is_served_says_how_long_it_is_good",
    "S5": "vc.status_token.LASTS",
    "S6": "jose.jwt.SIGNED",
    "S7": "oauth/test_statuses.py::test_an_entry_is_given_away_once",
    "S8": "oauth/test_statuses.py::test_an_entry_is_given_away_once",
    "S9": "attacks/test_status_lists_issued.py::test_sl_11_no_two_tokens_have_one_index_and_no_order_is_seen",
    "S10": "oauth/test_statuses.py::test_settings_that_leave_a_gap_are_refused",
    "S11": "oauth/test_statuses.py::test_all_that_rests_on_what_ends_is_told_of_in_the_same_commit",
    "S12": "vc.status_list.IS_VALID oauth.statuses.FINAL",
    "S13": "vc.status_token.TOLD",
    "S14": "divergence: draft-ietf-oauth-status-list, Security and Privacy Considerations",
    "S15": "server.status.NO_HISTORY",
    "S16": "oauth/test_statuses.py::test_lists_close_and_are_forgotten_when_the_last_of_their_tokens_is_over",
    "P1": "server/test_status.py::test_a_revoked_token_is_told_of_a_second_later_in_both_forms",
    "P2": "server/test_status.py::test_a_jwt_is_made_smaller_for_who_can_unpack_it",
    "P3": "server.status.NO_HISTORY server.status.THAT_TIME",
    "P4": "server/test_status.py::test_all_lists_have_names",
    "R1": "vc/test_verify.py::test_a_status_is_looked_at_once_all_else_is_good",
    "R2": "resource/test_status.py::test_sl_08_no_list_is_fetched_for_a_token_that_is_not_good",
    "R3": "vc.status_list.REFERRED",
    "R4": "vc.status_token.ITS_NAME vc.status_token.TOLD",
    "R5": "jose.jwt.UNEXPIRED vc/test_status_check.py::test_an_unchanged_list_that_has_expired_is_none",
    "R6": "vc/test_status_check.py::test_a_list_is_fetched_once_in_its_time_and_then_asked_for_by_its_tag",
    "R7": "vc.status_list.WITHIN",
    "R8": "vc/test_status_check.py::test_without_a_list_nobody_is_let_through_and_the_provider_is_left_in_peace",
    "R9": "vc/test_status_check.py::test_a_list_is_fetched_once_in_its_time_and_then_asked_for_by_its_tag",
    "R10": "vc/test_status_check.py::test_a_ttl_is_bounded",
    "R11": "vc/test_status_check.py::test_it_follows_a_few_redirects_each_through_the_door",
    "R12": "vc.status_token.AT_THAT_TIME",
    "R13": "vc/test_status_check.py::test_all_lists_of_an_issuer_are_fetched_and_a_bad_one_stops_no_other",
    "R14": "vc/test_status_of_issuer.py::test_sl_01_a_list_by_somebody_else_is_none",
    "R15": "vc/test_status_check.py::test_what_is_kept_is_bounded",
}
TABLES = {"30-sd-jwt.md": SD_JWT, "31-sd-jwt-vc.md": SD_JWT_VC, "32-token-status-list.md": STATUS_LIST}


@cache
def _rules() -> frozenset[str]:
    return frozenset(each.name for each in live())


@cache
def _tests(file: Path) -> frozenset[str]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(node.name for node in ast.parse(file.read_bytes()).body if isinstance(node, kinds))


def _is_there(told: str) -> bool:
    if "::" in told:
        file, _, name = told.partition("::")
        return name in _tests(ROOT / "tests" / file)
    return told in _rules()


@pytest.mark.parametrize("digest", TABLES)
def test_what_a_requirement_names_is_there(digest: str) -> None:
    divergences = (ROOT / "docs" / "divergences.md").read_text(encoding="utf-8")
    gone = []
    for number, told in TABLES[digest].items():
        if told.startswith("divergence: "):
            gone += [number] if f"| {told.removeprefix('divergence: ')} |" not in divergences else []
        else:
            gone += [f"{number}: {one}" for one in told.split() if not _is_there(one)]
    assert not gone


@pytest.mark.parametrize("digest", TABLES)
def test_each_requirement_has_its_line(digest: str) -> None:
    file = DIGESTS / digest
    if not file.exists():
        pytest.skip(f"no digest at ../shared/specs/{digest}")
    numbers = _NUMBER.findall(file.read_text(encoding="utf-8"))
    assert numbers
    assert sorted(numbers) == sorted(TABLES[digest])
