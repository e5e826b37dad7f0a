"""Nothing secret goes back to the agent, whatever the API says: what was injected is struck out where it appears.

This catches accidents: echoes, debug pages, error texts. An API that wants to leak what it was given can always write
it in a way that nobody recognises; what makes that worthless is that each token is bound to a key of the gateway's.
"""

import base64
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from deputize.core.values import Instant

TOKENS_MAX: Final = 256
PROOFS_MAX: Final = 16  # a proof is spent once the API has it: only the latest could still be worth something

_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")


def spellings(secret: str) -> frozenset[bytes]:
    """How a secret may look: as it is, in hex, and inside of base64 at each of three places.

    Of a JWT it is the parts that count: the second and the third, since the first says nothing and looks like any
    other's. So it does not matter what becomes of the dots.
    """
    parts = secret.split(".")
    found: set[bytes] = set()
    for part in parts[1:] if len(parts) == 3 else [secret]:
        plain = part.encode("ascii")
        found |= {plain, plain.hex().encode("ascii"), plain.hex().upper().encode("ascii")}
        for before in range(3):
            text = base64.b64encode(b"\0" * before + plain).rstrip(b"=")
            # Without the letters that depend on what stands before and behind.
            inside = text[(0, 2, 3)[before] : len(text) - ((before + len(plain)) % 3 > 0)]
            found |= {inside, inside.translate(_URLSAFE)}
    return frozenset(found)


@dataclass(frozen=True, slots=True, repr=False)
class Needles:
    """What to strike out, the longest first; the bytes that occur in it, and a run of them as long as the shortest."""

    words: tuple[bytes, ...] = ()
    letters: bytes = b""
    run: re.Pattern[bytes] | None = None

    @classmethod
    def of(cls, *found: frozenset[bytes]) -> "Needles":
        words = sorted(frozenset().union(*found), key=len, reverse=True)
        if not words:
            return cls()
        letters = bytes(sorted(set(b"".join(words))))
        return cls(tuple(words), letters, re.compile(b"[%b]{%d}" % (re.escape(letters), len(words[-1]))))

    def struck(self, data: bytes) -> bytes:
        """The data with as many stars in place of each, so that its length stays what was announced."""
        if self.run is not None and self.run.search(data):
            for word in self.words:
                if word in data:
                    data = data.replace(word, b"*" * len(word))
        return data

    def struck_text(self, text: str) -> str:
        """The same for a header's value."""
        return self.struck(text.encode("latin-1")).decode("latin-1")

    async def scrubbed(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A body, struck out across the borders of its parts. What cannot be the beginning of a secret goes at once."""
        most = len(self.words[0]) - 1 if self.words else 0
        held = b""
        async for part in parts:
            data = self.struck(held + part)
            cut = max(len(data.rstrip(self.letters)) if most else len(data), len(data) - most)
            held = data[cut:]
            if cut:
                yield data[:cut]
        if held:
            yield held


class Injected:
    """What was sent to one API lately, and may come back: live tokens, and the latest proofs."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[frozenset[bytes], Instant]] = {}
        self._proofs: dict[str, frozenset[bytes]] = {}

    def note(self, token: str, until: Instant, proof: str, now: Instant) -> None:
        """Remember what is about to be sent."""
        for old in [text for text, (_, end) in self._tokens.items() if end <= now]:
            del self._tokens[old]
        if token not in self._tokens:
            self._tokens[token] = (spellings(token), until)
        self._proofs[proof] = spellings(proof)
        while len(self._tokens) > TOKENS_MAX:
            del self._tokens[next(iter(self._tokens))]
        while len(self._proofs) > PROOFS_MAX:
            del self._proofs[next(iter(self._proofs))]

    def needles(self) -> Needles:
        return Needles.of(*(found for found, _ in self._tokens.values()), *self._proofs.values())
