"""A person's own ways in, and the places where they are signed in: added, changed and ended by who was seen lately."""

import json
from dataclasses import dataclass, replace
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deputize.core.ports import Add, Append, Change, Env, Event, Replace
from deputize.core.rules import Refusal, Rule
from deputize.core.values import Seconds
from deputize.core.wire import Form
from deputize.oauth.authentication import Needed
from deputize.server import account_views, codes, http, passkeys, people, refusals, session, tickets
from deputize.server.account_views import AccountView
from deputize.server.entrance import Entrance
from deputize.server.frame import Frame, SignedIn
from deputize.server.passkeys import Passkey
from deputize.server.people import Password
from deputize.server.session import USED_ONCE

SEEN_LATELY: Final = Seconds(600)  # who changes the ways in has come in by one of them so lately
TO_ADD: Final = "add a passkey"
TO_SHOW_CODE: Final = "show a code of a new authenticator"

ONE_LEFT = Rule("Deputize", "sign-in", "A person who takes a way in away has another one left.")


class Stale(Exception):
    """It has been too long since somebody showed who they are, for what they want to do."""

    def __init__(self, onward: str) -> None:
        super().__init__(onward)
        self.onward = onward


@dataclass(frozen=True, slots=True)
class Account:
    """What the pages of a person's own account do."""

    entrance: Entrance

    @property
    def frame(self) -> Frame:
        return self.entrance.frame

    @property
    def env(self) -> Env:
        return self.entrance.env

    async def stale(self, request: Request, problem: Exception) -> Response:
        """Off to the sign-in, and back to where one was."""
        del request
        onward = problem.onward if isinstance(problem, Stale) else "/account"
        return self.frame.to_sign_in(onward, again=True)

    async def _lately(self, request: Request, onward: str) -> SignedIn:
        """Who is signed in, and was seen so lately that it is still they: a screen left open changes no way in."""
        who = await self.frame.signed_in(request)
        needed = Needed(asked_at=self.env.clock(), asked_in=who.session.key, max_age=SEEN_LATELY)
        if not needed.is_met_by(who.session.authentication):
            raise Stale(onward)
        return who

    async def changing(self, request: Request, onward: str = "/account") -> tuple[Form, SignedIn]:
        """The form, from who is signed in and was seen lately."""
        form = await self.frame.form(request)
        return form, await self._lately(request, onward)

    async def _commit(self, *changes: Change) -> None:
        if not await self.env.store.commit(*changes):
            USED_ONCE.refuse("access_denied", race=True)

    # --- the page ---------------------------------------------------------------------------------------------------

    async def account(self, request: Request) -> Response:
        who = await self.frame.signed_in(request)
        now = self.env.clock()
        password = await self.env.store.read(Password, who.person.key)
        view = AccountView(
            login=who.person.login,
            passkeys=account_views.passkey_views(await passkeys.of(who.person, self.env), now),
            passkeys_possible=self.entrance.place is not None,
            has_password=password is not None and bool(password.argon2id),
            has_code=await codes.of(who.person, self.env) is not None,
            sessions=account_views.session_views(
                await session.of(who.person, self.frame.settings, self.env), who.session.key, now
            ),
        )
        return self.frame.page(
            "account.html", who.visitor, here="account", view=view, upstreams=self.entrance.upstreams
        )

    # --- passkeys ---------------------------------------------------------------------------------------------------

    async def passkey_form(self, request: Request) -> Response:
        return await self._passkey_form(await self._lately(request, "/account/passkey"))

    async def _passkey_form(self, who: SignedIn, *, status: int = 200, problem: str = "") -> Response:
        place = self.entrance.place
        if place is None:
            raise HTTPException(404)
        ticket = await tickets.give(TO_ADD, {"person": who.person.key}, who.visitor.cookie or "", self.env)
        there = await passkeys.of(who.person, self.env)
        options = json.dumps(passkeys.to_register(place, who.person, there, ticket))
        return self.frame.page(
            "passkey.html",
            who.visitor,
            status=status,
            here="account",
            ticket=ticket,
            options=options,
            problem=problem,
            name=f"Passkey {len(there) + 1}",
        )

    async def add_passkey(self, request: Request) -> Response:
        form, who = await self.changing(request, "/account/passkey")
        try:
            ticket = await tickets.read(form.get("ticket") or "", TO_ADD, who.visitor.cookie or "", self.env)
            if ticket.told["person"] != who.person.key:
                tickets.OUR_TICKET.refuse("access_denied", person=who.person.key)
            place, credential = self.entrance.place_or_refuse(), form.get("credential") or ""
            changes = await passkeys.register(place, who.person, credential, ticket, form.get("name") or "", self.env)
        except Refusal as refusal:
            http.note_refusal(refusal, request.scope["path"])
            return await self._passkey_form(who, status=403, problem=refusals.NO_NEW_PASSKEY)
        await self._commit(*changes)
        return self.frame.to("/account")

    async def _passkey(self, request: Request, who: SignedIn) -> tuple[Passkey, int]:
        """The passkey that is meant, and how many there are."""
        there = await passkeys.of(who.person, self.env)
        meant = [one for one in there if account_views.which(one.key) == request.path_params["which"]]
        if not meant:
            raise HTTPException(404)
        return meant[0], len(there)

    async def rename_passkey(self, request: Request) -> Response:
        form, who = await self.changing(request)
        found, _ = await self._passkey(request, who)
        name = passkeys.name_of(form.get("name") or "")
        if name:
            await self._commit(Replace(found, replace(found, name=name)))
        return self.frame.to("/account")

    async def remove_passkey(self, request: Request) -> Response:
        _, who = await self.changing(request)
        found, count = await self._passkey(request, who)
        password = await self.env.store.read(Password, who.person.key)
        if count == 1 and not (password is not None and password.argon2id):
            ONE_LEFT.refuse("access_denied")
        await self._commit(*passkeys.removed(found, self.env.clock()))
        await session.end_all(who.person.key, self.env, but=who.session.key)
        return self.frame.to("/account")

    # --- the password -----------------------------------------------------------------------------------------------

    async def password_form(self, request: Request) -> Response:
        return self._password_form(await self._lately(request, "/account/password"))

    def _password_form(self, who: SignedIn, *, status: int = 200, problem: str = "") -> Response:
        length = self.entrance.settings.password_length_min
        return self.frame.page(
            "password.html",
            who.visitor,
            status=status,
            here="account",
            login=who.person.login,
            length_min=length,
            problem=problem,
        )

    async def set_password(self, request: Request) -> Response:
        form, who = await self.changing(request, "/account/password")
        settings, password = self.entrance.settings, form.get("password") or ""
        try:
            people.check_new(password, settings, login=who.person.login)
        except Refusal as refusal:
            http.note_refusal(refusal, request.scope["path"])
            return self._password_form(who, status=400, problem=refusals.unfit(settings.password_length_min))
        made = Password(key=who.person.key, argon2id=await self.entrance.hashing.hashed(password))
        before = await self.env.store.read(Password, who.person.key)
        event = Event(key="", at=self.env.clock(), what="password_changed", person=who.person.key)
        put = Add(made) if before is None else Replace(before, replace(before, argon2id=made.argon2id))
        await self._commit(put, Append(event))
        await session.end_all(who.person.key, self.env, but=who.session.key)
        return self.frame.to("/account")

    # --- the authenticator ------------------------------------------------------------------------------------------

    async def code_form(self, request: Request) -> Response:
        who = await self._lately(request, "/account/code")
        if await codes.of(who.person, self.env) is not None:
            return self.frame.to("/account")
        secret = codes.fresh_secret(self.env)
        ticket = await tickets.give(TO_SHOW_CODE, {"secret": secret}, who.visitor.cookie or "", self.env)
        return self._code_form(who, ticket, secret)

    def _code_form(self, who: SignedIn, ticket: str, secret: str, *, status: int = 200, problem: str = "") -> Response:
        import segno  # noqa: PLC0415 (a server starts without it)

        address = codes.address(secret, who.person, "Deputize")
        return self.frame.page(
            "authenticator.html",
            who.visitor,
            status=status,
            here="account",
            ticket=ticket,
            picture=segno.make(address, micro=False).svg_data_uri(scale=5, border=2, dark="#15201b", light="#ffffff"),
            secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
            problem=problem,
        )

    async def add_code(self, request: Request) -> Response:
        form, who = await self.changing(request, "/account/code")
        text = form.get("ticket") or ""
        ticket = await tickets.read(text, TO_SHOW_CODE, who.visitor.cookie or "", self.env)
        secret = str(ticket.told["secret"])
        try:
            changes = await codes.enrol(who.person, secret, form.get("code") or "", self.env)
        except Refusal as refusal:
            http.note_refusal(refusal, request.scope["path"])
            return self._code_form(who, text, secret, status=403, problem=refusals.WRONG_CODE)
        await self._commit(*changes, ticket.used)
        await session.end_all(who.person.key, self.env, but=who.session.key)
        return self.frame.to("/account")

    async def remove_code(self, request: Request) -> Response:
        _, who = await self.changing(request)
        found = await codes.of(who.person, self.env)
        if found is not None:
            await self._commit(*codes.removed(found, self.env.clock()))
            await session.end_all(who.person.key, self.env, but=who.session.key)
        return self.frame.to("/account")

    # --- where one is signed in -------------------------------------------------------------------------------------

    async def end_session(self, request: Request) -> Response:
        """Sign out somewhere else: of one place, or of all. That is never made hard."""
        form = await self.frame.form(request)
        who = await self.frame.signed_in(request)
        meant = form.get("which")
        for one in await session.of(who.person, self.frame.settings, self.env):
            if one.key != who.session.key and meant in {None, account_views.which(one.key)}:
                await session.end(one, self.env)
        return self.frame.to("/account")
