"""A verifier takes an answer once, from the wallet that was asked, and shows it to the browser that began."""

import dataclasses
import json
from typing import Any

import pytest

from deputize.core.ports import Env
from deputize.core.rules import Refusal, Rule
from deputize.core.values import Instant, Secret
from deputize.core.wire import Form, JsonObject, json_bytes
from deputize.jose import jwe, jws
from deputize.jose.jwt import BEGUN, BRIEF, SIGNED
from deputize.vc import answers, dcql, presentations
from deputize.vc.answers import CAN_ANSWER, ITS_TRANSACTION, Held, answer, choice, refusal
from deputize.vc.matching import ALL_REQUIRED, ASKED_FOR, CLAIMS_SHOWN, OF_TYPE, ONE_UNLESS_MULTIPLE
from deputize.vc.present import binding_input
from deputize.vc.presentations import (
    ANSWERED_ONCE,
    ENCRYPTED,
    ITS_STATE,
    KNOWN_REQUEST,
    PRESENTED,
    RESPONSE_CODE,
    SAME_BROWSER,
    TRANSACTION_TIED,
    TRUSTED_HERE,
    VP_TOKEN,
    Wanted,
    answered,
    collected,
    found,
)
from deputize.vc.presented import BINDING_REQUIRED, OUR_NONCE, THIS_VERIFIER, WHAT_WAS_SENT, Asked
from deputize.vc.requests import PresentationRequest, transaction_text
from tests.support.proofs import lets_through, stops
from tests.vc.made import NOW, VCT, holder_key
from tests.vc.test_requests import KINDS
from tests.vc.verifying import (
    BY_HASH,
    POLICY,
    QUERY,
    SESSION,
    a_card,
    a_verifier,
    altered,
    another_key,
    answering,
    begun,
    chain,
    env,
    form,
    leaf,
    read,
    sealed,
)

RETURN = "https://verifier.example/vp/{}"
QUERY_OF_ONE: JsonObject = QUERY["credentials"][0]


async def asked(
    ports: Env, query: JsonObject = QUERY, *, encrypted: bool = True, **told: Any
) -> tuple[Wanted, PresentationRequest]:
    """A request that was begun, and what a wallet reads of it."""
    wanted = await begun(a_verifier(encrypted=encrypted), ports, query, **told)
    return wanted, read(sealed(wanted), kinds=KINDS)


async def why_not(wanted: Wanted, fields: Form, ports: Env) -> Rule | None:
    try:
        await answered(wanted.key, fields, POLICY, ports)
    except Refusal as refused:
        assert refused.error in {"invalid_request", POLICY.error}  # noqa: PT017 (no other gets out of here)
        return refused.rule
    return None


def plain(request: PresentationRequest, token: object, **changes: str) -> Form:
    fields = {"vp_token": json_bytes(token).decode(), "state": request.state or ""} | changes
    return form(tuple(fields.items()))


def token_of(request: PresentationRequest, *cards: Held, optional: bool = False) -> dict[str, list[str]]:
    told: dict[str, list[str]] = json.loads(
        answering(altered(request, encryption=None), *cards, optional=optional).one("vp_token")
    )
    return told


@lets_through(KNOWN_REQUEST, ITS_STATE, ANSWERED_ONCE, ENCRYPTED, VP_TOKEN, SAME_BROWSER, PRESENTED, CAN_ANSWER)
@pytest.mark.parametrize("encrypted", [True, False])
async def test_what_is_presented_is_shown_to_who_asked(encrypted: bool) -> None:  # noqa: FBT001 (a column of the table)
    """OIDF: oid4vp-1final-verifier-happy-flow."""
    ports = env()
    wanted, request = await asked(ports, encrypted=encrypted)
    assert await collected(wanted.key, SESSION, None, ports) is None
    assert await answered(wanted.key, answering(request), POLICY, ports) is None
    told = await collected(wanted.key, SESSION, None, ports)
    assert told is not None
    (card,) = told["dip"]
    assert (card["vct"], card["claims"]["given_name"], card["claims"]["nationalities"]) == (VCT, "Alice", ["PT"])
    assert "locality" not in card["claims"]["address"]
    assert await collected(wanted.key, SESSION, None, ports) == told  # and again, in the same browser
    kept = await ports.store.read(Wanted, wanted.key)
    assert kept is not None
    assert not kept.decryption


async def test_a_holder_s_key_may_be_named_by_no_more_than_it_needs() -> None:
    """OIDF: oid4vp-1final-verifier-minimal-cnf-jwk."""
    ports = env()
    wanted, request = await asked(ports)
    bare = {name: value for name, value in holder_key().public_jwk().items() if name in {"kty", "crv", "x", "y"}}
    assert await why_not(wanted, answering(request, a_card(cnf={"jwk": bare})), ports) is None


def test_a_request_does_not_show_its_secrets() -> None:
    told = repr(presentations.begin(a_verifier(), QUERY, SESSION, env()))
    assert "nonce" not in told
    assert "decryption" not in told


@stops(ANSWERED_ONCE)
async def test_an_answer_is_taken_once() -> None:
    ports = env()
    wanted, request = await asked(ports)
    fields = answering(request)
    assert await why_not(wanted, fields, ports) is None
    assert await why_not(wanted, fields, ports) is ANSWERED_ONCE
    with pytest.raises(Refusal) as refused:
        await found(wanted.key, ports)
    assert refused.value.rule is KNOWN_REQUEST


@stops(ANSWERED_ONCE)
async def test_of_two_answers_at_once_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second was read while the request was still open."""
    ports = env()
    wanted, request = await asked(ports)
    first, second = answering(request), answering(request)
    assert await why_not(wanted, first, ports) is None

    async def earlier(*_: object) -> Wanted:
        return wanted

    monkeypatch.setattr(ports.store, "read", earlier)
    assert await why_not(wanted, second, ports) is ANSWERED_ONCE


@stops(KNOWN_REQUEST)
async def test_a_request_is_answered_in_time_or_not_at_all() -> None:
    ports = env()
    wanted, request = await asked(ports)
    assert (
        await why_not(presentations.begin(a_verifier(), QUERY, SESSION, ports), answering(request), ports)
        is KNOWN_REQUEST
    )
    ports.clock.forward(presentations.LIFE)  # type: ignore[attr-defined]  # the clock of a test
    assert await why_not(wanted, answering(request), ports) is KNOWN_REQUEST
    for code in (None, "x"):
        with pytest.raises(Refusal) as refused:
            await collected(wanted.key, SESSION, code, ports)
        assert refused.value.rule is KNOWN_REQUEST


@stops(ITS_STATE)
async def test_an_answer_has_the_state_of_its_request() -> None:
    ports = env()
    wanted, request = await asked(ports)
    assert await why_not(wanted, answering(altered(request, state="other")), ports) is ITS_STATE
    assert await why_not(wanted, answering(altered(request, state=None)), ports) is ITS_STATE
    assert await why_not(wanted, form([("error", "access_denied"), ("state", "x")]), ports) is ITS_STATE
    assert await why_not(wanted, answering(request), ports) is None  # nobody has spoilt it meanwhile


@stops(ENCRYPTED)
async def test_where_encryption_was_asked_for_nothing_goes_in_the_clear() -> None:
    ports = env()
    wanted, request = await asked(ports)
    assert await why_not(wanted, answering(altered(request, encryption=None)), ports) is ENCRYPTED
    open_, told = await asked(ports, encrypted=False)
    assert await why_not(open_, answering(altered(told, encryption=request.encryption)), ports) is VP_TOKEN


@stops(VP_TOKEN)
@pytest.mark.parametrize(
    "token", [{}, [], "x", {"dip": "x"}, {"dip": []}, {"dip": [{}]}, {"dip": ["x"] * 33}, {"dip": [None]}]
)
async def test_a_vp_token_has_its_shape(token: object) -> None:
    ports = env()
    wanted, request = await asked(ports, encrypted=False)
    assert await why_not(wanted, plain(request, token), ports) is VP_TOKEN


@stops(jwe.OPENS)
async def test_what_was_encrypted_to_another_key_is_refused() -> None:
    ports = env()
    wanted, request = await asked(ports)
    _, other = await asked(ports)
    assert await why_not(wanted, answering(altered(request, encryption=other.encryption)), ports) is jwe.OPENS


@stops(OUR_NONCE, THIS_VERIFIER, SIGNED, WHAT_WAS_SENT, BEGUN, BRIEF, BINDING_REQUIRED)
async def test_a_holder_signs_for_this_request_alone() -> None:
    """OIDF: oid4vp-1final-verifier-invalid-kb-jwt-nonce, and those that follow it.

    They are invalid-kb-jwt-aud, invalid-kb-jwt-signature, invalid-sd-hash, kb-jwt-iat-in-past and kb-jwt-iat-in-future.
    """
    ports = env()
    wanted, request = await asked(ports, encrypted=False)
    no_prefix = BY_HASH.partition(":")[2]
    assert await why_not(wanted, answering(altered(request, nonce="another")), ports) is OUR_NONCE
    assert await why_not(wanted, answering(altered(request, client_id=no_prefix)), ports) is THIS_VERIFIER
    one = token_of(request)["dip"][0]
    bare, _, binding = one.rpartition("~")
    assert await why_not(wanted, plain(request, {"dip": [f"{bare}~"]}), ports) is BINDING_REQUIRED
    jwt_, first, second = bare.split("~")
    assert (
        await why_not(wanted, plain(request, {"dip": [f"{jwt_}~{second}~{first}~{binding}"]}), ports) is WHAT_WAS_SENT
    )
    stranger = f"{jwt_}~{first}~{second}~{_kb(request, bare + '~', another_key())}"
    assert await why_not(wanted, plain(request, {"dip": [stranger]}), ports) is SIGNED
    for age, rule in ((-400, BRIEF), (60, BEGUN)):
        (token,) = answer(
            altered(request, encryption=None), (a_card(),), choice(request, (a_card(),)), Instant(NOW + age)
        )[:1]
        assert await why_not(wanted, form([token, ("state", wanted.state)]), ports) is rule


def _kb(request: PresentationRequest, shown: str, key: Any) -> str:
    data = binding_input(shown, Asked(audience=request.client_id, nonce=request.nonce), alg="ES256", now=NOW)
    return jws.compact(data, key.sign(data))


@stops(SIGNED)
async def test_a_credential_that_its_issuer_did_not_sign_is_refused() -> None:
    """OIDF: oid4vp-1final-verifier-invalid-credential-signature."""
    ports = env()
    wanted, request = await asked(ports, encrypted=False)
    one = token_of(request)["dip"][0]
    head, payload, signature = one.partition("~")[0].split(".")
    other = signature[:-4] + ("AAAA" if signature[-4:] != "AAAA" else "BBBB")
    forged = one.replace(f"{head}.{payload}.{signature}", f"{head}.{payload}.{other}")
    assert await why_not(wanted, plain(request, {"dip": [forged]}), ports) is SIGNED


@stops(ASKED_FOR, ONE_UNLESS_MULTIPLE, ALL_REQUIRED, OF_TYPE, CLAIMS_SHOWN)
async def test_the_query_is_held_again() -> None:
    two = {"credentials": [QUERY_OF_ONE, QUERY_OF_ONE | {"id": "pid", "meta": {"vct_values": ["urn:pid"]}}]}
    ports = env()
    wanted, request = await asked(ports, encrypted=False)
    good = token_of(request)["dip"][0]
    assert await why_not(wanted, plain(request, {"other": [good]}), ports) is ASKED_FOR
    assert await why_not(wanted, plain(request, {"dip": [good, good]}), ports) is ONE_UNLESS_MULTIPLE
    less = altered(request, query=dcql.read({"credentials": [{**QUERY_OF_ONE, "claims": [{"path": ["vct"]}]}]}))
    assert await why_not(wanted, answering(altered(less, encryption=None)), ports) is CLAIMS_SHOWN
    both, told = await asked(ports, two, encrypted=False)
    one = altered(told, query=dcql.read(QUERY), encryption=None)
    assert await why_not(both, answering(one), ports) is ALL_REQUIRED
    swapped = token_of(one)["dip"][0]
    assert await why_not(both, plain(told, {"dip": [swapped], "pid": [swapped]}), ports) is OF_TYPE


async def test_two_credentials_answer_one_request() -> None:
    """One nonce is good for all presentations of an answer."""
    two = {"credentials": [QUERY_OF_ONE, QUERY_OF_ONE | {"id": "again"}]}
    ports = env()
    wanted, request = await asked(ports, two)
    assert await why_not(wanted, answering(request), ports) is None


@stops(PRESENTED)
async def test_a_wallet_that_refuses_is_believed() -> None:
    ports = env()
    wanted, request = await asked(ports)
    assert await why_not(wanted, form(refusal(request, "access_denied")), ports) is None
    with pytest.raises(Refusal) as refused:
        await collected(wanted.key, SESSION, None, ports)
    assert refused.value.rule is PRESENTED


@stops(CAN_ANSWER)
async def test_a_wallet_that_cannot_answer_sends_nothing() -> None:
    """OIDF: oid4vp-1final-wallet-negative-test-required-non-matching-credential."""
    _, request = await asked(env())
    with pytest.raises(Refusal) as refused:
        answering(request, a_card(given_name=...))
    assert (refused.value.error, refused.value.rule) == ("access_denied", CAN_ANSWER)


async def test_an_algorithm_that_the_verifier_does_not_take_is_not_sent() -> None:
    _, request = await asked(env())
    for algs in ({"issuer_algs": frozenset({"Ed25519"})}, {"holder_algs": frozenset({"Ed25519"})}):
        assert choice(altered(request, **algs), (a_card(),)).picks == ()


# --- which browser ------------------------------------------------------------------------------------------------


@stops(SAME_BROWSER)
async def test_another_browser_sees_nothing() -> None:
    ports = env()
    wanted, request = await asked(ports)
    assert await why_not(wanted, answering(request), ports) is None
    with pytest.raises(Refusal) as refused:
        await collected(wanted.key, Secret("another"), None, ports)
    assert refused.value.rule is SAME_BROWSER


@lets_through(RESPONSE_CODE)
@stops(RESPONSE_CODE)
async def test_on_one_device_the_browser_comes_back_with_a_code() -> None:
    """Mallory begins, and Alice's wallet answers: nothing is shown to Mallory, to whom no code comes back."""
    ports = env()
    wanted, request = await asked(ports, returns_to=RETURN)
    back = await answered(wanted.key, answering(request), POLICY, ports)
    assert back is not None
    place, _, code = back.partition("?response_code=")
    assert place == RETURN.format(wanted.key)
    for told in (None, "", "x", code[:-1]):
        with pytest.raises(Refusal) as refused:
            await collected(wanted.key, SESSION, told, ports)
        assert refused.value.rule is RESPONSE_CODE
    assert await collected(wanted.key, SESSION, code, ports)


@lets_through(TRUSTED_HERE)
@stops(TRUSTED_HERE)
def test_we_ask_for_no_authority_that_we_cannot_check() -> None:
    def with_authority(kind: str) -> JsonObject:
        return {"credentials": [QUERY_OF_ONE | {"trusted_authorities": [{"type": kind, "values": ["x"]}]}]}

    assert presentations.begin(a_verifier(), with_authority("aki"), SESSION, env()).query
    for kind in ("etsi_tl", "openid_federation", "other"):
        with pytest.raises(Refusal) as refused:
            presentations.begin(a_verifier(), with_authority(kind), SESSION, env())
        assert refused.value.rule is TRUSTED_HERE


# --- transaction data ---------------------------------------------------------------------------------------------

PAYMENT = transaction_text("payment", ["dip"], amount="9.90")
OTHER = transaction_text("payment", ["dip"], amount="990")


@lets_through(TRANSACTION_TIED, ITS_TRANSACTION)
@pytest.mark.parametrize("algs", [None, ["sha-512", "sha-256"]])
async def test_a_payment_is_authorized_with_the_presentation(algs: list[str] | None) -> None:
    more = {} if algs is None else {"transaction_data_hashes_alg": algs}
    ports = env()
    wanted, request = await asked(ports, transactions=(transaction_text("payment", ["dip"], amount="1", **more),))
    assert await why_not(wanted, answering(request), ports) is None


@stops(TRANSACTION_TIED)
async def test_what_was_authorized_is_what_was_asked() -> None:
    ports = env()
    wanted, request = await asked(ports, transactions=(PAYMENT,))
    nothing, other = altered(request, transactions=()), read(sealed(wanted, transaction_data=[OTHER]), kinds=KINDS)
    twice = altered(request, transactions=request.transactions * 2)
    for told in (nothing, other, twice):
        assert await why_not(wanted, answering(told), ports) is TRANSACTION_TIED
    unasked, plain_request = await asked(ports)
    assert (
        await why_not(unasked, answering(altered(plain_request, transactions=request.transactions)), ports)
        is TRANSACTION_TIED
    )


@stops(TRANSACTION_TIED)
async def test_a_hash_of_an_algorithm_that_was_not_offered_is_refused() -> None:
    ports = env()
    wanted, request = await asked(ports, transactions=(PAYMENT,))
    (one,) = request.transactions
    told = altered(request, transactions=(dataclasses.replace(one, hashes=("sha-512",)),))
    assert await why_not(wanted, answering(told), ports) is TRANSACTION_TIED
    offered, _ = await asked(
        ports,
        transactions=(transaction_text("payment", ["dip"], amount="9.90", transaction_data_hashes_alg=["sha-512"]),),
    )
    default = read(sealed(offered), kinds=KINDS)
    (two,) = default.transactions
    told = altered(default, transactions=(dataclasses.replace(two, hashes=()),))
    assert await why_not(offered, answering(told), ports) is TRANSACTION_TIED


@stops(ITS_TRANSACTION)
async def test_transaction_data_need_a_credential_that_is_presented() -> None:
    query = {
        "credentials": [QUERY_OF_ONE, QUERY_OF_ONE | {"id": "pid"}],
        "credential_sets": [{"options": [["dip"]]}, {"options": [["pid"]], "required": False}],
    }
    _, request = await asked(env(), query, transactions=(transaction_text("payment", ["pid"], amount="1"),))
    with pytest.raises(Refusal) as refused:
        answering(request)
    assert (refused.value.error, refused.value.rule) == ("invalid_transaction_data", ITS_TRANSACTION)
    assert answering(request, optional=True).one("response")


async def test_an_aki_is_read_from_the_certificates() -> None:
    told = answers.authorities({"x5c": chain(leaf())})
    assert len(told) == 2
    assert answers.authorities({}) == answers.authorities({"x5c": "x"}) == frozenset()
