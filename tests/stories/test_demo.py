"""`deputize demo`, as a new user runs it: every act goes as told, each by real processes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ACTS = [2, 3, 4, 7, 8]


def told_by(folder: Path, *words: str) -> tuple[list[dict[str, Any]], str]:
    command = [sys.executable, "-m", "deputize.cli.main", "demo", "--json", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=170)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(act["ok"] for act in told), told
    assert done.returncode == 0, done.stderr
    assert "eyJ" not in done.stdout + done.stderr, "a token was told"
    return told, done.stderr


@pytest.mark.slow  # four processes; that a mandate is taken and taken back is shown without any in tests/oauth
@pytest.mark.timeout(180)
def test_a_mandate_is_taken_by_who_has_no_tie_to_the_server_until_it_is_taken_back(tmp_path: Path) -> None:
    told, _ = told_by(tmp_path, "--act", "mandate")
    assert {act["act"]: act["status"] for act in told} == {1: 200, 2: 200, 3: 403, 4: 403}


@pytest.mark.timeout(180)
def test_the_demo_tells_its_acts_and_each_goes_as_told(tmp_path: Path) -> None:
    told, problems = told_by(tmp_path)
    assert [act["act"] for act in told] == ACTS, problems
    assert {act["act"]: act["status"] for act in told} == {2: 200, 3: 201, 4: 401, 7: 403, 8: 200}
    assert set(told[0]) == {"act", "told", "status", "ok"}
