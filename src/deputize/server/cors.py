"""Which endpoints pages of other origins may call and read (RFC 10017, 6.3.3.4), and which origins those are."""

from typing import Final

from deputize.core.rules import Rule
from deputize.core.wire import Outbound
from deputize.oauth import metadata
from deputize.server.http import Scope

READABLE = Rule(
    "RFC 10017",
    "6.3.3.4",
    "Clients in a browser, at origins that an operator names, call and read what no cookie opens; nobody else does.",
)

# A client brings all that these go by along in the request itself, and the browser nothing.
ENDPOINTS: Final = frozenset(
    {metadata.TOKEN, metadata.REVOCATION, metadata.PAR, metadata.USERINFO, metadata.REGISTRATION}
)
_TOLD: Final = ("access-control-expose-headers", "dpop-nonce, retry-after, www-authenticate")
_SENT: Final = "authorization, content-type, dpop, mcp-protocol-version"
_KEPT: Final = 600  # seconds


def origin_of(scope: Scope, name: str, origins: frozenset[str]) -> str | None:
    """The origin of the page that asks, where it may; what a client has registered lies below where it did so."""
    told = [value.decode("latin-1") for header, value in scope["headers"] if header == b"origin"]
    is_open = name in ENDPOINTS or name == f"{metadata.REGISTRATION}/"
    return told[0] if is_open and len(told) == 1 and told[0] in origins else None


def asks_before(scope: Scope) -> bool:
    """Whether a browser asks for a page whether it may send its request."""
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


def may(methods: tuple[str, ...], origin: str) -> Outbound:
    """Say that it may, with these methods."""
    told = (
        *_this(origin),
        ("access-control-allow-methods", ", ".join(methods)),
        ("access-control-allow-headers", _SENT),
        ("access-control-max-age", str(_KEPT)),
    )
    return Outbound(status=204, headers=told)


def readable(answer: Outbound, origin: str) -> Outbound:
    """The answer, for scripts of this origin to read."""
    return Outbound(status=answer.status, headers=(*answer.headers, *_this(origin), _TOLD), body=answer.body)


def _this(origin: str) -> tuple[tuple[str, str], ...]:
    return ("access-control-allow-origin", origin), ("vary", "origin")
