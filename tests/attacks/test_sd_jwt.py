"""Group SD of the attack corpus: credentials and presentations, each row by its number.

The attacker is a holder who changes what was issued, somebody who overheard a presentation, an issuer whom nobody
trusts for this, or an address that a credential names. SD-25 belongs to OpenID4VCI: tests/server/test_issuing.py.
"""

import base64
import time
from typing import Any

import pytest

from deputize.adapters.memory import MemoryStore
from deputize.adapters.system import SystemRandom
from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.wire import Reply, b64u_bytes, json_value
from deputize.jose.jwt import ALGORITHM, BEGUN, BRIEF, COMPACT, SIGNED, TYPED, UNEXPIRED
from deputize.jose.x509 import TRUSTED as CHAINED
from deputize.vc.credential import NEVER_HIDDEN, issue
from deputize.vc.issue import Frame
from deputize.vc.issuer_keys import SUBJECT_IS_ISSUER, well_known
from deputize.vc.present import choose, present
from deputize.vc.presented import (
    BINDING_REQUIRED,
    HOLDER_KEY,
    NO_BINDING_HERE,
    OUR_NONCE,
    THIS_VERIFIER,
    WHAT_WAS_SENT,
    verify_sd_jwt,
)
from deputize.vc.sdjwt import (
    BOUNDED,
    DIGEST_ONCE,
    DISCLOSURE,
    HASH,
    HASHES,
    NEW_NAME,
    PARTS,
    REFERENCED,
    RESERVED_NAMES,
    digest,
    parse,
    to_json,
)
from deputize.vc.type_metadata import ENDS, INTEGRITY, Catalogue
from deputize.vc.verify import NONCE_ONCE, TRUSTED_TYPE, Policy, TrustedIssuer, averify, verify
from tests.core.outside import Outside
from tests.jose.making import a_key
from tests.jose.test_x509 import TODAY, names, root
from tests.jose.test_x509 import issue as certificate
from tests.support.proofs import lets_through, stops
from tests.vc.made import ASKED, FRAME, ISSUER, NOW, a_disclosure, claims, crafted, expected, holder_key, issuer_key
from tests.vc.made import VCT as DIPLOMA
from tests.vc.test_issuer_keys import DNS, GOOD, JWKS_URI, SET, URL, a_leaf, a_policy, certified_policy, x5c
from tests.vc.test_presented import signed_by_holder
from tests.vc.test_verify import POLICY, TRUSTED, a_credential, of, why_not

SALT = "c2FsdC1hYWFhYWFhYWFhYQ"
NAME = a_disclosure(SALT, "given_name", "Alice")


def vc(*disclosures: str, payload: dict[str, Any] | None = None, **header: Any) -> str:
    plain = claims(given_name=..., address=..., nationalities=...)
    return crafted(plain | (payload or {}), *disclosures, **({"typ": "dc+sd-jwt"} | header))


def kb_refused(text: str, *, asked: Any = ASKED) -> Rule | None:
    try:
        verify(text, POLICY, asked=asked, now=NOW)
    except Refusal as refusal:
        return refusal.rule
    return None


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ({"alg": "none"}, ALGORITHM),
        ({"alg": "HS256"}, ALGORITHM),
        ({"typ": "JWT"}, TYPED),
        ({"typ": "vc+sd-jwt"}, TYPED),
        ({"typ": ...}, TYPED),
        ({"key": a_key("ES256", 99), "kid": issuer_key().kid}, SIGNED),
    ],
)
def test_sd_01_signature_algorithm_and_typ(header: dict[str, Any], rule: Rule) -> None:
    found = why_not(vc(**header))
    assert found is rule or (header.get("alg") is not None and found is not None)
    plain = crafted(claims(), **({"typ": "example+sd-jwt"} | {k: v for k, v in header.items() if k == "alg"}))
    if "alg" in header:
        with pytest.raises(Refusal) as refused:
            verify_sd_jwt(plain, (issuer_key().public(),), expected(), None, NOW)
        assert refused.value.rule is rule


def test_sd_02_a_disclosure_that_nothing_references() -> None:
    assert why_not(vc(NAME)) is REFERENCED
    tampered = a_disclosure(SALT, "given_name", "Mallory")
    assert why_not(vc(tampered, payload={"_sd": [of(NAME)]})) is REFERENCED


def test_sd_03_a_digest_twice() -> None:
    for payload in (
        {"_sd": [of(NAME), of(NAME)]},
        {"_sd": [of(NAME)], "a": {"_sd": [of(NAME)]}},
        {"_sd": [of(NAME), of("decoy")], "a": [{"...": of("decoy")}]},
    ):
        assert why_not(vc(NAME, payload=payload)) is DIGEST_ONCE


@pytest.mark.parametrize("parts", [(), (SALT,), (SALT, "a", 1, 1), (1, "a", 1), (SALT, 1, 1), (None, "a", 1)])
def test_sd_04_an_array_of_the_wrong_form(parts: tuple[object, ...]) -> None:
    text = a_disclosure(*parts)
    assert why_not(vc(text, payload={"_sd": [of(text)]})) is DISCLOSURE


def test_sd_05_a_name_that_is_taken() -> None:
    for name in ("_sd", "..."):
        text = a_disclosure(SALT, name, "x")
        assert why_not(vc(text, payload={"_sd": [of(text)]})) is RESERVED_NAMES
    assert why_not(vc(NAME, payload={"given_name": "Bob", "_sd": [of(NAME)]})) is NEW_NAME


@pytest.mark.parametrize("name", ["nbf", "exp", "cnf", "vct", "status", "vct#integrity"])
def test_sd_06_a_protected_claim_in_a_disclosure(name: str) -> None:
    said: dict[str, Any] = {"nbf": NOW, "exp": NOW + 9, "cnf": {}, "status": {}}
    text = a_disclosure(SALT, name, said.get(name, DIPLOMA))
    plain = {key: value for key, value in claims().items() if key != name}
    policy = Policy(issuers=(TrustedIssuer(issuer=ISSUER, keys=TRUSTED.keys, types=TRUSTED.types),))
    assert why_not(crafted(plain | {"_sd": [of(text)]}, text, typ="dc+sd-jwt"), policy) is NEVER_HIDDEN


@pytest.mark.parametrize("name", ["sha-256-32", "SHA-256", "md5", "sha-1", "", 1, None])
def test_sd_07_a_hash_that_is_weak_or_unknown(name: object) -> None:
    assert why_not(vc(payload={"_sd_alg": name})) is HASH


def test_sd_08_a_disclosure_of_the_other_kind() -> None:
    element = a_disclosure(SALT, "PT")
    assert why_not(vc(element, payload={"_sd": [of(element)]})) is DISCLOSURE
    assert why_not(vc(NAME, payload={"a": [{"...": of(NAME)}]})) is DISCLOSURE


def test_sd_09_decoys_are_never_seen() -> None:
    text = issue(claims(), Frame.of("given_name", decoys=7), key=issuer_key(), random=SystemRandom())
    assert verify(text, POLICY, asked=None, now=NOW).claims == claims()


def test_sd_10_recursion_has_an_end() -> None:
    value: object = "x"
    sent = []
    for level in range(50):
        sent.append(a_disclosure(f"{SALT}{level}", "a", value))
        value = {"_sd": [of(sent[-1])]}
    assert isinstance(value, dict)
    assert why_not(vc(*sent, payload=value)) is BOUNDED


def test_sd_11_a_flood_is_refused_before_it_is_read() -> None:
    text = vc() + "WyJhIiwiYiIsMV0~" * 5000
    begun = time.process_time()
    assert why_not(text) is BOUNDED
    assert why_not(vc() + "A" * 1_000_000) is BOUNDED
    assert why_not(vc() + "A~" * 201) is BOUNDED
    assert time.process_time() - begun < 1


def test_sd_12_no_key_binding_where_it_is_wanted() -> None:
    assert kb_refused(a_credential()) is BINDING_REQUIRED
    assert kb_refused(a_credential(cnf=...)) is BINDING_REQUIRED


def test_sd_13_a_key_binding_of_another_kind_or_key() -> None:
    text = a_credential()
    assert kb_refused(signed_by_holder(text)) is None
    assert kb_refused(signed_by_holder(text, header={"typ": "JWT"})) is TYPED
    assert kb_refused(signed_by_holder(text, header={"alg": "none"})) is ALGORITHM
    thief = a_key("ES256", 99)
    assert kb_refused(signed_by_holder(text, key=thief, header={"jwk": thief.public_jwk()})) is SIGNED
    assert kb_refused(signed_by_holder(a_credential(cnf=...))) is HOLDER_KEY


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ({"aud": "https://other.example"}, THIS_VERIFIER),
        ({"nonce": "another"}, OUR_NONCE),
        ({"sd_hash": "x"}, WHAT_WAS_SENT),
        ({"iat": NOW - 301}, BRIEF),
        ({"iat": NOW + 301}, BEGUN),
    ],
)
def test_sd_14_a_key_binding_for_another_occasion(said: dict[str, Any], rule: Rule) -> None:
    assert kb_refused(signed_by_holder(a_credential(), **said)) is rule


def test_sd_15_what_was_added_or_taken_out_after_signing() -> None:
    text = a_credential()
    sent = present(text, ["given_name"], asked=ASKED, key=holder_key(), now=NOW)
    bare, _, kb = sent.rpartition("~")
    more = next(each for each in parse(text, "x").disclosures if each not in bare)
    assert kb_refused(f"{bare}~{more}~{kb}") is WHAT_WAS_SENT
    assert kb_refused(f"{bare.partition('~')[0]}~{kb}") is WHAT_WAS_SENT


def an_env() -> Env:
    outside = Outside().env
    nothing: Any = None
    return Env(
        clock=outside.clock,
        random=nothing,
        store=MemoryStore(),
        fetch=outside.fetch,
        signer=nothing,
        notify=nothing,
        policy=nothing,
    )


@stops(NONCE_ONCE)
async def test_sd_16_a_nonce_is_good_once() -> None:
    env = an_env()
    first = present(a_credential(), ["given_name"], asked=ASKED, key=holder_key(), now=NOW)
    second = present(a_credential(), [], asked=ASKED, key=holder_key(), now=NOW)
    await averify(first, POLICY, asked=ASKED, env=env)
    for text in (first, second):
        with pytest.raises(Refusal) as refused:
            await averify(text, POLICY, asked=ASKED, env=env)
        assert refused.value.rule is NONCE_ONCE


@lets_through(NONCE_ONCE)
async def test_a_presentation_that_is_refused_burns_no_nonce() -> None:
    env = an_env()
    good = present(a_credential(), ["given_name"], asked=ASKED, key=holder_key(), now=NOW)
    with pytest.raises(Refusal):
        await averify(good.replace("~", "~WyJhIiwiYiIsMV0~", 1), POLICY, asked=ASKED, env=env)
    assert (await averify(good, POLICY, asked=ASKED, env=env)).holder


def test_sd_17_tildes_and_other_forms() -> None:
    good = a_credential()
    assert why_not(good[:-1]) in {NO_BINDING_HERE, PARTS}
    assert why_not(good + "~") is PARTS
    assert why_not(good.replace("~", "~~", 1)) is PARTS
    assert why_not("~" + good) is PARTS
    assert why_not(good.partition("~")[0]) is PARTS
    assert why_not(str(to_json(good))) in {PARTS, COMPACT}
    assert why_not(good + "\n") is NO_BINDING_HERE
    assert why_not(" " + good) is COMPACT


async def test_sd_18_metadata_of_another_issuer() -> None:
    outside = Outside({URL: GOOD | {"issuer": "https://other.example"}})
    with pytest.raises(Fault):
        await averify(a_credential(), a_policy(), asked=None, env=outside.env)


@pytest.mark.parametrize(
    "answer",
    [
        Reply(status=302),
        GOOD | {"padding": "x" * 70_000},
        GOOD | {"jwks_uri": JWKS_URI},
        {"issuer": ISSUER, "jwks_uri": "http://10.0.0.1/set"},
    ],
)
async def test_sd_19_metadata_that_leads_astray(answer: Any) -> None:
    """That private addresses are not reached at all is the guarded door's, in tests/attacks/test_ssrf.py."""
    outside = Outside({URL: answer, JWKS_URI: SET})
    policy = Policy(issuers=(TrustedIssuer(issuer=ISSUER, keys=well_known(), types=TRUSTED.types),))
    with pytest.raises(Fault):
        await averify(a_credential(), policy, asked=None, env=outside.env)
    assert len(outside.calls) == 1


def test_sd_20_certificates_of_others() -> None:
    def found(*chain: Any, policy: Policy | None = None) -> Rule | None:
        return why_not(vc(x5c=x5c(*chain)), policy or certified_policy())

    stranger = certificate("stranger", authority=True)
    assert found(a_leaf(DNS)) is None
    assert found(a_leaf(DNS), policy=certified_policy(types="urn:passport")) is TRUSTED_TYPE
    assert found(a_leaf(DNS, by=stranger), stranger) is CHAINED
    assert (
        found(certificate("x", root(), key=issuer_key()._object, extra=(names("spiffe://a/b"),))) is SUBJECT_IS_ISSUER
    )
    assert found(a_leaf(DNS, since=TODAY.replace(year=2020), until=TODAY.replace(year=2021))) is CHAINED


def test_sd_21_types_that_nobody_asked_for_or_that_were_changed() -> None:
    assert why_not(a_credential(vct="urn:unknown")) is TRUSTED_TYPE
    loop = {DIPLOMA: b'{"vct":"%b","extends":"%b"}' % (DIPLOMA.encode(), DIPLOMA.encode())}
    policy = Policy(issuers=(TRUSTED,), catalogue=Catalogue(loop))
    assert why_not(a_credential(), policy) is ENDS
    wrong = "sha256-" + base64.b64encode(bytes(32)).decode()
    plain = Policy(issuers=(TRUSTED,), catalogue=Catalogue({DIPLOMA: b'{"vct":"%b"}' % DIPLOMA.encode()}))
    assert why_not(a_credential(), plain) is None
    assert why_not(a_credential(**dict[str, Any]({"vct#integrity": wrong})), plain) is INTEGRITY


def test_sd_22_each_reason_has_a_sentence_of_its_own() -> None:
    """That a list says revoked or suspended stands in tests/vc/test_verify.py."""
    assert why_not(a_credential(exp=NOW - 11)) is UNEXPIRED
    assert why_not(a_credential(nbf=NOW + 11)) is BEGUN
    assert UNEXPIRED.says != BEGUN.says


def test_sd_23_salts_are_fresh_and_long_and_order_is_hidden() -> None:
    salts = []
    for _ in range(500):
        text = issue(claims(), FRAME, key=issuer_key(), random=SystemRandom())
        salts += [json_value(b64u_bytes(each))[0] for each in parse(text, "x").disclosures]
    assert len(set(salts)) == len(salts)
    assert min(map(len, salts)) * 6 >= 128


def test_sd_24_nothing_goes_along_that_was_not_agreed_to() -> None:
    text = a_credential()
    shown = verify(choose(text, ["given_name"]), POLICY, asked=None, now=NOW).claims
    assert shown["given_name"] == "Alice"
    assert shown["nationalities"] == []
    assert "locality" not in shown["address"]
    assert digest(NAME, HASHES["sha-256"])
