"""Every Rule is proven both ways, said once, and claimed only where it lives."""

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache

from tools.rules import ROOT, Live, Proofs, live, proven

DIVERGENCES = ROOT / "docs" / "divergences.md"
_EXCUSED = re.compile(r"\| `(?P<name>[a-z_0-9.]+\.[A-Z_0-9]+)` \| (?P<why>[^|]*\S[^|]*) \|")


@cache
def _rules() -> tuple[Live, ...]:
    return live()


@cache
def _proofs() -> Proofs:
    return proven()


@cache
def _excused() -> dict[str, str]:
    lines = DIVERGENCES.read_text(encoding="utf-8").splitlines()
    return {row["name"]: row["why"].strip() for line in lines if (row := _EXCUSED.fullmatch(line))}


def _unproven() -> dict[str, str]:
    """What each rule lacks, by the rule's name."""
    lacks: dict[str, str] = {}
    for each in _rules():
        without = [
            what
            for what, table in (("lets_through", _proofs().lets_through), ("stops", _proofs().stops))
            if each.rule not in table
        ]
        if without:
            lacks[each.name] = f"has no test with @{' and none with @'.join(without)}"
    return lacks


def _listed(lines: Iterable[str]) -> str:
    return "".join(f"\n  {line}" for line in sorted(lines))


def test_each_rule_lets_the_good_through_and_stops_the_bad() -> None:
    missing = [f"{name} {what}" for name, what in _unproven().items() if name not in _excused()]
    assert not missing, f"{len(missing)} rules lack a proof:{_listed(missing)}"


def test_an_excuse_is_for_a_rule_that_lives_and_lacks_a_proof() -> None:
    stale = [f"{name} needs no line in docs/divergences.md" for name in _excused() if name not in _unproven()]
    assert not stale, _listed(stale)


def test_no_two_rules_say_the_same() -> None:
    said: defaultdict[str, list[str]] = defaultdict(list)
    for each in _rules():
        said[each.rule.says.casefold()].append(each.name)
    twice = [" = ".join(names) for names in said.values() if len(names) > 1]
    assert not twice, f"said more than once:{_listed(twice)}"


def test_a_claimed_rule_lives_in_the_package() -> None:
    alive = {each.rule for each in _rules()}
    foreign = [
        f"{', '.join(sorted(tests))} claims {rule}" for rule, tests in _proofs().claimed().items() if rule not in alive
    ]
    assert not foreign, f"no module of deputize holds these at its top:{_listed(foreign)}"


def test_only_tests_claim_rules() -> None:
    """A helper that claims a rule proves nothing: nobody runs it by itself."""
    claims = {claim for tests in _proofs().claimed().values() for claim in tests}
    helpers = [claim for claim in claims if not claim.rpartition(".")[2].startswith("test_")]
    assert not helpers, _listed(helpers)


def test_a_rule_is_a_sentence() -> None:
    """It goes out as `error_description`, whose characters RFC 6749 (5.2) bounds."""
    crooked = [
        each.name
        for each in _rules()
        if not re.fullmatch(r"[A-Z][\x20-\x21\x23-\x5B\x5D-\x7E]+\.", each.rule.says)
        or not (each.rule.spec and each.rule.section)
    ]
    assert not crooked, f"printable ASCII without quote and backslash, from a capital to a full stop:{_listed(crooked)}"
