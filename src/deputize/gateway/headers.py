"""What passes the gateway in a header: by name, on both ways; what is not listed does not."""

import re
from collections.abc import Iterable
from typing import Final

from deputize.core.rules import Rule
from deputize.core.wire import Headers

FEW = Rule("Deputize gateway", "headers", "A call has at most 100 header fields, of 32 KiB together.")
READABLE = Rule("RFC 9110", "5.5", "A header's value has no control character.")
ONE_VALUE = Rule("RFC 9110", "5.3", "A header that takes one value is there once in a call.")
FRAMED_ONCE = Rule("RFC 9112", "6.3", "The length of a body is told in one way.")
SAME_PROTOCOL = Rule("RFC 9110", "7.8", "The connection stays with HTTP as it is: no upgrade, no trailers.")

COUNT_MAX: Final = 100
BYTES_MAX: Final = 32 * 1024

_LISTS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "forwarded",
        "if-match",
        "if-none-match",
        "prefer",
        "via",
        "x-forwarded-for",
    }
)
_ASKED: Final = frozenset(
    {
        "accept",
        "accept-language",
        "content-encoding",
        "content-language",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "last-event-id",
        "prefer",
        "traceparent",
        "user-agent",
    }
)
# `range` is not among them: what is scrubbed as a whole could be fetched in pieces too small to be recognised.
_ANSWERED: Final = frozenset(
    {
        "age",
        "allow",
        "cache-control",
        "content-disposition",
        "content-language",
        "content-length",
        "content-type",
        "date",
        "deprecation",
        "etag",
        "expires",
        "last-modified",
        "preference-applied",
        "ratelimit",
        "ratelimit-policy",
        "retry-after",
        "sunset",
        "vary",
    }
)
_NEVER: Final = re.compile(
    r"authorization|cookie|dpop|forwarded|from|host|te|trailer|transfer-encoding|upgrade|expect|content-length|connection"
    r"|keep-alive|range|if-range|via|origin|referer|accept-encoding|accept-txn-challenge|remote-.*|client-cert.*"
    r"|proxy-.*|x-forwarded.*|x-real-ip|x-remote-.*|x-original-.*|x-rewrite-.*|x-http-method.*|x-method-override"
    r"|.*api-?key.*|.*auth.*|.*token.*|.*secret.*|.*user-?(?:id|name)?|.*(?:^|-)(?:user|groups?|roles?|email)|deputize-.*"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_OURS: Final = re.compile(r"\s*(?:respond-async|wait)\s*(?:[=;].*)?", re.IGNORECASE)


def may_pass(name: str) -> bool:
    """Whether an operator may let this header of an agent through: none that could be taken for a credential."""
    return _NEVER.fullmatch(name.lower().replace("_", "-")) is None


def read(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of a call, or a refusal where two readers could understand them differently."""
    items = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]
    if len(items) > COUNT_MAX or sum(len(name) + len(value) for name, value in items) > BYTES_MAX:
        FEW.refuse("invalid_request")
    seen: set[str] = set()
    for name, value in items:
        if _CONTROL.search(value):
            READABLE.refuse("invalid_request", header=name[:40])
        if name in seen and name not in _LISTS:
            ONE_VALUE.refuse("invalid_request", header=name[:40])
        seen.add(name)
    headers = Headers(tuple(items))
    if seen & {"upgrade", "http2-settings", "te", "trailer"}:
        SAME_PROTOCOL.refuse("not_implemented")
    length, coding = headers.one("content-length"), headers.one("transfer-encoding")
    if (length is not None and coding is not None) or (coding or "chunked").lower() != "chunked":
        FRAMED_ONCE.refuse("invalid_request")
    if length is not None and not _LENGTH.fullmatch(length):
        FRAMED_ONCE.refuse("invalid_request")
    return headers


def forwarded(headers: Headers, also: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """What of an agent's headers goes to the API: listed by their exact names, less those of this connection alone.

    An underscore is no hyphen here, so no spelling of an identity header gets through to one who thinks otherwise.
    """
    named = {token.strip().lower() for line in headers.all("connection") for token in line.split(",")}
    passing = (_ASKED | also) - named
    told = ((name, _not_ours(value) if name == "prefer" else value) for name, value in headers.items if name in passing)
    return tuple((name, value) for name, value in told if value or name != "prefer")


def _not_ours(prefer: str) -> str:
    """Preferences, without those that the gateway itself goes by."""
    return ", ".join(one.strip() for one in prefer.split(",") if not _OURS.fullmatch(one))


def wants_async(headers: Headers) -> bool:
    """Whether the agent would rather look later than wait (RFC 7240, 4.1)."""
    told = [one.partition(";")[0].strip().lower() for line in headers.all("prefer") for one in line.split(",")]
    return "respond-async" in told


def answered(raw: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """What of an API's headers goes back to the agent. `Location` is judged apart."""
    return tuple((name, value) for name, value in raw if name in _ANSWERED)
