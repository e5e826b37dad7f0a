"""Signing keys in one file that nobody but its owner may read, shared by all workers of one host."""

import asyncio
import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from deputize.adapters import keys_ring
from deputize.adapters.keys_master import MasterKey
from deputize.adapters.keys_ring import DEFAULT, Plan, Ring
from deputize.adapters.keys_signer import RingSigner, Step
from deputize.adapters.keys_written import BYTES_MAX, from_bytes, to_bytes
from deputize.adapters.system import SystemClock
from deputize.core.ports import Clock
from deputize.core.rules import Fault
from deputize.core.wire import Malformed

LOCKED_SECONDS_MAX: Final = 10.0
_CLOCK: Final = SystemClock()

log = structlog.get_logger("deputize.keys")


class _Mark(NamedTuple):
    """By which a file is known to be the one that was read. A file is replaced whole, so its inode changes too."""

    device: int
    inode: int
    size: int
    changed_ns: int
    modified_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "_Mark":
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns, status.st_mtime_ns)


class FileSigner(RingSigner):
    """Signs with the keys of a file, and reads it again when it was changed: it looks at most once a second."""

    def __init__(
        self, path: Path, ring: Ring, mark: _Mark, *, plan: Plan, master: MasterKey | None, clock: Clock
    ) -> None:
        self._path = path
        self._master = master
        self._mark = mark
        self._seen: Ring | Fault = ring
        super().__init__(ring, plan, clock)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        plan: Plan = DEFAULT,
        *,
        master: MasterKey | None = None,
        clock: Clock = _CLOCK,
        make: bool = True,
    ) -> "FileSigner":
        """The keys in the file at `path`, which is made where there is none (unless `make` says no).

        Raises Fault if the file is not its owner's alone, or is there and cannot be read: it is never replaced.
        """
        where = Path(path)
        with _told(where):
            read = _read(where)
            if read is None and not make:
                raise Fault(f"there is no key file at {where}: `deputize serve` makes one")
            if read is None:
                ring = keys_ring.founded(plan, clock())
                if _create(where, to_bytes(ring, master)):
                    log.warning("made new keys: there were none", path=str(where))
                read = _read(where)  # ours, or that of a process which was faster
        if read is None:
            raise Fault(f"the key file {where} went away while it was opened", retry=True)
        data, mark = read
        return cls(where, _ring(where, data, master), mark, plan=plan, master=master, clock=clock)

    def _see(self) -> Ring:
        with _told(self._path):
            if _Mark.of(self._path.stat()) != self._mark:
                read = _read(self._path)
                if read is None:
                    raise Fault(f"the key file {self._path} is gone", retry=True)
                data, self._mark = read
                try:
                    self._seen = _ring(self._path, data, self._master)
                except Fault as fault:  # it is not read again until it was changed again
                    self._seen = fault
        if isinstance(self._seen, Fault):
            raise self._seen
        return self._seen

    async def _change(self, step: Step, what: str) -> Ring:
        ring = await asyncio.to_thread(
            _rewrite, self._path, lambda ring: step(ring, self._clock()), self._master, self._master
        )
        log.info(what, generation=ring.generation)
        return ring


def wrap(path: Path, master: MasterKey, before: MasterKey | None = None) -> None:
    """Encrypt the file's keys under a master key: those that lie open there, or lie under another one (`before`)."""
    _rewrite(path, lambda ring: ring.with_keys(list(ring.keys)), before, master)


# --- reading ------------------------------------------------------------------------------------------------------


def _ring(path: Path, data: bytes, master: MasterKey | None) -> Ring:
    try:
        return from_bytes(data, master)
    except Malformed as problem:
        raise Fault(f"the key file {path} cannot be used, and is left as it is: {problem}") from None


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise Fault(f"the key file {path}: {problem.strerror}", retry=True) from None


def _read(path: Path) -> tuple[bytes, _Mark] | None:
    """What the file holds; None where there is none."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe in its place blocks nobody
    except FileNotFoundError:
        return None
    with os.fdopen(opened, "rb") as file:
        status = _checked(path, file.fileno())
        return file.read(BYTES_MAX + 1), _Mark.of(status)


def _checked(path: Path, opened: int) -> os.stat_result:
    """The status of what was opened, so that nothing can be swapped in between. Raises Fault if others reach it."""
    status = os.fstat(opened)
    if not stat.S_ISREG(status.st_mode):
        raise Fault(f"the key file {path} is no file")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Fault(f"the key file {path} can be reached by others than its owner; say: chmod 600 {path}")
    return status


# --- writing ------------------------------------------------------------------------------------------------------


def _rewrite(path: Path, step: Callable[[Ring], Ring], before: MasterKey | None, after: MasterKey | None) -> Ring:
    """Read, step, and put the whole in place, while all others wait who want the same."""
    with _told(path), _locked(Path(os.path.realpath(path))) as (target, opened):
        status = _checked(path, opened)
        with os.fdopen(os.dup(opened), "rb") as file:
            ring = _ring(path, file.read(BYTES_MAX + 1), before)
        changed = step(ring)
        if changed is not ring:
            _replace(target, to_bytes(changed, after), status)
        return changed


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[tuple[Path, int]]:
    """The file itself is the lock: it goes with the process that holds it, and nothing is left lying about."""
    until = time.monotonic() + LOCKED_SECONDS_MAX
    while True:
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if _is_ours(path, opened):
                yield path, opened
                return
        finally:
            os.close(opened)
        if time.monotonic() > until:
            raise Fault(f"somebody else has been changing the key file {path} for {LOCKED_SECONDS_MAX:.0f} seconds")
        time.sleep(0.01)


def _is_ours(path: Path, opened: int) -> bool:
    """Whether it could be locked, and is still the file at its path: who had the lock before may have replaced it."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(opened), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _replace(path: Path, data: bytes, like: os.stat_result) -> None:
    """Put it in the place of the file: whoever reads, and wherever this is cut off, it is the old or the new one."""
    for left in path.parent.iterdir():
        if left.name.startswith(f".{path.name}."):  # by a process that was cut off: there are keys in it
            left.unlink(missing_ok=True)
    name = _written(path, data)
    try:
        if os.geteuid() == 0:
            os.chown(name, like.st_uid, like.st_gid)  # an administrator changes the keys of a server that is not root
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    _settle(path.parent)


def _create(path: Path, data: bytes) -> bool:
    """Put a whole file there, or leave the one that is there: whoever is first, all read the same."""
    name = _written(path, data)
    try:
        os.link(name, path)  # unlike a rename, a link never takes the place of another's file
    except (FileExistsError, FileNotFoundError):  # the latter: who changes the file that is there tidied up
        return False
    finally:
        Path(name).unlink(missing_ok=True)
    _settle(path.parent)
    return True


def _written(path: Path, data: bytes) -> str:
    opened, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # for its owner alone
    with os.fdopen(opened, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return name


def _settle(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
