"""ASGI at an API's door: the part of a request that the guard judges, and the one map from refusals to answers."""

import hashlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from deputize.core.rules import Refusal, Rule
from deputize.core.wire import PLAIN, Headers, JsonObject, Outbound, b64u, json_bytes
from deputize.oauth import challenge
from deputize.oauth.caller import ONE_METHOD, Caller
from deputize.oauth.certificate import Edge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Params = tuple[tuple[str, str], ...]

CALLER: Final = "deputize.caller"
PATH_MAX: Final = 1024  # so that a URL with any origin stays within what an authorization detail may hold
RETRY_AFTER: Final = 30

PLAIN_PATH = Rule("RFC 3986", "6.2.2", "The path has one reading: no dot segment, empty segment or hidden separator.")
QUERY = Rule("RFC 3986", "3.4", "The query has only the characters of one, and its percent signs are escapes.")
BODY_SMALL = Rule("Deputize", "bounds", "The body of a call that a person approves is within the size set for it.")

_PATH: Final = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,=:@/]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9\-._~!$&'()*+,=:@/]*)*")
_QUERY: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]]|%[0-9A-Fa-f]{2})*")
_TOKEN_IN_QUERY: Final = re.compile(r"(?:^|&)access_token(?:=|&|\Z)")
_READ: Final = {
    name.encode("ascii"): name
    for name in (
        "authorization",
        "dpop",
        "accept-txn-challenge",
        "content-length",
        "content-encoding",
        "client-cert",
        "client-cert-chain",
    )
}
# Credentials were for the guard; the rest would make a framework see another request than the one that was judged.
_HIDDEN: Final = frozenset(
    {
        b"authorization",
        b"dpop",
        b"client-cert",
        b"client-cert-chain",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-url",
        b"x-rewrite-url",
    }
)
_STATUS: Final = {
    "invalid_request": 400,
    "missing_token": 401,
    "invalid_token": 401,
    "invalid_dpop_proof": 401,
    "use_dpop_nonce": 401,
    challenge.ERROR: 401,
    "insufficient_user_authentication": 401,
    "insufficient_scope": 403,
}
_STATUS_OF_RULE: Final = {BODY_SMALL: 413, PLAIN: 415}
_OF_THE_TOKEN: Final = frozenset({challenge.ERROR, "insufficient_scope"})  # another scheme would not help
_TOKEN_TO_GET: Final = frozenset({"missing_token", "invalid_token"})
_ALWAYS: Final = (
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
)


class Gone(Exception):
    """The peer went away in the middle of its request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The part of a request that the guard judges: `path` as it is routed, `raw_path` and `query` as they came.

    `headers` holds only those that the guard reads, `certificate` the client's where TLS has proven one. Nothing here
    was made from `Host` or a forwarding header.
    """

    method: str
    path: str
    raw_path: str
    query: str
    headers: Headers
    certificate: bytes | None = None


def request(scope: Scope, edge: Edge) -> Request:
    """Read what came, or refuse what has two readings. `edge` says whose word on certificates is taken."""
    path: str = scope["path"]
    told = scope.get("raw_path")
    raw_path = quote(path, safe="/!$&'()*+,=:@~") if told is None else told.decode("latin-1")
    if not one_reading(raw_path, path):
        PLAIN_PATH.refuse("invalid_request")
    query = scope.get("query_string", b"").decode("latin-1")
    if not plain_query(query):
        QUERY.refuse("invalid_request")
    read = []
    for raw_name, value in scope["headers"]:
        name = _READ.get(raw_name.lower())
        if name is not None:
            read.append((name, value.decode("latin-1")))
    headers = Headers(tuple(read))
    if query and _TOKEN_IN_QUERY.search(query) and headers.all("authorization"):
        ONE_METHOD.refuse("invalid_request")  # a client that sends its token by two ways is confused
    shown = edge.certificates(scope, headers)
    return Request(
        method=scope["method"],
        path=path,
        raw_path=raw_path,
        query=query,
        headers=headers,
        certificate=shown[0] if shown else None,
    )


def plain_query(query: str) -> bool:
    """Whether a query has only the characters of one."""
    return not query or _QUERY.fullmatch(query) is not None


def one_reading(raw_path: str, path: str) -> bool:
    """Whether everybody who reads this path, however often he decodes it, finds the same segments."""
    if len(raw_path) > PATH_MAX or not _PATH.fullmatch(raw_path):
        return False
    if "%" in raw_path:
        try:
            plain = unquote(raw_path, errors="strict")
        except UnicodeDecodeError:
            return False
        if "%2f" in raw_path.lower() or not plain.isprintable() or not {"\\", ";", "%"}.isdisjoint(plain):
            return False
    else:
        plain = raw_path
    # Another middleware may have altered `path` alone: then the URL would not be the one that is routed.
    return plain == path and "//" not in plain and (("/." not in plain) or not _has_dots(plain))


def _has_dots(path: str) -> bool:
    return not {".", ".."}.isdisjoint(path.split("/"))


async def body(asked: Request, receive: Receive, *, bytes_max: int) -> bytes:
    """The whole body, within bounds; one that announces too much is not read at all."""
    length = asked.headers.one("content-length") or ""
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > bytes_max):
        BODY_SMALL.refuse("invalid_request", announced=length[:20])
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > bytes_max:
            BODY_SMALL.refuse("invalid_request", read=size)
        if not message.get("more_body", False):
            return b"".join(parts)


def replayed(whole: bytes, receive: Receive) -> Receive:
    """Give a body that was read to the one who comes next, once; then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": whole, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def admitted(scope: Scope, caller: Caller) -> Scope:
    """What the API sees: who calls, and nothing that it was shown by."""
    headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _HIDDEN]
    return {**scope, "headers": headers, CALLER: caller}


def telling(send: Send, name: str, value: str) -> Send:
    """Let each answer tell this, too; in place of what the API says under the same name."""
    named = name.encode("ascii")

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            others = [each for each in message.get("headers", ()) if each[0].lower() != named]
            message = {**message, "headers": [*others, (named, value.encode("ascii"))]}
        await send(message)

    return told


# --- answers --------------------------------------------------------------------------------------------------------


def refused(no: Refusal, *, used: str | None, offered: tuple[tuple[str, Params], ...], first: str = "") -> Outbound:
    """Say no. `offered` are the schemes that a client may come with, `used` the one that this client came with.

    `first` is the scope that those are told to ask for who have no token, or none that is good.
    """
    if no.error == "missing_token":  # RFC 6750, 3.1: no code where no credentials came
        told, members = no.params, {"error_description": no.rule.says}
    else:
        members = {"error": no.error, "error_description": no.rule.says}
        told = (*members.items(), *no.params)
    if no.error in _TOKEN_TO_GET and first:
        told = (*told, ("scope", first))
    if no.error in _OF_THE_TOKEN:
        offered = tuple(offer for offer in offered if offer[0].lower() == used)
    everywhere = used not in {scheme.lower() for scheme, _ in offered}
    lines = tuple(
        challenge.www_authenticate(scheme, (*(told if everywhere or scheme.lower() == used else ()), *more))
        for scheme, more in offered
    )
    return Outbound(
        status=_STATUS_OF_RULE.get(no.rule) or _STATUS[no.error],
        headers=(*_ALWAYS, *(("www-authenticate", line) for line in lines)),
        body=json_bytes(members),
    )


def unable(status: int, error: str) -> Outbound:
    """We cannot; why is nobody's affair."""
    again = (("retry-after", str(RETRY_AFTER)),) if status == 503 else ()
    return Outbound(status=status, headers=(*_ALWAYS, *again), body=json_bytes({"error": error}))


async def answer(out: Outbound, method: str, send: Send) -> None:
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in out.headers]
    if out.status not in {204, 304}:  # these have no body, and do not say how long it is (RFC 9110, 8.6)
        headers.append((b"content-length", str(len(out.body)).encode("ascii")))
    await send({"type": "http.response.start", "status": out.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else out.body})


# --- public documents -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Document:
    """A public JSON document as ready bytes."""

    body: bytes
    etag: str

    @classmethod
    def of(cls, members: JsonObject) -> "Document":
        whole = json_bytes(members)
        return cls(whole, f'"{b64u(hashlib.sha256(whole).digest()[:16])}"')


def document(shown: Document, scope: Scope) -> Outbound:
    """Serve a document: GET and HEAD, 304 where the peer has it."""
    public = (
        ("cache-control", "public, max-age=300"),
        ("etag", shown.etag),
        ("access-control-allow-origin", "*"),  # public, and asked for without credentials
        ("x-content-type-options", "nosniff"),
    )
    if scope["method"] not in {"GET", "HEAD"}:
        return Outbound(status=405, headers=(("allow", "GET, HEAD"), *public[3:]))
    known = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"if-none-match"]
    if any(tag.strip().removeprefix("W/") in {shown.etag, "*"} for line in known for tag in line.split(",")):
        return Outbound(status=304, headers=public)
    return Outbound(status=200, headers=(("content-type", "application/json"), *public), body=shown.body)
