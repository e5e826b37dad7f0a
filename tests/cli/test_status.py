"""`deputize status`: lists are shown, told and written as files, from the records of a server."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deputize.adapters.sqlite import SqliteStore
from deputize.cli.main import app
from deputize.compose.parts import ports
from deputize.core.ports import Event
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Instant, Issuer
from deputize.oauth.statuses import FINAL, Settings, Statuses
from deputize.vc.status_token import Form, parse

RUN = CliRunner()
ISSUER = "http://127.0.0.1:9400"


def said(*words: str) -> str:
    done = RUN.invoke(app, ["status", *words], catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """A server's records with one token whose status is told; the list's name, and the index."""
    monkeypatch.chdir(tmp_path)
    Path("var").mkdir()

    async def made() -> tuple[str, int]:
        store = SqliteStore(Path("var/deputize.db"))
        env = ports(store)
        try:
            here = Statuses(Issuer(ISSUER), Settings(bits=2, lists=1, size=2**13))
            drawn = await here.draw(Instant(env.clock() + 300), env)
            assert await store.commit(*drawn.changes)
        finally:
            await store.close()
        told = drawn.claim["status_list"]
        return told["uri"].rpartition("/")[2], told["idx"]

    return asyncio.run(made())


async def _events() -> list[str]:
    store = SqliteStore(Path("var/deputize.db"))
    try:
        return [event.what for event in await store.select(Event, "", "")]
    finally:
        await store.close()


def test_a_list_is_shown_told_and_written(place: tuple[str, int], tmp_path: Path) -> None:
    name, idx = place
    assert "told: nothing" in said("show", "--dev")
    said("set", name, str(idx), "suspended", "--dev")
    said("set", name, str(idx), "invalid", "--dev")
    (one,) = json.loads(said("show", "--dev", "--json"))
    assert (one["name"], one["told"], one["takes_entries"]) == (name, {"1": 1}, True)
    assert asyncio.run(_events()).count("status_told") == 2
    said("export", "out", "--dev")
    for form, suffix in ((Form.JWT, "jwt"), (Form.CWT, "cwt")):
        token = parse((tmp_path / "out" / f"{name}.{suffix}").read_bytes(), form, error="x")
        assert token.claims["sub"] == f"{ISSUER}/status/{name}"
    named = json.loads((tmp_path / "out" / "status_lists.json").read_text())
    assert named == {"status_lists": [f"{ISSUER}/status/{name}"]}


def test_what_cannot_be_told_is_refused(place: tuple[str, int]) -> None:
    name, idx = place
    for words in (("nobody", "1", "invalid"), (name, str(idx), "gone"), (name, str((idx + 1) % 2**13), "1")):
        with pytest.raises(Fault):
            said("set", *words, "--dev")
    said("set", name, str(idx), "1", "--dev")
    with pytest.raises(Refusal) as refused:
        said("set", name, str(idx), "valid", "--dev")
    assert refused.value.rule is FINAL


def test_without_records_there_is_nothing_to_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Fault):
        said("show", "--dev")
