"""A page that asks a wallet for something (OpenID4VP 1.0), what wallets fetch and post, and what is shown then."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deputize.core.ports import Add, Env
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Secret
from deputize.core.wire import FORM, FORM_TYPE, ONCE, Form, Inbound, JsonObject, Outbound
from deputize.server import http, session, views
from deputize.server.credentials import PRESENT, Asked, Credentials, json_of, picture_of
from deputize.server.frame import Frame, headers_of
from deputize.vc import presentations, requests
from deputize.vc.presentations import KNOWN_REQUEST, PRESENTED, RESPONSE_CODE, Wanted

ROWS_MAX: Final = 60

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownView:
    """A credential as it was presented: what it is, who issued it, and what it says."""

    vct: str
    issuer: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentView:
    """The page. `link` opens a wallet on this device, `picture` is for one on another; `shown` is what came of it."""

    name: str
    key: str = ""
    purpose: str = ""
    token: str = ""
    link: str = ""
    picture: str = ""
    cross_device: bool = False
    problem: str = ""
    shown: tuple[ShownView, ...] = ()


def shown_view(told: JsonObject) -> tuple[ShownView, ...]:
    """What was presented, as a person reads it. What belongs to the format is left out."""
    found = []
    for several in told.values():
        for one in several:
            claims = {name: value for name, value in one["claims"].items() if name not in _OF_THE_FORMAT}
            facts = tuple(_facts(claims, ""))[:ROWS_MAX]
            found.append(ShownView(vct=views.shown(one["vct"]), issuer=views.shown(one["issuer"]), facts=facts))
    return tuple(found)


_OF_THE_FORMAT: Final = frozenset({"iss", "vct", "cnf", "status", "iat", "nbf", "exp", "vct#integrity", "aka_vcts"})


def _facts(value: Any, above: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 (any JSON)
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if members is None:
        yield views.shown(above), views.shown(str(value))
        return
    for name, member in members:
        yield from _facts(member, f"{above}.{name}" if above else str(name))


def answer_form(request: Inbound) -> Form:
    """The form of a wallet's answer: one field of it may be as long as the whole, for that is where credentials are."""
    kind = (request.headers.one("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        FORM_TYPE.refuse("invalid_request", content_type=kind[:80])
    try:
        pairs = parse_qsl(request.body.decode("ascii"), strict_parsing=True, max_num_fields=10, errors="strict")
    except ValueError:
        FORM.refuse("invalid_request")
    if len(dict(pairs)) != len(pairs):
        ONCE.refuse("invalid_request")
    return Form({name: (value,) for name, value in pairs if value})


@dataclass(frozen=True, slots=True)
class Presenting:
    """The pages, and what is below them for wallets."""

    frame: Frame
    credentials: Credentials

    def routes(self) -> tuple[tuple[str, str, Handler], ...]:
        signed = (
            ("GET", PRESENT + "/requests/{key}", self.request_object),
            ("POST", PRESENT + "/requests/{key}", self.request_object),
        )
        return (
            *(signed if self.credentials.certified is not None else ()),
            ("POST", PRESENT + "/answers/{key}", self.answer),
            ("GET", PRESENT + "/{name}", self.ask),
            ("POST", PRESENT + "/{name}", self.begin),
            ("GET", PRESENT + "/{name}/{key}", self.page),
            ("GET", PRESENT + "/{name}/{key}/live", self.news),
        )

    @property
    def env(self) -> Env:
        return self.frame.env

    # --- for people -------------------------------------------------------------------------------------------------

    def _asked(self, request: Request) -> tuple[str, Asked]:
        name = request.path_params["name"]
        asked = self.credentials.settings.asked.get(name)
        if asked is None:
            raise HTTPException(404)
        return name, asked

    async def ask(self, request: Request) -> Response:
        """What is asked for, before anything is begun: whoever follows a link has done nothing yet."""
        name, asked = self._asked(request)
        visitor = await self.frame.visitor(request)
        value = visitor.cookie or session.fresh_value(self.env)
        view = PresentView(
            name=name, purpose=asked.purpose, token=session.form_token(value), cross_device=asked.cross_device
        )
        answer = self.frame.page("present.html", visitor, view=view)
        return answer if visitor.cookie else self.frame.with_cookie(answer, value)

    async def begin(self, request: Request) -> Response:
        """A request for this browser: for a wallet on this device, or on another one where that is let."""
        name, asked = self._asked(request)
        form = await self.frame.form(request)
        away = form.get("device") == "other" and asked.cross_device
        wanted = presentations.begin(
            self.credentials.verifier(self.env),
            json_of(asked.query),
            self._secret(request),
            self.env,
            about=name,
            returns_to="" if away else self.credentials.issuer.at(f"{PRESENT}/{name}/{{}}"),
        )
        if not await self.env.store.commit(Add(wanted)):
            raise Fault("a fresh name was there already", retry=True)
        return self.frame.to(f"{PRESENT}/{name}/{wanted.key}")

    def _secret(self, request: Request) -> Secret:
        """What this browser alone has."""
        value = self.frame.cookie.value_in(headers_of(request))
        if value is None:
            raise HTTPException(404)
        return Secret(f"presentation {value}")

    async def page(self, request: Request) -> Response:
        """The link or the picture; once the wallet has answered, what it presented."""
        name, asked = self._asked(request)
        visitor = await self.frame.visitor(request)
        key, view = request.path_params["key"], PresentView(name=name, purpose=asked.purpose)
        try:
            told = await self._collected(request)
        except Refusal as refusal:
            if refusal.rule not in {PRESENTED, RESPONSE_CODE, KNOWN_REQUEST}:
                raise
            http.note_refusal(refusal, request.scope["path"])
            return self.frame.page("present.html", visitor, view=replace(view, problem=_PROBLEMS[refusal.rule.says]))
        if told is not None:
            return self.frame.page("present.html", visitor, view=replace(view, shown=shown_view(told)))
        wanted = await presentations.found(key, self.env)
        link = self._link(wanted)
        if wanted.returns_to:
            return self.frame.page("present.html", visitor, view=replace(view, key=key, link=link))
        picture = picture_of(link)
        return self.frame.page("present.html", visitor, view=replace(view, key=key, picture=picture))

    async def _collected(self, request: Request) -> JsonObject | None:
        code = request.query_params.get("response_code")
        return await presentations.collected(request.path_params["key"], self._secret(request), code, self.env)

    async def news(self, request: Request) -> Response:
        """What an open page asks for every two seconds: whether a wallet on another device has answered."""
        self._asked(request)
        try:
            waits = await self._collected(request) is None
        except Refusal as refusal:
            waits = refusal.rule is RESPONSE_CODE  # on one device, the wallet opens the page itself
        answer = self.frame.nothing_new()
        if not waits:
            answer.headers["HX-Refresh"] = "true"
        return answer

    def _link(self, wanted: Wanted) -> str:
        if self.credentials.certified is None:
            return requests.link_with(self.credentials.scheme, wanted.params())
        place = self.credentials.issuer.at(f"{PRESENT}/requests/{wanted.key}")
        return requests.link_to(self.credentials.scheme, wanted.client_id, place, post=True)

    # --- for wallets ------------------------------------------------------------------------------------------------

    async def request_object(self, request: Request) -> Response:
        """The signed request; with the wallet's nonce in it, where it was posted for (OpenID4VP 1.0, 5.10)."""

        async def made(inbound: Inbound) -> Outbound:
            certified = self.credentials.certified
            if certified is None:
                raise HTTPException(404)
            wanted = await presentations.found(request.path_params["key"], self.env)
            nonce = inbound.form().get("wallet_nonce") if inbound.method == "POST" and inbound.body else None
            text = requests.sealed(
                wanted.params(),
                certified.key,
                now=self.env.clock(),
                life=presentations.LIFE,
                chain=certified.x5c,
                wallet_nonce=nonce,
            )
            return http.answered_signed(text, requests.TYP)

        return await self._for_wallets(request, made)

    async def answer(self, request: Request) -> Response:
        """POST to the response_uri (OpenID4VP 1.0, 8.2)."""

        async def taken(inbound: Inbound) -> Outbound:
            policy = self.credentials.policy(self.env)
            back = await presentations.answered(request.path_params["key"], answer_form(inbound), policy, self.env)
            return http.answered({} if back is None else {"redirect_uri": back})

        return await self._for_wallets(request, taken)

    async def _for_wallets(self, request: Request, does: Callable[[Inbound], Awaitable[Outbound]]) -> Response:
        """Programs are told in JSON what people are told on a page."""
        try:
            said = await does(await http.inbound(request.scope, request.receive, self.frame.issuer.text))
        except Refusal as refusal:
            http.note_refusal(refusal, request.scope["path"])
            said = http.refused(refusal)
        except Fault as fault:
            http.log.error("failed", path=request.scope["path"], what=str(fault))
            said = http.failed(fault)
        return Response(said.body, said.status, dict(said.headers))


_PROBLEMS: Final = {
    PRESENTED.says: "Your wallet did not show anything.",
    RESPONSE_CODE.says: "Your wallet has answered, but not to this page. Please begin again, on this device.",
    KNOWN_REQUEST.says: "This took too long, or was over already. Please begin again.",
}
