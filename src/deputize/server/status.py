"""The lists of this server as others fetch them: made from what is kept, signed when something has changed."""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qsl

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Headers, Outbound, b64u, json_bytes
from deputize.oauth import statuses as kept
from deputize.oauth.statuses import Statuses, StatusList
from deputize.oauth.token_status import accepted
from deputize.server import http
from deputize.server.http import Scope, Send
from deputize.vc import status_list
from deputize.vc.status_list import SPEC
from deputize.vc.status_token import Content, Form, mint

PAST_KEPT_MAX: Final = 64
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_GZIP: Final = re.compile(r"(^|[\s,])gzip\s*($|,)", re.IGNORECASE)

NO_HISTORY = Rule(SPEC, "Historical Resolution", "The time is asked for at a server that keeps what statuses were.")
THAT_TIME = Rule(SPEC, "Historical Resolution", "The list was there at the time that is asked for.")
ACCEPTABLE = Rule("RFC 9110", "12.5.1", "One of the forms that a list has is acceptable.")
_STATUSES: Final = {NO_HISTORY: 501, THAT_TIME: 404, ACCEPTABLE: 406}


async def content_of(
    one: StatusList, told: Mapping[int, int], here: Statuses, at: Instant, life: Seconds, *, level: int
) -> Content:
    """What a list says at a time, of the entries that are not VALID then."""
    settings = here.settings
    return Content.of(
        status_list.StatusList.of(one.bits, one.size, told),
        uri=here.uri_of(one.key),
        issued_at=at,
        until=Instant(at + life),
        ttl=min(settings.ttl, life),
        level=level,
        aggregation_uri=here.issuer.at(kept.PATH),
    )


async def told_of(one: StatusList, env: Env, at: Instant | None = None) -> dict[int, int]:
    """The entries of a list that are not VALID, now or at a time."""
    return {entry.idx: status for entry in await kept.told_in(one.key, env) if (status := entry.at(at))}


@dataclass(slots=True)
class _Made:
    """A list that was signed: of what it was made, and its tokens, each made when it is first asked for."""

    told: dict[int, int]
    content: Content
    looked_at: Instant
    tokens: dict[Form, bytes] = field(default_factory=dict)
    small: dict[Form, bytes] = field(default_factory=dict)  # the same under gzip

    async def token(self, form: Form, env: Env) -> bytes:
        if form not in self.tokens:
            self.tokens[form] = await mint(self.content, form, env)
        return self.tokens[form]


@dataclass(slots=True)
class StatusSite:
    """GET /status names all lists, GET /status/{name} is one of them. What is kept is looked at once a second."""

    here: Statuses
    env: Env
    path: str
    _made: dict[str, _Made] = field(default_factory=dict)
    _past: dict[tuple[str, Instant], _Made] = field(default_factory=dict)
    _named: tuple[Instant, bytes] | None = None

    def serves(self, path: str) -> bool:
        return path.startswith(self.path) and path[len(self.path) :][:1] in {"", "/"}

    async def answer(self, scope: Scope, send: Send) -> None:
        try:
            answer = await self._answer(scope)
        except Refusal as refusal:
            http.note_refusal(refusal, scope["path"])
            answer = http.refused(refusal)
            allow = (("allow", "GET, HEAD"),) if refusal.rule is http.METHOD else ()
            answer = replace(
                answer,
                status=_STATUSES.get(refusal.rule, answer.status),
                headers=(*answer.headers, *allow, ("access-control-allow-origin", "*")),
            )
        except Fault as fault:
            http.log.error("failed", path=scope["path"], what=str(fault))
            answer = http.failed(fault)
        await http.send_out(answer, send, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope) -> Outbound:
        if scope["method"] not in {"GET", "HEAD"}:
            http.METHOD.refuse("invalid_request", method=scope["method"])
        headers = Headers(tuple((str(name, "latin-1"), str(value, "latin-1")) for name, value in scope["headers"]))
        name = scope["path"][len(self.path) :].removeprefix("/")
        if not name:
            return _public(await self._names(), "application/json", self.here.settings.ttl, headers)
        one = await self.env.store.read(StatusList, name)
        now = self.env.clock()
        if one is None or (one.expires_at is not None and one.expires_at <= now):
            raise Refusal("invalid_request", http.FOUND)
        form = _form(headers)
        asked = _asked(scope.get("query_string", b""))
        made = await self._now(one, now) if asked is None else await self._then(one, asked, now)
        body = await made.token(form, self.env)
        lasts = min(self.here.settings.ttl, made.content.until - now) if asked is None else self.here.settings.life
        if form is Form.JWT and any(_GZIP.search(told) for told in headers.all("accept-encoding")):
            small = made.small.setdefault(form, gzip.compress(body, mtime=0))
            return _public(small, form.media_type, lasts, headers, ("content-encoding", "gzip"))
        return _public(body, form.media_type, lasts, headers)

    async def _names(self) -> bytes:
        now = self.env.clock()
        if self._named is None or self._named[0] != now:
            uris = [self.here.uri_of(one.key) for one in await kept.kept(self.env)]
            self._named = now, json_bytes({"status_lists": uris})
        return self._named[1]

    async def _now(self, one: StatusList, now: Instant) -> _Made:
        made = self._made.get(one.key)
        if made is not None and made.looked_at == now:
            return made
        told = await told_of(one, self.env)
        life = self.here.settings.life
        # While nothing changes, readers are told so (304) and fetch nothing; but no list is served that is nearly over.
        if made is not None and made.told == told and 0 <= now - made.content.issued_at < life // 2:
            made.looked_at = now
            return made
        content = await content_of(one, told, self.here, now, life, level=status_list.LEVEL_LIVE)
        made = self._made[one.key] = _Made(told, content, now)
        for name, other in list(self._made.items()):
            if other.content.until <= now:
                del self._made[name]
        return made

    async def _then(self, one: StatusList, asked: Instant, now: Instant) -> _Made:
        if not self.here.settings.history:
            NO_HISTORY.refuse("invalid_request")
        if not one.opened_at <= asked <= now:
            THAT_TIME.refuse("invalid_request", asked=asked)
        if (one.key, asked) not in self._past:
            told = await told_of(one, self.env, asked)
            # For a second only: it is not to be played to others as what is so now.
            content = await content_of(one, told, self.here, asked, Seconds(1), level=status_list.LEVEL_LIVE)
            while len(self._past) >= PAST_KEPT_MAX:
                del self._past[next(iter(self._past))]
            self._past[one.key, asked] = _Made(told, content, now)
        return self._past[one.key, asked]


def _form(headers: Headers) -> Form:
    """The form that is wanted more; JWT, if both are wanted alike."""
    weights = accepted(headers)
    rest = max(weights.get("*/*", 0.0), weights.get("application/*", 0.0))
    if not any(told.strip() for told in headers.all("accept")):
        rest = 1.0
    wanted = {form: weights.get(form.media_type, rest) for form in Form}
    best = max(Form, key=lambda form: wanted[form])
    if not wanted[best]:
        ACCEPTABLE.refuse("invalid_request")
    return best


def _asked(query: bytes) -> Instant | None:
    """The time that is asked for, if one is."""
    try:
        told = [value for name, value in parse_qsl(query.decode("ascii"), max_num_fields=10) if name == "time"]
    except ValueError:
        told = [""]
    if not told:
        return None
    if len(told) > 1 or not _SECONDS.fullmatch(told[0]):
        THAT_TIME.refuse("invalid_request")
    return Instant(int(told[0]))


def _public(body: bytes, kind: str, lasts: int, headers: Headers, *more: tuple[str, str]) -> Outbound:
    """What is the same for everybody, with a tag so that asking again is cheap."""
    tag = f'"{b64u(hashlib.sha256(body).digest())}"'
    common = (
        ("cache-control", f"public, max-age={max(0, lasts)}"),
        ("etag", tag),
        ("vary", "Accept, Accept-Encoding"),
        ("access-control-allow-origin", "*"),  # public, and without credentials
        ("x-content-type-options", "nosniff"),
    )
    if any(tag in told or told.strip() == "*" for told in headers.all("if-none-match")):
        return Outbound(status=304, headers=common)
    return Outbound(status=200, headers=(("content-type", kind), *common, *more), body=body)
