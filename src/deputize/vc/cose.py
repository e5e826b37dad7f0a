"""COSE_Sign1 (RFC 9052, 4.2) over the keys and algorithms of `jose`, and the strict CBOR around it.

What was taken apart comes back as a `Jws`, so that a CWT and a JWT are verified by the same lines.
"""

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any, Final, NoReturn

import cbor2

from deputize.core.wire import Malformed
from deputize.jose.jws import Jws, media_type

SIGN1: Final = 0xD2  # tag 18, as its one byte; tag 61 around it is forbidden for a status list (draft, 5.2)
DEPTH_MAX: Final = 8
_ALG, _CRIT, _KID, _TYP = 1, 2, 4, 16
# RFC 9053, RFC 8812, RFC 9864: COSE's number of each algorithm that we have
_NUMBERS: Final[Mapping[str, int]] = {"ES256": -7, "ES384": -35, "Ed25519": -19, "PS256": -37, "RS256": -257}
_NAMES: Final[Mapping[int, str]] = {number: name for name, number in _NUMBERS.items()} | {
    -8: "Ed25519",  # EdDSA: the number that RFC 9864 replaced, still the common one
    -9: "ES256",
    -51: "ES384",
}

CborMap = dict[int | str, Any]


def _no_tag(*_: object) -> NoReturn:
    raise Malformed("a tag where none is expected")


class _NoTags(Mapping[int, Callable[..., Any]]):
    """Every tag is one too many: some make dates, patterns or values that hold themselves."""

    def __getitem__(self, tag: int) -> Callable[..., Any]:
        return _no_tag

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


_NO_TAGS: Final = _NoTags()


def decoded(data: bytes) -> Any:  # noqa: ANN401 (CBOR is any value)
    """Read one CBOR value strictly: no tags, no name twice, nothing of unknown length, nothing behind it."""
    stream = BytesIO(data)
    decoder = cbor2.CBORDecoder(
        stream,
        tag_hook=_no_tag,
        semantic_decoders=_NO_TAGS,
        read_size=1,  # so that it stops where the value ends
        max_depth=DEPTH_MAX,
        allow_indefinite=False,
        allow_duplicate_keys=False,
    )
    try:
        value = decoder.decode()
    except (cbor2.CBORError, ValueError, MemoryError, RecursionError):
        raise Malformed("not CBOR, or not as strict as it is read here") from None
    if stream.tell() != len(data):
        raise Malformed("more than one CBOR value")
    return value


def encoded(value: object) -> bytes:
    """Write a CBOR value in its one deterministic encoding (RFC 8949, 4.2)."""
    return cbor2.dumps(value, canonical=True)


def members(value: object) -> CborMap:
    """A map whose names are integers and texts: True, which is 1 to Python, is no name."""
    if not isinstance(value, dict) or not all(type(name) in {int, str} for name in value):
        raise Malformed("not a CBOR map by integers and texts")
    return value


def header(*, alg: str, typ: str) -> bytes:
    """The protected header. Raises KeyError for an algorithm that COSE has no number for."""
    return encoded({_ALG: _NUMBERS[alg], _TYP: typ})


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """What is signed (RFC 9052, 4.4)."""
    return encoded(["Signature1", protected, b"", payload])


def sign1(protected: bytes, payload: bytes, signature: bytes, *, kid: str) -> bytes:
    """A tagged COSE_Sign1."""
    return encoded(cbor2.CBORTag(18, [protected, {_KID: kid.encode()}, payload, signature]))


def parse(data: bytes, bytes_max: int) -> Jws:
    """Take a tagged COSE_Sign1 apart. Raises Malformed. Nothing in it is to be believed yet.

    Algorithm and type count only where they are protected; of what is not, the key id alone is looked at.
    """
    if len(data) > bytes_max:
        raise Malformed("too large for a CWT")
    if not data or data[0] != SIGN1:
        raise Malformed("not a tagged COSE_Sign1")
    parts = decoded(data[1:])
    if not isinstance(parts, list) or len(parts) != 4:
        raise Malformed("not a COSE_Sign1")
    protected, unprotected, payload, signature = parts
    if not (isinstance(protected, bytes) and isinstance(payload, bytes) and isinstance(signature, bytes)):
        raise Malformed("not a COSE_Sign1")
    head, beside = members(decoded(protected)), members(unprotected)
    if not head.keys().isdisjoint(beside):
        raise Malformed("a header parameter is there twice")
    if _CRIT in head or _CRIT in beside:
        raise Malformed("an extension that we do not process")
    number, typ, kid = head.get(_ALG), head.get(_TYP), head.get(_KID, beside.get(_KID))
    if type(number) is not int or (name := _NAMES.get(number)) is None:
        raise Malformed("an algorithm that we do not use")
    if not isinstance(typ, str):
        raise Malformed("no type in the protected header")
    if kid is not None and not isinstance(kid, bytes):
        raise Malformed("a key id is bytes")
    told = {str(parameter): value for parameter, value in head.items()}
    text = None if kid is None else kid.decode("utf-8", "replace")
    return Jws(told, payload, to_be_signed(protected, payload), signature, name, text, media_type(typ))
