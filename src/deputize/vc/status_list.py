"""The list itself: a few bits for each token, packed least significant first, deflated, and looked up in no time."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import WebUrl
from deputize.core.wire import JsonObject

SPEC: Final = "draft-ietf-oauth-status-list"
CLAIM: Final = "status"
MECHANISM: Final = "status_list"

# draft-ietf-oauth-status-list, Status Types Values
VALID: Final = 0x00
INVALID: Final = 0x01
SUSPENDED: Final = 0x02
NAMES: Final[Mapping[int, str]] = {VALID: "valid", INVALID: "invalid", SUSPENDED: "suspended"}

WIDTHS: Final = frozenset({1, 2, 4, 8})
INFLATED_MAX: Final = 16 * 1024 * 1024  # 134 million entries of one bit
LEVEL_LIVE: Final = (
    6  # zlib's: three to ten times as fast as the highest, and a seventh larger at one entry in a hundred
)
LEVEL_KEPT: Final = 9

BITS = Rule(SPEC, "Compressed Byte Array", "An entry of the list has 1, 2, 4 or 8 bits.")
WHOLE = Rule(
    SPEC, "Compressed Byte Array", "The list is one whole zlib stream, and no larger than its reader takes in."
)
WITHIN = Rule(SPEC, "Validation Rules", "The index lies within the list.")
REFERRED = Rule(
    SPEC, "Referenced Token", "A token refers to its status by an index, an integer from 0, and a URI of a list."
)
IS_VALID = Rule(SPEC, "Status Types Values", "The status of the token is VALID.")


def is_integer(value: object) -> bool:
    """Whether JSON or CBOR said an integer: True is none, though Python thinks so."""
    return type(value) is int


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a token's status stands: entry `idx` of the list at `uri`."""

    idx: int
    uri: str

    def claim(self) -> JsonObject:
        """As the token's `status` claim."""
        return {MECHANISM: {"idx": self.idx, "uri": self.uri}}


def reference_in(claims: Mapping[str, object], *, error: str) -> Reference | None:
    """The reference of a token; None where it has no `status`. Whatever is there and not understood is refused.

    A `status` of another mechanism is refused too: what we cannot look up may say that the token is no more.
    """
    if CLAIM not in claims:
        return None
    status = claims[CLAIM]
    told = status.get(MECHANISM) if isinstance(status, dict) else None
    if not isinstance(told, dict):
        REFERRED.refuse(error)
    idx, uri = told.get("idx"), told.get("uri")
    if type(idx) is not int or idx < 0 or not isinstance(uri, str):
        REFERRED.refuse(error, idx=str(idx)[:40])
    try:
        WebUrl(uri)  # fetched by us, so no scheme but https
    except ValueError:
        REFERRED.refuse(error, uri=uri[:200])
    return Reference(idx, uri)


# --- packing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StatusList:
    """The statuses of as many tokens as there are entries. Raises ValueError on another width than 1, 2, 4 or 8."""

    bits: int
    packed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.bits not in WIDTHS:
            raise ValueError("an entry has 1, 2, 4 or 8 bits")

    @classmethod
    def of(cls, bits: int, size: int, told: Mapping[int, int]) -> "StatusList":
        """A list of `size` entries, all VALID but those told of. Raises ValueError: a status or an index too large."""
        if bits not in WIDTHS or size < 1 or size * bits % 8:
            raise ValueError("an entry has 1, 2, 4 or 8 bits, and the entries fill whole bytes")
        packed = bytearray(size * bits // 8)
        if told:
            if min(told) < 0 or max(told) >= size or min(told.values()) < 0 or max(told.values()) >> bits:
                raise ValueError("a status or an index does not fit")
            for idx, status in told.items():
                place = idx * bits
                packed[place >> 3] |= status << (place & 7)
        return cls(bits, bytes(packed))

    @classmethod
    def of_all(cls, bits: int, statuses: bytes) -> "StatusList":
        """A list from one byte for each entry. Raises ValueError, as `of` does."""
        if bits not in WIDTHS or not statuses or len(statuses) * bits % 8:
            raise ValueError("an entry has 1, 2, 4 or 8 bits, and the entries fill whole bytes")
        each = 8 // bits
        length = len(statuses) // each
        beyond = int.from_bytes(bytes([256 - (1 << bits)]) * length, "little")
        # All bytes at once: every last of a byte's entries as one large number, then every one before it, and so on.
        whole = 0
        for nth in reversed(range(each)):
            part = int.from_bytes(statuses[nth::each], "little")
            if part & beyond:
                raise ValueError("a status does not fit")
            whole = whole << bits | part
        return cls(bits, whole.to_bytes(length, "little"))

    def __len__(self) -> int:
        return len(self.packed) * 8 // self.bits

    def at(self, idx: int, *, error: str = "invalid_token") -> int:
        """The status of one token. Refuses an index that is not within the list."""
        place = idx * self.bits
        try:
            if place >= 0:
                return self.packed[place >> 3] >> (place & 7) & ((1 << self.bits) - 1)
        except IndexError:
            pass
        WITHIN.refuse(error, idx=str(idx)[:40])

    def deflated(self, level: int = LEVEL_LIVE) -> bytes:
        """The list as it travels (RFC 1950)."""
        return zlib.compress(self.packed, level)


def inflated(bits: object, data: bytes, *, bytes_max: int = INFLATED_MAX, error: str) -> StatusList:
    """Read a list that travelled. Never more than `bytes_max` is unpacked, whatever was sent."""
    if type(bits) is not int or bits not in WIDTHS:
        BITS.refuse(error, bits=str(bits)[:20])
    stream = zlib.decompressobj()
    try:
        packed = stream.decompress(data, bytes_max + 1)
    except zlib.error:
        WHOLE.refuse(error)
    # A stream that was cut short has no end; one that is followed by something has a rest.
    if len(packed) > bytes_max or not stream.eof or stream.unused_data or not packed:
        WHOLE.refuse(error, bytes=len(packed))
    return StatusList(bits, packed)
