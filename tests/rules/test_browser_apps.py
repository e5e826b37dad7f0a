"""Each requirement of the digest of RFC 10017 (browser-based apps, 15) has its rule, its test, or its divergence.

A: what it collects for an authorization server; B: its checklist of backends for frontends; T and C: what its lists of
token-mediating backends and of clients in a browser add to these.
"""

import re

import pytest

from tests.rules.test_credentials import DIGESTS, _is_there
from tools.rules import ROOT

TABLE = {
    "A1": "attacks/test_authorize.py::test_az_10_to_23_what_is_wrong_goes_back_to_the_client",
    "A2": "attacks/test_token_endpoint.py::test_tk_14_grants_of_the_past",
    "A3": "attacks/test_authorize.py::test_az_10_to_23_what_is_wrong_goes_back_to_the_client"
    " attacks/test_code.py::test_tk_05_a_wrong_verifier_and_the_third_one_kills"
    " attacks/test_code.py::test_tk_06_no_verifier",
    "A4": "oauth.redirects.REGISTERED attacks/test_authorize.py::test_az_02_to_06_another_redirect_uri",
    "A5": "attacks/test_refresh.py::test_rt_01_a_second_use_ends_the_family_and_all_that_came_of_it"
    " attacks/test_refresh.py::test_rt_05_idle_for_too_long"
    " attacks/test_refresh.py::test_rt_05_used_all_the_time_and_yet_at_its_end",
    "A6": "divergence: RT-11",
    "A7": "server.cors.READABLE",
    "A8": "attacks/test_client_auth.py::test_ca_02_another_method_than_the_registered_one",
    "A9": "attacks/test_authorize.py::test_az_19_nothing_may_be_shown"
    " attacks/test_authorize.py::test_az_19_nothing_need_be_shown_after_a_yes_that_covers_it",
    "A10": "divergence: RFC 10017, 6.3.3.3",
    "A11": "attacks/test_authorize.py::test_az_27_issuer_and_state_are_in_each_answer",
    "A12": "attacks/test_pages_framing.py::test_co_03_no_page_of_ours_stands_in_a_frame",
    "B1": "bff.app.CONFIDENTIAL bff/test_bff.py::test_the_request_is_pushed_with_pkce_and_says_nothing_in_the_browser",
    "B2": "bff/test_bff.py::test_cookies_are_for_this_host_and_for_no_script",
    "B3": "bff/test_bff.py::test_a_record_that_somebody_moved_is_no_session",
    "B4": "bff.door.OWN_PAGE bff.door.GONE_TO",
    "B5": "bff.proxy.LISTED bff.proxy.METHOD bff.proxy.STAYS",
    "B6": "bff.renewing.SIGNED_IN bff/test_bff.py::test_a_dead_refresh_token_ends_the_session",
    "B7": "bff.proxy.NO_TOKEN_OUT stories/test_browser_app.py::test_alice_and_the_page",
    "B8": "divergence: RFC 10017, 6.1.3.5",
    "B9": "bff/test_bff.py::test_tokens_can_be_bound_to_a_key_of_the_backends",
    "T": "divergence: RFC 10017, 6.2",
    "C2": "sdk.authorize.STATE bff.app.BEGUN_HERE",
    "C9": "attacks/test_code.py::test_dp_09_a_code_that_is_bound_to_a_key_is_used_by_who_shows_it",
}


def test_what_a_requirement_names_is_there() -> None:
    divergences = (ROOT / "docs" / "divergences.md").read_text(encoding="utf-8")
    gone = []
    for number, told in TABLE.items():
        if told.startswith("divergence: "):
            gone += [number] if f"| {told.removeprefix('divergence: ')} |" not in divergences else []
        else:
            gone += [f"{number}: {one}" for one in told.split() if not _is_there(one)]
    assert not gone


def test_each_requirement_has_its_line() -> None:
    file = DIGESTS / "15-browser-based-apps.md"
    if not file.exists():
        pytest.skip("no digest at ../shared/specs/15-browser-based-apps.md")
    text = file.read_text(encoding="utf-8")
    checklist = text.partition("Checklist BFF")[2].partition("## ")[0]
    numbers = re.findall(r"^\| (A[0-9]+) \|", text, re.MULTILINE)
    numbers += [f"B{number}" for number in re.findall(r"^([0-9]+)\. ", checklist, re.MULTILINE)]
    assert len(numbers) == 21
    assert set(numbers) <= TABLE.keys()
