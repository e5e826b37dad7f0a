"""An operator and the keys: what is shown, what is done, and what is said aloud."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deputize.adapters.key_file import FileSigner
from deputize.adapters.keys_ring import State
from deputize.adapters.stores import open_store
from deputize.cli import keys
from deputize.cli.main import app
from deputize.compose import keys as keys_in_force
from deputize.compose.kinds import KINDS
from deputize.compose.parts import server_parts
from deputize.compose.settings import Mistakes, load
from deputize.core.rules import Fault

MASTER = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"
OTHER = "7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq8M="


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return configured(tmp_path)


def configured(folder: Path, more: str = "") -> Path:
    file = folder / "deputize.toml"
    file.write_text(
        f'[server]\nissuer = "https://as.example"\n[store]\npath = "{folder}/store.db"\n'
        f'[keys]\npath = "{folder}/keys.json"\n{more}\n'
    )
    return file


def kept_secret(folder: Path, text: str = MASTER, name: str = "master.key") -> Path:
    file = folder / name
    file.write_text(text)
    file.chmod(0o600)
    return file


def states(told: keys.Keys) -> list[State]:
    return [key.state for key in told.keys]


def test_before_there_are_keys_none_are_made_by_looking(config: Path) -> None:
    with pytest.raises(Fault, match="`deputize serve` makes one"):
        keys.listed(config, dev=False)
    assert not (config.parent / "keys.json").exists()


def test_keys_are_listed_with_what_they_do(config: Path) -> None:
    FileSigner.open(config.parent / "keys.json")
    keys.rotate(config, dev=False)
    told = keys.listed(config, dev=False)
    assert states(told) == [State.ACTIVE, State.NEXT]
    assert [line.split("  ", 1)[1][:22] for line in told.lines()] == ["ES256  active: signs", "ES256  next: published"]
    assert [entry["state"] for entry in told.as_json()] == ["active", "next"]
    assert "d" not in told.as_json()[0]


def test_a_rotation_says_when_the_next_key_signs(config: Path) -> None:
    FileSigner.open(config.parent / "keys.json")
    first = keys.rotate(config, dev=False)
    assert first.notes[0].startswith("The next key is published. It signs from ")
    again = keys.rotate(config, dev=False)
    assert again.notes[0].startswith("The next key is there already")
    assert again.keys == first.keys


def test_a_rotation_at_once_is_said_aloud(config: Path) -> None:
    FileSigner.open(config.parent / "keys.json")
    told = keys.rotate(config, dev=False, at_once=True)
    assert states(told) == [State.RETIRING, State.ACTIVE]
    assert told.notes[0].startswith("A KEY SIGNS FROM NOW ON THAT OTHERS HAVE HAD NO TIME TO SEE")


def test_a_key_is_retired_by_its_first_letters_and_none_by_a_guess(config: Path) -> None:
    FileSigner.open(config.parent / "keys.json")
    (before,) = keys.listed(config, dev=False).keys
    for wrong in ("", before.kid[:3], "nobody", before.kid + "x"):
        with pytest.raises(Fault, match="deputize keys list"):
            keys.retire(config, wrong, dev=False)
    told = keys.retire(config, before.kid[:8], dev=False)
    assert states(told) == [State.ACTIVE]
    assert told.keys[0].kid != before.kid
    assert "refused here within two seconds" in told.notes[0]
    assert "NO TIME TO SEE" in told.notes[1]


def test_an_algorithm_that_is_not_kept_is_not_rotated(config: Path) -> None:
    FileSigner.open(config.parent / "keys.json")
    with pytest.raises(Fault, match="no key is kept for PS256"):
        keys.rotate(config, dev=False, alg="PS256")


def test_keys_are_wrapped_and_wrapped_anew(tmp_path: Path) -> None:
    config = configured(tmp_path)
    FileSigner.open(tmp_path / "keys.json")
    before = keys.listed(config, dev=False)
    with pytest.raises(Fault, match="nothing to wrap with"):
        keys.wrap(config, dev=False)
    old = kept_secret(tmp_path)
    configured(tmp_path, f'master_key_file = "{old}"')
    with pytest.raises(Fault, match="deputize keys wrap"):
        keys.listed(config, dev=False)
    assert keys.wrap(config, dev=False).keys == before.keys
    new = kept_secret(tmp_path, OTHER, "new.key")
    configured(tmp_path, f'master_key_file = "{new}"')
    with pytest.raises(Fault, match="wrapped by the master key"):
        keys.wrap(config, dev=False)
    told = keys.wrap(config, dev=False, before=old)
    assert told.keys == before.keys
    assert told.notes[0].endswith("Start each worker anew: it knows another.")


async def migrated(place: str) -> None:
    store = open_store(place)
    await store.migrate(KINDS)
    await store.close()


async def test_keys_in_the_store_are_one_server_s_on_every_host(tmp_path: Path) -> None:
    secret = kept_secret(tmp_path)
    config = configured(tmp_path, f'keep = "store"\nmaster_key_file = "{secret}"')
    settings = load(config)
    await migrated(settings.store.path)
    one, two = [await server_parts(settings) for _ in range(2)]
    async with keys_in_force.watching(one.signer):
        assert one.env.signer.active() == two.env.signer.active()
    for parts in (one, two):
        await parts.env.store.close()
    assert not (tmp_path / "keys.json").exists()


def test_keys_in_the_store_are_rotated_retired_and_wrapped_anew(tmp_path: Path) -> None:
    old, new = kept_secret(tmp_path), kept_secret(tmp_path, OTHER, "new.key")
    config = configured(tmp_path, f'keep = "store"\nmaster_key_file = "{old}"')
    with pytest.raises(Fault, match="no keys in the store"):
        keys.listed(config, dev=False)
    made(config)
    told = keys.rotate(config, dev=False, at_once=True)
    assert states(told) == [State.RETIRING, State.ACTIVE]
    assert states(keys.retire(config, told.keys[0].kid, dev=False)) == [State.ACTIVE]
    with pytest.raises(Fault, match="wrapped from the start"):
        keys.wrap(config, dev=False)
    configured(tmp_path, f'keep = "store"\nmaster_key_file = "{new}"')
    assert keys.wrap(config, dev=False, before=old).keys == (told.keys[1],)


def made(config: Path) -> None:
    """The keys that `serve` would make."""

    async def main() -> None:
        await migrated(load(config).store.path)
        await (await server_parts(load(config))).env.store.close()

    asyncio.run(main())


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("lead = 10", "keys: lead is at least 600"),
        ("rotate_after = 100", "keys: rotate_after is 0, or at least lead and overlap together"),
        ('alg = "HS256"', "keys: HS256 is no algorithm"),
        ("overlap = 900", "keys.overlap: at least 960"),
        ('master_key_file = "a"\nmaster_key_env = "B"', "keys.master_key_file: it or keys.master_key_env"),
        ('keep = "store"', "keys.keep: in the store keys are encrypted"),
        ('keep = "cupboard"', "keys.keep: input should be 'file', 'store' or 'pkcs11'"),
        ('keep = "pkcs11"', "keys.pkcs11.module: keys.keep says pkcs11, so it is needed"),
        ('keep = "pkcs11"', "keys.pkcs11.pin_file: it or keys.pkcs11.pin_env"),
        ('keep = "pkcs11"\nalg = "PS256"', "keys.alg: a token's keys sign ES256"),
        ('keep = "pkcs11"\n[[keys.pkcs11.keys]]\nlabel = "a"\nsigns_from = "2027-01-01"', "is no time with its zone"),
        ('master_key = "secret"', "keys.master_key: no such setting"),
    ],
)
def test_what_contradicts_itself_is_told(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(Mistakes) as mistakes:
        load(configured(tmp_path, more))
    assert any(told in line for line in mistakes.value.lines), mistakes.value.lines


def test_the_master_key_is_found_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_file = load(configured(tmp_path, f'master_key_file = "{kept_secret(tmp_path)}"')).keys
    by_name = load(configured(tmp_path, 'master_key_env = "THE_MASTER_KEY"')).keys
    with pytest.raises(Fault, match="THE_MASTER_KEY, and there is no such variable"):
        keys_in_force.master_of(by_name)
    monkeypatch.setitem(os.environ, "THE_MASTER_KEY", MASTER)
    found = [keys_in_force.master_of(settings) for settings in (by_file, by_name)]
    assert len({master.name for master in found if master}) == 1
    assert keys_in_force.master_of(load(configured(tmp_path)).keys) is None


def test_a_token_is_described_by_references(tmp_path: Path) -> None:
    pin = kept_secret(tmp_path, "123456\n", "pin")
    described = (
        f'keep = "pkcs11"\n[keys.pkcs11]\nmodule = "/nowhere.so"\ntoken = "deputize"\npin_file = "{pin}"\n'
        '[[keys.pkcs11.keys]]\nlabel = "first"\n'
        '[[keys.pkcs11.keys]]\nlabel = "second"\nsigns_from = "2027-01-01T00:00:00Z"'
    )
    config = configured(tmp_path, described)
    with pytest.raises(Fault) as problem:  # the token, or the extra, is not there
        keys.listed(config, dev=False)
    assert "123456" not in str(problem.value)
    with pytest.raises(Fault, match="need no wrapping"):
        keys.wrap(config, dev=False)
    pin.write_text("")
    with pytest.raises(Fault, match="there is no PIN"):
        keys.listed(config, dev=False)
    pin.unlink()
    with pytest.raises(Fault, match="cannot be read"):
        keys.listed(config, dev=False)


def test_the_keys_of_one_algorithm_are_followed_by_name(tmp_path: Path) -> None:
    config = configured(tmp_path, 'also = ["Ed25519"]')
    FileSigner.open(tmp_path / "keys.json", keys_in_force.plan_of(load(config).keys))
    told = CliRunner().invoke(app, ["keys", "rotate", "--alg", "Ed25519", "--json", "-c", str(config)])
    assert told.exit_code == 0
    assert sorted((key["alg"], key["state"]) for key in json.loads(told.stdout)) == [
        ("ES256", "active"),
        ("Ed25519", "active"),
        ("Ed25519", "next"),
    ]
    with pytest.raises(Fault, match="no key is kept for RS256"):
        keys.rotate(config, dev=False, alg="RS256")
