"""Issuers that are known by a DID: did:jwk, did:key and did:web, as one more row of `issuer_keys`.

The working group took DIDs out of SD-JWT VC, so this is a profile beside it: it is there for those who set it for an
issuer, each DID by its name, and for nobody else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from deputize.core.ports import Env
from deputize.core.published import Published
from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject, Malformed, b64u_bytes, json_object
from deputize.jose.jws import Jws
from deputize.jose.keys import PublicKey, public_members
from deputize.vc.issuer_keys import KEEP, Found

METHODS: Final = frozenset({"jwk", "key", "web"})
DID_MAX: Final = 4096
METHODS_MAX: Final = 50  # keys of one document
DOCUMENT_MAX: Final = 64 * 1024
WEB_MAX: Final = 512

_SPEC: Final = "Deputize did-issuers"
TAKEN_DID = Rule(_SPEC, "issuers", "The issuer is a DID of a method that is taken here, in its one plain spelling.")
OWN_KID = Rule(_SPEC, "keys", "The kid names a key of the issuer's own DID, and no certificate comes beside it.")
ASSERTS = Rule(
    _SPEC, "keys", "The key is public and sound, the DID controls it, and lists it among those that it asserts with."
)

_DID: Final = re.compile(r"did:(?P<method>[a-z0-9]+):(?P<id>[A-Za-z0-9._:%-]+)")
# A name whose last label has a letter, so that it is no address; a port after an escaped colon; then plain segments.
_WEB: Final = re.compile(
    r"(?P<host>(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)"
    r"(?:%3A(?P<port>[1-9][0-9]{0,4}))?(?P<path>(?::[A-Za-z0-9_-][A-Za-z0-9._-]*)*)"
)
_BASE58: Final = {
    letter: place for place, letter in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
}

Keys = Mapping[str, JsonObject]
"""The JWKs of those methods that a DID asserts with, by their absolute DID URLs."""


@dataclass(frozen=True, slots=True, eq=False)
class Decentralized:
    """The issuer's DID says its keys. `documents` are those of did:web, kept by this row."""

    methods: frozenset[str]
    documents: Published[Keys]
    name: str = "did"
    vouches: bool = False

    def at_hand(self, token: Jws, iss: str | None, now: Instant, error: str) -> Found | None:
        did, method, rest = self._held(token, iss, error)
        if method == "web":
            kept = self.documents.fresh(web_url(rest, error), now)
            return None if kept is None or _kid(token, did, error) not in kept else _found(kept, token, did, error)
        try:
            keys = {f"{did}#0": _of_jwk(rest)} if method == "jwk" else {f"{did}#{rest}": _of_multibase(rest)}
        except ValueError as problem:
            ASSERTS.refuse(error, problem=str(problem)[:200])
        return _found(keys, token, did, error)

    async def find(self, token: Jws, iss: str | None, env: Env, error: str) -> Found:
        did, method, rest = self._held(token, iss, error)
        if method != "web":
            found = self.at_hand(token, iss, env.clock(), error)
            if found is None:
                raise AssertionError
            return found
        url = web_url(rest, error)
        keys = await self.documents.get(url, env, named=did)
        if _kid(token, did, error) not in keys:  # a new key, perhaps
            keys = await self.documents.get(url, env, named=did, fresher=True)
        return _found(keys, token, did, error)

    def _held(self, token: Jws, iss: str | None, error: str) -> tuple[str, str, str]:
        told = _DID.fullmatch(iss or "") if len(iss or "") <= DID_MAX else None
        if iss is None or told is None or told["method"] not in self.methods:
            TAKEN_DID.refuse(error, iss=str(iss)[:200])
        if "x5c" in token.header:
            OWN_KID.refuse(error, x5c=True)
        _kid(token, iss, error)
        return iss, told["method"], told["id"]


def _kid(token: Jws, did: str, error: str) -> str:
    """The DID URL of the key: absolute, or a fragment of the issuer's own DID."""
    kid = token.kid or ""
    absolute = did + kid if kid.startswith("#") else kid
    if absolute.partition("#")[0] != did or len(absolute) <= len(did) + 1:
        OWN_KID.refuse(error, kid=kid[:200])
    return absolute


def _found(keys: Keys, token: Jws, did: str, error: str) -> Found:
    jwk = keys.get(_kid(token, did, error))
    if jwk is None:
        ASSERTS.refuse(error, kid=(token.kid or "")[:200])
    try:
        return Found(did, (PublicKey.from_jwk(jwk, alg=token.alg),))
    except Malformed as problem:
        ASSERTS.refuse(error, problem=str(problem))


# --- did:jwk and did:key ------------------------------------------------------------------------------------------


def _of_jwk(text: str) -> JsonObject:
    return json_object(b64u_bytes(text))


def _of_multibase(text: str) -> JsonObject:
    """The JWK of a key as base58btc has it, after the number of its kind. Raises ValueError."""
    data = _base58(text)
    if data[:2] == b"\xed\x01" and len(data) == 34:
        return public_members(ed25519.Ed25519PublicKey.from_public_bytes(data[2:]))
    for kind, curve, length in ((b"\x80\x24", ec.SECP256R1(), 33), (b"\x81\x24", ec.SECP384R1(), 49)):
        if data[:2] == kind and len(data) == 2 + length and data[2] in {2, 3}:
            return public_members(ec.EllipticCurvePublicKey.from_encoded_point(curve, data[2:]))
    if data[:3] == b"\xd1\xd6\x03":
        return json_object(data[3:])
    raise Malformed("a kind of key that we do not use, or one of another length")


def _base58(text: str) -> bytes:
    if not text.startswith("z") or len(text) > 1024:  # the work grows with the square of the length
        raise Malformed("not base58btc")
    number = 0
    for letter in text[1:]:
        if letter not in _BASE58:
            raise Malformed("not base58btc")
        number = number * 58 + _BASE58[letter]
    zeros = len(text) - 1 - len(text[1:].lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


# --- did:web ------------------------------------------------------------------------------------------------------


def web_url(rest: str, error: str) -> str:
    """Where the document of a did:web lies, of what stands behind the method's name."""
    told = _WEB.fullmatch(rest) if len(rest) <= WEB_MAX else None
    if told is None or ".." in told["path"]:
        TAKEN_DID.refuse(error, did=rest[:200])
    port = f":{told['port']}" if told["port"] else ""
    return f"https://{told['host']}{port}{told['path'].replace(':', '/') or '/.well-known'}/did.json"


def read(document: JsonObject) -> Keys:
    """The keys that a DID document asserts with. One that cannot be used is skipped; raises Malformed without any."""
    did = document["id"]  # that it is the one that was asked for, was held
    known = {_absolute(one.get("id"), did): one for one in _objects(document, "verificationMethod")}
    keys: dict[str, JsonObject] = {}
    for told in _list(document, "assertionMethod"):
        method = told if isinstance(told, dict) else known.get(_absolute(told, did))
        if method is None or method.get("controller") != did:
            continue
        jwk, multibase = method.get("publicKeyJwk"), method.get("publicKeyMultibase")
        try:
            if isinstance(multibase, str) and jwk is None:
                jwk = _of_multibase(multibase)
        except ValueError:
            continue
        name = _absolute(method.get("id"), did)
        if isinstance(jwk, dict) and name:
            keys[name] = jwk
    if not keys:
        raise Malformed("a DID document that asserts with no key of its own")
    return keys


def _absolute(name: object, did: str) -> str:
    """A DID URL of this DID; empty for another's."""
    text = name if isinstance(name, str) else ""
    absolute = did + text if text.startswith("#") else text
    return absolute if absolute.startswith(f"{did}#") else ""


def _list(document: JsonObject, name: str) -> list[Any]:
    told = document.get(name, [])
    if not isinstance(told, list) or len(told) > METHODS_MAX:
        raise Malformed(f"{name} is an array of at most {METHODS_MAX}")
    return told


def _objects(document: JsonObject, name: str) -> list[JsonObject]:
    return [one for one in _list(document, name) if isinstance(one, dict)]


def decentralized(methods: frozenset[str] = METHODS, keep: Seconds = KEEP) -> Decentralized:
    """The way of DIDs of these methods; a document is kept for `keep` seconds. Raises ValueError for another one."""
    if not methods <= METHODS:
        raise ValueError(f"methods are some of {', '.join(sorted(METHODS))}")
    return Decentralized(methods, Published(read, names_itself="id", keep=keep, bytes_max=DOCUMENT_MAX))
