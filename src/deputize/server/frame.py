"""What is the same around every page: who sees it, what guards it, the forms that it sends, and how it says no."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Issuer, Subject
from deputize.core.wire import Form, Headers
from deputize.oauth.authentication import ACRS, PHISHING_RESISTANT
from deputize.oauth.client import Person
from deputize.server import assets, http, refusals, session, views
from deputize.server.assets import Asset
from deputize.server.invitations import GOOD_LINK
from deputize.server.session import Cookie, Session

CSP: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
GUARDS: Final = {
    "Content-Security-Policy": CSP,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
PERSONAL: Final = {**GUARDS, "Cache-Control": "no-store"}
NEVER_CHANGES: Final = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}

_STATUS: Final = {"slow_down": 429, "access_denied": 403}
_AGAIN_IN: Final = 5  # seconds, where a fault may pass


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whose browser it is: `cookie` is what it sent, the rest is there where somebody is signed in."""

    cookie: str | None
    session: Session | None = None
    person: Person | None = None

    @property
    def name(self) -> str:
        return views.shown(self.person.name) if self.person else ""

    @property
    def form_token(self) -> str:
        return session.form_token(self.cookie) if self.cookie else ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody is at the keyboard, and we know who."""

    visitor: Visitor
    session: Session
    person: Person

    @property
    def subject(self) -> Subject:
        return Subject(self.person.key)


class SignedOut(Exception):
    """Nobody is signed in, and the page is for somebody."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One server's pages have one frame. `base` is the path at which they begin."""

    issuer: Issuer
    env: Env
    settings: session.Settings
    cookie: Cookie
    base: str
    files: Mapping[str, Asset]
    templates: Environment

    @classmethod
    def of(cls, issuer: Issuer, env: Env, settings: session.Settings) -> "Frame":
        base = urlsplit(issuer.text).path
        files = assets.load()
        return cls(issuer, env, settings, Cookie.of(issuer), base, files, assets.templates(base, files))

    # --- who ------------------------------------------------------------------------------------------------------

    async def visitor(self, request: Request) -> Visitor:
        """Who asks for this page, as far as we know."""
        value = self.cookie.value_in(headers_of(request))
        found = await session.find(value, self.settings, self.env)
        person = await self.env.store.read(Person, found.person) if found else None
        if found is None or person is None or person.disabled_at is not None:
            return Visitor(value)
        return Visitor(value, found, person)

    async def signed_in(self, request: Request, *, looks: bool = False) -> SignedIn:
        """Who is signed in, or off to the sign-in. A page that only `looks` for news keeps nobody signed in."""
        visitor = await self.visitor(request)
        if visitor.session is None or visitor.person is None:
            raise SignedOut
        if not looks:
            await session.seen(visitor.session, self.env)
        return SignedIn(visitor, visitor.session, visitor.person)

    async def form(self, request: Request) -> Form:
        """The form that was sent: bounded, each field once, and from one of our own pages in this very session."""
        inbound = await http.inbound(request.scope, request.receive, self.issuer.text)
        form = inbound.form() if inbound.body else Form()
        session.check_form(inbound.headers, self.issuer, self.cookie.value_in(inbound.headers), form.get("token"))
        return form

    # --- what goes out ----------------------------------------------------------------------------------------------

    def page(self, template: str, who: Visitor, *, status: int = 200, **told: object) -> Response:
        """A page, or a part of one."""
        html = self.templates.get_template(template).render(person=who.name, token=who.form_token, **told)
        return Response(html, status, PERSONAL, "text/html; charset=utf-8")

    def nothing_new(self) -> Response:
        """What an open page shows is still so."""
        return Response(status_code=204, headers=PERSONAL)

    def to(self, path: str) -> Response:
        """Go on to another page of ours; the path alone, so that no host comes from a request."""
        return Response(status_code=303, headers={**PERSONAL, "Location": self.base + path})

    def to_sign_in(
        self, onward: str, *, again: bool = False, login: str = "", acr_values: tuple[str, ...] = ()
    ) -> Response:
        """Have somebody sign in, and then go on; `again` also where somebody is, `login` is who it may be.

        Where nothing but a passkey will do for `acr_values`, no other way is offered.
        """
        told = {"next": onward, **({"again": "1"} if again else {}), **({"login_hint": login} if login else {})}
        if frozenset(acr_values).intersection(ACRS) == {PHISHING_RESISTANT}:
            told["acr"] = PHISHING_RESISTANT
        return self.to(f"/sign-in?{urlencode(told)}")

    def with_cookie(self, answer: Response, value: str) -> Response:
        answer.headers["Set-Cookie"] = self.cookie.carrying(value, self.settings.life)
        return answer

    async def asset(self, request: Request) -> Response:
        """A file of ours."""
        found = next((one for one in self.files.values() if one.name == request.path_params["name"]), None)
        if found is None:
            raise HTTPException(404)
        packed = "gzip" in request.headers.get("accept-encoding", "")
        headers = {**GUARDS, **NEVER_CHANGES, **({"Content-Encoding": "gzip"} if packed else {})}
        return Response(found.packed if packed else found.body, headers=headers, media_type=found.media_type)

    # --- how it says no ---------------------------------------------------------------------------------------------

    async def refusal(self, request: Request, view: refusals.RefusalView, **headers: str) -> Response:
        """A page that says what cannot be, and what to do now."""
        try:
            visitor = await self.visitor(request)
        except (Refusal, Fault):
            visitor = Visitor(None)
        answer = self.page("refusal.html", visitor, status=view.status, view=view)
        answer.headers.update(headers)
        return answer

    async def signed_out(self, request: Request, problem: Exception) -> Response:
        del problem
        path = request.scope["path"].removeprefix(self.base)
        onward = onward_of(path)
        if request.headers.get("hx-request") == "true":
            away = self.nothing_new()
            away.headers["HX-Redirect"] = f"{self.base}/sign-in"
            return away
        return self.to("/sign-in" + (f"?next={quote(onward)}" if onward == path else ""))

    async def refused(self, request: Request, problem: Exception) -> Response:
        refusal = problem if isinstance(problem, Refusal) else None
        if refusal is None:
            raise problem
        http.note_refusal(refusal, request.scope["path"])
        view = refusals.refusal_view(_STATUS.get(refusal.error, 400))
        if refusal.rule is GOOD_LINK:
            view = refusals.BAD_LINK
        return await self.refusal(request, view, **retry_after(refusal))

    async def failed(self, request: Request, problem: Exception) -> Response:
        retry = isinstance(problem, Fault) and problem.retry
        http.log.error("failed", path=request.scope["path"], what=str(problem))
        headers = {"Retry-After": str(_AGAIN_IN)} if retry else {}
        return await self.refusal(request, refusals.refusal_view(503 if retry else 500), **headers)

    async def not_here(self, request: Request, problem: Exception) -> Response:
        status = problem.status_code if isinstance(problem, HTTPException) else 500
        headers = dict((problem.headers or {}) if isinstance(problem, HTTPException) else {})
        return await self.refusal(request, refusals.refusal_view(status), **headers)

    async def gone(self, request: Request, problem: Exception) -> Response:
        """Nobody is there to read this."""
        del request, problem
        return Response(status_code=400, headers=PERSONAL)

    async def broken(self, request: Request, problem: Exception) -> Response:
        """A bug: said in general here, and left to be logged by whoever runs us."""
        del request, problem
        return self.page("refusal.html", Visitor(None), status=500, view=refusals.refusal_view(500))


def headers_of(request: Request) -> Headers:
    return http.headers_of(request.scope)


def onward_of(path: str) -> str:
    """Where to go after signing in: to a page of ours, named by its path and by nothing else."""
    return path if views.ONWARD.fullmatch(path) else "/inbox"


def retry_after(refusal: Refusal) -> dict[str, str]:
    seconds = dict(refusal.params).get("retry_after")
    return {} if seconds is None else {"Retry-After": seconds}
