"""Signing out: by oneself, or because a client asks for it (OpenID Connect RP-Initiated Logout 1.0)."""

import re
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from deputize.core.ports import Env
from deputize.core.rules import Refusal
from deputize.core.wire import FORM_BYTES_MAX, SMALL, Form
from deputize.core.wire import ONCE as SAID_ONCE
from deputize.oauth import end_session
from deputize.oauth.end_session import Ending
from deputize.oauth.server import AuthorizationServer
from deputize.server import http, refusals, session, tickets
from deputize.server.frame import PERSONAL, Frame, Visitor
from deputize.server.views import shown

TO_LEAVE: Final = "sign out for a client"
_ANYBODY: Final = "any browser"  # what it says was verified, and is no secret
_NAMEABLE: Final = re.compile(r"https?://[^\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavingView:
    """The question whether to sign out. `who` calls itself so, `host` is where it goes on afterwards."""

    ticket: str
    who: str
    host: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """What the pages of signing out do."""

    frame: Frame
    here: AuthorizationServer

    @property
    def env(self) -> Env:
        return self.frame.env

    # --- a client asks ----------------------------------------------------------------------------------------------

    async def asked(self, request: Request) -> Response:
        """GET /end-session."""
        return await self._asked(request, request.scope["query_string"])

    async def asked_by_form(self, request: Request) -> Response:
        """POST /end-session: from a client's page, so without our cookie."""
        inbound = await http.inbound(request.scope, request.receive, self.frame.issuer.text)
        try:
            if request.scope["query_string"]:
                SAID_ONCE.refuse("invalid_request", where="query and body")
            inbound.form()  # its type and its coding
        except Refusal as refusal:
            return await self._no(request, refusal)
        return await self._asked(request, inbound.body)

    async def _asked(self, request: Request, asked: bytes) -> Response:
        """What was asked is checked, and then carried to a page of ours that the browser's cookie reaches."""
        try:
            if len(asked) > FORM_BYTES_MAX:
                SMALL.refuse("invalid_request")
            ending = await end_session.read(Form.parse(asked), self.here, self.env)
        except Refusal as refusal:
            return await self._no(request, refusal)
        ticket = await tickets.give(TO_LEAVE, asdict(ending), _ANYBODY, self.env)
        return self.frame.to(f"/sign-out?ticket={quote(ticket)}")

    async def _no(self, request: Request, refusal: Refusal) -> Response:
        http.note_refusal(refusal, request.scope["path"])
        return await self.frame.refusal(request, refusals.unfit_ending(refusal.rule.says))

    async def _ending(self, text: str | None) -> Ending:
        if not text:
            return Ending()
        return Ending(**(await tickets.read(text, TO_LEAVE, _ANYBODY, self.env)).told)

    # --- the person -------------------------------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """GET /sign-out: asks, unless the client has shown that it was told of this very session."""
        ticket = request.query_params.get("ticket", "")
        ending = await self._ending(ticket)
        visitor = await self.frame.visitor(request)
        if visitor.session is None or visitor.person is None:
            # Nobody is here any more. Who showed an ID token is known to have been told of somebody; others are not.
            return self._onward(ending if ending.person else Ending(), redirects=True)
        if ending.is_of(visitor.person.key, visitor.session.sid):
            await session.end(visitor.session, self.env)
            return self._left(self._onward(ending, redirects=True))
        view = LeavingView(ticket=ticket, who=shown(ending.name), host=shown(ending.host))
        return self.frame.page("leaving.html", visitor, view=view)

    async def leave(self, request: Request) -> Response:
        """POST /sign-out: the person wants it."""
        form = await self.frame.form(request)
        ending = await self._ending(form.get("ticket"))
        visitor = await self.frame.visitor(request)
        if visitor.session is not None:
            await session.end(visitor.session, self.env)
        return self._left(self._onward(ending, redirects=False))

    def _left(self, answer: Response) -> Response:
        answer.headers["Set-Cookie"] = self.frame.cookie.removed
        return answer

    def _onward(self, ending: Ending, *, redirects: bool) -> Response:
        """On to where the client wants, or to the sign-in. No redirect may lead away from here after a form of ours."""
        if not ending.to:
            return self.frame.to("/sign-in")
        if redirects and _NAMEABLE.fullmatch(ending.to):
            return Response(status_code=303, headers={**PERSONAL, "Location": ending.to})
        return self.frame.page("onward.html", Visitor(None), where=ending.to, host=shown(ending.host))
