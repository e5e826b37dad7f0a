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
BEGINNINGS_MAX: Final = 64  # one a key that signs: the server's, and each agent's
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


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Spelt:
    """Spellings of one text or two, with their letters, the shortest length and the longest."""

    words: frozenset[bytes]
    letters: frozenset[int]
    shortest: int
    longest: int

    @classmethod
    def of(cls, *texts: str) -> "Spelt":
        words = frozenset[bytes]().union(*map(spellings, texts))
        return cls(words, frozenset(b"".join(words)), min(map(len, words)), max(map(len, words)))


def worth(secret: str) -> Spelt:
    """What of a secret is worth something by itself: of a JWT its claims and its signature, wherever its dots go."""
    parts = secret.split(".")
    return Spelt.of(*(parts[1:] if len(parts) == 3 else [secret]))


def beginning(secret: str) -> Spelt | None:
    """How all JWTs of a kind begin: where that is found, a token is, be it one that is no longer remembered."""
    parts = secret.split(".")
    return Spelt.of(parts[0]) if len(parts) == 3 else None


class Needles:
    """What to strike out: the spellings of secrets wherever they are, and whatever goes on from a beginning.

    Most data has no run of as many letters of a secret as the shortest has: that is seen without looking for any.
    """

    def __init__(self, secrets: Iterable[Spelt], beginnings: Iterable[Spelt] = ()) -> None:
        self._secrets, self._beginnings = tuple(secrets), tuple(beginnings)
        self._sorted: tuple[bytes, ...] | None = None
        every = (*self._secrets, *self._beginnings)
        self._letters = bytes(sorted(frozenset[int]().union(*(one.letters for one in every))))
        self._most = max((one.longest for one in every), default=1) - 1
        shortest = min((one.shortest for one in every), default=0)
        self._run = re.compile(b"[%b]{%d}" % (re.escape(self._letters), shortest)) if every else None

    @property
    def words(self) -> tuple[bytes, ...]:
        """All that is worth something by itself, the longest first."""
        if self._sorted is None:
            self._sorted = tuple(
                sorted(frozenset[bytes]().union(*(one.words for one in self._secrets)), key=len, reverse=True)
            )
        return self._sorted

    def struck(self, data: bytes) -> bytes:
        """The data with as many stars in place of each, so that its length stays what was announced."""
        return self._struck(data)[0]

    def struck_text(self, text: str) -> str:
        """The same for a header's value."""
        return self.struck(text.encode("latin-1")).decode("latin-1")

    def _struck(self, data: bytes) -> tuple[bytes, bool]:
        """The data struck out; and whether what is struck may go on behind its end."""
        goes_on = False
        if self._run is None or not self._run.search(data):
            return data, goes_on
        for head in frozenset[bytes]().union(*(one.words for one in self._beginnings)):
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
        held, goes_on = b"", False
        async for part in parts:
            begun = _end(part, 0) if goes_on else 0
            if begun:
                yield b"*" * begun
            goes_on = goes_on and begun == len(part)
            data, more = self._struck(held + part[begun:])
            goes_on = goes_on or more
            cut = max(len(data.rstrip(self._letters)), len(data) - self._most) if self._letters else len(data)
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
        self._tokens: dict[str, tuple[Spelt, Instant]] = {}
        self._proofs: dict[str, Spelt] = {}
        self._beginnings: dict[str, Spelt] = {}

    def note(self, token: str, until: Instant, proof: str, now: Instant) -> None:
        """Remember what is about to be sent."""
        for old in [text for text, (_, end) in self._tokens.items() if end <= now]:
            del self._tokens[old]
        if token not in self._tokens:
            self._tokens[token] = (worth(token), until)
        self._proofs[proof] = worth(proof)
        for text in (token, proof):
            name = text.partition(".")[0]
            begins = None if name in self._beginnings else beginning(text)
            if begins is not None:
                self._beginnings[name] = begins
        for kept, most in ((self._tokens, TOKENS_MAX), (self._proofs, PROOFS_MAX), (self._beginnings, BEGINNINGS_MAX)):
            while len(kept) > most:
                del kept[next(iter(kept))]

    def needles(self) -> Needles:
        live = [spelt for spelt, _ in self._tokens.values()]
        return Needles([*live, *self._proofs.values()], self._beginnings.values())
