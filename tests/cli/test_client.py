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
from deputize.cli.serving import with_records
from deputize.compose.kinds import KINDS
from deputize.core.ports import Add
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Headers, Inbound, JsonObject, json_bytes
from deputize.oauth import registration
from deputize.oauth.client import Client, Document, SecretHash, secret_hash

runner = CliRunner()
OLD = "the secret until now"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)

    async def made() -> None:
        store = open_store(str(tmp_path / "store.db"))
        await store.migrate(KINDS)
        kept = (SecretHash(secret_hash(OLD)),)
        for key, method in (("shop", "client_secret_basic"), ("bot", "private_key_jwt")):
            client = Client(key=key, name=key, auth_method=method, grant_types=frozenset(), secrets=kept)
            assert await store.commit(Add(client))
        read = Document(fetched_at=Instant(0), fresh_until=Instant(0), digest="", policy="")
        client = Client(
            key="https://app.example/c.json", name="", auth_method="none", grant_types=frozenset(), document=read
        )
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


# --- clients that registered themselves -----------------------------------------------------------------------------


def with_mode(config: Path, mode: str) -> None:
    config.write_text(f'{config.read_text()}[oauth.registration]\nmode = "{mode}"\naudiences = ["*"]\n')


def registers(config: Path, token: str = "") -> JsonObject:
    """A client registers at the server of this configuration."""
    headers = (("content-type", "application/json"), ("authorization", f"Bearer {token}"))
    body = json_bytes({"redirect_uris": ["https://trips.example/cb"], "client_name": "Trips [red]\u202e"})
    request = Inbound(method="POST", url="https://as.example/register", headers=Headers(headers), body=body)
    return with_records(config, lambda parts: registration.register(request, parts.here, parts.env), dev=False)


def does(config: Path, *words: str) -> str:
    told = runner.invoke(app, ["client", *words, "-c", str(config)])
    assert told.exit_code == 0, told.output
    return told.stdout


def test_an_operator_sees_who_waits_and_lets_it_in_or_removes_it(config: Path) -> None:
    with_mode(config, "approval")
    made = registers(config)["client_id"]
    assert does(config, "list", "--waiting").splitlines() == [
        f"{made}  Trips [red]: waiting, known by registration",
        "  authenticates with client_secret_basic; authorization_code",
        "  answers go to https://trips.example/cb",
        "  may ask for openid profile",
    ]
    assert does(config, "allow", made) == f"{made} is let in\n"
    assert does(config, "list", "--waiting") == "No client waits.\n"
    (one,) = [row for row in json.loads(does(config, "list", "--json")) if row["client_id"] == made]
    assert (one["state"], one["known_by"], one["forgotten_at"] > 0) == ("enabled", "registration", True)
    assert does(config, "remove", made) == f"{made} is removed\n"
    assert made not in does(config, "list")
    for verb in ("allow", "remove"):
        assert runner.invoke(app, ["client", verb, made, "-c", str(config)]).exit_code == 1


def test_any_client_can_be_removed_but_one_that_nobody_registered(config: Path) -> None:
    assert does(config, "remove", "shop") == "shop is removed\n"
    assert not fits(config, OLD)
    told = runner.invoke(app, ["client", "remove", "nobody", "-c", str(config)])
    assert (told.exit_code, "no client of this name" in str(told.exception)) == (1, True)
    told = runner.invoke(app, ["client", "remove", "https://app.example/c.json", "-c", str(config)])
    assert (told.exit_code, "oauth.clients.document.blocked" in str(told.exception)) == (1, True)


def test_an_initial_token_is_told_once_and_lets_one_client_register(config: Path) -> None:
    told = runner.invoke(app, ["client", "invite", "-c", str(config)])
    assert (told.exit_code, "oauth.registration.mode" in str(told.exception)) == (1, True)
    with_mode(config, "initial-token")
    token = does(config, "invite", "--life", "1h").strip()
    assert len(token) >= 43
    assert token.encode() not in (config.parent / "store.db").read_bytes()
    assert registers(config, token)["client_id"]
    with pytest.raises(Refusal):
        registers(config, token)
