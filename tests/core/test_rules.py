"""A rule that is broken says so to the peer, and tells the log what was found."""

import pytest

from deputize.core.rules import Fault, Refusal, Rule

HELD = Rule("RFC 6749", "5.2", "Something is true.")


def test_a_refusal_bears_the_rule_and_keeps_what_was_found_apart() -> None:
    with pytest.raises(Refusal) as refused:
        HELD.refuse("invalid_request", params=(("acr_values", "phr"),), parameter="scope", secret="s3cret")
    no = refused.value
    assert (no.error, no.rule, no.params) == ("invalid_request", HELD, (("acr_values", "phr"),))
    assert no.found == {"parameter": "scope", "secret": "s3cret"}
    assert "s3cret" not in f"{no} {no!r}"


def test_a_fault_says_whether_to_come_again() -> None:
    assert not Fault("broken").retry
    assert Fault("busy", retry=True).retry
    assert str(Fault("broken")) == "broken"
