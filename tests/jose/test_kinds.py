"""Every kind of JWT is offered where every other is expected, signed by the very same key: made from one table."""

from collections.abc import Iterator
from functools import cache

import pytest

from deputize.core.rules import Refusal
from deputize.core.values import Seconds
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet
from deputize.jose.kinds import (
    AUTHORIZATION_RESPONSE,
    BY_NAME,
    CLIENT_ASSERTION,
    ID_TOKEN,
    JWT_GRANT,
    JWT_SVID,
    KINDS,
    OF_ITS_KIND,
    Audience,
    Kind,
)
from tests.jose.making import ISSUER, NOW, a_key, signed
from tests.support.proofs import lets_through, stops

NAMES = [kind.name for kind in KINDS]
PAIRS = [(made, expected) for made in NAMES for expected in NAMES if made != expected]
AUDIENCES = {
    Audience.SERVER: "https://as.example",
    Audience.RESOURCE: "https://api.example",
    Audience.CLIENT: "bot",
    Audience.RECIPIENT: "https://elsewhere.example",
}
SAMPLES: dict[str, object] = {
    "iss": ISSUER,
    "sub": "alice",
    "exp": NOW + 60,
    "iat": NOW,
    "jti": "1",
    "client_id": "bot",
    "scope": "read",
    "htm": "POST",
    "htu": "https://as.example/token",
    "cnf": {"jwk": a_key().public_jwk()},
    "nonce": "n",
    "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
}
# What a kind bears beyond what it needs, where that is what makes it what it is.
OWN: dict[str, dict[str, object]] = {
    CLIENT_ASSERTION.name: {"iss": "bot", "sub": "bot"},
    JWT_SVID.name: {"sub": "spiffe://example.org/bot"},
    AUTHORIZATION_RESPONSE.name: {"code": "c"},
    ID_TOKEN.name: {"nonce": "n", "auth_time": NOW},
    "request object": {"iss": "bot", "response_type": "code"},
    "SD-JWT VC": {"iss": ISSUER, "exp": NOW + 60},
}


def sample(kind: Kind) -> dict[str, object]:
    """What such a token says."""
    told = {name: SAMPLES.get(name, "x") for name in kind.needs if name != "aud"}
    aud = {} if kind.audience is Audience.NONE else {"aud": AUDIENCES[kind.audience]}
    return told | aud | OWN.get(kind.name, {})


@cache
def token(name: str, *, typed: bool = True) -> str:
    """Such a token; all are signed by one key, which is worse than any issuer does."""
    kind = BY_NAME[name]
    return signed({"typ": kind.typ if typed and kind.typ else ...}, sample(kind))


def accept(compact: str, kind: Kind, audience: str | None = None) -> jwt.VerifiedJwt:
    """Expect a kind, of whatever issuer."""
    expected = kind.expectation(
        algs=ALL,
        issuer=None,
        audience=None if kind.audience is Audience.NONE else jwt.Among(audience or AUDIENCES[kind.audience]),
        lifetime_max=None,
        age_max=None,
        error="invalid_token",
    )
    return kind.held(jwt.verify(compact, KeySet.of(a_key().public()), expected, NOW), "invalid_token")


@lets_through(OF_ITS_KIND)
@pytest.mark.parametrize("name", NAMES)
def test_a_kind_is_accepted_where_it_is_expected(name: str) -> None:
    assert accept(token(name), BY_NAME[name]).claims == sample(BY_NAME[name])


@stops(OF_ITS_KIND)
@pytest.mark.parametrize(("made", "expected"), PAIRS)
def test_jw_22_no_kind_is_accepted_where_another_is_expected(made: str, expected: str) -> None:
    with pytest.raises(Refusal):
        accept(token(made), BY_NAME[expected])


@pytest.mark.parametrize(
    ("made", "expected"),
    [(made, expected) for made, expected in PAIRS if BY_NAME[made].is_typed or BY_NAME[expected].is_typed],
)
def test_jw_22_a_typ_of_its_own_needs_no_other_audience(made: str, expected: str) -> None:
    """Where either of two kinds has a typ, they keep apart even if both were for the same recipient."""
    one, other = BY_NAME[made], BY_NAME[expected]
    told = signed({"typ": one.typ or ...}, sample(one) | {"aud": ISSUER})
    with pytest.raises(Refusal):
        accept(told, other, ISSUER)


UNTYPED = (CLIENT_ASSERTION, ID_TOKEN, JWT_SVID, JWT_GRANT, AUTHORIZATION_RESPONSE)
# What the claims alone leave open. An ID-JAG without its typ is a JWT grant and no more; of the rest, `aud` decides.
ALIKE = {(made, JWT_GRANT.name) for made in ("access token", "ID-JAG", "transaction token", "verifier attestation")}


@pytest.mark.parametrize(
    ("made", "expected"), [(made, kind.name) for made in NAMES for kind in UNTYPED if made != kind.name]
)
def test_jw_22_an_issuer_that_forgets_the_typ_does_not_make_one_kind_another(made: str, expected: str) -> None:
    """An access token, a logout token and the like with typ JWT or none, as many issuers send them."""
    told, kind = sample(BY_NAME[made]), BY_NAME[expected]
    for typ in ("JWT", ...):
        if (made, expected) != ("ID-JAG", JWT_GRANT.name):
            with pytest.raises(Refusal):
                accept(signed({"typ": typ}, told), kind)
        if (made, expected) not in ALIKE | {(JWT_GRANT.name, ID_TOKEN.name)}:
            with pytest.raises(Refusal):
                accept(signed({"typ": typ}, told | {"aud": ISSUER}), kind, ISSUER)


def test_an_id_token_with_a_trace_of_a_login_is_no_grant_even_for_the_same_recipient() -> None:
    told = sample(ID_TOKEN) | {"aud": ISSUER}
    with pytest.raises(Refusal) as refused:
        accept(signed({"typ": "JWT"}, told), JWT_GRANT, ISSUER)
    assert refused.value.rule is OF_ITS_KIND


def test_the_table_is_one() -> None:
    assert len(BY_NAME) == len(KINDS)
    typs = [typ for kind in KINDS if kind.is_typed for typ in kind.reads]
    assert len(typs) == len(set(typs)), "two kinds share a typ"
    for kind in KINDS:
        assert kind.typ is None or kind.typ.lower() in kind.reads
        assert (kind.audience is not Audience.NONE) >= ("aud" in kind.needs)
        assert kind.is_typed or (kind.lacks and kind in UNTYPED), "a second mark is wanted"
        assert kind.needs.isdisjoint(kind.lacks)
        assert all((kind.made_by, kind.made_for, kind.spec))


def _wrong_audiences() -> Iterator[tuple[Kind, jwt.Among | None]]:
    for kind in KINDS:
        yield kind, jwt.Among("x") if kind.audience is Audience.NONE else None


@pytest.mark.parametrize(("kind", "audience"), list(_wrong_audiences()), ids=lambda value: getattr(value, "name", "-"))
def test_an_expectation_of_a_kind_has_the_audience_of_that_kind(kind: Kind, audience: jwt.Among | None) -> None:
    with pytest.raises(ValueError, match="audience"):
        kind.expectation(
            algs=ALL, issuer=None, audience=audience, lifetime_max=Seconds(60), age_max=None, error="invalid_token"
        )
