"""Keys on disk: made once, for one owner, changed by many, and never replaced by surprise."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deputize.adapters import key_file
from deputize.adapters.key_file import FileSigner
from deputize.adapters.keys_ring import Plan, State
from deputize.core.rules import Fault
from deputize.core.values import Seconds
from deputize.jose.keys import PrivateKey
from tests.adapters.keys import DAY, MASTER, OTHER_MASTER, kids, signs, states
from tests.support import logs
from tests.support.ports import FixedClock

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def logged() -> Iterator[list[Mapping[str, object]]]:
    logs.plainly()
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]  # they are told as dictionaries that can be changed; nobody does
    logs.plainly()


def written(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    path.chmod(0o600)
    return path


# --- making and reading -----------------------------------------------------------------------------------------------


async def test_a_file_is_made_with_one_key_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        signer = FileSigner.open(path)
        await signer.rotate()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]
    assert await signs(signer) in kids(signer)
    assert all("d" not in jwk for jwk in signer.keys())  # noqa: SIM118 (a signer is no dictionary)


def test_what_was_made_is_found_again(path: Path) -> None:
    first = FileSigner.open(path)
    before = path.read_bytes()
    assert FileSigner.open(path).keys() == first.keys()
    assert path.read_bytes() == before


def test_where_none_is_to_be_made_none_is(path: Path) -> None:
    with pytest.raises(Fault, match="there is no key file"):
        FileSigner.open(path, make=False)
    assert not path.exists()


@pytest.mark.parametrize("alg", ["ES384", "Ed25519"])
async def test_the_key_is_made_for_the_algorithm_that_was_asked_for(path: Path, alg: str) -> None:
    signer = FileSigner.open(path, Plan(alg=alg))
    assert signer.active()[1] == alg
    await signs(signer)


async def test_a_further_algorithm_has_its_own_key(path: Path) -> None:
    signer = FileSigner.open(path, Plan(also=("Ed25519",)))
    assert signer.active()[1] == "ES256"
    kid, alg = signer.active("Ed25519")
    assert alg == "Ed25519"
    assert await signer.sign(kid, b"x")
    with pytest.raises(Fault):
        signer.active("PS256")
    with pytest.raises(Fault):
        await signer.rotate(alg="PS256")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o602, 0o610, 0o777])
def test_kr_05_a_file_that_others_can_reach_is_not_used(path: Path, mode: int) -> None:
    FileSigner.open(path)
    path.chmod(mode)
    with pytest.raises(Fault, match=f"chmod 600 {path}"):
        FileSigner.open(path)


@pytest.mark.parametrize("document", ["", "{}", {"generation": 1, "wrapped_by": None, "keys": []}])
def test_a_file_that_cannot_be_used_is_told_of_and_left_alone(path: Path, document: object) -> None:
    written(path, document)
    before = path.read_bytes()
    with pytest.raises(Fault, match="cannot be used, and is left as it is"):
        FileSigner.open(path)
    assert path.read_bytes() == before


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="directory"):
        FileSigner.open(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(Fault, match="no file"):
        FileSigner.open(tmp_path / "pipe")
    with pytest.raises(Fault, match="No such file"):
        FileSigner.open(tmp_path / "nowhere" / "keys.json")


async def test_the_key_of_version_0_1_goes_on_signing_and_is_followed(path: Path) -> None:
    key = PrivateKey.generate()
    written(path, {"active": key.kid, "keys": [key.to_jwk()]})
    signer = FileSigner.open(path)
    assert await signs(signer) == key.kid
    await signer.tend()
    assert [state for _, state in states(FileSigner.open(path))] == [State.ACTIVE, State.NEXT]


def test_no_key_shows_itself(path: Path) -> None:
    signer = FileSigner.open(path)
    secret = json.loads(path.read_text())["keys"][0]["key"]["d"]
    assert secret not in repr(signer)
    assert secret not in repr(vars(signer))


# --- the life of keys -------------------------------------------------------------------------------------------------


async def test_each_state_comes_when_its_time_does(path: Path, clock: FixedClock) -> None:
    signer = FileSigner.open(path, clock=clock)
    first = await signs(signer)
    await signer.rotate()
    second = next(iter(kids(signer) - {first}))
    assert states(signer) == [(first, State.ACTIVE), (second, State.NEXT)]
    with pytest.raises(Fault, match="signs now"):
        await signer.sign(second, b"too early")
    clock.forward(DAY - 1)
    assert await signs(signer) == first
    clock.forward(1)
    assert await signs(signer) == second
    assert states(signer) == [(first, State.RETIRING), (second, State.ACTIVE)]
    assert await signer.sign(first, b"asked who signs, a moment ago")
    clock.forward(60)
    signer.active()
    with pytest.raises(Fault, match="signs now"):
        await signer.sign(first, b"too late")
    clock.forward(DAY - 61)
    assert kids(signer) == {first, second}
    clock.forward(1)
    assert kids(signer) == {second}
    assert first in path.read_text()
    await signer.tend()
    assert first not in path.read_text()


async def test_keys_follow_each_other_without_an_operator(path: Path, clock: FixedClock) -> None:
    signer = FileSigner.open(path, clock=clock)
    seen = []
    for _ in range(300):
        await signer.tend()
        seen.append(await signs(signer))
        clock.forward(DAY)
    assert len(set(seen)) == 4
    assert [seen.count(kid) for kid in dict.fromkeys(seen)] == [90, 90, 90, 30]


async def test_nothing_is_written_where_nothing_is_due(path: Path, clock: FixedClock) -> None:
    signer = FileSigner.open(path, clock=clock)
    before = path.stat()
    await signer.tend()
    assert path.stat() == before


async def test_within_a_second_of_the_clock_nothing_is_looked_at(path: Path, clock: FixedClock) -> None:
    signer = FileSigner.open(path, clock=clock)
    active, keys = signer.active(), signer.keys()
    path.unlink()
    assert signer.active() == active
    assert signer.keys() is keys  # so that what others made of it stays good


async def test_what_another_process_changed_is_seen_within_a_second(path: Path, clock: FixedClock) -> None:
    here, there = FileSigner.open(path, clock=clock), FileSigner.open(path, clock=clock)
    first, keys = await signs(here), here.keys()
    await there.rotate(at_once=True)
    assert await signs(here) == first
    clock.forward(1)
    assert await signs(here) == await signs(there) != first
    assert here.keys() is not keys


async def test_a_retired_key_signs_and_verifies_no_more(path: Path, clock: FixedClock) -> None:
    here, there = FileSigner.open(path, clock=clock), FileSigner.open(path, clock=clock)
    first = await signs(here)
    await there.retire(first)
    assert first not in path.read_text()
    clock.forward(1)
    assert first not in kids(here)
    with pytest.raises(Fault, match="signs now") as problem:
        await here.sign(first, b"x")
    assert problem.value.retry
    assert await signs(here) == await signs(there)
    with pytest.raises(Fault, match="no key nobody"):
        await here.retire("nobody")


@pytest.mark.parametrize("jump", [3600, -3600, DAY, -DAY, -400 * DAY])
async def test_a_clock_that_jumps_leaves_a_key_that_signs(path: Path, clock: FixedClock, jump: int) -> None:
    """CK-01: whatever the clock does, there is a key to sign with, and it is published."""
    signer = FileSigner.open(path, clock=clock)
    await signer.rotate()
    clock.forward(jump)
    await signs(signer)
    await signer.tend()
    await signs(signer)
    clock.forward(-jump)
    await signs(signer)


# --- when it cannot be read -------------------------------------------------------------------------------------------


async def test_the_last_good_keys_stay_in_use_and_the_log_is_told_once(
    path: Path, clock: FixedClock, logged: list[Mapping[str, object]]
) -> None:
    signer = FileSigner.open(path, clock=clock)
    active, good = signer.active(), path.read_bytes()
    logged.clear()

    async def still_signs_while(what: str) -> None:
        for _ in range(3):
            clock.forward(1)
            assert signer.active() == active
            assert await signs(signer) == active[0]
        (line,) = logged
        assert line["event"] == "keys not read; the last good ones stay in use"
        assert what in str(line["what"])
        logged.clear()

    async def is_read_again() -> None:
        clock.forward(1)
        assert await signs(signer) == active[0]
        assert [line["event"] for line in logged] == ["keys are read again"]
        logged.clear()

    path.unlink()
    await still_signs_while("No such file")
    written(path, good.decode())
    await is_read_again()
    written(path, "{")
    await still_signs_while("cannot be used")
    written(path, good.decode())
    await is_read_again()
    path.chmod(0o644)
    await still_signs_while("chmod 600")
    path.chmod(0o600)
    await is_read_again()


async def test_an_older_file_is_not_taken_while_the_newer_keys_are_in_use(
    path: Path, clock: FixedClock, logged: list[Mapping[str, object]]
) -> None:
    """Whoever holds a stolen key, and the file from before it was retired, gains nothing by putting that back."""
    signer = FileSigner.open(path, clock=clock)
    stolen, copy = await signs(signer), path.read_text()
    await signer.retire(stolen)
    written(path, copy)
    logged.clear()
    for _ in range(3):
        clock.forward(1)
        assert stolen not in kids(signer)
    assert [line["log_level"] for line in logged] == ["error"]
    assert "older generation" in str(logged[0]["what"])


async def test_a_change_to_a_file_that_is_gone_or_broken_is_a_fault(path: Path) -> None:
    signer = FileSigner.open(path)
    written(path, "{")
    with pytest.raises(Fault, match="cannot be used"):
        await signer.rotate()
    path.unlink()
    with pytest.raises(Fault, match="No such file"):
        await signer.rotate()
    assert not list(path.parent.iterdir())


async def test_who_holds_the_file_for_long_makes_others_give_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_file, "LOCKED_SECONDS_MAX", 0.1)
    signer = FileSigner.open(path)
    with key_file._locked(path), pytest.raises(Fault, match="somebody else has been changing"):
        await signer.rotate()
    await signer.rotate()


# --- several at once --------------------------------------------------------------------------------------------------


def _children(path: Path, verb: str, count: int) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.adapters.keys", str(path), verb, str(FixedClock().now)]
    pipe = subprocess.PIPE
    none = subprocess.DEVNULL
    return [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=none, text=True) for _ in range(count)]


def _all_at_once(children: list[subprocess.Popen[str]]) -> set[str]:
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    return {child.communicate()[0].strip() for child in children}


def test_of_processes_that_make_it_at_once_all_have_the_same_key(path: Path) -> None:
    found = _all_at_once(_children(path, "make", 3))
    assert found == {FileSigner.open(path).active()[0]}


def test_of_many_threads_that_make_it_at_once_all_have_the_same_key(path: Path) -> None:
    found: list[str] = []
    ready = threading.Barrier(8)

    def make() -> None:
        ready.wait()
        found.append(FileSigner.open(path).active()[0])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_kr_03_of_processes_that_rotate_at_the_same_moment_all_have_the_same_new_key(
    path: Path, clock: FixedClock
) -> None:
    first = FileSigner.open(path, clock=clock).active()[0]
    found = _all_at_once(_children(path, "rotate", 3))
    signer = FileSigner.open(path, clock=clock)
    assert found == {signer.active()[0]}
    assert kids(signer) == {first, *found}


def _killed_while_changing(path: Path, times: int) -> int:
    """Kill -9 a process in the middle of its changes; how many of them it had acknowledged."""
    acknowledged = 0
    now = int(FixedClock().now)
    for turn in range(times):
        command = [sys.executable, "-m", "tests.adapters.keys", str(path), "churn", str(now)]
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(3 + turn % 5)]
        time.sleep(turn % 10 / 3000)  # so that it is hit now here, now there
        child.send_signal(signal.SIGKILL)
        lines += child.communicate()[0].splitlines()
        told = [line.split() for line in lines if len(line.split()) == 2]
        kid, at = told[-1]
        now, acknowledged = int(at), acknowledged + len(told)
        signer = FileSigner.open(path, clock=FixedClock(now + 1))
        assert kid in kids(signer), "what was acknowledged is not there"
        left = [file.name for file in path.parent.iterdir() if file.name != path.name]
        assert len(left) <= 1
    return acknowledged


def test_a_crash_leaves_the_old_file_or_the_new_one(path: Path) -> None:
    FileSigner.open(path, clock=FixedClock())
    assert _killed_while_changing(path, 3) >= 3


@pytest.mark.slow
def test_many_crashes_leave_the_old_file_or_the_new_one(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FileSigner.open(path, clock=FixedClock())
    acknowledged = _killed_while_changing(path, 100)
    with capsys.disabled():
        sys.stdout.write(f"\nkeys in a file: 100 × kill -9, {acknowledged} changes acknowledged, none lost\n")


async def test_what_a_crash_left_behind_goes_with_the_next_change(path: Path) -> None:
    signer = FileSigner.open(path)
    (path.parent / f".{path.name}.half").write_text("a private key")
    (path.parent / "another.json").write_text("of somebody else")
    await signer.rotate()
    assert sorted(file.name for file in path.parent.iterdir()) == ["another.json", "keys.json"]


async def test_a_link_to_the_file_stays_one(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "kept.json"
    FileSigner.open(target)
    path.symlink_to(target)
    signer = FileSigner.open(path)
    await signer.rotate(at_once=True)
    assert path.is_symlink()
    assert FileSigner.open(target).active() == signer.active()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the keys of a server that runs as another user")
async def test_what_an_administrator_changes_still_belongs_to_the_server(path: Path) -> None:
    signer = FileSigner.open(path)
    os.chown(path, 12345, 12346)
    await signer.rotate()
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 12346, 0o600)


# --- the master key ---------------------------------------------------------------------------------------------------


async def test_under_a_master_key_the_file_is_wrapped_from_the_start(path: Path, clock: FixedClock) -> None:
    signer = FileSigner.open(path, master=MASTER, clock=clock)
    first = await signs(signer)
    await signer.rotate(at_once=True)
    assert '"d"' not in path.read_text()
    again = FileSigner.open(path, master=MASTER, clock=clock)
    assert await signs(again) == await signs(signer) != first


@pytest.mark.parametrize("master", [None, OTHER_MASTER])
def test_kr_04_without_the_right_master_key_it_is_not_opened_and_not_replaced(path: Path, master: None) -> None:
    FileSigner.open(path, master=MASTER)
    before = path.read_bytes()
    with pytest.raises(Fault, match="is left as it is: it is wrapped by the master key"):
        FileSigner.open(path, master=master)
    assert path.read_bytes() == before


async def test_an_open_file_is_wrapped_when_somebody_says_so(path: Path, clock: FixedClock) -> None:
    signer = FileSigner.open(path, clock=clock)
    first = await signs(signer)
    with pytest.raises(Fault, match="deputize keys wrap"):
        FileSigner.open(path, master=MASTER, clock=clock)
    key_file.wrap(path, MASTER)
    assert '"d"' not in path.read_text()
    assert await signs(FileSigner.open(path, master=MASTER, clock=clock)) == first
    clock.forward(1)
    assert await signs(signer) == first  # a worker that runs goes on until it is started anew


async def test_a_master_key_is_followed_by_another(path: Path, clock: FixedClock) -> None:
    first = await signs(FileSigner.open(path, master=MASTER, clock=clock))
    with pytest.raises(Fault, match="wrapped by"):
        key_file.wrap(path, OTHER_MASTER)
    key_file.wrap(path, OTHER_MASTER, before=MASTER)
    assert await signs(FileSigner.open(path, master=OTHER_MASTER, clock=clock)) == first
    with pytest.raises(Fault, match="wrapped by"):
        FileSigner.open(path, master=MASTER, clock=clock)


def test_a_plan_of_ones_own_is_kept_to(path: Path, clock: FixedClock) -> None:
    signer = FileSigner.open(path, Plan(lead=Seconds(600), overlap=Seconds(600)), clock=clock)
    assert signer.told()[0].signs_from == clock.now
