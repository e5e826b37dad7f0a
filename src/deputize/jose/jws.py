"""Compact JWS (RFC 7515, 7.1) and nothing else: no JSON serialisation, no `none`, no compression, no detached text."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from deputize.core.wire import JsonObject, Malformed, b64u, b64u_bytes, json_bytes, json_object

COMPACT_MAX: Final = 16 * 1024
HEADER_MAX: Final = 4 * 1024
KID_MAX: Final = 256
UNSUPPORTED: Final = frozenset({"crit", "b64", "zip"})  # RFC 7515, 4.1.11: we process no extension


@dataclass(frozen=True, slots=True)
class Jws:
    """A JWS that was taken apart and not yet verified: believe nothing in it."""

    header: Mapping[str, object]
    payload: bytes
    signing_input: bytes
    signature: bytes

    @property
    def alg(self) -> str:
        return str(self.header["alg"])

    @property
    def kid(self) -> str | None:
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) else None


def parse(compact: str, *, bytes_max: int = COMPACT_MAX, header_max: int = HEADER_MAX) -> Jws:
    """Take a compact JWS apart. Raises Malformed. A profile with certificates in the header gives that more room."""
    if len(compact) > bytes_max:
        raise Malformed("too large for a JWS")
    parts = compact.encode("ascii", "replace").split(b".", 3)  # a "?" for any foreign letter: no letter of base64url
    if len(parts) != 3 or not parts[0] or not parts[2]:
        raise Malformed("not a compact JWS")
    head, body, signature = parts
    if len(head) > header_max:
        raise Malformed("too large for a JOSE header")
    return Jws(_header(head), b64u_bytes(body), head + b"." + body, b64u_bytes(signature))


@lru_cache(maxsize=1024)  # a pure function of its text: a client's assertions all carry the same header
def _header(encoded: bytes) -> Mapping[str, object]:
    header = json_object(b64u_bytes(encoded))
    if not isinstance(header.get("alg"), str):
        raise Malformed("alg is a text")
    if not UNSUPPORTED.isdisjoint(header):
        raise Malformed("an extension that we do not process")
    kid = header.get("kid", "")
    if not isinstance(kid, str) or len(kid) > KID_MAX or not kid.isprintable():
        raise Malformed("a key id is a printable text of at most 256 characters")
    if not isinstance(header.get("typ", ""), str):
        raise Malformed("typ is a text")
    return MappingProxyType(header)  # many hold the same one


@lru_cache(maxsize=256)  # one header a key and a type
def _encoded_header(alg: str, typ: str, kid: str | None) -> bytes:
    header: JsonObject = {"typ": typ, "alg": alg}
    if kid is not None:
        header["kid"] = kid
    return b64u(json_bytes(header)).encode("ascii") + b"."


def signing_input(
    claims: JsonObject, *, alg: str, typ: str, kid: str | None, header: JsonObject | None = None
) -> bytes:
    """What is signed: the encoded header and the encoded claims. `header` adds members (a DPoP proof's `jwk`)."""
    if header:
        return f"{b64u(json_bytes({'typ': typ, 'alg': alg, **header}))}.{b64u(json_bytes(claims))}".encode("ascii")
    return _encoded_header(alg, typ, kid) + b64u(json_bytes(claims)).encode("ascii")


def compact(data: bytes, signature: bytes) -> str:
    """Put a signing input and its signature together."""
    return f"{data.decode('ascii')}.{b64u(signature)}"
