"""Signing keys in one JSON file that nobody but its owner may read: `{"active": kid, "keys": [private JWKs]}`."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deputize.core.rules import Fault
from deputize.core.wire import JsonObject, Malformed, json_bytes, json_object
from deputize.jose.keys import PrivateKey

_BYTES_MAX: Final = 1024 * 1024


class FileSigner:
    """Signs with the keys of a file, which was read when it was opened."""

    def __init__(self, active: str, keys: tuple[PrivateKey, ...]) -> None:
        self._by_kid = {key.kid: key for key in keys}
        if len(self._by_kid) != len(keys):
            raise Malformed("two keys have one name")
        if active not in self._by_kid:
            raise Malformed("the active key is not among the keys")
        self._active = self._by_kid[active]
        self._public = tuple(key.public_jwk() for key in keys)

    @classmethod
    def open(cls, path: str | os.PathLike[str], alg: str = "ES256") -> "FileSigner":
        """The keys in the file at `path`, made with one key for `alg` where there is no file.

        Raises Fault if the file is not its owner's alone, or is there and cannot be read: it is never replaced.
        """
        where = Path(path)
        with _told(where):
            data = _read(where)
            if data is None:
                key = PrivateKey.generate(alg)
                _create(where, json_bytes({"active": key.kid, "keys": [key.to_jwk()]}))
                data = _read(where)  # ours, or that of a process which was faster
        if data is None:
            raise Fault(f"the key file {where} went away while it was opened", retry=True)
        try:
            return cls._from(json_object(data, bytes_max=_BYTES_MAX))
        except Malformed as problem:
            raise Fault(f"the key file {where} cannot be used, and is left as it is: {problem}") from None

    @classmethod
    def _from(cls, document: JsonObject) -> "FileSigner":
        active, entries = document.get("active"), document.get("keys")
        if not isinstance(active, str) or not isinstance(entries, list):
            raise Malformed("it has an active key's name and a list of keys")
        if not all(isinstance(entry, dict) for entry in entries):
            raise Malformed("each key is a JWK")
        return cls(active, tuple(PrivateKey.from_jwk(entry) for entry in entries))

    def active(self) -> tuple[str, str]:
        return self._active.kid, self._active.alg.name

    async def sign(self, kid: str, data: bytes) -> bytes:
        key = self._by_kid.get(kid)
        if key is None:
            raise Fault("no key of this name to sign with")
        return key.sign(data)

    def keys(self) -> tuple[JsonObject, ...]:
        return tuple(dict(jwk) for jwk in self._public)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise Fault(f"the key file {path}: {problem.strerror}") from None


def _read(path: Path) -> bytes | None:
    """What the file holds; None where there is none."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe in its place blocks nobody
    except FileNotFoundError:
        return None
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(file.fileno())  # of what was opened: nothing can be swapped in between
        if not stat.S_ISREG(status.st_mode):
            raise Fault(f"the key file {path} is no file")
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Fault(f"the key file {path} can be reached by others than its owner; say: chmod 600 {path}")
        return file.read(_BYTES_MAX + 1)


def _create(path: Path, data: bytes) -> None:
    """Put a whole file there, or leave the one that is there: whoever is first, all read the same."""
    opened, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # for its owner alone
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)  # unlike a rename, a link never takes the place of another's file
    finally:
        Path(name).unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
