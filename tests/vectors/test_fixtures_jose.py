"""A few tokens and messages that two other libraries made, kept here: so that a plain clone has foreign bytes, too."""

from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.jose import jwe, jwt
from deputize.jose.keys import KeySet, PublicKey
from tests.jose.making import an_expectation
from tests.vectors.places import FIXTURES, load

MADE = load(FIXTURES / "jose.json")
NOW = Instant(MADE["now"])


def by_id(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in MADE[name]])


@by_id("signed")
def test_a_foreign_token_is_accepted_if_it_is_good(case: Any) -> None:
    keys = KeySet.of(PublicKey.from_jwk(case["key"], alg=case["alg"]))
    if case["accept"]:
        assert jwt.verify(case["token"], keys, an_expectation(), NOW).text("sub") == "alice"
    else:
        with pytest.raises(Refusal):
            jwt.verify(case["token"], keys, an_expectation(), NOW)


@by_id("encrypted")
def test_a_foreign_message_is_opened_if_it_is_for_us(case: Any) -> None:
    key = jwe.DecryptionKey.from_jwk(case["key"])
    if not case["accept"]:
        with pytest.raises(Refusal):
            jwe.decrypt(case["message"], [key], encs=jwe.ENCS, error="x")
        return
    opened = jwe.decrypt(case["message"], [key], encs=jwe.ENCS, error="x")
    assert opened.text == case["plaintext"]
    inner = KeySet.of(PublicKey.from_jwk(MADE["inner_key"]))
    assert jwt.verify(opened.text, inner, an_expectation(), NOW).text("sub") == "alice"
