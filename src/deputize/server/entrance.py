"""The doors: a passkey, a password with or without a code, a one-time link. All lead through `Entrance.enter`."""

import json
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from deputize.core.ports import Add, Change, Env
from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.core.wire import Form
from deputize.oauth import throttle
from deputize.oauth.authentication import BY_PASSKEY, BY_PASSWORD, BY_PASSWORD_AND_CODE, PHISHING_RESISTANT
from deputize.oauth.client import Person
from deputize.server import account_views, codes, http, invitations, passkeys, people, refusals, session, tickets, views
from deputize.server.account_views import CodeView, SignInView, WelcomeView
from deputize.server.frame import Frame, Visitor, headers_of, onward_of, retry_after
from deputize.server.passkeys import Place
from deputize.server.people import BROWSER_KNOWN, Hashing, Source
from deputize.server.people import Settings as PeopleSettings
from deputize.server.session import Cookie, Entered

TO_SIGN_IN: Final = "sign in with a passkey"
TO_GIVE_CODE: Final = "give a code"
TO_ACCEPT: Final = "accept an invitation with a passkey"


@dataclass(frozen=True, slots=True)
class Entrance:
    """What the pages of signing in do. `known` is the cookie of a browser that somebody has signed in with before.

    `upstreams` are other providers that people may come from: how each is named in addresses, and on the page.
    """

    frame: Frame
    settings: PeopleSettings
    hashing: Hashing
    place: Place | None
    known: Cookie
    upstreams: tuple[tuple[str, str], ...] = ()

    @property
    def env(self) -> Env:
        return self.frame.env

    # --- the form ---------------------------------------------------------------------------------------------------

    async def sign_in_form(self, request: Request) -> Response:
        """The form; also for who is signed in, where a request wants to know that it is still they."""
        visitor = await self.frame.visitor(request)
        told = request.query_params
        onward, again = onward_of(told.get("next", "")), "again" in told
        if visitor.person is not None and not again:
            return self.frame.to(onward)
        login = visitor.person.login if visitor.person else told.get("login_hint", "")
        return await self._form(
            visitor,
            onward,
            login=login[: people.LOGIN_LENGTH_MAX],
            again=visitor.person is not None,
            sure=told.get("acr") == PHISHING_RESISTANT,
        )

    async def _form(
        self,
        visitor: Visitor,
        onward: str,
        *,
        status: int = 200,
        login: str = "",
        problem: str = "",
        again: bool = False,
        sure: bool = False,
    ) -> Response:
        value = visitor.cookie or session.fresh_value(self.env)
        ticket, options = "", ""
        if self.place is not None:
            ticket = await tickets.give(TO_SIGN_IN, {}, value, self.env)
            options = json.dumps(passkeys.to_sign_in(self.place, ticket))
        view = SignInView(
            onward=onward,
            token=session.form_token(value),
            ticket=ticket,
            passkey=options,
            login=views.shown(login),
            problem=problem,
            again=again,
            sure=sure,
            upstreams=self.upstreams,
        )
        answer = self.frame.page("sign_in.html", Visitor(None), status=status, view=view)
        return answer if visitor.cookie else self.frame.with_cookie(answer, value)

    async def turned_back(self, visitor: Visitor, onward: str, problem: str) -> Response:
        """The form once more, for who came back from elsewhere and is nobody here."""
        return await self._form(visitor, onward, status=403, problem=problem)

    # --- with a password --------------------------------------------------------------------------------------------

    async def sign_in(self, request: Request) -> Response:
        form = await self.frame.form(request)
        visitor = await self.frame.visitor(request)
        onward, login, password = onward_of(form.get("next") or ""), form.get("login"), form.get("password")
        again = "again" in form and visitor.person is not None
        if login is None or password is None:
            return await self._form(visitor, onward, status=400, login=login or "", problem=refusals.BOTH, again=again)
        source = self.source(request)
        try:
            person = await people.check_password(self.env, login, password, source, self.settings, self.hashing)
        except Refusal as refusal:
            status, problem, waits = self._said(request, refusal, refusals.WRONG)
            answer = await self._form(visitor, onward, status=status, login=login, problem=problem, again=again)
            answer.headers.update(waits)
            return answer
        if await codes.of(person, self.env) is not None:
            told = {"person": person.key, "onward": onward}
            ticket = await tickets.give(TO_GIVE_CODE, told, visitor.cookie or "", self.env)
            return self._code_form(visitor, ticket)
        return await self.enter(request, visitor, person, onward, amr=BY_PASSWORD)

    def _code_form(self, visitor: Visitor, ticket: str, *, status: int = 200, problem: str = "") -> Response:
        view = CodeView(token=session.form_token(visitor.cookie or ""), ticket=ticket, problem=problem)
        return self.frame.page("code.html", Visitor(None), status=status, view=view)

    async def give_code(self, request: Request) -> Response:
        """The second half. Without the first, in this browser and a moment ago, there is none."""
        form = await self.frame.form(request)
        visitor = await self.frame.visitor(request)
        text = form.get("ticket") or ""
        try:
            ticket = await tickets.read(text, TO_GIVE_CODE, visitor.cookie or "", self.env)
        except Refusal as refusal:
            http.note_refusal(refusal, request.scope["path"])
            return await self._form(visitor, "/inbox", status=403, problem=refusals.TOO_LATE)
        person = await self.env.store.read(Person, ticket.told["person"])
        if person is None or person.disabled_at is not None:
            people.RIGHT_PASSWORD.refuse("access_denied")
        try:
            typed, source = form.get("code") or "", self.source(request)
            used = await people.check_code(self.env, person, typed, source, self.settings)
        except Refusal as refusal:
            status, problem, waits = self._said(request, refusal, refusals.WRONG_CODE)
            answer = self._code_form(visitor, text, status=status, problem=problem)
            answer.headers.update(waits)
            return answer
        onward = onward_of(ticket.told["onward"])
        return await self.enter(request, visitor, person, onward, used, ticket.used, amr=BY_PASSWORD_AND_CODE)

    # --- with a passkey ---------------------------------------------------------------------------------------------

    async def sign_in_with_passkey(self, request: Request) -> Response:
        form = await self.frame.form(request)
        visitor = await self.frame.visitor(request)
        onward = onward_of(form.get("next") or "")
        try:
            place = self.place_or_refuse()
            ticket = await tickets.read(form.get("ticket") or "", TO_SIGN_IN, visitor.cookie or "", self.env)
            person, changes = await self._by_passkey(request, place, form, ticket)
        except Refusal as refusal:
            late = refusal.rule is tickets.OUR_TICKET
            status, problem, waits = self._said(request, refusal, refusals.TOO_LATE if late else refusals.NO_PASSKEY)
            answer = await self._form(visitor, onward, status=status, problem=problem)
            answer.headers.update(waits)
            return answer
        return await self.enter(request, visitor, person, onward, *changes, amr=BY_PASSKEY)

    async def _by_passkey(
        self, request: Request, place: Place, form: Form, ticket: tickets.Ticket
    ) -> tuple[Person, tuple[Change, ...]]:
        try:
            return await passkeys.check(place, form.get("credential") or "", ticket, self.env)
        except Refusal:
            await self._count(request)
            raise

    def place_or_refuse(self) -> Place:
        """Where passkeys are made for; a server whose host is an IP address has none."""
        if self.place is None:
            passkeys.KNOWN_PASSKEY.refuse("access_denied", place=False)
        return self.place

    # --- with a one-time link ---------------------------------------------------------------------------------------

    async def welcome(self, request: Request) -> Response:
        """What a one-time link opens. To look at it uses nothing up: mail programs look at links, too."""
        visitor = await self.frame.visitor(request)
        return await self._welcome(request, visitor)

    async def _welcome(self, request: Request, visitor: Visitor, *, status: int = 200, problem: str = "") -> Response:
        secret = request.path_params["secret"]
        _, person = await self._invited(request)
        value = visitor.cookie or session.fresh_value(self.env)
        ticket, options = "", ""
        if self.place is not None:
            ticket = await tickets.give(TO_ACCEPT, {"person": person.key}, value, self.env)
            options = json.dumps(passkeys.to_register(self.place, person, (), ticket))
        view = WelcomeView(
            token=session.form_token(value),
            secret=secret,
            name=views.shown(person.name),
            login=views.shown(person.login),
            length_min=self.settings.password_length_min,
            ticket=ticket,
            passkey=options,
            problem=problem,
        )
        answer = self.frame.page("welcome.html", Visitor(None), status=status, view=view)
        return answer if visitor.cookie else self.frame.with_cookie(answer, value)

    async def accept(self, request: Request) -> Response:
        """Use the link: with a new password, or with a passkey that is made for it."""
        form = await self.frame.form(request)
        visitor = await self.frame.visitor(request)
        found, person = await self._invited(request)
        argon2id = ""
        made: tuple[Change, ...] = ()
        amr: tuple[str, ...] = BY_PASSKEY
        try:
            if form.get("credential") is not None:
                ticket = await tickets.read(form.get("ticket") or "", TO_ACCEPT, visitor.cookie or "", self.env)
                if ticket.told["person"] != person.key:
                    tickets.OUR_TICKET.refuse("access_denied", person=person.key)
                credential, name = form.one("credential"), form.get("name") or ""
                made = await passkeys.register(self.place_or_refuse(), person, credential, ticket, name, self.env)
            else:
                password = form.get("password") or ""
                people.check_new(password, self.settings, login=person.login)
                argon2id, amr = await self.hashing.hashed(password), BY_PASSWORD
        except Refusal as refusal:
            unfit = refusal.rule is people.FIT_PASSWORD
            status, problem, _ = self._said(
                request, refusal, refusals.unfit(self.settings.password_length_min) if unfit else refusals.NO_PASSKEY
            )
            return await self._welcome(request, visitor, status=status, problem=problem)
        changes = await invitations.accepted(found, person, argon2id, self.env)
        return await self.enter(request, visitor, person, "/inbox", *changes, *made, amr=amr, alone=True)

    async def _invited(self, request: Request) -> tuple[invitations.Invitation, Person]:
        try:
            return await invitations.find(request.path_params["secret"], self.env)
        except Refusal:
            await self._count(request)
            raise

    # --- coming in --------------------------------------------------------------------------------------------------

    async def enter(
        self,
        request: Request,
        visitor: Visitor,
        person: Person,
        onward: str,
        *changes: Change,
        amr: tuple[str, ...],
        auth_time: Instant | None = None,
        alone: bool = False,
    ) -> Response:
        """A session begins, and what opened the door is used up in the same commit. `alone` ends all others."""
        how = Entered(
            amr=amr, auth_time=auth_time, browser=account_views.browser_in_words(request.headers.get("user-agent", ""))
        )
        if alone:
            await session.end_all(person.key, self.env)
        fresh = await session.begin(person, visitor.cookie, self.frame.settings, self.env, *changes, how=how)
        answer = self.frame.with_cookie(self.frame.to(onward), fresh)
        kept = self.known.value_in(headers_of(request)) or session.fresh_value(self.env)
        await self.env.store.commit(Add(people.known(person, kept, self.env)))  # False where it is there
        answer.headers.append("Set-Cookie", self.known.carrying(kept, BROWSER_KNOWN))
        return answer

    def source(self, request: Request) -> Source:
        """Where an attempt comes from."""
        kept = self.known.value_in(headers_of(request)) or ""
        return Source(http.source_of(request.scope), kept)

    async def _count(self, request: Request) -> None:
        """Count a failure that nobody can guess around: it slows down where it comes from, and no person."""
        meter = throttle.of_source(http.source_of(request.scope), self.settings.address_free)
        await throttle.attempt(meter, settings=self.settings.throttle, env=self.env)

    def _said(self, request: Request, refusal: Refusal, wrong: str) -> tuple[int, str, dict[str, str]]:
        """A refusal at a door, as the page that is shown again says it."""
        http.note_refusal(refusal, request.scope["path"])
        waits = retry_after(refusal)
        if waits:
            return 429, refusals.too_fast(waits["Retry-After"]), waits
        return 400 if refusal.error == "invalid_request" else 403, wrong, {}
