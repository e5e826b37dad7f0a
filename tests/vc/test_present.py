"""The holder's choice: what it wants shown goes along, what has to, and nothing else."""

import pytest

from deputize.core.rules import Refusal
from deputize.vc.issue import Frame
from deputize.vc.present import binding_input, choose, present, tree
from deputize.vc.presented import HOLDER_KEY, NO_BINDING_HERE
from deputize.vc.sdjwt import REFERENCED, parse
from tests.jose.making import a_key
from tests.vc.made import ASKED, NOW, an_sd_jwt, claims, holder_key, read, without

NESTED = Frame.of(
    "given_name", "address", ("address", "locality"), ("address", "country"), "nationalities", ("nationalities", None)
)


@pytest.mark.parametrize(
    ("show", "seen"),
    [
        ([], {}),
        (["given_name"], {"given_name": "Alice"}),
        ([("address", "locality")], {"address": {"locality": "Madrid"}}),
        (["address"], {"address": {"locality": "Madrid", "country": "ES"}}),
        ([("nationalities", 1)], {"nationalities": ["PT"]}),
        ([("nationalities", None)], {"nationalities": ["ES", "PT"]}),
        (["nationalities", "given_name"], {"nationalities": ["ES", "PT"], "given_name": "Alice"}),
        (["iss", "cnf"], {}),
    ],
)
def test_what_is_wanted_is_shown_with_what_it_lies_in_and_nothing_else(
    show: list[str], seen: dict[str, object]
) -> None:
    always = {name: value for name, value in claims().items() if name in {"iss", "vct", "iat", "exp", "cnf"}}
    text = an_sd_jwt(NESTED)
    sent = present(text, show, asked=ASKED, key=holder_key(), now=NOW)
    assert read(sent, ASKED).claims == always | seen
    assert read(choose(text, show)).claims == always | seen
    assert [*parse(sent, "x").disclosures] == [each for each in parse(text, "x").disclosures if each in sent]


def test_what_is_not_there_cannot_be_shown() -> None:
    for show in (["middle_name"], [("nationalities", 7)]):
        with pytest.raises(ValueError, match="nothing in the credential"):
            choose(an_sd_jwt(), show)
    with pytest.raises(ValueError, match="selects"):
        choose(an_sd_jwt(), [("given_name", "first")])


def test_a_holder_that_was_given_less_shows_no_more() -> None:
    text = an_sd_jwt()
    shown = [index for index, each in enumerate(parse(text, "x").disclosures) if each in choose(text, ["given_name"])]
    with pytest.raises(ValueError, match="nothing in the credential"):
        choose(without(text, *shown), ["given_name"])
    kept = choose(text, [("nationalities", 0)])
    assert choose(kept, [("nationalities", None)]) == kept  # of two, the other one was not given along


def test_what_binds_needs_the_key_that_the_credential_names() -> None:
    with pytest.raises(ValueError, match="another key"):
        present(an_sd_jwt(), [], asked=ASKED, key=a_key("ES256", 99), now=NOW)
    with pytest.raises(ValueError, match="needed"):
        present(an_sd_jwt(), [], asked=ASKED, now=NOW)
    with pytest.raises(Refusal) as refused:
        present(an_sd_jwt(cnf=...), [], asked=ASKED, key=holder_key(), now=NOW)
    assert refused.value.rule is HOLDER_KEY


def test_a_key_in_hardware_signs_what_is_to_be_signed() -> None:
    from deputize.jose import jws  # noqa: PLC0415 (of this test alone)

    chosen = choose(an_sd_jwt(), ["given_name"])
    data = binding_input(chosen, ASKED, alg="ES256", now=NOW)
    assert read(chosen + jws.compact(data, holder_key().sign(data)), ASKED).holder


def test_a_holder_takes_no_presentation_for_a_credential() -> None:
    bound = present(an_sd_jwt(), [], asked=ASKED, key=holder_key(), now=NOW)
    for take in (tree, lambda text: choose(text, [])):
        with pytest.raises(Refusal) as refused:
            take(bound)
        assert refused.value.rule is NO_BINDING_HERE


def test_a_holder_is_not_given_what_nothing_references() -> None:
    with pytest.raises(Refusal) as refused:
        tree(an_sd_jwt() + "WyJhIiwiYiIsMV0~")
    assert refused.value.rule is REFERENCED


def test_a_tree_tells_what_can_be_shown() -> None:
    hidden = {node.path for node in tree(an_sd_jwt(NESTED)).below() if node.disclosure}
    assert hidden == {
        ("given_name",),
        ("address",),
        ("address", "locality"),
        ("address", "country"),
        ("nationalities",),
        ("nationalities", 0),
        ("nationalities", 1),
    }
