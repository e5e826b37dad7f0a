"""Corpus LK: Mallory reads what lies about: the database and its backups, logs, the management port, a process list."""

import sqlite3
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from deputize.cli.main import app as command_line
from deputize.cli.running import Listening
from deputize.cli.running import _server as listening
from deputize.core.ports import Event
from deputize.core.values import Instant, Secret
from deputize.jose.keys import PrivateKey
from deputize.oauth.client import Client, Person, SecretHash
from deputize.server import people, session
from deputize.server.app import management_app
from deputize.server.http import Receive, Scope, Send
from deputize.server.wire_guard import GuardedProtocol
from tests.support.asgi import request
from tests.support.cast import BASIC, POST, BrokenStore
from tests.support.variants import KEEPER, first_tokens, refresh, remade, replay, with_keeper
from tests.support.world import CLIENT_CREDENTIALS, World, a_world

PASSWORD = "canary-password-that-nobody-guesses"


async def used(world: World) -> dict[str, str]:
    """What a day brings, good and bad; the secrets that were used."""
    await with_keeper(world)
    key = PrivateKey.generate()
    tokens = await first_tokens(world)
    second = await refresh(world, tokens["refresh_token"])
    await replay(world, tokens["refresh_token"])
    third = await first_tokens(world)
    assertion, proof = world.assertion(), world.proof(key)
    form = {**CLIENT_CREDENTIALS, **dict(world.logs_in("pharmacy-bot")[1]), "client_assertion": assertion}
    bound = await world.post("/token", form, (("dpop", proof),))
    assert bound.status == 200
    assert (await world.token(by=BASIC)).status == 200
    assert (await world.token(by=POST)).status == 200
    await world.post("/revoke", {"token": third["refresh_token"]}, by=KEEPER)
    assert await world.is_active(bound["access_token"])
    person = await people.enrol(world.env, login="carol", name="Carol", password=PASSWORD)
    cookie = await session.begin(person, None, session.Settings(), world.env)
    return {
        "first refresh token": tokens["refresh_token"],
        "second refresh token": second["refresh_token"],
        "third refresh token": third["refresh_token"],
        "its secret": third["refresh_token"].partition(".")[2],
        "access token": tokens["access_token"],
        "bound access token": bound["access_token"],
        "ID token": tokens["id_token"],
        "secret": world.secrets[BASIC],
        "posted secret": world.secrets[POST],
        "assertion": assertion,
        "proof": proof,
        "password": PASSWORD,
        "cookie": cookie,
        "form token": session.form_token(cookie),
        "a client's private key": str(world.keys["pharmacy-bot"].to_jwk()["d"]),
        "the server's private key": str(world.signer.all[0].to_jwk()["d"]),
    }


async def test_lk_04_lk_05_no_file_of_the_store_holds_what_somebody_could_use(tmp_path: Path) -> None:
    """Its journal and a backup neither, while it is in use and when it is closed."""
    async with a_world(tmp_path / "world.db") as world:
        secrets = await used(world)
        with sqlite3.connect(tmp_path / "world.db") as source, sqlite3.connect(tmp_path / "backup.db") as copy:
            source.backup(copy)
        source.close()
        copy.close()
        lying = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    lying |= {f"{file.name}, closed": file.read_bytes() for file in tmp_path.iterdir()}
    assert {"world.db", "world.db-wal", "world.db-shm", "backup.db", "world.db, closed"} <= set(lying)
    assert b"pharmacy-bot" in lying["world.db-wal"] + lying["world.db"]
    for what, secret in secrets.items():
        for where, data in lying.items():
            assert secret.encode() not in data, f"{what} lies in {where}"
            assert secret.partition(".")[2].encode() not in data or "." not in secret, f"half of {what} in {where}"


async def test_lk_01_lk_04_no_log_line_and_no_event_holds_what_somebody_could_use(world: World) -> None:
    secrets = await used(world)
    told = [str(line) for line in world.logged]
    told += [str(event) for event in await world.store.select(Event, "", "", limit=10_000)]
    assert told
    for what, secret in secrets.items():
        assert not [line for line in told if secret in line], what


@pytest.mark.parametrize("kind", ["client", "resource", "family", "person"])
async def test_lk_02_a_fault_in_the_midst_tells_no_secret(world: World, kind: str) -> None:
    await with_keeper(world)
    token = (await first_tokens(world))["refresh_token"]
    remade(world, store=BrokenStore(world.store, frozenset({kind})))
    form = {"grant_type": "refresh_token", "refresh_token": token}
    answer = await world.post_quickly("/token", form, by=KEEPER)
    assert answer.status == 503
    assert {"event": "failed"}.items() <= world.logged[-1].items()
    for said in (answer.body.decode(), str(answer.headers), *map(str, world.logged)):
        assert token not in said
        assert world.secrets[BASIC] not in said
    assert b"canary" not in answer.body  # which the store's own trouble names


def test_lk_03_no_query_is_logged() -> None:
    """There is no access log: whoever wants one has it from the proxy, and masks it there."""
    config = listening(Listening(nothing, "127.0.0.1", 0), GuardedProtocol).config
    assert config.access_log is False
    assert config.log_config is None


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that is never asked."""


async def test_lk_06_the_management_port_knows_nobody(world: World) -> None:
    await used(world)
    app = management_app(world.env)
    for path, told in (("/healthz", {"alive": True}), ("/readyz", {"ready": True})):
        assert (await request(app, "GET", f"http://127.0.0.1{path}", ())).json == told
    for path in ("/metrics", "/debug", "/debug/pprof", "/", "/jwks", "/token", "/healthz/x"):
        assert (await request(app, "GET", f"http://127.0.0.1{path}", ())).status == 404


def test_lk_07_no_verb_takes_a_secret_on_its_command_line() -> None:
    """The process list shows it to everybody. `explain -`, which is the default, reads a token from standard input."""

    def verbs(command: Any, name: str) -> dict[str, Any]:
        parts = getattr(command, "commands", None)
        if parts is None:
            return {name: command}
        return {k: v for sub, one in parts.items() for k, v in verbs(one, f"{name} {sub}".strip()).items()}

    taken = [
        (verb, option.name)
        for verb, command in verbs(typer.main.get_command(command_line), "").items()
        for option in command.params
        if any(word in str(option.name) for word in ("secret", "password", "token", "key", "pin", "dsn"))
    ]
    assert [(verb, name) for verb, name in taken if (verb, name) not in HARMLESS] == []


HARMLESS = {
    *(("explain", "token"), ("try client-credentials", "show_token"), ("try code", "show_token")),
    ("try device", "show_token"),
    *(("vc issue", "key"), ("vc present", "key")),  # files
}


def test_lk_09_what_is_secret_has_no_equality_that_takes_its_time() -> None:
    """Kept secrets are found by their hash or held with `compare_digest`: neither stops at the first difference."""
    assert (Secret("a") == Secret("a")) is False
    assert repr(Secret("canary")) == "Secret(…)"
    kept = SecretHash("A" * 43)
    assert not kept.matches("ü\ud800", Instant(0))
    assert "secrets" in {field.name for field in fields(Client)}
    assert not {"password", "secret"} & {field.name for kind in (Client, Person) for field in fields(kind)}
