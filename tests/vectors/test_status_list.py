"""The status list draft's own examples, and our attacks on a reader of lists."""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.core.wire import b64u_bytes
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PublicKey
from deputize.vc import cose
from deputize.vc.status_list import INFLATED_MAX, Reference, StatusList, inflated, reference_in
from deputize.vc.status_token import Expected, Form, parse, verify
from tests.vectors.places import FIXTURES, each, load

SECONDS_MAX = 2.0
MADE = load(FIXTURES / "status_lists.json")


def lists(place: Path) -> Iterator[tuple[str, Any]]:
    for name in ("small-1bit", "small-2bit", "long-1bit", "long-4bit"):
        yield name, load(place / f"{name}.json")


def tokens(place: Path) -> Iterator[tuple[str, Any]]:
    for form in Form:
        told = load(place / f"status-list-token-{form.value[-3:]}.json")
        yield form.value, (form, told)


def attacks(place: Path) -> Iterator[tuple[str, Any]]:
    told = load(place / "status-list.json")
    for case in told["cases"]:
        yield case["id"], (told, case)


def check_list(case: Any) -> None:
    told = inflated(case["bits"], b64u_bytes(case["json"]["lst"]), error="x")
    assert len(told) == case["entries"]
    assert hashlib.sha256(told.packed).hexdigest() == case["uncompressed_sha256"]
    statuses = {int(idx): status for idx, status in case["statuses"].items()}
    assert all(told.at(idx) == status for idx, status in statuses.items())
    assert StatusList.of(case["bits"], case["entries"], statuses) == told
    every = bytearray(case["entries"])
    for idx, status in statuses.items():
        every[idx] = status
    assert StatusList.of_all(case["bits"], bytes(every)) == told
    kept = cose.members(cose.decoded(bytes.fromhex(case["cbor_hex"])))
    assert inflated(kept["bits"], kept["lst"], error="x") == told
    assert cose.decoded(cose.encoded(kept)) == kept  # the draft's members stand in another order


@each("status-list-draft20", lists)
def test_a_list_of_the_draft_is_read_and_made(case: Any) -> None:
    check_list(case)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in MADE["lists"]])
def test_a_list_of_ours_is_read_and_made(case: Any) -> None:
    check_list(case)


def check_token(form: Form, data: bytes, told: Any, now: int) -> None:
    claims = told["claims"]
    uri = claims["sub" if form is Form.JWT else "2"]
    expected = Expected(uri=uri, algs=ALL, at=None, bytes_max=INFLATED_MAX, error="x")
    keys = KeySet.of(PublicKey.from_jwk(told["verification_jwk"]))
    read = verify(parse(data, form, error="x"), keys, expected, Instant(now))
    assert read.ttl == claims["ttl" if form is Form.JWT else "65534"]
    statuses = told.get("expected_statuses", {})
    assert all(read.statuses.at(int(idx)) == status for idx, status in statuses.items())


@each("status-list-draft20", tokens)
def test_a_token_of_the_draft_is_read(case: Any) -> None:
    form, told = case
    data = told["token"].encode() if form is Form.JWT else bytes.fromhex(told["cwt_hex"])
    check_token(form, data, told, 1_764_000_000)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["form"]) for case in MADE["tokens"]])
def test_a_token_of_ours_is_read(case: Any) -> None:
    check_token(Form(case["form"]), bytes.fromhex(case["hex"]), case, MADE["now"])


def referring(place: Path) -> Iterator[tuple[str, Any]]:
    told = load(place / "referenced-token-sd-jwt.json")
    yield told["id"], told


@each("status-list-draft20", referring)
def test_the_reference_of_the_draft_is_read(case: Any) -> None:
    claims = json.loads(b64u_bytes(case["sd_jwt"].split("~")[0].split(".")[1]))
    assert reference_in(claims, error="x") == Reference(0, "https://example.com/statuslists/1")


def status_of(told: Any, case: Any) -> int:
    """The status that a reader finds in the token of a case, for its reference. Raises Refusal."""
    reference = reference_in({"status": case["reference"]}, error="x")
    assert reference is not None
    asked = case.get("requested_time")
    expected = Expected(
        uri=reference.uri,
        algs=frozenset(told["allowed_algs"]),
        at=None if asked is None else Instant(asked),
        bytes_max=case.get("max_inflated_bytes", INFLATED_MAX),
        error="x",
    )
    token = case["token"] if isinstance(case["token"], str) else json.dumps(case["token"])
    keys = KeySet.of(PublicKey.from_jwk({**told["verification_jwk"], "kid": "s1"}))  # as the tokens call it
    read = verify(parse(token.encode(), Form.JWT, error="x"), keys, expected, Instant(told["now"]))
    return read.statuses.at(reference.idx)


@each("own-negative", attacks)
def test_an_attack_on_a_reader_fails_and_what_is_good_is_read(case: Any) -> None:
    told, attack = case
    begun = time.process_time()
    if attack["result"] == "accept":
        assert status_of(told, attack) == attack["expected_status"]
    else:
        with pytest.raises(Refusal):
            status_of(told, attack)
    assert time.process_time() - begun < SECONDS_MAX
