"""`deputize demo`, as a new user runs it: every act goes as told, each by real processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ACTS = [2, 3, 4, 7, 8]


@pytest.mark.timeout(180)
def test_the_demo_tells_its_acts_and_each_goes_as_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deputize.cli.main", "demo", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=170)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [act["act"] for act in told] == ACTS, done.stderr
    assert all(act["ok"] for act in told), told
    assert done.returncode == 0
    assert {act["act"]: act["status"] for act in told} == {2: 200, 3: 201, 4: 401, 7: 403, 8: 200}
    assert set(told[0]) == {"act", "told", "status", "ok"}
    assert "eyJ" not in done.stdout + done.stderr, "a token was told"
