"""Keys on disk: made once, for one owner, and never replaced."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deputize.adapters.key_file import FileSigner
from deputize.core.rules import Fault
from deputize.jose.keys import PrivateKey, PublicKey

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def written(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    path.chmod(0o600)
    return path


async def test_a_file_is_made_with_one_key_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        signer = FileSigner.open(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]
    kid, alg = signer.active()
    (jwk,) = signer.keys()
    assert alg == jwk["alg"] == "ES256"
    assert kid == jwk["kid"]
    assert "d" not in jwk
    key = PublicKey.from_jwk(jwk)
    signature = await signer.sign(kid, b"data")
    assert key.verifies(signature, b"data")
    assert not key.verifies(signature, b"other data")


def test_what_was_made_is_found_again(path: Path) -> None:
    first = FileSigner.open(path)
    before = path.read_bytes()
    assert FileSigner.open(path).keys() == first.keys()
    assert path.read_bytes() == before


@pytest.mark.parametrize("alg", ["ES384", "Ed25519"])
async def test_the_key_is_made_for_the_algorithm_that_was_asked_for(path: Path, alg: str) -> None:
    signer = FileSigner.open(path, alg=alg)
    kid, named = signer.active()
    assert named == alg
    assert PublicKey.from_jwk(signer.keys()[0]).verifies(await signer.sign(kid, b"x"), b"x")


async def test_all_keys_are_shown_and_the_active_one_is_named(path: Path) -> None:
    old, new = PrivateKey.generate("ES256"), PrivateKey.generate("Ed25519")
    written(path, {"active": new.kid, "keys": [old.to_jwk(), new.to_jwk()]})
    signer = FileSigner.open(path)
    assert signer.active() == (new.kid, "Ed25519")
    assert signer.keys() == (old.public_jwk(), new.public_jwk())
    assert old.public().verifies(await signer.sign(old.kid, b"x"), b"x")
    with pytest.raises(Fault):
        await signer.sign("nobody", b"x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o602, 0o610, 0o777])
def test_a_file_that_others_can_reach_is_not_used(path: Path, mode: int) -> None:
    FileSigner.open(path)
    path.chmod(mode)
    with pytest.raises(Fault, match=f"chmod 600 {path}"):
        FileSigner.open(path)


GOOD = PrivateKey.generate("ES256")
OTHER = PrivateKey.generate("ES256")


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"active": "a", "active": "a", "keys": []}',
        {"active": "a", "keys": []},
        {"active": 1, "keys": [GOOD.to_jwk()]},
        {"active": GOOD.kid, "keys": {}},
        {"active": GOOD.kid, "keys": ["text"]},
        {"active": GOOD.kid, "keys": [GOOD.public_jwk()]},
        {"active": GOOD.kid, "keys": [GOOD.to_jwk(), GOOD.to_jwk()]},
        {"active": OTHER.kid, "keys": [GOOD.to_jwk()]},
        {"active": GOOD.kid, "keys": [{**GOOD.to_jwk(), "d": OTHER.to_jwk()["d"]}]},
    ],
)
def test_a_file_that_cannot_be_used_is_told_of_and_left_alone(path: Path, document: object) -> None:
    written(path, document)
    before = path.read_bytes()
    with pytest.raises(Fault, match="cannot be used, and is left as it is") as problem:
        FileSigner.open(path)
    assert path.read_bytes() == before
    assert GOOD.to_jwk()["d"] not in str(problem.value)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="directory"):
        FileSigner.open(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(Fault, match="no file"):
        FileSigner.open(tmp_path / "pipe")
    with pytest.raises(Fault, match="No such file"):
        FileSigner.open(tmp_path / "nowhere" / "keys.json")


def test_of_two_processes_that_make_it_at_once_both_have_the_same_key(path: Path) -> None:
    text = (
        "import sys; from deputize.adapters.key_file import FileSigner; print(flush=True); input();"
        f" print(FileSigner.open({str(path)!r}).active()[0])"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", text], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    kids = {child.communicate()[0].strip() for child in children}
    assert kids == {FileSigner.open(path).active()[0]}


def test_of_many_threads_that_make_it_at_once_all_have_the_same_key(path: Path) -> None:
    kids: list[str] = []
    ready = threading.Barrier(8)

    def make() -> None:
        ready.wait()
        kids.append(FileSigner.open(path).active()[0])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kids) == 8
    assert len(set(kids)) == 1
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_no_key_shows_itself(path: Path) -> None:
    signer = FileSigner.open(path)
    secret = json.loads(path.read_text())["keys"][0]["d"]
    assert secret not in repr(signer)
    assert secret not in repr(vars(signer))
