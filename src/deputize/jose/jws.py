"""Compact JWS (RFC 7515, 7.1) and nothing else: no JSON serialisation, no `none`, no compression, no detached text."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from deputize.core.wire import JsonObject, Malformed, b64_bytes, b64_letters, b64u_letters, json_bytes, json_object

COMPACT_MAX: Final = 16 * 1024
HEADER_MAX: Final = 4 * 1024
HEADER_KEPT_MAX: Final = 1024  # of what is remembered; whoever sends larger ones fills no memory with them
KID_MAX: Final = 256
UNSUPPORTED: Final = frozenset({"crit", "b64", "zip"})  # RFC 7515, 4.1.11: we process no extension


class Jws(NamedTuple):
    """A JWS that was taken apart and not yet verified: believe nothing in it. `typ` is as it is compared."""

    header: Mapping[str, object]
    payload: bytes
    signing_input: bytes
    signature: bytes
    alg: str
    kid: str | None
    typ: str | None


def parse(compact: str, bytes_max: int = COMPACT_MAX, header_max: int = HEADER_MAX) -> Jws:
    """Take a compact JWS apart. Raises Malformed. A profile with certificates in the header gives that more room."""
    if len(compact) > bytes_max:
        raise Malformed("too large for a JWS")
    data = compact.encode("ascii", "replace")  # a "?" for any foreign letter: no letter of base64url
    parts = b64_letters(data).split(b".", 3)
    if len(parts) != 3 or not parts[0] or not parts[2]:
        raise Malformed("not a compact JWS")
    head, body, signature = parts
    if len(head) > header_max:
        raise Malformed("too large for a JOSE header")
    header, alg, kid, typ = _header(head) if len(head) <= HEADER_KEPT_MAX else _header.__wrapped__(head)
    return Jws(header, b64_bytes(body), data[: -len(signature) - 1], b64_bytes(signature), alg, kid, typ)


@lru_cache(maxsize=1024)  # a pure function of its text: a client's assertions all carry the same header
def _header(encoded: bytes) -> tuple[Mapping[str, object], str, str | None, str | None]:
    header = json_object(b64_bytes(encoded))
    alg = header.get("alg")
    if not isinstance(alg, str):
        raise Malformed("alg is a text")
    if not UNSUPPORTED.isdisjoint(header):
        raise Malformed("an extension that we do not process")
    kid = header.get("kid", "")
    if not isinstance(kid, str) or len(kid) > KID_MAX or not kid.isprintable():
        raise Malformed("a key id is a printable text of at most 256 characters")
    if not isinstance(header.get("typ", ""), str):
        raise Malformed("typ is a text")
    return MappingProxyType(header), alg, header.get("kid"), media_type(header.get("typ"))  # many hold the same one


def media_type(typ: str | None) -> str | None:
    """A `typ` as it is compared: in lower case, without `application/` (RFC 7515, 4.1.9). None where there is none."""
    if typ is None or not typ.isascii():  # only ASCII has no case: "\N{KELVIN SIGN}b+jwt" in lower case is kb+jwt
        return typ
    return typ.lower().removeprefix("application/")


@lru_cache(maxsize=256)  # one header a key and a type
def _encoded_header(alg: str, typ: str, kid: str | None) -> bytes:
    header: JsonObject = {"typ": typ, "alg": alg}
    if kid is not None:
        header["kid"] = kid
    return b64u_letters(json_bytes(header)) + b"."


def signing_input(
    claims: JsonObject | bytes, *, alg: str, typ: str, kid: str | None, header: JsonObject | None = None
) -> bytes:
    """What is signed: the encoded header and the encoded claims, which may be JSON in UTF-8 already.

    `header` adds members (a DPoP proof's `jwk`).
    """
    if header:
        head = b64u_letters(json_bytes({"typ": typ, "alg": alg, **header})) + b"."
    else:
        head = _encoded_header(alg, typ, kid)
    return head + b64u_letters(claims if isinstance(claims, bytes) else json_bytes(claims))


def compact(data: bytes, signature: bytes) -> str:
    """Put a signing input and its signature together."""
    return (data + b"." + b64u_letters(signature)).decode("ascii")
