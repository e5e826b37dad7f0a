"""The pages of the device flow: type the code that a device shows, read what the device wants, say yes or no."""

from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deputize.core.ports import Env
from deputize.core.rules import Refusal
from deputize.core.values import ClientId, Instant
from deputize.oauth import asking, device, throttle
from deputize.oauth import standing as standings
from deputize.oauth.asking import Ask
from deputize.oauth.client import Client
from deputize.oauth.device import DeviceRequest, Settings
from deputize.oauth.login import NONE
from deputize.oauth.server import AuthorizationServer
from deputize.server import consent_view, http, refusals
from deputize.server.consent_view import Asker
from deputize.server.frame import Frame, SignedIn, SignedOut, retry_after
from deputize.server.views import moment

UNKNOWN: Final = "Nothing waits for this code. Please look at your device and type what it shows."
ELSEWHERE: Final = "That device is on another network than you are, and this server does not allow that."
NOT_YOU: Final = "What asks there may not ask you. Nothing was allowed."


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeView:
    """The form for a code. `choices` are there for who came by a link: one of them is the code in it, `link`."""

    risk: str
    problem: str = ""
    typed: str = ""
    link: str = ""
    choices: tuple[str, ...] = ()


def asker_of(client: Client, request: DeviceRequest, page: str, source: str, settings: Settings, now: Instant) -> Asker:
    """Who asks from a device: whoever authenticated; of a public client nobody knows more than what it says."""
    began = moment(request.created_at, now)
    near = device.same_network(request, source)
    where = f"{request.source or 'an unknown address'}, {'the network that you are on' if near else 'not your network'}"
    return Asker(
        action=f"{device.PATH}/{page}",
        who=client.name if client.auth_method != NONE else "Something on another device",
        warning=settings.risk,
        goes_to=f"The device that shows {request.shown}",
        facts=(("It began", f"{began.ago}, at {began.clock}"), ("It is at", where)),
    )


@dataclass(frozen=True, slots=True)
class Devices:
    """What each page does."""

    frame: Frame
    here: AuthorizationServer

    @property
    def env(self) -> Env:
        return self.frame.env

    @property
    def settings(self) -> Settings:
        return self.here.device

    # --- the code ---------------------------------------------------------------------------------------------------

    async def code_form(self, request: Request) -> Response:
        """GET /device: nothing is looked up, so that a link tells nobody whether its code is one."""
        link = self._link(request.query_params.get("user_code", ""))
        try:
            who = await self.frame.signed_in(request)
        except SignedOut:
            return self.frame.to_sign_in(device.PATH + (f"?user_code={device.shown(link)}" if link else ""))
        several = device.choices(link) if link and self.settings.number_match else (link,) if link else ()
        return self._form(who, CodeView(risk=self.settings.risk, link=link, choices=tuple(map(device.shown, several))))

    def _link(self, told: str) -> str:
        """The code in a link, where links are taken at all: anybody could make one that fills the form in."""
        try:
            return device.read_code(told) if self.settings.link else ""
        except Refusal:
            return ""

    def _form(self, who: SignedIn, view: CodeView, *, status: int = 200) -> Response:
        return self.frame.page("device.html", who.visitor, status=status, view=view)

    async def take_up(self, request: Request) -> Response:
        """POST /device."""
        form = await self.frame.form(request)
        who = await self.frame.signed_in(request)
        typed, link = form.get("user_code") or "", self._link(form.get("link") or "")
        source = http.source_of(request.scope)
        try:
            if link and typed != device.shown(link):
                await device.mismatched(link, who.person, source, self.env)
            code = device.read_code(typed)
            standing_life = self.here.asks.standing_life
            ask = await device.take_up(code, who.person, source, self.settings, standing_life, self.env)
        except Refusal as refusal:
            return await self._no(request, who, refusal, typed)
        return self.frame.to(f"{device.PATH}/{ask.page}")

    async def _no(self, request: Request, who: SignedIn, refusal: Refusal, typed: str) -> Response:
        http.note_refusal(refusal, request.scope["path"])
        if refusal.rule is standings.NOT_TAKEN_BACK:
            return await self.frame.refusal(request, refusals.TAKEN_BACK)
        if refusal.rule is device.CONFIRMED:
            return await self.frame.refusal(request, refusals.MISMATCHED)
        status, problem, waits = 403, UNKNOWN, retry_after(refusal)
        if refusal.rule is throttle.NOT_TOO_FAST:
            status, problem = 429, refusals.too_fast(waits["Retry-After"])
        elif refusal.rule is device.USER_CODE:
            status = 400
        elif refusal.rule is device.SAME_NETWORK:
            problem = ELSEWHERE
        elif refusal.rule is asking.MAY_ASK:
            problem = NOT_YOU
        elif refusal.rule is not device.KNOWN_CODE:
            raise refusal
        answer = self._form(who, CodeView(risk=self.settings.risk, problem=problem, typed=typed[:40]), status=status)
        answer.headers.update(waits)
        return answer

    # --- the question -----------------------------------------------------------------------------------------------

    async def _found(self, request: Request, who: SignedIn) -> tuple[Ask, DeviceRequest, Client]:
        """The ask of this page, if it is for who is signed in. Another's is like one that never was."""
        found = await self.env.store.select(Ask, "page", request.path_params["page"], limit=1)
        if not found or found[0].person != who.subject or found[0].door != device.TYPE:
            raise HTTPException(404)
        ask = found[0]
        begun = await self.env.store.read(DeviceRequest, ask.key)
        client = await self.env.store.read(Client, ask.client)
        if begun is None or client is None:
            raise HTTPException(404)
        return ask, begun, client

    async def page(self, request: Request) -> Response:
        """GET /device/{page}."""
        who = await self.frame.signed_in(request)
        ask, begun, client = await self._found(request, who)
        if not ask.is_waiting(self.env.clock()):
            return self.frame.to(f"/asks/{ask.page}")
        return await self._asked(request, who, ask, begun, client)

    async def _asked(
        self, request: Request, who: SignedIn, ask: Ask, begun: DeviceRequest, client: Client, *, problem: str = ""
    ) -> Response:
        now = self.env.clock()
        standing = await standings.find(who.subject, ClientId(client.key), self.env)
        resources = await consent_view.resources_of(ask, standing, self.env)
        view = consent_view.consent_view(
            ask,
            client,
            asker_of(client, begun, ask.page, http.source_of(request.scope), self.settings, now),
            tuple(resources[name] for name in sorted(ask.wanted.audience) if name in resources),
            consent_view.before_of(standing, resources),
            now,
            problem=problem,
        )
        return self.frame.page("consent.html", who.visitor, status=400 if problem else 200, view=view)

    async def answer(self, request: Request) -> Response:
        """POST /device/{page}: the person's answer, which is wherever any other answer is."""
        form = await self.frame.form(request)
        who = await self.frame.signed_in(request)
        ask, begun, client = await self._found(request, who)
        says = form.get("answer")
        if says not in {"allow", "deny"}:
            raise HTTPException(400)
        less = consent_view.allowed(form, ask.wanted) if says == "allow" else None
        if less is None and says == "allow":
            return await self._asked(request, who, ask, begun, client, problem=consent_view.NOTHING_LEFT)
        try:
            await asking.answer(
                ask,
                by=who.subject,
                allow=says == "allow",
                env=self.env,
                via="the page",
                seen=who.session.authentication,
                less=less,
            )
        except Refusal as refusal:
            http.note_refusal(refusal, request.scope["path"])
            if refusal.rule is standings.NOT_TAKEN_BACK:
                return await self.frame.refusal(request, refusals.TAKEN_BACK)
            if refusal.rule is not asking.ANSWERED_ONCE:
                raise
            return await self.frame.refusal(request, refusals.ANSWERED)
        return self.frame.to(f"/asks/{ask.page}")
