"""Signing in by another OpenID provider: off to it, back from it, and who that is here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deputize.core.ports import Add, Append, Change, Env, Event, Record
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant
from deputize.core.wire import Form
from deputize.oauth.client import Person
from deputize.oauth.upstream import Arrived, Provider, Trip, Upstream
from deputize.server import http, people, refusals, session, tickets
from deputize.server.account import Account
from deputize.server.entrance import Entrance
from deputize.server.frame import Frame, Visitor, onward_of
from deputize.server.tickets import Ticket

NOT_THERE: Final = "Signing in there did not work. Please try again, or use another way to sign in."
NOBODY: Final = "Nobody here belongs to that account. Sign in as usual first, and add it under Account."

KNOWN_HERE = Rule("Deputize", "sign-in", "Who comes from another provider belongs to a person here who may sign in.")
ONE_PERSON = Rule("Deputize", "sign-in", "An account at another provider belongs to one person here.")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamLink(Record):
    """Somebody at another provider is this person here. `key` stands for issuer and subject together."""

    kind: ClassVar[str] = "upstream_link"
    indexed: ClassVar[tuple[str, ...]] = ("person",)

    person: str
    issuer: str
    made_at: Instant


@dataclass(frozen=True, slots=True)
class Upstreams:
    """What the pages of other providers do. Each has a redirect URI of its own, so that none answers for another."""

    entrance: Entrance
    account: Account
    providers: Mapping[str, Provider]

    @classmethod
    def of(cls, account: Account, upstreams: tuple[Upstream, ...]) -> "Upstreams":
        return cls(account.entrance, account, {one.key: Provider(one) for one in upstreams})

    @property
    def frame(self) -> Frame:
        return self.entrance.frame

    @property
    def env(self) -> Env:
        return self.frame.env

    def _provider(self, request: Request) -> Provider:
        found = self.providers.get(request.path_params["key"])
        if found is None:
            raise HTTPException(404)
        return found

    # --- off to it --------------------------------------------------------------------------------------------------

    async def leave(self, request: Request) -> Response:
        """POST /sign-in/at/{key}."""
        form = await self.frame.form(request)
        visitor = await self.frame.visitor(request)
        again = "again" in form and visitor.person is not None
        told = {"onward": onward_of(form.get("next") or ""), "person": "", "again": again}
        return await self._away(self._provider(request), visitor, told)

    async def link(self, request: Request) -> Response:
        """POST /account/at/{key}: who is signed in, and was seen lately, adds a way in."""
        _, who = await self.account.changing(request)
        told = {"onward": "/account", "person": who.person.key, "again": False}
        return await self._away(self._provider(request), who.visitor, told)

    async def _away(self, provider: Provider, visitor: Visitor, told: Mapping[str, object]) -> Response:
        key, browser = provider.upstream.key, visitor.cookie or ""
        said = {**told, "at": self.env.clock()}
        state = await tickets.give(_about(key), said, browser, self.env)
        where = await provider.address(self._trip(key, state, browser, again=bool(told["again"])), self.env)
        # By a page and no redirect: browsers hold a redirect after a form against the page's policy.
        host = urlsplit(where).hostname or ""
        return self.frame.page("onward.html", Visitor(None), where=where, host=host)

    def _trip(self, key: str, state: str, browser: str, *, again: bool) -> Trip:
        return Trip.of(self.frame.issuer.at(f"/sign-in/from/{key}"), state, browser, again=again)

    # --- back from it -----------------------------------------------------------------------------------------------

    async def back(self, request: Request) -> Response:
        """GET /sign-in/from/{key}."""
        provider, visitor = self._provider(request), await self.frame.visitor(request)
        key, browser = provider.upstream.key, visitor.cookie or ""
        onward = "/inbox"
        try:
            form = Form.parse(request.scope["query_string"])
            ticket = await tickets.read(form.get("state") or "", _about(key), browser, self.env)
            onward = onward_of(str(ticket.told["onward"]))
            trip = self._trip(key, form.one("state"), browser, again=bool(ticket.told["again"]))
            arrived = await provider.arrived(form, trip, Instant(ticket.told["at"]), self.env)
            if ticket.told["person"]:
                return await self._linked(arrived, visitor, ticket)
            person, changes = await self._person(arrived, provider.upstream)
        except (Refusal, Fault) as problem:
            return await self._turned_back(request, visitor, onward, problem)
        return await self.entrance.enter(
            request, visitor, person, onward, ticket.used, *changes, amr=(), auth_time=arrived.auth_time
        )

    async def _turned_back(self, request: Request, visitor: Visitor, onward: str, problem: Refusal | Fault) -> Response:
        if isinstance(problem, Refusal):
            http.note_refusal(problem, request.scope["path"])
        else:
            http.log.error("failed", path=request.scope["path"], what=str(problem))
        says = NOT_THERE
        if isinstance(problem, Refusal) and problem.rule in {KNOWN_HERE, ONE_PERSON}:
            says = NOBODY
        elif isinstance(problem, Refusal) and problem.rule is tickets.OUR_TICKET:
            says = refusals.TOO_LATE
        return await self.entrance.turned_back(visitor, onward, says)

    async def _person(self, arrived: Arrived, upstream: Upstream) -> tuple[Person, tuple[Change, ...]]:
        """Who that is here; and what makes them somebody, where whoever comes from there may be."""
        link = await self.env.store.read(UpstreamLink, arrived.key)
        if link is not None:
            person = await self.env.store.read(Person, link.person)
            if person is None or person.disabled_at is not None:
                KNOWN_HERE.refuse("access_denied", person=link.person)
            return person, ()
        if not upstream.enrols:
            KNOWN_HERE.refuse("access_denied", issuer=arrived.issuer)
        login = people.fit_login(f"{upstream.key}-{arrived.key[:16]}")
        made = Person(key=login, login=login, name=arrived.name)
        event = Event(key="", at=self.env.clock(), what="person_enrolled", person=login, told={"at": arrived.issuer})
        return made, (Add(made), self._link(arrived, login), Append(event))

    def _link(self, arrived: Arrived, person: str) -> Add:
        return Add(UpstreamLink(key=arrived.key, person=person, issuer=arrived.issuer, made_at=self.env.clock()))

    async def _linked(self, arrived: Arrived, visitor: Visitor, ticket: Ticket) -> Response:
        person = visitor.person
        if person is None or person.key != ticket.told["person"]:
            tickets.OUR_TICKET.refuse("access_denied", person=ticket.told["person"])
        link = await self.env.store.read(UpstreamLink, arrived.key)
        if link is not None and link.person != person.key:
            ONE_PERSON.refuse("access_denied", person=person.key)
        event = Event(
            key="", at=self.env.clock(), what="upstream_linked", person=person.key, told={"at": arrived.issuer}
        )
        changes = () if link is not None else (self._link(arrived, person.key), Append(event))
        if not await self.env.store.commit(ticket.used, *changes):
            session.USED_ONCE.refuse("access_denied", race=True)
        return self.frame.to("/account")


def _about(key: str) -> str:
    return f"sign in from {key}"


async def linked(person: Person, env: Env) -> frozenset[str]:
    """The issuers that a person can come from."""
    return frozenset(one.issuer for one in await env.store.select(UpstreamLink, "person", person.key))
