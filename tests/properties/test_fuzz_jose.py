"""A few thousand of the mutated objects of which `python -m fuzz.jose` tries a million."""

import random

from fuzz.jose import Fuzzer, main


def test_jw_26_no_crash_and_nothing_that_ours_alone_accepts() -> None:
    fuzzer = Fuzzer(random.Random(26))
    fuzzer.run(5_000)
    assert not fuzzer.findings, fuzzer.findings[0]
    assert fuzzer.tally["accepted"] > 300, "a fuzzer whose objects are all refused finds nothing"


def test_a_finding_is_told_and_fails() -> None:
    fuzzer = Fuzzer(random.Random(1))

    def breaks(text: str) -> bool:
        raise KeyError(text)

    fuzzer.judge("a.b.c", breaks, lambda _: False)
    fuzzer.judge(fuzzer.good[0], lambda _: True, lambda _: False)
    assert [finding.partition(":")[0] for finding in fuzzer.findings] == ["KeyError", "accepted by ours alone"]


def test_it_runs_from_the_command_line() -> None:
    assert main(50, seed=3) == 0
