"""A passkey in software: what a phone does, and what it would do if somebody had tampered with it."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from deputize.core.wire import JsonObject, b64u, b64u_bytes, json_bytes

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


@dataclass
class SoftPasskey:
    """One key for one place. The arguments of `makes` and `answers` are what a thief or a false page would change."""

    origin: str = "https://as.example"
    host: str = "as.example"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = b"a passkey of Alice"
    handle: str = ""
    counter: int = 0

    def _data(self, flags: int, host: str | None, more: bytes = b"") -> bytes:
        named = hashlib.sha256((host or self.host).encode()).digest()
        return named + bytes([flags]) + self.counter.to_bytes(4, "big") + more

    def _client(self, kind: str, options: JsonObject, origin: str | None, **more: Any) -> bytes:
        told = {"type": kind, "challenge": options["challenge"], "origin": origin or self.origin, "crossOrigin": False}
        return json_bytes({**told, **more})

    def makes(
        self,
        options: JsonObject,
        *,
        flags: int = PRESENT | VERIFIED,
        origin: str | None = None,
        host: str | None = None,
        **client: Any,
    ) -> str:
        """What navigator.credentials.create() gives, as the page sends it."""
        self.handle = options["user"]["id"]
        point = self.key.public_key().public_numbers()
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cose
        data = self._data(flags | ATTESTED, host, attested)
        made = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {
            "clientDataJSON": b64u(self._client("webauthn.create", options, origin, **client)),
            "attestationObject": b64u(made),
        }
        return self._said(response)

    def answers(
        self,
        options: JsonObject,
        *,
        flags: int = PRESENT | VERIFIED,
        origin: str | None = None,
        host: str | None = None,
        kind: str = "webauthn.get",
        handle: str | None = None,
        by: ec.EllipticCurvePrivateKey | None = None,
        **client: Any,
    ) -> str:
        """What navigator.credentials.get() gives, as the page sends it."""
        self.counter += 1
        data = self._data(flags, host)
        said = self._client(kind, options, origin, **client)
        signature = (by or self.key).sign(data + hashlib.sha256(said).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": b64u(said),
            "authenticatorData": b64u(data),
            "signature": b64u(signature),
            "userHandle": self.handle if handle is None else handle,
        }
        return self._said(response)

    def _said(self, response: JsonObject) -> str:
        name = b64u(self.id)
        return json_bytes({"id": name, "rawId": name, "type": "public-key", "response": response}).decode()


def challenge_of(options: JsonObject) -> bytes:
    return b64u_bytes(options["challenge"])
