"""What a person is entitled to, and their own way to put it into a wallet: an offer that they make themselves."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.oauth import offers
from deputize.oauth.details import dataset
from deputize.oauth.offers import Entitled
from deputize.server import views
from deputize.server.credentials import Credentials, picture_of
from deputize.server.frame import Frame, SignedIn
from deputize.vc.issuance import offer_link

PATH: Final = "/my-credentials"
_PAGE: Final = 100

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnView:
    """One credential of a person's: what it is called, and whether it is ready."""

    configuration: str
    name: str
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferView:
    """An offer that was just made: its link, a picture of that, and the code that is typed into the wallet."""

    name: str
    link: str
    picture: str
    tx_code: str
    minutes: int


@dataclass(frozen=True, slots=True)
class OwnCredentials:
    """The pages."""

    frame: Frame
    credentials: Credentials

    def routes(self) -> tuple[tuple[str, str, Handler], ...]:
        return (("GET", PATH, self.listed), ("POST", PATH + "/{name}", self.offer))

    @property
    def env(self) -> Env:
        return self.frame.env

    async def listed(self, request: Request) -> Response:
        """All that is kept of this person, of what this server issues now."""
        who = await self.frame.signed_in(request)
        found = await self.env.store.select(Entitled, "whose", who.subject, limit=_PAGE)
        view = [
            OwnView(configuration=one.configuration, name=self._named(one.configuration), ready=bool(one.claims))
            for one in found
            if one.configuration in self.credentials.settings.issued
        ]
        return self.frame.page("my_credentials.html", who.visitor, own=view, offer=None)

    async def offer(self, request: Request) -> Response:
        """An offer for this person alone, shown once."""
        await self.frame.form(request)
        who = await self.frame.signed_in(request)
        name = request.path_params["name"]
        entitled = await self._entitled(name, who)
        life = self.credentials.settings.offer_life
        claims = json.loads(entitled.claims) if entitled.claims else None
        made = await offers.make(
            {name: claims}, self.credentials.name, self.env, person=who.subject, tx_code=True, life=life
        )
        if not await self.env.store.commit(*made.changes):
            raise Fault("this changed meanwhile", retry=True)
        link = offer_link(self.credentials.offer_scheme, made.told())
        view = OfferView(
            name=self._named(name),
            link=link,
            picture=picture_of(link),
            tx_code="" if made.tx_code is None else made.tx_code.reveal(),
            minutes=life // 60,
        )
        return self.frame.page("my_credentials.html", who.visitor, own=[], offer=view)

    async def _entitled(self, name: str, who: SignedIn) -> Entitled:
        found = await self.env.store.read(Entitled, dataset(who.subject, name))
        if found is None or name not in self.credentials.settings.issued:
            raise HTTPException(404)
        return found

    def _named(self, name: str) -> str:
        return views.shown(self.credentials.settings.issued[name].name or name)
