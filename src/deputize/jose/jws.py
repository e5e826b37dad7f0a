"""Compact JWS (RFC 7515, 7.1) and nothing else: no JSON serialisation, no `none`, no compression, no detached payload."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from deputize.core.wire import JsonObject, Malformed, b64u, b64u_bytes, json_bytes, json_object

COMPACT_MAX: Final = 16 * 1024
HEADER_MAX: Final = 4 * 1024
KID_MAX: Final = 256

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


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


def parse(compact: str, *, bytes_max: int = COMPACT_MAX) -> Jws:
    """Take a compact JWS apart. Raises Malformed."""
    if len(compact) > bytes_max:
        raise Malformed("too large for a JWS")
    parts = _COMPACT.fullmatch(compact)
    if parts is None:
        raise Malformed("not a compact JWS")
    head, body, signature = parts.groups()
    return Jws(_header(head), b64u_bytes(body), f"{head}.{body}".encode("ascii"), b64u_bytes(signature))


@lru_cache(maxsize=1024)  # a pure function of its text: a client's assertions all carry the same header
def _header(encoded: str) -> Mapping[str, object]:
    if len(encoded) > HEADER_MAX:
        raise Malformed("too large for a JOSE header")
    header = json_object(b64u_bytes(encoded), bytes_max=HEADER_MAX)
    if not isinstance(header.get("alg"), str):
        raise Malformed("alg is a text")
    if "crit" in header or "b64" in header or "zip" in header:
        raise Malformed("an extension that we do not process")  # RFC 7515, 4.1.11: we process none
    kid = header.get("kid", "")
    if not isinstance(kid, str) or len(kid) > KID_MAX or not kid.isprintable():
        raise Malformed("a key id is a printable text of at most 256 characters")
    typ = header.get("typ", "")
    if not isinstance(typ, str):
        raise Malformed("typ is a text")
    return header


@lru_cache(maxsize=256)  # one header a key and a type
def _encoded_header(alg: str, typ: str, kid: str | None) -> str:
    header: JsonObject = {"typ": typ, "alg": alg}
    if kid is not None:
        header["kid"] = kid
    return b64u(json_bytes(header))


def signing_input(claims: JsonObject, *, alg: str, typ: str, kid: str | None, header: JsonObject | None = None) -> bytes:
    """What is signed: the encoded header and the encoded claims. `header` adds members (a DPoP proof's `jwk`)."""
    head = b64u(json_bytes({"typ": typ, "alg": alg, **header})) if header else _encoded_header(alg, typ, kid)
    return f"{head}.{b64u(json_bytes(claims))}".encode("ascii")


def compact(data: bytes, signature: bytes) -> str:
    """Put a signing input and its signature together."""
    return f"{data.decode('ascii')}.{b64u(signature)}"
