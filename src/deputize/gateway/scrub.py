"""Nothing secret goes back to the agent, whatever the API says: what was injected is struck out where it appears.

This catches accidents: echoes, debug pages, error texts. An API that wants to leak what it was given can always write
it in a way that nobody recognises; what makes that worthless is that each token is bound to a key of the gateway's.
"""

import base64
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

from deputize.core.values import Instant

TOKENS_MAX: Final = 256
HEADS_MAX: Final = 64  # one a key that signs: the server's, and each agent's
PROOFS_MAX: Final = 16  # a proof is spent once the API has it; older ones are still known by how they begin

_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
_REST: Final = re.compile(rb"[A-Za-z0-9+/_.%=-]*")  # what a token goes on with, dots escaped or not


def spellings(text: str) -> frozenset[bytes]:
    """How a text may look: as it is, in hex, and inside of base64 at each of three places."""
    plain = text.encode("ascii")
    found = {plain, plain.hex().encode("ascii"), plain.hex().upper().encode("ascii")}
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + plain).rstrip(b"=")
        # Without the letters that depend on what stands before and behind.
        inside = coded[(0, 2, 3)[before] : len(coded) - ((before + len(plain)) % 3 > 0)]
        found |= {inside, inside.translate(_URLSAFE)}
    return frozenset(found)


def words_of(secret: str) -> frozenset[bytes]:
    """What of a secret is worth something by itself: of a JWT its claims and its signature, wherever its dots go."""
    parts = secret.split(".")
    return spellings(parts[1]) | spellings(parts[2]) if len(parts) == 3 else spellings(secret)


def heads_of(secret: str) -> frozenset[bytes]:
    """How all JWTs of a kind begin: where that is found, a token is, be it one that is no longer remembered."""
    parts = secret.split(".")
    return spellings(parts[0]) if len(parts) == 3 else frozenset()


@dataclass(frozen=True, slots=True, repr=False)
class Needles:
    """What to strike out. `letters` are the bytes that occur in it, `run` is as many of them as the shortest has."""

    words: tuple[bytes, ...] = ()
    heads: tuple[bytes, ...] = ()
    letters: bytes = b""
    run: re.Pattern[bytes] | None = None

    @classmethod
    def of(cls, words: Iterable[frozenset[bytes]], heads: Iterable[frozenset[bytes]] = ()) -> "Needles":
        all_words, all_heads = frozenset[bytes]().union(*words), frozenset[bytes]().union(*heads)
        both = all_words | all_heads
        if not both:
            return cls()
        letters = bytes(sorted(set(b"".join(both))))
        run = re.compile(b"[%b]{%d}" % (re.escape(letters), min(map(len, both))))
        return cls(tuple(sorted(all_words, key=len, reverse=True)), tuple(all_heads), letters, run)

    def struck(self, data: bytes) -> bytes:
        """The data with as many stars in place of each, so that its length stays what was announced."""
        return self._struck(data)[0]

    def struck_text(self, text: str) -> str:
        """The same for a header's value."""
        return self.struck(text.encode("latin-1")).decode("latin-1")

    def _struck(self, data: bytes) -> tuple[bytes, bool]:
        """The data struck out; and whether what is struck may go on behind its end."""
        goes_on = False
        if self.run is None or not self.run.search(data):
            return data, goes_on
        for head in self.heads:
            at = data.find(head)
            while at >= 0:
                end = _end(data, at)
                data = data[:at] + b"*" * (end - at) + data[end:]
                goes_on = goes_on or end == len(data)
                at = data.find(head, end)
        for word in self.words:
            if word in data:
                data = data.replace(word, b"*" * len(word))
        return data, goes_on

    async def scrubbed(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A body, struck out across the borders of its parts. What cannot be the beginning of a secret goes at once."""
        most = max(map(len, (*self.words, *self.heads)), default=1) - 1
        held, goes_on = b"", False
        async for part in parts:
            begun = _end(part, 0) if goes_on else 0
            if begun:
                yield b"*" * begun
            goes_on = goes_on and begun == len(part)
            data, more = self._struck(held + part[begun:])
            goes_on = goes_on or more
            cut = max(len(data.rstrip(self.letters)), len(data) - most) if most else len(data)
            held = data[cut:]
            if cut:
                yield data[:cut]
        if held:
            yield held


def _end(data: bytes, at: int) -> int:
    found = _REST.match(data, at)
    return found.end() if found else at


class Injected:
    """What was sent to one API lately, and may come back: live tokens, the latest proofs, and how all of them begin."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[frozenset[bytes], Instant]] = {}
        self._proofs: dict[str, frozenset[bytes]] = {}
        self._heads: dict[str, frozenset[bytes]] = {}

    def note(self, token: str, until: Instant, proof: str, now: Instant) -> None:
        """Remember what is about to be sent."""
        for old in [text for text, (_, end) in self._tokens.items() if end <= now]:
            del self._tokens[old]
        if token not in self._tokens:
            self._tokens[token] = (words_of(token), until)
        self._proofs[proof] = words_of(proof)
        for text in (token, proof):
            head = text.partition(".")[0]
            if head not in self._heads:
                self._heads[head] = heads_of(text)
        for kept, most in ((self._tokens, TOKENS_MAX), (self._proofs, PROOFS_MAX), (self._heads, HEADS_MAX)):
            while len(kept) > most:
                del kept[next(iter(kept))]

    def needles(self) -> Needles:
        return Needles.of(
            (*(found for found, _ in self._tokens.values()), *self._proofs.values()), self._heads.values()
        )
