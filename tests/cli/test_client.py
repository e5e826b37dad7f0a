"""An operator and the clients: a secret is made anew, and told once."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deputize.adapters.stores import open_store
from deputize.adapters.system import SystemClock
from deputize.cli.client import rotate_secret, span
from deputize.cli.main import app
from deputize.core.ports import Add
from deputize.core.rules import Fault
from deputize.core.values import Seconds
from deputize.oauth.client import Client, SecretHash, secret_hash

runner = CliRunner()
OLD = "the secret until now"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    async def made() -> None:
        store = open_store(str(tmp_path / "store.db"))
        kept = (SecretHash(secret_hash(OLD)),)
        for key, method in (("shop", "client_secret_basic"), ("bot", "private_key_jwt")):
            client = Client(key=key, name=key, auth_method=method, grant_types=frozenset(), secrets=kept)
            assert await store.commit(Add(client))
        await store.close()

    asyncio.run(made())
    file = tmp_path / "deputize.toml"
    file.write_text(f'[server]\nissuer = "https://as.example"\n[store]\npath = "{tmp_path}/store.db"\n')
    return file


def fits(config: Path, secret: str, later: int = 0) -> bool:
    async def read() -> Client | None:
        store = open_store(str(config.parent / "store.db"))
        try:
            return await store.read(Client, "shop")
        finally:
            await store.close()

    client = asyncio.run(read())
    assert client is not None
    now = type(SystemClock()())(SystemClock()() + later)
    return any(kept.matches(secret, now) for kept in client.secrets)


def test_a_new_secret_is_told_once_and_the_old_one_works_on_for_a_while(config: Path) -> None:
    told = runner.invoke(app, ["client", "secret", "rotate", "shop", "--overlap", "1h", "-c", str(config)])
    assert told.exit_code == 0
    secret = told.stdout.strip()
    assert len(secret) >= 43
    assert secret not in told.stderr
    assert "1h longer" in told.stderr
    assert fits(config, secret)
    assert fits(config, OLD, later=3590)
    assert not fits(config, OLD, later=3600)
    assert secret.encode() not in (config.parent / "store.db").read_bytes()


def test_machines_are_told_the_same(config: Path) -> None:
    words = ["client", "secret", "rotate", "shop", "--overlap", "0s", "--json", "-c", str(config)]
    told = json.loads(runner.invoke(app, words).stdout)
    assert sorted(told) == ["before_until", "client_id", "client_secret"]
    assert fits(config, told["client_secret"])
    assert not fits(config, OLD)


@pytest.mark.parametrize("client", ["bot", "nobody"])
def test_a_client_without_a_secret_gets_none(config: Path, client: str) -> None:
    with pytest.raises(Fault, match="no client of this name that has a secret"):
        rotate_secret(config, client, Seconds(60), dev=False)


def test_no_records_are_made_by_asking(tmp_path: Path) -> None:
    file = tmp_path / "deputize.toml"
    file.write_text(f'[server]\nissuer = "https://as.example"\n[store]\npath = "{tmp_path}/store.db"\n')
    with pytest.raises(Fault, match="there are no records"):
        rotate_secret(file, "shop", Seconds(60), dev=False)
    assert not (tmp_path / "store.db").exists()


def test_a_span_is_a_number_and_a_unit() -> None:
    assert [span(text) for text in ("0s", "90s", "30m", "24h", "7d")] == [0, 90, 1800, 86400, 604800]
    for text in ("", "24", "h", "-1h", "1.5h", "1w", "\u0661h", "24h\n", "9999999d"):
        with pytest.raises(Fault, match="no span of time"):
            span(text)
