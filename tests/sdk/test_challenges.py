"""What resources say is read however they write it, and what cannot be read says nothing."""

import pytest

from deputize.core.wire import Headers
from deputize.sdk.challenges import challenged, challenges


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (
            'Bearer resource_metadata="https://a/x", scope="a b"',
            (("bearer", {"resource_metadata": "https://a/x", "scope": "a b"}),),
        ),
        ("Bearer", (("bearer", {}),)),
        ("Bearer error=invalid_token", (("bearer", {"error": "invalid_token"}),)),
        (
            'Basic realm="a, DPoP error=\\"x\\"", DPoP algs="ES256", error="use_dpop_nonce", Bearer',
            (
                ("basic", {"realm": 'a, DPoP error="x"'}),
                ("dpop", {"algs": "ES256", "error": "use_dpop_nonce"}),
                ("bearer", {}),
            ),
        ),
        ("Negotiate YWJj==, Bearer scope=a", (("negotiate", {}), ("bearer", {"scope": "a"}))),
        ('Bearer scope="a", scope="b"', (("bearer", {"scope": "a"}),)),
        ("Bearer   ,  ,DPoP", (("bearer", {}), ("dpop", {}))),
        ('Bearer scope="never ends', (("bearer", {}),)),
        ("", ()),
        ("é=1", ()),
        ("B" * 20_000, ()),
    ],
    ids=range(11),
)
def test_a_field_holds_any_number_of_challenges(value: str, found: object) -> None:
    assert challenges(value)[: len(found)] == found  # type: ignore[arg-type]  # a tuple


def test_they_are_read_together() -> None:
    said = challenged(
        Headers(
            (
                ("www-authenticate", 'Basic error="not-ours"'),
                ("www-authenticate", 'Bearer error="insufficient_user_authentication", acr_values="a b", max_age="60"'),
                ("www-authenticate", 'DPoP resource_metadata="https://a/x", scope="s1 s2"'),
            )
        )
    )
    assert said.errors == {"insufficient_user_authentication"}
    assert (said.acr_values, said.max_age, said.scope) == (("a", "b"), 60, {"s1", "s2"})
    assert said.resource_metadata == "https://a/x"


@pytest.mark.parametrize(
    "value", ['Bearer scope="a\\\\b"', 'Bearer scope=""', 'Bearer max_age="-1"', "Bearer max_age=1e9"]
)
def test_what_cannot_be_read_says_nothing(value: str) -> None:
    said = challenged(Headers((("www-authenticate", value),)))
    assert (said.scope, said.max_age) == (None, None)
