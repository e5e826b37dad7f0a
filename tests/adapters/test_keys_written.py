"""Keys as they lie there: under a master key nothing can be read, put in, left out or altered without it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deputize.adapters import keys_ring
from deputize.adapters.keys_master import MasterKey
from deputize.adapters.keys_ring import Plan, Ring
from deputize.adapters.keys_written import from_bytes, to_bytes
from deputize.core.rules import Fault
from deputize.core.values import Instant
from deputize.core.wire import Malformed
from deputize.jose.keys import PrivateKey

NOW = Instant(1_800_000_000)
MASTER = MasterKey("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")
OTHER = MasterKey("7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq8M=")


def a_ring(alg: str = "ES256") -> Ring:
    plan = Plan(alg=alg)
    first = keys_ring.founded(plan, NOW)
    return keys_ring.rotated(first, plan, NOW, alg=alg, away_from=first.keys[0].kid)


def told(ring: Ring) -> list[tuple[Any, ...]]:
    return [
        (key.kid, key.alg, key.public, key.made_at, key.signs_from, key.signs_until, key.shown_until)
        for key in ring.keys
    ]


@pytest.mark.parametrize("master", [None, MASTER])
@pytest.mark.parametrize("alg", ["ES256", "ES384", "Ed25519", "PS256"])
def test_what_was_written_is_read(alg: str, master: MasterKey | None) -> None:
    ring = a_ring(alg)
    read = from_bytes(to_bytes(ring, master), master)
    assert read.generation == ring.generation
    assert told(read) == told(ring)
    for key in read.keys:
        assert key.private is not None
        assert key.private.public().verifies(key.private.sign(b"x"), b"x")


def test_under_a_master_key_nothing_private_is_in_sight() -> None:
    ring = a_ring()
    data = to_bytes(ring, MASTER)
    for key in ring.keys:
        assert key.private is not None
        assert key.private.to_jwk()["d"].encode() not in data
    assert b'"d"' not in data
    assert to_bytes(ring, MASTER) != data  # no nonce twice


def test_each_master_key_is_told_by_its_name_when_it_is_missing_or_another() -> None:
    data = to_bytes(a_ring(), MASTER)
    with pytest.raises(Malformed, match=f"wrapped by the master key {MASTER.name}, and no master key was given"):
        from_bytes(data, None)
    with pytest.raises(Malformed, match=f"wrapped by the master key {MASTER.name}, and the one that was given is"):
        from_bytes(data, OTHER)


def test_another_master_key_under_the_right_name_opens_nothing() -> None:
    document = json.loads(to_bytes(a_ring(), MASTER))
    document["wrapped_by"] = OTHER.name
    with pytest.raises(Malformed, match="changed by somebody without the master key"):
        from_bytes(json.dumps(document).encode(), OTHER)


def test_what_is_not_wrapped_is_not_taken_where_a_master_key_is_given() -> None:
    """Who can write the file, and has no master key, would else put a key of his own there."""
    with pytest.raises(Malformed, match="deputize keys wrap"):
        from_bytes(to_bytes(a_ring(), None), MASTER)


def altered(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(to_bytes(a_ring(), MASTER))
    change(document)
    return json.dumps(document).encode()


def own_key(document: dict[str, Any]) -> None:
    key = PrivateKey.generate()
    document["keys"].append({**document["keys"][0], "kid": key.kid, "key": key.to_jwk()})


def swapped(document: dict[str, Any]) -> None:
    first, second = document["keys"]
    first["sealed"], second["sealed"] = second["sealed"], first["sealed"]


def from_another_generation(document: dict[str, Any]) -> None:
    document["keys"][0] = json.loads(to_bytes(a_ring(), MASTER))["keys"][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["keys"][0].update(shown_until=NOW + 10**9),
        lambda document: document["keys"][0].update(signs_until=None, shown_until=None),
        lambda document: document["keys"][1].update(signs_from=NOW),
        lambda document: document["keys"][0].update(kid="another"),
        lambda document: document["keys"][0].update(alg="ES384"),
        lambda document: document.update(generation=document["generation"] + 1),
        lambda document: document["keys"].pop(0),
        lambda document: document["keys"].reverse(),
        lambda document: document["keys"][0].update(sealed=document["keys"][0]["sealed"][:-8] + "A" * 8),
        lambda document: document["keys"][0].update(sealed=""),
        lambda document: document["keys"][0].update(sealed="AAAA"),
        lambda document: document["keys"][0].pop("sealed"),
        own_key,
        swapped,
        from_another_generation,
    ],
)
def test_nothing_is_altered_without_the_master_key(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(Malformed):
        from_bytes(altered(change), MASTER)


PLAIN = json.loads(to_bytes(a_ring(), None))
KEY = PLAIN["keys"][0]


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"generation": 1, "generation": 1, "wrapped_by": null, "keys": []}',
        {**PLAIN, "generation": 0},
        {**PLAIN, "generation": True},
        {**PLAIN, "generation": "1"},
        {**PLAIN, "wrapped_by": 7},
        {**PLAIN, "keys": []},
        {**PLAIN, "keys": {}},
        {**PLAIN, "keys": ["text"]},
        {**PLAIN, "keys": [KEY, KEY]},
        {**PLAIN, "keys": [KEY]},
        {**PLAIN, "keys": [PLAIN["keys"][1], {**KEY, "kid": "another"}]},
        {**PLAIN, "keys": [PLAIN["keys"][1], {**KEY, "alg": "ES384"}]},
        {**PLAIN, "keys": [PLAIN["keys"][1], {**KEY, "signs_from": "1"}]},
        {**PLAIN, "keys": [PLAIN["keys"][1], {**KEY, "signs_until": 1.5}]},
        {**PLAIN, "keys": [PLAIN["keys"][1], {name: value for name, value in KEY.items() if name != "key"}]},
        {**PLAIN, "keys": [PLAIN["keys"][1], {**KEY, "key": {**KEY["key"], "d": PLAIN["keys"][1]["key"]["d"]}}]},
    ],
)
def test_what_is_no_ring_of_keys_is_not_read(document: object) -> None:
    data = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    with pytest.raises(Malformed) as problem:
        from_bytes(data, None)
    assert KEY["key"]["d"] not in str(problem.value)


def test_what_version_0_1_wrote_is_read() -> None:
    key = PrivateKey.generate()
    ring = from_bytes(json.dumps({"active": key.kid, "keys": [key.to_jwk()]}).encode(), None)
    assert ring.signer("ES256", NOW).kid == key.kid
    for broken in ({"active": "another", "keys": [key.to_jwk()]}, {"active": key.kid, "keys": []}):
        with pytest.raises(Malformed):
            from_bytes(json.dumps(broken).encode(), None)


# --- the master key -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "correct horse battery staple correct horse battery staple",
        "hunter2",
        "a" * 64,
        "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJ",
        "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA\nq83v",
        "0" * 42 + "1",
    ],
)
def test_a_password_is_no_master_key(text: str) -> None:
    with pytest.raises(Fault, match="at least 43 characters of base64 or hex") as problem:
        MasterKey(text)
    assert len(text) < 7 or text not in str(problem.value)


@pytest.mark.parametrize("text", ["0123456789abcdef" * 4, "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83v+/RWeJA="])
def test_random_text_in_hex_or_base64_is_one(text: str) -> None:
    assert MasterKey(text + "\n").name == MasterKey(text).name != MASTER.name


def test_it_does_not_show_itself() -> None:
    assert repr(MASTER) == f"MasterKey({MASTER.name})"
    assert MASTER.name not in "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "master.key"
    made.write_text("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA\n")
    made.chmod(0o600)
    return made


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440])
def test_it_is_read_from_a_file(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert MasterKey.from_file(path).name == MASTER.name


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o601, 0o620, 0o602])
def test_a_file_that_others_can_reach_is_not_used(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(Fault, match="chmod 600"):
        MasterKey.from_file(path)


def test_a_file_that_holds_none_is_told_of_by_its_path(path: Path) -> None:
    path.write_text("hunter2")
    with pytest.raises(Fault, match=r"master\.key: the master key is at least 43"):
        MasterKey.from_file(path)
    path.write_bytes(b"\xff" * 32)
    with pytest.raises(Fault, match=r"master\.key holds no text"):
        MasterKey.from_file(path)
    path.unlink()
    with pytest.raises(Fault, match=r"master\.key: No such file"):
        MasterKey.from_file(path)
