"""RC-05: the server is killed while a code is exchanged. Nobody ever has two sets of tokens for one code."""

import json
import random
import threading
from pathlib import Path

import httpx2
import pytest

from tests.cli.test_serving import Running, serving, until
from tests.slow.conftest import Say
from tests.slow.test_code_races import REDIRECT_URI, a_code
from tests.support.flow import VERIFIER

pytestmark = pytest.mark.slow

KILLS, LATEST_MS = 20, 60.0


def exchange(client: httpx2.Client, running: Running, code: str, answers: list[int]) -> None:
    form = {
        "grant_type": "authorization_code",
        "client_id": "demo-app",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }
    try:
        answers.append(client.post(f"{running.issuer}/token", data=form).status_code)
    except httpx2.TransportError:
        answers.append(0)


def test_whenever_it_is_killed_one_set_of_tokens_comes_of_a_code(
    place: str, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("DEPUTIZE_STORE__PATH", place)
    dice, code = random.Random(5), ""
    told: list[tuple[int, int]] = []
    for at in range(KILLS + 1):
        with httpx2.Client(trust_env=False) as client, serving(tmp_path) as running:
            until((tmp_path / "var/dev/apps.json").exists)
            answers: list[int] = []
            if at:
                exchange(client, running, code, answers)
                told[-1] = (told[-1][0], answers.pop())
            if at == KILLS:
                break
            password = json.loads((tmp_path / "var/dev/people.json").read_text())["alice"]["password"]
            code = a_code(running, password)
            exchanging = threading.Thread(target=exchange, args=(client, running, code, answers))
            exchanging.start()
            exchanging.join(dice.uniform(0, LATEST_MS) / 1000)
            running.process.kill()
            exchanging.join()
            told.append((answers[0], 0))
    assert {first for first, _ in told} <= {200, 0}
    assert {second for _, second in told} <= {200, 400}
    assert (200, 200) not in told
    before, after, lost = (told.count(outcome) for outcome in ((200, 400), (0, 200), (0, 400)))
    say(
        f"{request.node.callspec.params['place']}: killed {KILLS} times in an exchange: {before} had been answered,"
        f" {after} were answered after the restart, {lost} had been written and were lost on the way"
    )
