"""ASGI ↔ Inbound/Outbound, and the one map from refusals to statuses and headers."""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import structlog

from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.wire import (
    FORM_BYTES_MAX,
    FORM_TYPE,
    PLAIN,
    Headers,
    Inbound,
    JsonObject,
    Outbound,
    json_bytes,
)
from deputize.jose.algorithms import ALL
from deputize.oauth import challenge, registration
from deputize.oauth.throttle import NOT_TOO_FAST

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS_MAX: Final = 100
HEADER_BYTES_MAX: Final = 32 * 1024

METHOD = Rule("RFC 6749", "3.2", "The endpoint is used with the method that it is for.")
BODY = Rule("Deputize", "bounds", "The body of a request has at most 64 KiB.")
FEW_HEADERS = Rule("Deputize", "bounds", "A request has at most 100 header fields, of 32 KiB together.")
FOUND = Rule("RFC 9110", "15.5.5", "There is something at this address.")

_STATUS_BY_RULE: Final = {
    NOT_TOO_FAST: 429,
    registration.QUOTA: 429,
    registration.ROOM: 429,
    registration.JSON_TYPE: 415,
    registration.SETTLED: 403,
    BODY: 413,
    FORM_TYPE: 415,
    PLAIN: 415,
    METHOD: 405,
    FEW_HEADERS: 431,
    FOUND: 404,
}
_STATUS: Final = {"invalid_client": 401}

_JSON: Final = (
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
)

log = structlog.get_logger("deputize.server")


SOURCE_SCOPE: Final = "deputize.source"  # set where a trusted proxy tells whom it speaks for


def source_of(scope: Scope) -> str:
    """The address that a request comes from. It is counted by, and is nobody's identity."""
    told = scope.get(SOURCE_SCOPE)
    if told is not None:
        return str(told)
    peer = scope.get("client")
    return str(peer[0]) if peer else ""


class Gone(Exception):
    """The peer went away before it had said all: there is nobody to answer."""


def headers_of(scope: Scope) -> Headers:
    """The header fields of a request, doubles kept."""
    return Headers(tuple([(str(name, "latin-1"), str(value, "latin-1")) for name, value in scope["headers"]]))


async def inbound(scope: Scope, receive: Receive, url: str) -> Inbound:
    """The request, bounded while it is read. `url` is the configured one: never made from what the peer sent."""
    raw = scope["headers"]
    if len(raw) > HEADERS_MAX or sum(map(len, chain.from_iterable(raw))) > HEADER_BYTES_MAX:
        FEW_HEADERS.refuse("invalid_request")
    headers = headers_of(scope)
    message = await receive()
    body = bytearray(message.get("body", b""))
    while message.get("more_body") and len(body) <= FORM_BYTES_MAX:
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise Gone
    if len(body) > FORM_BYTES_MAX:
        BODY.refuse("invalid_request")
    return Inbound(method=scope["method"], url=url, headers=headers, body=bytes(body), source=source_of(scope))


def answered(members: JsonObject, *, status: int = 200, extra: tuple[tuple[str, str], ...] = ()) -> Outbound:
    """A JSON answer that nobody may keep."""
    return Outbound(status=status, headers=(*_JSON, *extra), body=json_bytes(members))


def answered_signed(compact: str, typ: str) -> Outbound:
    """A JWT as an answer that nobody may keep."""
    return Outbound(
        status=200, headers=(("content-type", f"application/{typ}"), *_JSON[1:]), body=compact.encode("ascii")
    )


def refused(refusal: Refusal, *, statuses: dict[str, int] | None = None, basic: bool = False) -> Outbound:
    """A refusal as the peer sees it: the registered code and the rule's sentence, nothing of what was found.

    `statuses` are those that an endpoint's own specification gives; `basic` says that the Authorization header was
    used, which must be answered with a challenge (RFC 6749, 5.2).
    """
    status = _STATUS_BY_RULE.get(refusal.rule) or (statuses or {}).get(refusal.error) or _STATUS.get(refusal.error, 400)
    extra: tuple[tuple[str, str], ...] = ()
    if refusal.error == "invalid_client" and basic:
        extra = (("www-authenticate", 'Basic realm="token", charset="UTF-8"'),)
    params = dict(refusal.params)
    if "retry_after" in params:
        extra = (*extra, ("retry-after", params.pop("retry_after")))
    members = {"error": refusal.error, "error_description": refusal.rule.says, **params}
    return answered(members, status=status, extra=extra)


_TOKEN_STATUS: Final = {"invalid_request": 400, "insufficient_scope": 403}


def refused_token(refusal: Refusal, algs: frozenset[str] = ALL) -> Outbound:
    """A refusal of an access token (RFC 6750, 3; RFC 9449, 7.1): which schemes there are, and what was wrong.

    `algs` are what a proof may be signed with; without any, tokens are not bound to keys here.
    """
    missing = refusal.error == "missing_token"  # no code where no token came
    told = () if missing else (("error", refusal.error), ("error_description", refusal.rule.says))
    params = (*told, *refusal.params)
    dpop = (("DPoP", (*params, ("algs", " ".join(sorted(algs))))),) if algs else ()
    schemes = (("Bearer", params), *dpop)
    extra = tuple(("www-authenticate", challenge.www_authenticate(name, told)) for name, told in schemes)
    members = {} if missing else {"error": refusal.error, "error_description": refusal.rule.says}
    return answered(members, status=_TOKEN_STATUS.get(refusal.error, 401), extra=extra)


def failed(fault: Fault) -> Outbound:
    """We cannot; the peer learns no more than whether to come again."""
    if fault.retry:
        members = {"error": "temporarily_unavailable", "error_description": "Please try again in a moment."}
        return answered(members, status=503, extra=(("retry-after", "1"),))
    return answered({"error": "server_error", "error_description": "This cannot be done at the moment."}, status=500)


@lru_cache(maxsize=64)  # most answers have the same few
def _encoded(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)


async def send_out(answer: Outbound, send: Send, *, head: bool = False) -> None:
    """Write an answer."""
    headers = [*_encoded(answer.headers)]
    if answer.status != 304:  # which would have to tell the length of what it does not send (RFC 9110, 8.6)
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


def note_refusal(refusal: Refusal, path: str) -> None:
    """Tell the log which rule was broken. `found` is ours to choose at each rule, and never holds a secret."""
    log.info(
        "refused", path=path, error=refusal.error, rule=f"{refusal.rule.spec} {refusal.rule.section}", **_told(refusal)
    )


def _told(refusal: Refusal) -> dict[str, str]:
    return {f"found_{name}": str(value)[:200] for name, value in refusal.found.items()}
