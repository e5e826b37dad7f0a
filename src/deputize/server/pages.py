"""The pages of a person: sign in, inbox, one ask, my agents. View values in, HTML out; forms in, answers out."""

from dataclasses import dataclass
from typing import Final, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deputize.core.ports import Env, Record
from deputize.core.rules import Fault, Refusal
from deputize.core.values import ClientId
from deputize.oauth import asking, device, mandates, metadata, statuses
from deputize.oauth import reading as readings
from deputize.oauth import standing as standings
from deputize.oauth.asking import Ask
from deputize.oauth.client import Client, Resource
from deputize.oauth.server import AuthorizationServer
from deputize.oauth.standing import Standing
from deputize.oauth.upstream import Upstream
from deputize.server import http, refusals, views
from deputize.server.account import Account, Stale
from deputize.server.authorizing import Authorizing
from deputize.server.credentials import Credentials
from deputize.server.device import Devices
from deputize.server.entrance import Entrance
from deputize.server.frame import Frame, SignedIn, SignedOut
from deputize.server.leaving import Leaving
from deputize.server.own_credentials import OwnCredentials
from deputize.server.passkeys import Place
from deputize.server.people import Hashing
from deputize.server.people import Settings as PeopleSettings
from deputize.server.presenting import Presenting
from deputize.server.session import Cookie
from deputize.server.session import Settings as SessionSettings
from deputize.server.upstream import Upstreams

_TRIES: Final = 5  # at a change that somebody else was faster at
_ROWS: Final = 100
_ROWS_MAX: Final = 10 * _ROWS  # asks are forgotten within hours, so that a person has not so many

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """How people sign in, from where else they may come, and for how long they stay."""

    upstreams: tuple[Upstream, ...] = ()
    people: PeopleSettings = PeopleSettings()
    session: SessionSettings = SessionSettings()


def pages(
    here: AuthorizationServer,
    env: Env,
    settings: PageSettings = PageSettings(),
    credentials: Credentials | None = None,
) -> Starlette:
    """All pages of this server, as one application; with those that ask wallets, where the table has any."""
    frame = Frame.of(here.issuer, env, settings.session)
    site = Pages(frame, settings)
    known = Cookie.of(here.issuer, "-browser")
    elsewhere = tuple((one.key, one.name) for one in settings.upstreams)
    entrance = Entrance(frame, settings.people, Hashing(settings.people), Place.of(here.issuer), known, elsewhere)
    own = Account(entrance)
    upstreams = Upstreams.of(own, settings.upstreams)
    leaving = Leaving(frame, here)
    door = Authorizing(frame, here)
    routes = (
        ("GET", "/", site.home),
        ("GET", "/sign-in", entrance.sign_in_form),
        ("POST", "/sign-in", entrance.sign_in),
        ("POST", "/sign-in/code", entrance.give_code),
        ("POST", "/sign-in/passkey", entrance.sign_in_with_passkey),
        ("POST", "/sign-in/at/{key}", upstreams.leave),
        ("GET", "/sign-in/from/{key}", upstreams.back),
        ("GET", "/welcome/{secret}", entrance.welcome),
        ("POST", "/welcome/{secret}", entrance.accept),
        ("GET", "/sign-out", leaving.page),
        ("POST", "/sign-out", leaving.leave),
        ("GET", metadata.END_SESSION, leaving.asked),
        ("POST", metadata.END_SESSION, leaving.asked_by_form),
        ("GET", "/inbox", site.inbox),
        ("GET", "/inbox/waiting", site.inbox_news),
        ("GET", "/asks/{page}", site.ask),
        ("POST", "/asks/{page}", site.answer),
        ("GET", "/asks/{page}/live", site.ask_news),
        ("GET", "/agents", site.agents),
        ("POST", "/agents/{client:path}/take-back", site.take_back),
        ("POST", "/agents/{client:path}/welcome", site.welcome),
        ("GET", metadata.AUTHORIZATION, door.begin),
        ("POST", metadata.AUTHORIZATION, door.begin_posted),
        ("GET", metadata.AUTHORIZATION + "/{key}", door.page),
        ("POST", metadata.AUTHORIZATION + "/{key}", door.answer),
        ("GET", "/account", own.account),
        ("GET", "/account/passkey", own.passkey_form),
        ("POST", "/account/passkey", own.add_passkey),
        ("POST", "/account/passkeys/{which}/rename", own.rename_passkey),
        ("POST", "/account/passkeys/{which}/remove", own.remove_passkey),
        ("GET", "/account/password", own.password_form),
        ("POST", "/account/password", own.set_password),
        ("GET", "/account/code", own.code_form),
        ("POST", "/account/code", own.add_code),
        ("POST", "/account/code/remove", own.remove_code),
        ("POST", "/account/at/{key}", upstreams.link),
        ("POST", "/account/sessions/end", own.end_session),
        ("GET", "/static/{name}", frame.asset),
    )
    devices = Devices(frame, here)
    of_devices = (
        ("GET", device.PATH, devices.code_form),
        ("POST", device.PATH, devices.take_up),
        ("GET", device.PATH + "/{page}", devices.page),
        ("POST", device.PATH + "/{page}", devices.answer),
    )
    more = of_devices if here.device.on else ()
    if credentials is not None and credentials.settings.asked:
        more = (*more, *Presenting(frame, credentials).routes())
    if credentials is not None and credentials.settings.issued:
        more = (*more, *OwnCredentials(frame, credentials).routes())
    app = Starlette(
        routes=[Route(frame.base + path, does, methods=[method]) for method, path, does in (*routes, *more)],
        exception_handlers={
            SignedOut: frame.signed_out,
            Stale: own.stale,
            Refusal: frame.refused,
            Fault: frame.failed,
            HTTPException: frame.not_here,
            http.Gone: frame.gone,
            Exception: frame.broken,
        },
    )
    app.router.redirect_slashes = False  # it would redirect to whatever host the request names
    return app


@dataclass(frozen=True, slots=True)
class Pages:
    """What each page does."""

    frame: Frame
    settings: PageSettings

    @property
    def env(self) -> Env:
        return self.frame.env

    async def _all(self, kind: type[R], where: str, who: SignedIn) -> list[R]:
        """All records of this person's, up to more than a person has."""
        found: list[R] = []
        while len(found) < _ROWS_MAX:
            after = found[-1].key if found else ""
            rows = await self.env.store.select(kind, where, who.subject, after=after, limit=_ROWS)
            found += rows
            if len(rows) < _ROWS:
                break
        return found

    # --- signing in and out -----------------------------------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        await self.frame.signed_in(request)
        return self.frame.to("/inbox")

    # --- the inbox --------------------------------------------------------------------------------------------------

    async def inbox(self, request: Request) -> Response:
        who = await self.frame.signed_in(request)
        view = views.InboxView(waiting=await self._waiting(who), lately=await self._lately(who))
        return self.frame.page("inbox.html", who.visitor, here="inbox", view=view)

    async def inbox_news(self, request: Request) -> Response:
        """What an open inbox asks for every second. That nothing is new costs two reads."""
        who = await self.frame.signed_in(request, looks=True)
        found = await self._all(Ask, "open_for", who)
        which, seen = views.seen_of(found, self.env.clock())
        shows = request.query_params.get("seen", "")
        if shows == seen:
            return self.frame.nothing_new()
        return self.frame.page(
            "_news.html",
            who.visitor,
            told="waiting",
            waiting=await self._waiting(who),
            announced=not shows.startswith(f"{which}."),
        )

    async def _waiting(self, who: SignedIn) -> views.WaitingView:
        found = await self._all(Ask, "open_for", who)
        now = self.env.clock()
        told = [await readings.read_out(ask, self.env) for ask in found if ask.is_waiting(now)]
        return views.waiting_view(told, views.seen_of(found, now), now)

    async def _lately(self, who: SignedIn) -> tuple[views.AskView, ...]:
        now = self.env.clock()
        over = [ask for ask in await self._all(Ask, "person", who) if not ask.is_waiting(now)]
        latest = sorted(over, key=views.over_at, reverse=True)[: views.LATELY_MAX]
        return tuple([views.ask_view(await readings.read_out(ask, self.env), now) for ask in latest])

    # --- one ask ----------------------------------------------------------------------------------------------------

    async def _found(self, request: Request, who: SignedIn) -> Ask:
        """The ask of this page, if it is for who is signed in. Another's is like one that never was."""
        found = await self.env.store.select(Ask, "page", request.path_params["page"], limit=1)
        if not found or found[0].person != who.subject:
            raise HTTPException(404)
        return found[0]

    async def _shown(self, ask: Ask, who: SignedIn, *, again: bool = False) -> Response:
        view = views.ask_view(await readings.read_out(ask, self.env), self.env.clock(), again=again)
        return self.frame.page("ask.html", who.visitor, status=409 if again else 200, here="ask", ask=view)

    async def ask(self, request: Request) -> Response:
        who = await self.frame.signed_in(request)
        ask = await self._found(request, who)
        return self._elsewhere(ask) or await self._shown(ask, who)

    def _elsewhere(self, ask: Ask) -> Response | None:
        """What a device asks has a page of its own, which says what to beware of."""
        waits = ask.door == device.TYPE and ask.is_waiting(self.env.clock())
        return self.frame.to(f"{device.PATH}/{ask.page}") if waits else None

    async def ask_news(self, request: Request) -> Response:
        """What an open ask asks for every second: the time left, or what became of it meanwhile."""
        who = await self.frame.signed_in(request, looks=True)
        ask = await self._found(request, who)
        view = views.ask_view(await readings.read_out(ask, self.env), self.env.clock())
        shows = request.query_params.get("seen", "")
        if shows == view.seen:
            return self.frame.nothing_new()
        if shows.startswith(f"{view.which}."):
            return self.frame.page("_news.html", who.visitor, told="left", ask=view)
        answer = self.frame.page("_news.html", who.visitor, told="ask", ask=view)
        answer.headers["HX-Retarget"] = "#ask"
        return answer

    async def answer(self, request: Request) -> Response:
        form = await self.frame.form(request)
        who = await self.frame.signed_in(request)
        ask = await self._found(request, who)
        if (elsewhere := self._elsewhere(ask)) is not None:
            return elsewhere
        says = form.get("answer")
        if says not in {"allow", "deny"}:
            raise HTTPException(400)
        seen = who.session.authentication
        try:
            await asking.answer(ask, by=who.subject, allow=says == "allow", env=self.env, via="the page", seen=seen)
        except Refusal as refusal:
            if refusal.rule is standings.NOT_TAKEN_BACK:
                told = await readings.read_out(ask, self.env)
                return await self.frame.refusal(request, refusals.taken_back_view(told.who))
            if refusal.rule is not asking.ANSWERED_ONCE:
                raise
            current = await self._found(request, who)
            return await self._shown(current, who, again=not isinstance(current.state, asking.Waiting))
        return self.frame.to(f"/asks/{ask.page}")

    # --- my agents --------------------------------------------------------------------------------------------------

    async def agents(self, request: Request) -> Response:
        who = await self.frame.signed_in(request)
        found = await self._all(Standing, "person", who)
        view = views.agents_view([await self._known(one) for one in found], self.env.clock())
        return self.frame.page("agents.html", who.visitor, here="agents", agents=view)

    async def _known(self, standing: Standing) -> views.Known:
        client = await self.env.store.read(Client, standing.client)
        mays = []
        for once in standing.allowed:
            named = [await self.env.store.read(Resource, name) for name in sorted(once.audience)]
            mays.append(readings.may(once, tuple(one for one in named if one is not None)))
        name, how_known = (client.name, client.how_known) if client else (standing.client, "no longer known here")
        return views.Known(standing, name, how_known, tuple(mays), await mandates.out_until(standing, self.env))

    async def take_back(self, request: Request) -> Response:
        return await self._stand(request, stopped=True)

    async def welcome(self, request: Request) -> Response:
        return await self._stand(request, stopped=False)

    async def _stand(self, request: Request, *, stopped: bool) -> Response:
        """Stop an agent, or let it ask again. Where it is so already, nothing happens."""
        await self.frame.form(request)
        who = await self.frame.signed_in(request)
        change = standings.take_back if stopped else standings.welcome
        for _ in range(_TRIES):
            standing = await standings.find(who.subject, ClientId(request.path_params["client"]), self.env)
            if standing is None:
                raise HTTPException(404)
            if (standing.taken_back_at is not None) == stopped or await statuses.commit(
                change(standing, self.env.clock()), self.env, ends=standing.key if stopped else ""
            ):
                return self.frame.to("/agents")
        raise Fault("this standing changes all the time", retry=True)
