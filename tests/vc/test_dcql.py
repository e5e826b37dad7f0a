"""A query is read strictly: what is malformed is refused by name, and what is unknown is ignored."""

from pathlib import Path
from typing import Any

import pytest

from deputize.core.rules import Refusal, Rule
from deputize.vc.dcql import (
    AUTHORITIES,
    CLAIM_PATHS,
    CLAIM_SETS,
    FEW,
    FLAGS,
    IDS,
    META,
    QUERY,
    SETS_OF_KNOWN,
    VALUES,
    read,
)
from tests.support.proofs import lets_through, stops
from tests.vectors.places import each, load

NAME = {"id": "n", "path": ["given_name"]}
CITY = {"id": "c", "path": ["address", "locality"]}


def a_credential(**changes: Any) -> dict[str, Any]:
    good: dict[str, Any] = {
        "id": "dip",
        "format": "dc+sd-jwt",
        "meta": {"vct_values": ["https://uni.example/types/diploma/2"]},
        "claims": [NAME, CITY],
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def a_query(**changes: Any) -> dict[str, Any]:
    return {"credentials": [a_credential(**changes)]}


def why_not(said: object) -> Rule | None:
    try:
        read(said)
    except Refusal as refusal:
        return refusal.rule if refusal.error == "invalid_request" else None
    return None


@lets_through(QUERY, IDS, FLAGS, META, CLAIM_PATHS, VALUES, CLAIM_SETS, SETS_OF_KNOWN, AUTHORITIES, FEW)
def test_a_query_is_read_with_all_that_it_may_say() -> None:
    said = {
        "credentials": [
            a_credential(
                claims=[NAME, {**CITY, "values": ["Madrid", 1, True]}, {"id": "l", "path": ["langs", None, 0]}],
                claim_sets=[["n", "c"], ["l"]],
                multiple=True,
                require_cryptographic_holder_binding=False,
                trusted_authorities=[{"type": "aki", "values": ["s9tIpPmhxdiuNkHMEWNpYim8S8Y"]}],
                unknown="ignored",
            ),
            a_credential(id="other", format="mso_mdoc", meta={"doctype_value": "x"}, claims=...),
        ],
        "credential_sets": [{"options": [["dip"], ["other"]], "required": False, "purpose": "ignored"}],
    }
    query = read(said)
    first, second = query.credentials
    assert (first.multiple, first.bound, second.bound, query.all_bound) == (True, False, True, False)
    assert [[claim.id for claim in option] for option in first.options()] == [["n", "c"], ["l"]]
    assert first.claims[1].values == ("Madrid", 1, True)
    assert query.sets[0].options == (("dip",), ("other",))
    assert second.options() == ((),)


@stops(QUERY)
@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {"credentials": []},
        {"credentials": {}},
        {"credentials": ["dip"]},
        a_query(format=""),
        a_query(format=...),
        a_query(meta=...),
        a_query(meta=[]),
        a_query(claims=[]),
        a_query(claims=["n"]),
        a_query(claim_sets=[]),
        a_query(claim_sets=[[]]),
        a_query(trusted_authorities=[]),
        a_query(claims=[{**NAME, "values": []}]),
        {**a_query(), "credential_sets": []},
        {**a_query(), "credential_sets": [{"options": []}]},
        {**a_query(), "credential_sets": [{"options": [[]]}]},
        {**a_query(), "credential_sets": ["dip"]},
    ],
)
def test_what_is_no_query_is_refused(said: object) -> None:
    assert why_not(said) is QUERY


@stops(IDS)
@pytest.mark.parametrize("name", ["", "a b", "ü", "a.b", 1, None, ..., "x" * 129])
def test_ids_are_of_few_letters(name: object) -> None:
    assert why_not(a_query(id=name)) is IDS
    if name is not ...:
        assert why_not(a_query(claims=[{**NAME, "id": name}])) is IDS


@stops(IDS)
def test_an_id_is_there_once() -> None:
    assert why_not({"credentials": [a_credential(), a_credential()]}) is IDS
    assert why_not(a_query(claims=[NAME, {**CITY, "id": "n"}])) is IDS


@stops(FLAGS)
def test_a_flag_is_true_or_false() -> None:
    for name in ("multiple", "require_cryptographic_holder_binding"):
        assert why_not(a_query(**{name: 1})) is FLAGS
        assert why_not(a_query(**{name: "true"})) is FLAGS
    assert why_not({**a_query(), "credential_sets": [{"options": [["dip"]], "required": 0}]}) is FLAGS


@stops(META)
@pytest.mark.parametrize("meta", [{}, {"vct_values": []}, {"vct_values": "x"}, {"vct_values": [1]}])
def test_a_query_says_which_types_it_takes(meta: object) -> None:
    assert why_not(a_query(meta=meta)) is META


@stops(CLAIM_PATHS)
@pytest.mark.parametrize("path", [[], "given_name", None, [-1], [True], [1.0], [["a"]], ["a"] * 21, ...])
def test_a_path_is_an_array_of_steps(path: object) -> None:
    claim = {"path": path} if path is not ... else {}
    assert why_not(a_query(claims=[claim])) is CLAIM_PATHS


@stops(VALUES)
@pytest.mark.parametrize("value", [1.5, None, ["a"], {"a": 1}])
def test_values_are_scalars(value: object) -> None:
    assert why_not(a_query(claims=[{**NAME, "values": [value]}])) is VALUES


@stops(CLAIM_SETS)
def test_claim_sets_name_claims_that_have_ids() -> None:
    assert why_not(a_query(claims=..., claim_sets=[["n"]])) is CLAIM_SETS
    assert why_not(a_query(claim_sets=[["x"]])) is CLAIM_SETS
    assert why_not(a_query(claim_sets=[[1]])) is CLAIM_SETS
    assert why_not(a_query(claims=[{"path": ["given_name"]}, CITY], claim_sets=[["c"]])) is CLAIM_SETS


@stops(SETS_OF_KNOWN)
def test_credential_sets_name_credentials_of_the_query() -> None:
    assert why_not({**a_query(), "credential_sets": [{"options": [["dip"], ["nobody"]]}]}) is SETS_OF_KNOWN


@stops(AUTHORITIES)
@pytest.mark.parametrize(
    "one", ["aki", {}, {"type": "aki"}, {"type": "", "values": ["a"]}, {"type": "aki", "values": [1]}]
)
def test_an_authority_has_a_type_and_values(one: object) -> None:
    assert why_not(a_query(trusted_authorities=[one])) is AUTHORITIES


@stops(FEW)
def test_a_query_is_of_bounded_size() -> None:
    assert why_not({"credentials": [a_credential(id=f"c{n}") for n in range(10_000)]}) is FEW
    assert why_not(a_query(claims=[{"path": [f"c{n}"]} for n in range(101)])) is FEW
    assert why_not(a_query(claims=[{**NAME, "values": list(range(101))}])) is FEW


def _published(place: Path) -> Any:
    for file in sorted(place.glob("*.json")):
        said = load(file)
        yield file.stem, said.get("dcql_query", said)


@each("oidf-openid4vp-1.0/query_lang", _published)
def test_the_queries_of_the_specification_are_read(case: Any) -> None:
    assert read(case).credentials


@each(
    "eudi-verifier-dcql",
    lambda place: ((file.stem, load(file)["dcql_query"]) for file in sorted(place.glob("*-dcql.json"))),
)
def test_the_queries_of_another_verifier_are_read(case: Any) -> None:
    assert read(case).credentials


def _of_a_wallet(place: Path) -> Any:
    for file in sorted(place.glob("*.json")):
        said = load(file)
        if "credentials" in said:
            yield file.stem, said


@each("eudi-openid4vp-kt", _of_a_wallet)
def test_the_queries_of_another_wallet_are_read(case: Any) -> None:
    assert read(case).credentials
