"""The pages of an authorization request: begin, be asked, be sent back to where the client is known to be."""

import re
from dataclasses import dataclass, replace
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deputize.core.ports import Env
from deputize.core.rules import Refusal
from deputize.core.wire import FORM_BYTES_MAX, SMALL, Form
from deputize.core.wire import ONCE as SAID_ONCE
from deputize.oauth import asking, authorize, begun, requested
from deputize.oauth import standing as standings
from deputize.oauth.authorize import Answer, Consent, SignIn, Step
from deputize.oauth.redirects import Destination
from deputize.oauth.server import AuthorizationServer
from deputize.server import consent_view, http, refusals, session
from deputize.server.frame import CSP, PERSONAL, Frame, Visitor

_NAMEABLE: Final = re.compile(r"(https?://[A-Za-z0-9.-]+(:[0-9]+)?|[a-z][a-z0-9.+-]*:)")
_OVER: Final = frozenset({begun.ANSWERED_ONCE, asking.ANSWERED_ONCE})


@dataclass(frozen=True, slots=True)
class Authorizing:
    """What each page of an authorization request does."""

    frame: Frame
    here: AuthorizationServer

    @property
    def env(self) -> Env:
        return self.frame.env

    async def _who(self, request: Request) -> tuple[Visitor, authorize.Visitor | None]:
        visitor = await self.frame.visitor(request)
        if visitor.session is None or visitor.person is None:
            return visitor, None
        await session.seen(visitor.session, self.env)
        return visitor, authorize.Visitor(person=visitor.person, seen=visitor.session.authentication)

    # --- begin ------------------------------------------------------------------------------------------------------

    async def begin(self, request: Request) -> Response:
        """GET /authorize."""
        if request.method != "GET":  # a HEAD must not bring a code
            raise HTTPException(405, headers={"Allow": "GET, POST"})
        return await self._begun(request, request.scope["query_string"])

    async def begin_posted(self, request: Request) -> Response:
        """POST /authorize (OpenID Connect Core, 3.1.2.1): from a client's page, so without our cookie."""
        if request.scope["query_string"]:
            return await self._no(request, Refusal("invalid_request", SAID_ONCE, where="query and body"))
        inbound = await http.inbound(request.scope, request.receive, self.frame.issuer.text)
        try:
            inbound.form()  # its type and its coding
        except Refusal as refusal:
            if refusal.rule is not SAID_ONCE:
                return await self._no(request, refusal)
        return await self._begun(request, inbound.body)

    async def _begun(self, request: Request, asked: bytes) -> Response:
        doubled: set[str] = set()
        try:
            if len(asked) > FORM_BYTES_MAX:
                SMALL.refuse("invalid_request")
            form = Form.parse(asked, doubled)
            if doubled & authorize.DECIDES:
                SAID_ONCE.refuse("invalid_request", parameters=sorted(doubled & authorize.DECIDES))
            _, who = await self._who(request)
            step = await authorize.begin(form, frozenset(doubled), who, self.here, self.env)
        except Refusal as refusal:
            return await self._no(request, refusal)
        if isinstance(step, Answer):
            return await self._send(request, step)
        return self._sign_in(step) if isinstance(step, SignIn) else self.frame.to(f"/authorize/{step.begun.key}")

    async def _no(self, request: Request, refusal: Refusal) -> Response:
        """Nobody but who is at the browser is told."""
        http.note_refusal(refusal, request.scope["path"])
        if refusal.rule is standings.NOT_TAKEN_BACK:
            return await self.frame.refusal(request, refusals.TAKEN_BACK)
        if refusal.rule in _OVER:
            return await self.frame.refusal(request, refusals.ANSWERED)
        view = replace(refusals.UNANSWERABLE, says=f"{refusals.UNANSWERABLE.says} {refusal.rule.says}")
        return await self.frame.refusal(request, view)

    def _sign_in(self, step: SignIn) -> Response:
        wanted = step.begun.requested
        return self.frame.to_sign_in(
            f"/authorize/{step.begun.key}", again=step.again, login=wanted.login_hint, acr_values=wanted.acr_values
        )

    # --- be asked ---------------------------------------------------------------------------------------------------

    async def _step(self, request: Request) -> tuple[Visitor, authorize.Visitor | None, Step]:
        visitor, who = await self._who(request)
        found = await begun.find(request.path_params["key"], self.env)
        return visitor, who, await authorize.go_on(found, who, self.here, self.env)

    async def page(self, request: Request) -> Response:
        """GET /authorize/{key}: what is next for a request that was begun."""
        try:
            visitor, _, step = await self._step(request)
        except Refusal as refusal:
            return await self._no(request, refusal)
        if isinstance(step, Answer):
            # Whoever comes here may come from a form of ours, whose policy lets no redirect lead away from here.
            return await self._send(request, step, redirects=False)
        return self._sign_in(step) if isinstance(step, SignIn) else await self._asked(visitor, step)

    async def _asked(self, visitor: Visitor, consent: Consent, *, problem: str = "") -> Response:
        destination = consent.begun.requested.destination
        resources = await consent_view.resources_of(consent.ask, consent.standing, self.env)
        view = consent_view.consent_view(
            consent.ask,
            consent.client,
            consent_view.by_redirect(consent.client, destination, consent.ask.page),
            tuple(resources[name] for name in sorted(consent.ask.wanted.audience) if name in resources),
            consent_view.before_of(consent.standing, resources),
            self.env.clock(),
            problem=problem,
        )
        answer = self.frame.page("consent.html", visitor, status=400 if problem else 200, view=view)
        self._let_go(answer, destination)
        return answer

    def _let_go(self, answer: Response, destination: Destination) -> bool:
        """Let the page's forms lead to this place: browsers hold a redirect after a form against the page's policy."""
        named = _NAMEABLE.fullmatch(destination.origin)
        if named:
            wider = CSP.replace("form-action 'self'", f"form-action 'self' {named[0]}")
            answer.headers["Content-Security-Policy"] = wider
        return named is not None

    async def answer(self, request: Request) -> Response:
        """POST /authorize/{key}: the person's answer."""
        form = await self.frame.form(request)
        try:
            visitor, who, step = await self._step(request)
            if isinstance(step, Answer):
                return await self._send(request, step, redirects=False)
            if isinstance(step, SignIn) or who is None:
                return self.frame.to(f"/authorize/{step.begun.key}")
            says = form.get("answer")
            if says not in {"allow", "deny"}:
                raise HTTPException(400)
            allowed = consent_view.allowed(form, step.ask.wanted) if says == "allow" else None
            if allowed is None and says == "allow":
                return await self._asked(visitor, step, problem=consent_view.NOTHING_LEFT)
            return await self._send(request, await authorize.answer(step, who, allowed, self.here, self.env))
        except Refusal as refusal:
            return await self._no(request, refusal)

    # --- be sent back -----------------------------------------------------------------------------------------------

    async def _send(self, request: Request, answer: Answer, *, redirects: bool = True) -> Response:
        """The answer on its way: by a redirect, by a page that goes on by itself, or by a form (form_post)."""
        to = answer.to.destination
        visitor = await self.frame.visitor(request)
        params = await authorize.told(answer, self.env)
        if answer.to.mode.startswith(requested.FORM_POST):
            page = self.frame.page("form_post.html", visitor, action=to.uri, host=to.host, params=params)
            self._let_go(page, to)
            return page
        where = to.with_params(params)
        if redirects and _NAMEABLE.fullmatch(to.origin):
            return Response(status_code=303, headers={**PERSONAL, "Location": where})
        return self.frame.page("onward.html", visitor, where=where, host=to.host)
