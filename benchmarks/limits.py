"""The raw limit: what one core does of bare ES256, with nothing around it."""

import time
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_KEY: Final = ec.generate_private_key(ec.SECP256R1())
_SCHEME: Final = ec.ECDSA(hashes.SHA256())
_DATA: Final = b"x" * 420  # as long as what is signed of a token
_SIGNATURE: Final = _KEY.sign(_DATA, _SCHEME)
_PUBLIC: Final = _KEY.public_key()


def seconds_each(do: Callable[[], object], *, seconds: float) -> float:
    """How long one call takes, over so many seconds of calls."""
    calls = 0
    begun = time.perf_counter()
    until = begun + seconds
    while (now := time.perf_counter()) < until:
        for _ in range(50):
            do()
        calls += 50
    return (now - begun) / calls


def sign_seconds(seconds: float = 0.15) -> float:
    return seconds_each(lambda: _KEY.sign(_DATA, _SCHEME), seconds=seconds)


def verify_seconds(seconds: float = 0.15) -> float:
    return seconds_each(lambda: _PUBLIC.verify(_SIGNATURE, _DATA, _SCHEME), seconds=seconds)
