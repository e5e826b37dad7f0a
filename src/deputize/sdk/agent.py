"""An agent at the gateway: it has a key of its own to show who it is, and no credential for anything else."""

import json
import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from deputize.core.values import Instant
from deputize.jose.keys import PrivateKey
from deputize.oauth import dpop


class KeyShown(httpx2.Auth):
    """Shows the agent's key with each request: a fresh proof (RFC 9449), good for this method and address, once."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["DPoP"] = dpop.prove(
            self._key,
            method=request.method,
            url=str(request.url),
            jti=secrets.token_urlsafe(16),
            now=Instant(int(time.time())),
        )
        yield request


@dataclass(frozen=True, slots=True)
class Agent:
    """Who the agent is, and where its gateway is."""

    name: str
    gateway: str
    key: PrivateKey

    @classmethod
    def open(cls, path: str | Path) -> "Agent":
        """Read the agent's file: `name`, `gateway` and `key` (a private JWK)."""
        told = json.loads(Path(path).read_text())
        return cls(told["name"], told["gateway"], PrivateKey.from_jwk(told["key"]))

    def client(self, *, timeout: float = 60.0) -> httpx2.Client:
        """An HTTP client for calls through the gateway."""
        return httpx2.Client(base_url=self.gateway, auth=KeyShown(self.key), timeout=timeout, trust_env=False)
