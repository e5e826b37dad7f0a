"""The master key: under it signing keys are encrypted where they lie. Given by reference, and never shown."""

import os
import re
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from deputize.core.rules import Fault
from deputize.core.wire import Malformed, b64u, b64u_bytes

BYTES_MAX: Final = 4096
_TEXT: Final = re.compile(r"[A-Za-z0-9+/_-]{43,}={0,2}")  # 256 bits at least, in base64, base64url or hex
_NONCE_BYTES: Final = 12
_HOW: Final = "at least 43 characters of base64 or hex: `openssl rand -base64 32` makes one"


class MasterKey:
    """Seals bytes, with what they belong to, by AES-256-GCM. `name` tells two master keys apart, and nothing else."""

    __slots__ = ("_cipher", "name")

    def __init__(self, text: str) -> None:
        """Make it from random text. Raises Fault on what cannot be random enough: a password is no master key."""
        plain = text.strip()
        if not _TEXT.fullmatch(plain) or len(set(plain)) < 10:
            raise Fault(f"the master key is {_HOW}")
        # The text is what the key comes from, however it is to be read: so it has one meaning.
        self._cipher = AESGCM(_derived(plain, b"deputize: signing keys at rest"))
        self.name = b64u(_derived(plain, b"deputize: name of the master key")[:6])

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> "MasterKey":
        """Read it from a file that not everybody may read. Raises Fault."""
        where = Path(path)
        try:
            opened = os.open(where, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(opened, "rb") as file:
                status = os.fstat(file.fileno())
                # Its group may read it: that is how secrets are handed to a process which is not root.
                if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
                    raise Fault(f"the master key's file {where} can be reached by others; say: chmod 600 {where}")
                data = file.read(BYTES_MAX)
        except OSError as problem:
            raise Fault(f"the master key's file {where}: {problem.strerror}") from None
        try:
            return cls(data.decode("ascii"))
        except UnicodeDecodeError:
            raise Fault(f"the master key's file {where} holds no text: a master key is {_HOW}") from None
        except Fault as fault:
            raise Fault(f"the master key's file {where}: {fault}") from None

    def seal(self, plain: bytes, belongs_to: bytes) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        return b64u(nonce + self._cipher.encrypt(nonce, plain, belongs_to))

    def unseal(self, sealed: str, belongs_to: bytes) -> bytes:
        """What was sealed. Raises Malformed where it, or what it belongs to, is not as it was."""
        data = b64u_bytes(sealed)
        try:
            return self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], belongs_to)
        except (InvalidTag, ValueError):
            raise Malformed("it was changed by somebody without the master key") from None

    def __repr__(self) -> str:
        return f"MasterKey({self.name})"


def _derived(text: str, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(text.encode("ascii"))
