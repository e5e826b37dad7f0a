"""A call of a page's, made for it: to an API that is listed, with a token that the page never sees."""

import re
from dataclasses import dataclass, field
from typing import Final

from deputize.bff.renewing import Renewing
from deputize.bff.sessions import Held
from deputize.core.rules import Rule
from deputize.core.values import WebUrl
from deputize.core.wire import Call, Headers, Outbound, Reply, json_bytes
from deputize.oauth import dpop
from deputize.sdk.challenges import USE_NONCE, challenged

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
ANSWER_MAX: Final = 4 * 1024 * 1024
JTI_BITS: Final = 128

LISTED = Rule("RFC 10017", "6.1.3.6", "A call goes to an API that is listed, and below its address.")
METHOD = Rule("RFC 10017", "6.1.3.6", "A call has a method that is listed for its API.")
NO_TOKEN_OUT = Rule("RFC 10017", "6.1.2", "Nothing that the browser is told holds a token.")
STAYS = Rule("RFC 10017", "6.1.3.6", "An API answers itself: where it sends one elsewhere, nobody goes along.")

_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9\-_~]+(?:\.[A-Za-z0-9\-_~]+)*)+")
_ASKED: Final = frozenset(
    {
        *("accept", "accept-language", "content-type", "content-language", "idempotency-key", "prefer", "traceparent"),
        *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"),
    }
)
_ANSWERED: Final = frozenset(
    {
        *("content-type", "content-language", "content-disposition", "etag", "last-modified", "allow", "vary"),
        *("retry-after", "deprecation", "sunset", "preference-applied", "ratelimit", "ratelimit-policy"),
    }
)
# What an API says, a script of this origin reads; it is never shown as a page of this origin.
ALWAYS: Final = (
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
)
_NONCE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,256}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What lies below `prefix` is called at `url`, by these methods. Raises ValueError."""

    prefix: str
    url: str
    methods: frozenset[str] = METHODS

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(f"{self.prefix}: a prefix is a plain path")
        if "?" in WebUrl(self.url).text:
            raise ValueError(f"{self.prefix}: an API's address has no query")
        if not self.methods <= METHODS:
            raise ValueError(f"{self.prefix}: {', '.join(sorted(self.methods - METHODS))} does not go through")

    def serves(self, path: str) -> bool:
        return path == self.prefix or path.startswith(f"{self.prefix}/")

    def at(self, path: str) -> str:
        """The API's address of a path below the prefix. Both are plain: joining them makes no new one."""
        return self.url.rstrip("/") + path.removeprefix(self.prefix)


def route(apis: tuple[Api, ...], method: str, path: str) -> Api:
    """The API of this path; of two that fit, the longer prefix is meant."""
    fitting = [api for api in apis if api.serves(path)]
    if not fitting:
        LISTED.refuse("not_found")
    api = max(fitting, key=lambda one: len(one.prefix))
    if method not in api.methods:
        METHOD.refuse("method_not_allowed", params=(("allow", ", ".join(sorted(api.methods))),))
    return api


@dataclass(slots=True)
class Proxy:
    """Makes calls with the token of a session."""

    renewing: Renewing
    _nonces: dict[str, str] = field(default_factory=dict, repr=False)

    async def call(self, name: str, method: str, url: str, headers: Headers, body: bytes) -> Outbound:
        """Make the call. A token that the API takes no more is replaced once, and a nonce that it wants is put in."""
        held, renewed, proven = await self.renewing.token(name), False, False
        passing = tuple((key, value) for key, value in headers.items if key in _ASKED)
        while True:
            shown = (*passing, *self._shown(held, method, url))
            sent = Call(method=method, url=url, headers=shown, body=body, bytes_max=ANSWER_MAX)
            reply = await self.renewing.env.fetch(sent)
            learned = self._learns_nonce(url, reply)
            if reply.status != 401:
                return answer(reply, held)
            said = challenged(reply.headers)
            if USE_NONCE in said.errors and learned and not proven:
                proven = True
            elif not renewed and said.errors <= {"invalid_token"}:
                renewed = True
                held = await self.renewing.token(name, dead=held.access_token.reveal())
            else:  # no 401 of the API's: to a page that would mean that nobody is signed in
                error = next(iter(sorted(said.errors)), "refused")
                return said_so(403, error)

    def _shown(self, held: Held, method: str, url: str) -> tuple[tuple[str, str], ...]:
        login, token = self.renewing.login, held.access_token.reveal()
        shown = (("authorization", f"{held.token_type} {token}"),)
        if login.dpop_key is None:
            return shown
        proof = dpop.prove(
            login.dpop_key,
            method=method,
            url=url,
            jti=login.random(JTI_BITS),
            now=login.clock(),
            access_token=token,
            nonce=self._nonces.get(WebUrl(url).origin),
        )
        return (*shown, ("dpop", proof))

    def _learns_nonce(self, url: str, reply: Reply) -> bool:
        told = reply.headers.all("dpop-nonce")
        if len(told) != 1 or not _NONCE.fullmatch(told[0]):
            return False
        origin = WebUrl(url).origin
        before, self._nonces[origin] = self._nonces.get(origin), told[0]
        return before != told[0]


def answer(reply: Reply, held: Held) -> Outbound:
    """The answer as the page gets it: listed headers, and a body in which no token is."""
    if 300 <= reply.status < 400 and reply.status != 304:
        STAYS.refuse("bad_gateway", status=reply.status)
    headers = tuple((name, value) for name, value in reply.headers.items if name in _ANSWERED and value.isascii())
    tokens = [one.reveal().encode() for one in (held.access_token, held.refresh_token) if one is not None]
    told = b"\n".join([reply.body, *(value.encode() for _, value in headers)])
    if any(token in told for token in tokens):
        NO_TOKEN_OUT.refuse("bad_gateway")
    return Outbound(status=reply.status, headers=(*headers, *ALWAYS), body=reply.body)


def said_so(status: int, error: str, says: str = "") -> Outbound:
    """An answer of ours, in JSON."""
    members = {"error": error, **({"error_description": says} if says else {})}
    return Outbound(status=status, headers=(("content-type", "application/json"), *ALWAYS), body=json_bytes(members))
