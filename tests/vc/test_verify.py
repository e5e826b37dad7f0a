"""A verifier's policy: whose credentials, of which types, with which keys, and what else it looks at."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.wire import JsonObject, json_bytes
from deputize.jose.jwt import ALGORITHM, CLAIMS, SIGNED, TYPED, UNEXPIRED
from deputize.jose.x509 import Roots
from deputize.vc.credential import AKA_VCTS, INTEGRITY_IS_TEXT, NEVER_HIDDEN, VCT, issue, lint, prepare
from deputize.vc.issue import SHOWN, Frame, Unfit
from deputize.vc.issuer_keys import KEY_FOUND, ONE_KEY, Way, certified, pinned, well_known
from deputize.vc.present import present
from deputize.vc.presented import open_sd_jwt
from deputize.vc.sdjwt import HASHES, digest
from deputize.vc.status_list import IS_VALID
from deputize.vc.type_metadata import Catalogue
from deputize.vc.verify import (
    STATUS_LOOKED_AT,
    TRUSTED_ISSUER,
    TRUSTED_TYPE,
    Policy,
    TrustedIssuer,
    VerifiedCredential,
    averify,
    status_ignored,
    status_in,
    verify,
)
from tests.core.outside import Outside
from tests.jose.making import a_key
from tests.jose.test_x509 import root
from tests.support.ports import CountingRandom
from tests.support.proofs import lets_through, stops
from tests.vc import lists
from tests.vc.made import (
    ASKED,
    FRAME,
    ISSUER,
    NOW,
    a_disclosure,
    claims,
    crafted,
    holder_key,
    issuer_key,
)
from tests.vc.made import (
    VCT as DIPLOMA,
)

TRUSTED = TrustedIssuer(
    issuer=ISSUER,
    keys=pinned({"keys": [issuer_key().public_jwk()]}),
    types=frozenset({DIPLOMA}),
    needs=frozenset({"exp"}),
)
POLICY = Policy(issuers=(TRUSTED,))


def a_credential(frame: Frame = FRAME, **changes: Any) -> str:
    return issue(claims(**changes), frame, key=issuer_key(), random=CountingRandom())


def forged(*disclosures: str, payload: Mapping[str, object] = {}, **changes: Any) -> str:
    return crafted(claims(**changes) | dict(payload), *disclosures, typ="dc+sd-jwt")


def of(text: str) -> str:
    return digest(text, HASHES["sha-256"])


def why_not(text: str, policy: Policy = POLICY) -> Rule | None:
    try:
        verify(text, policy, asked=None, now=NOW)
    except Refusal as refusal:
        return refusal.rule
    return None


@lets_through(TRUSTED_ISSUER, TRUSTED_TYPE, VCT, NEVER_HIDDEN, ONE_KEY, KEY_FOUND)
def test_a_credential_of_a_trusted_issuer_is_taken() -> None:
    text = a_credential()
    seen = verify(text, POLICY, asked=None, now=NOW)
    assert (seen.issuer, seen.vct, seen.types, seen.holder) == (ISSUER, DIPLOMA, {DIPLOMA}, None)
    assert seen.claims == claims()
    bound = present(text, ["given_name"], asked=ASKED, key=holder_key(), now=NOW)
    again = verify(bound, POLICY, asked=ASKED, now=NOW)
    assert again.holder
    assert again.claims["given_name"] == "Alice"


async def test_whoever_may_fetch_sees_the_same() -> None:
    seen = await averify(a_credential(), POLICY, asked=None, env=Outside().env)
    assert seen.claims == claims()


@stops(TRUSTED_ISSUER)
@pytest.mark.parametrize(
    "iss", ["https://uni.example/registrar/", "https://other.example", ..., 1, ["x"], {"a": 1}, None]
)
def test_another_issuer_is_not(iss: object) -> None:
    assert why_not(forged(iss=iss)) is TRUSTED_ISSUER


@stops(TRUSTED_TYPE)
def test_a_type_that_this_issuer_may_not_issue_is_refused() -> None:
    assert why_not(a_credential(vct="https://uni.example/types/passport")) is TRUSTED_TYPE
    assert why_not(a_credential(vct=DIPLOMA.upper())) is TRUSTED_TYPE
    assert why_not(a_credential(vct=DIPLOMA + "#1")) is TRUSTED_TYPE


@lets_through(AKA_VCTS)
def test_a_type_may_be_known_by_other_names() -> None:
    assert why_not(a_credential(vct="urn:example:diploma:3", aka_vcts=[DIPLOMA])) is None
    assert why_not(a_credential(vct="urn:example:diploma:3", aka_vcts=["urn:example:other"])) is TRUSTED_TYPE


@stops(VCT)
@pytest.mark.parametrize("vct", [1, ["x"], "", "x" * 3000, {}])
def test_a_credential_has_a_type(vct: object) -> None:
    assert why_not(forged(vct=vct)) is VCT


def test_a_credential_without_a_type_is_none() -> None:
    assert why_not(forged(vct=...)) is CLAIMS
    assert why_not(forged(vct=None)) is CLAIMS


@stops(AKA_VCTS)
@pytest.mark.parametrize("names", [[], "x", [1], [""], [DIPLOMA], ["x", DIPLOMA], ["x"] * 21, None, {}])
def test_other_names_of_the_type_are_texts_and_not_its_own(names: object) -> None:
    assert why_not(forged(aka_vcts=names)) is AKA_VCTS


@stops(INTEGRITY_IS_TEXT)
def test_what_is_said_of_the_types_integrity_is_a_text() -> None:
    assert why_not(forged(payload={"vct#integrity": 1})) is INTEGRITY_IS_TEXT


@lets_through(INTEGRITY_IS_TEXT)
def test_integrity_that_nobody_looks_at_is_let_be() -> None:
    assert why_not(a_credential(**dict[str, Any]({"vct#integrity": "sha256-AA=="}))) is None


@stops(NEVER_HIDDEN)
@pytest.mark.parametrize("name", ["iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "aka_vcts", "status"])
def test_what_is_protected_never_comes_out_of_a_disclosure(name: str) -> None:
    values = {"nbf": NOW, "exp": NOW + 5, "cnf": claims()["cnf"], "aka_vcts": ["x"], "status": {}, "iss": ISSUER}
    text = a_disclosure("c2FsdC1hYWFhYWFhYWFhYQ", name, values.get(name, DIPLOMA))
    open_policy = Policy(issuers=(replace(TRUSTED, needs=frozenset()),))
    rule = why_not(forged(text, payload={"_sd": [of(text)]}, **{name: ...}), open_policy)
    assert rule is (TRUSTED_ISSUER if name == "iss" else NEVER_HIDDEN)  # who it is from is looked at before
    with pytest.raises(Unfit) as unfit:
        prepare(claims(**{name: "x"}), Frame.of(name), alg="ES256", kid=None, random=CountingRandom())
    assert unfit.value.rule is NEVER_HIDDEN


@stops(NEVER_HIDDEN)
def test_nor_does_any_part_of_it() -> None:
    element, member = a_disclosure("c2FsdC1h", "urn:x"), a_disclosure("c2FsdC1h", "kid", "x")
    assert why_not(forged(element, aka_vcts=["urn:y", {"...": of(element)}])) is NEVER_HIDDEN
    assert why_not(forged(member, cnf={"_sd": [of(member)], **claims()["cnf"]})) is NEVER_HIDDEN
    assert why_not(forged(aka_vcts=["urn:y", {"...": of(element)}])) is NEVER_HIDDEN  # nor what is not shown
    assert why_not(forged(status={"status_list": {"_sd": []}})) is NEVER_HIDDEN
    for frame in (Frame.of(("cnf", "jwk")), Frame.of(("aka_vcts", None)), Frame.of(decoys={("status",): 1})):
        with pytest.raises(Unfit):
            a_credential(frame, aka_vcts=["urn:y"], status={})


def test_sub_and_iat_may_be_hidden() -> None:
    assert why_not(a_credential(Frame.of("sub", "iat"), sub="alice")) is None


def test_typ_algorithm_and_key_are_those_of_the_policy() -> None:
    assert why_not(crafted(claims(), typ="vc+sd-jwt")) is TYPED
    assert why_not(crafted(claims(), typ="vc+sd-jwt"), replace_policy(legacy_typ=True)) is None
    assert why_not(crafted(claims(), typ="application/dc+sd-jwt")) is None
    assert why_not(crafted(claims(), typ="JWT")) is TYPED
    only = Policy(issuers=(replace(TRUSTED, algs=frozenset({"Ed25519"})),))
    assert why_not(a_credential(), only) is ALGORITHM
    thief = a_key("ES256", 99)
    assert why_not(crafted(claims(), key=thief, typ="dc+sd-jwt", kid=issuer_key().kid)) is SIGNED
    assert why_not(crafted(claims(), key=thief, typ="dc+sd-jwt", jwk=thief.public_jwk())) is ONE_KEY
    assert why_not(a_credential(exp=NOW - 60)) is UNEXPIRED
    assert why_not(a_credential(exp=...)) is CLAIMS  # the policy needs it


def replace_policy(**changes: Any) -> Policy:
    return Policy(**({"issuers": (TRUSTED,)} | changes))


@stops(ONE_KEY)
def test_one_key_of_the_issuer_fits() -> None:
    two = {**issuer_key().public_jwk(), "kid": "2"}
    both = Policy(issuers=(replace(TRUSTED, keys=pinned({"keys": [issuer_key().public_jwk(), two]})),))
    assert why_not(a_credential(), both) is None
    assert why_not(crafted(claims(), typ="dc+sd-jwt", kid="3"), both) is ONE_KEY
    nameless = crafted(claims(), typ="dc+sd-jwt", kid=...)
    assert why_not(nameless) is None
    assert why_not(nameless, both) is ONE_KEY


@stops(KEY_FOUND)
def test_keys_that_were_given_are_those_of_an_issuer_that_says_its_name() -> None:
    opened = open_sd_jwt(forged(iss=...), None, "x")
    with pytest.raises(Refusal) as refused:
        TRUSTED.keys.at_hand(opened.token, None, NOW, "x")
    assert refused.value.rule is KEY_FOUND


@pytest.mark.parametrize(
    "way",
    [TRUSTED.keys, well_known(), certified(Roots([root().der]), anchored=True)],
    ids=["pinned", "web", "x5c"],
)
def test_nobody_in_particular_is_trusted_by_certificates_alone(way: Way) -> None:
    """Else whoever publishes keys at a URL of his own, or holds the keys of one issuer, were any issuer."""
    with pytest.raises(ValueError, match="certificates"):
        Policy(issuers=(replace(TRUSTED, issuer=None, keys=way),))


def test_an_issuer_has_one_way() -> None:
    with pytest.raises(ValueError, match="twice"):
        Policy(issuers=(TRUSTED, TRUSTED))


# --- status -------------------------------------------------------------------------------------------------------

STATUS: JsonObject = {"status_list": {"idx": 7, "uri": "https://uni.example/status/1"}}
REVOKED = Rule("x", "y", "It was not revoked.")


def with_status(check: Any) -> Policy:
    return Policy(issuers=(replace(TRUSTED, status=check),))


@stops(STATUS_LOOKED_AT)
async def test_a_status_that_nobody_looks_at_is_no_status() -> None:
    text = a_credential(status=STATUS)
    assert why_not(text) is STATUS_LOOKED_AT
    with pytest.raises(Refusal) as refused:
        await averify(text, POLICY, asked=None, env=Outside().env)
    assert refused.value.rule is STATUS_LOOKED_AT
    with pytest.raises(Refusal):
        await averify(forged(status="x"), with_status(status_ignored), asked=None, env=Outside().env)


@lets_through(STATUS_LOOKED_AT)
async def test_a_status_is_looked_at_once_all_else_is_good() -> None:
    looked: list[tuple[Mapping[str, object], str]] = []

    async def check(status: Mapping[str, object], issuer: str, env: Env) -> None:
        looked.append((status, issuer))
        if status == {"revoked": True}:
            REVOKED.refuse("x")
        assert env.clock() == NOW

    async def taken(text: str) -> VerifiedCredential:
        return await averify(text, with_status(check), asked=None, env=Outside().env)

    assert (await taken(a_credential(status=STATUS))).vct == DIPLOMA
    assert looked == [(STATUS, ISSUER)]
    for bad in (
        crafted(claims(status=STATUS), key=a_key("ES256", 99), typ="dc+sd-jwt", kid=issuer_key().kid),
        a_credential(status=STATUS, vct="urn:other"),
        a_credential(status=STATUS, exp=NOW - 60),
    ):
        with pytest.raises(Refusal):
            await taken(bad)
    assert len(looked) == 1
    with pytest.raises(Refusal) as refused:
        await taken(a_credential(status={"revoked": True}))
    assert refused.value.rule is REVOKED
    with pytest.raises(Fault, match="averify"):
        verify(a_credential(status=STATUS), with_status(check), asked=None, now=NOW)
    assert why_not(a_credential(status=STATUS), with_status(status_ignored)) is None
    assert (await averify(a_credential(status=STATUS), with_status(status_ignored), asked=None, env=Outside().env)).vct


async def test_a_revoked_credential_is_refused_by_its_list() -> None:
    reader, clock = lists.Reader(), lists.NOW
    reader.provider.serve(lists.a_token())
    policy = with_status(status_in(reader.lists, lists.its_keys))
    times: dict[str, Any] = {"iat": clock - 60, "exp": clock + 3600}

    def at(idx: int) -> str:
        return a_credential(status={"status_list": {"idx": idx, "uri": lists.URI}}, **times)

    assert (await averify(at(lists.GOOD), policy, asked=None, env=reader.env)).vct == DIPLOMA
    with pytest.raises(Refusal) as refused:
        await averify(at(lists.REVOKED), policy, asked=None, env=reader.env)
    assert refused.value.rule is IS_VALID


# --- what its type says -------------------------------------------------------------------------------------------


def test_a_catalogue_knows_all_types_that_are_taken() -> None:
    document = {"vct": DIPLOMA, "extends": "urn:example:edu", "claims": [{"path": ["given_name"], "sd": "always"}]}
    parent = {"vct": "urn:example:edu", "name": "Education"}
    bundle = {DIPLOMA: json_bytes(document), "urn:example:edu": json_bytes(parent)}
    policy = replace_policy(catalogue=Catalogue(bundle))
    seen = verify(a_credential(), policy, asked=None, now=NOW)
    assert seen.metadata
    assert seen.types == {DIPLOMA, "urn:example:edu"}
    as_parent = Policy(issuers=(replace(TRUSTED, types=frozenset({"urn:example:edu"})),), catalogue=Catalogue(bundle))
    assert why_not(a_credential(), as_parent) is None
    assert why_not(a_credential(), Policy(issuers=as_parent.issuers)) is TRUSTED_TYPE
    with pytest.raises(Fault, match="metadata"):
        verify(a_credential(), replace_policy(catalogue=Catalogue({})), asked=None, now=NOW)


def test_what_is_good_has_nothing_to_mend() -> None:
    assert [*lint(claims(), FRAME)] == []
    assert [rule for rule, _ in lint(claims(vct=...), Frame.of("exp", "given_name"))] == [NEVER_HIDDEN, VCT]
    assert why_not(a_credential(SHOWN)) is None
