"""Token, proof and request in; a caller out, or the rule that was broken."""

from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.core.wire import Headers
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import caller, dpop
from deputize.oauth.caller import (
    BOUND_ONLY,
    KEY_SHOWN,
    ONE_METHOD,
    SCHEME,
    SCOPE_ENOUGH,
    THESE_DETAILS,
    THIS_CALL,
    TOKEN_NEEDED,
    Caller,
)
from deputize.oauth.details import Detail, http_call
from tests.resource.world import ORDER, READ, RESOURCE, purchase
from tests.support.issuer import ISSUER, SmallIssuer
from tests.support.ports import FixedClock
from tests.support.proofs import lets_through, stops

ORDERS = f"{RESOURCE}/orders"
BODY = b'{"quantity": 30}'
CALL = http_call("POST", ORDERS, BODY)
BOUGHT = Detail.of(**purchase(30))

clock = FixedClock()
issuer = SmallIssuer(clock, {})
agent = PrivateKey.generate()
EXPECTED = caller.access_token(issuer=ISSUER, audience=RESOURCE)


def headers(*authorization: str, proofs: tuple[str, ...] = ()) -> Headers:
    shown = [("authorization", value) for value in authorization]
    return Headers((*shown, *(("dpop", proof) for proof in proofs)))


def token(*, bound: bool = True, **claims: Any) -> str:
    return issuer.mint(bound_to=agent if bound else None, **{"aud": RESOURCE, **claims})


def proof(compact: str, *, key: PrivateKey = agent, method: str = "POST", url: str = ORDERS) -> str:
    return dpop.prove(key, method=method, url=url, jti="p-1", now=clock(), access_token=compact)


def checked(compact: str, *, scheme: str = "DPoP", proofs: tuple[str, ...] = (), bound_only: bool = False) -> Caller:
    shown = headers(f"{scheme} {compact}", proofs=proofs)
    credentials = caller.credentials(shown)
    if credentials is None:
        raise AssertionError
    keys = KeySet.of(issuer.key.public())
    who, _ = caller.check(
        credentials, shown, keys, EXPECTED, method="POST", url=ORDERS, now=clock(), bound_only=bound_only
    )
    return who


def caller_with(
    *details: Detail, txn: str | None = "txn-1", jti: str | None = None, scope: str | None = None
) -> Caller:
    told: dict[str, Any] = {"authorization_details": [one.members for one in details], "txn": txn, "scope": scope}
    compact = token(**told) if jti is None else token(**told, jti=jti)
    return checked(compact, proofs=(proof(compact),))


# --- how the token comes ----------------------------------------------------------------------------------------


@lets_through(ONE_METHOD, TOKEN_NEEDED)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "DPoP", "dpop", "DPOP"])
def test_the_token_of_one_header_is_found(scheme: str) -> None:
    compact = token()
    shown = caller.credentials(headers(f"{scheme} {compact}"))
    assert shown is not None
    assert (shown.scheme, shown.token) == (scheme.lower(), compact)


def test_where_there_is_no_header_there_is_no_token() -> None:
    assert caller.credentials(Headers()) is None


@stops(ONE_METHOD)
@pytest.mark.parametrize(
    "values",
    [
        ("Bearer a.b.c", "DPoP a.b.c"),
        ("Bearer a.b.c", "Bearer a.b.c"),
        ("Bearer a.b.c, DPoP a.b.c",),
        ("Bearer a.b c",),
    ],
)
def test_a_second_method_is_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(Refusal) as no:
        caller.credentials(headers(*values))
    assert (no.value.error, no.value.rule) == ("invalid_request", ONE_METHOD)


@stops(TOKEN_NEEDED)
@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic Ym90OnNlY3JldA==", "Negotiate abc", "token"])
def test_what_is_no_token_of_ours_counts_as_none(value: str) -> None:
    with pytest.raises(Refusal) as no:
        caller.credentials(headers(value))
    assert (no.value.error, no.value.rule) == ("missing_token", TOKEN_NEEDED)


def test_credentials_do_not_show_the_token() -> None:
    compact = token()
    shown = caller.credentials(headers(f"DPoP {compact}"))
    assert compact.rpartition(".")[2] not in repr(shown)
    assert "alice" not in repr(shown)


# --- binding ----------------------------------------------------------------------------------------------------


@lets_through(SCHEME, KEY_SHOWN, BOUND_ONLY)
def test_a_bound_token_with_a_proof_of_its_key_names_the_caller() -> None:
    compact = token(act={"sub": "pharmacy-bot", "act": {"sub": "voice"}}, scope=f"{READ} {ORDER}")
    who = checked(compact, proofs=(proof(compact),), bound_only=True)
    assert (who.subject, who.client) == ("alice", "pharmacy-bot")
    assert who.actor is not None
    assert who.actor.subject == "pharmacy-bot"
    assert who.authority.scope == {READ, ORDER}
    assert who.key is not None
    assert who.key.jkt == agent.public().thumbprint


@lets_through(SCHEME)
def test_an_unbound_token_comes_as_bearer() -> None:
    assert checked(token(bound=False), scheme="Bearer").key is None


@stops(SCHEME)
@pytest.mark.parametrize(
    ("scheme", "claims"),
    [
        ("Bearer", {}),  # bound, downgraded
        ("DPoP", {"cnf": None}),  # a proof beside an unbound token proves nothing
        ("DPoP", {"cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}),  # to a certificate, not a key
        ("Bearer", {"cnf": {"jwk": {}}}),
        ("Bearer", {"cnf": "jkt"}),
    ],
)
def test_a_token_under_the_wrong_scheme_is_refused(scheme: str, claims: dict[str, Any]) -> None:
    compact = token(**claims)
    with pytest.raises(Refusal) as no:
        checked(compact, scheme=scheme, proofs=(proof(compact),))
    assert (no.value.error, no.value.rule) == ("invalid_token", SCHEME)


@stops(SCHEME)
def test_a_second_binding_beside_the_key_is_not_ignored() -> None:
    compact = token(cnf={"jkt": agent.public().thumbprint, "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})
    with pytest.raises(Refusal) as no:
        checked(compact, proofs=(proof(compact),))
    assert no.value.rule == SCHEME


@stops(KEY_SHOWN)
def test_a_bound_token_without_its_key_is_refused() -> None:
    compact = token()
    for proofs in ((), (proof(compact, key=PrivateKey.generate()),)):
        with pytest.raises(Refusal) as no:
            checked(compact, proofs=proofs)
        assert (no.value.error, no.value.rule) == ("invalid_token", KEY_SHOWN)


@stops(BOUND_ONLY)
def test_a_bearer_token_is_refused_where_bound_ones_are_wanted() -> None:
    with pytest.raises(Refusal) as no:
        checked(token(bound=False), scheme="Bearer", bound_only=True)
    assert (no.value.error, no.value.rule) == ("invalid_token", BOUND_ONLY)


# --- scope ------------------------------------------------------------------------------------------------------


@lets_through(SCOPE_ENOUGH)
def test_scope_that_is_enough_passes() -> None:
    who = caller_with(scope=f"{READ} {ORDER}")
    caller.check_scope(who, frozenset({READ}))
    caller.check_scope(who, frozenset({READ, ORDER}))


@stops(SCOPE_ENOUGH)
def test_scope_that_is_not_enough_is_told() -> None:
    for scope in (READ, None, "prescriptions prescriptions:ordering"):
        with pytest.raises(Refusal) as no:
            caller.check_scope(caller_with(scope=scope), frozenset({READ, ORDER}))
        assert (no.value.error, no.value.rule) == ("insufficient_scope", SCOPE_ENOUGH)
        assert no.value.params == (("scope", f"{ORDER} {READ}"),)


# --- one call ---------------------------------------------------------------------------------------------------


@lets_through(THIS_CALL, THESE_DETAILS)
def test_a_token_for_this_call_fits_it_whatever_the_order_of_details() -> None:
    for details in ((CALL, BOUGHT), (BOUGHT, CALL)):
        caller.check_call(caller_with(*details), method="POST", url=ORDERS, body=BODY, wanted=(BOUGHT,))


@stops(THIS_CALL)
@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("PUT", ORDERS, BODY),
        ("POST", f"{ORDERS}/", BODY),
        ("POST", f"{ORDERS}?express=1", BODY),
        ("POST", "https://api.example:443/orders", BODY),
        ("POST", ORDERS, BODY + b" "),
        ("POST", ORDERS, BODY.replace(b"30", b"31")),
        ("POST", ORDERS, b""),
    ],
)
def test_a_token_for_another_call_is_refused(method: str, url: str, body: bytes) -> None:
    with pytest.raises(Refusal) as no:
        caller.check_call(caller_with(CALL, BOUGHT), method=method, url=url, body=body, wanted=(BOUGHT,))
    assert (no.value.error, no.value.rule) == ("invalid_token", THIS_CALL)


@stops(THIS_CALL)
def test_a_token_for_two_calls_or_none_fits_no_call() -> None:
    other = http_call("POST", ORDERS, b"{}")
    for details in ((CALL, other, BOUGHT), (CALL, CALL, BOUGHT), (BOUGHT,)):
        with pytest.raises(Refusal) as no:
            caller.check_call(caller_with(*details), method="POST", url=ORDERS, body=BODY, wanted=(BOUGHT,))
        assert no.value.rule == THIS_CALL


@stops(THESE_DETAILS)
def test_details_beyond_or_below_what_the_call_does_are_refused() -> None:
    for details in ((), (Detail.of(**purchase(31)),), (BOUGHT, BOUGHT), (BOUGHT, Detail.of(**purchase(1)))):
        with pytest.raises(Refusal) as no:
            caller.check_call(caller_with(CALL, *details), method="POST", url=ORDERS, body=BODY, wanted=(BOUGHT,))
        assert (no.value.error, no.value.rule) == ("invalid_token", THESE_DETAILS)


def _mark(who: Caller) -> str:
    return caller.check_call(who, method="POST", url=ORDERS, body=BODY, wanted=(BOUGHT,)).record.key


def test_a_transaction_leaves_one_mark_however_many_tokens_it_has() -> None:
    assert _mark(caller_with(CALL, BOUGHT, jti="a")) == _mark(caller_with(CALL, BOUGHT, jti="b"))
    assert _mark(caller_with(CALL, BOUGHT, txn="t-1")) != _mark(caller_with(CALL, BOUGHT, txn="t-2"))


def test_a_token_without_a_transaction_is_marked_by_its_own_name() -> None:
    """And no transaction can be named so that it takes that mark."""
    mark = _mark(caller_with(CALL, BOUGHT, txn=None, jti="x"))
    assert mark == _mark(caller_with(CALL, BOUGHT, txn=None, jti="x"))
    assert mark not in {_mark(caller_with(CALL, BOUGHT, txn=name)) for name in ("x", "jti x", "")}
