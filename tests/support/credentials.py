"""A server that issues a diploma, and a wallet as simple as can be: for tests of offers, tokens and credentials."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from deputize.core.ports import Add
from deputize.core.wire import JsonObject, json_bytes
from deputize.jose.jwe import DecryptionKey
from deputize.jose.keys import PrivateKey
from deputize.oauth import families, offers, statuses
from deputize.oauth.grants import pre_authorized_code, table
from deputize.oauth.login import NONE
from deputize.oauth.offers import Made
from deputize.server.app import protocol_app
from deputize.server.credentials import ANONYMOUS, Credentials, Issued, Settings
from deputize.vc import proofs
from deputize.vc.issuance import RequestKeys
from tests.jose.making import a_key
from tests.support.asgi import Answer
from tests.support.flow import CALLBACK, Flow, a_flow
from tests.support.world import World, a_world

DIPLOMA, BADGE = "diploma", "badge"
VCT = "https://uni.example/types/diploma/2"
WALLET: Final = "wallet-app"
CLAIMS: Final[JsonObject] = {"given_name": "Alice", "degree": {"title": "Physics", "year": 2025}}
SETTINGS: Final = Settings(
    issued={
        DIPLOMA: Issued(vct=VCT, scope="diploma", name="Diploma", hides=("given_name", "degree.title", "degree.year")),
        BADGE: Issued(vct="urn:example:badge", status=False),
    },
    anonymous=True,
)
ENTRIES: Final = statuses.Settings(size=2**13)


@dataclass
class Issuing:
    """A world whose server issues, and the keys of a wallet."""

    world: World
    credentials: Credentials
    key: PrivateKey = field(default_factory=lambda: a_key("ES256", 61))

    @property
    def name(self) -> str:
        return self.credentials.name

    async def offered(self, *names: str, **told: Any) -> Made:
        datasets = told.pop("datasets", None) or dict.fromkeys(names or (DIPLOMA,), CLAIMS)
        made = await offers.make(datasets, self.name, self.world.env, **told)
        assert await self.world.store.commit(*made.changes)
        return made

    async def redeem(
        self, made: Made, *, by: str | None = None, key: PrivateKey | None = None, **fields: str
    ) -> Answer:
        form = {"grant_type": pre_authorized_code.TYPE, "pre-authorized_code": made.secret.reveal(), **fields}
        return await self.world.post("/token", form, by=by, key=key, spends=("credential_offer", "revoked"))

    async def token(self, *names: str, **told: Any) -> str:
        answer = await self.redeem(await self.offered(*names, **told))
        assert answer.status == 200, answer.body
        return answer["access_token"]

    async def nonce(self) -> str:
        answer = await self.post("/nonce")
        assert answer.header("cache-control") == "no-store"
        return answer["c_nonce"]

    async def post(
        self, path: str, said: Any = None, token: str | None = None, *, headers: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        body = said if isinstance(said, bytes) else b"" if said is None else json_bytes(said)
        if token is not None:
            headers = (*headers, ("authorization", f"Bearer {token}"))
        if not any(name == "content-type" for name, _ in headers):
            headers = (*headers, ("content-type", "application/json"))
        return await self.world.send("POST", f"/credentials{path}", headers, body)

    async def proof(self, key: PrivateKey | None = None, **told: Any) -> str:
        nonce = told.pop("nonce", None) or await self.nonce()
        good: dict[str, Any] = {"issuer": self.name, "nonce": nonce, "now": self.world.now}
        return proofs.prove(key or self.key, **(good | told))

    async def ask(self, token: str, identifier: str | None = None, **changes: Any) -> Answer:
        """POST /credential with a good proof; `changes` alter the request, `...` leaves a member out."""
        good: JsonObject = {"credential_identifier": identifier} if identifier else {}
        if "proofs" not in changes:
            good["proofs"] = {"jwt": [await self.proof()]}
        said = {name: value for name, value in (good | changes).items() if value is not ...}
        return await self.post("/credential", said, token)


def identifier_of(made: Made, name: str = DIPLOMA) -> str:
    return made.offer.datasets[name]


@asynccontextmanager
async def an_issuer(
    settings: Settings = SETTINGS, *, requests: RequestKeys = RequestKeys(), **more: Any
) -> AsyncIterator[Issuing]:
    """The issuer without pages: for offers with a code."""
    async with a_world(grants=table(families.Settings(), credentials=True), status=ENTRIES, **more) as world:
        yield await _issuing(world, settings, requests)


@asynccontextmanager
async def an_issuer_with_pages(settings: Settings = SETTINGS) -> AsyncIterator[tuple[Flow, Issuing]]:
    """The issuer with people in browsers: for the code flow."""
    async with a_flow(grants=table(families.Settings(), credentials=True)) as flow:
        app = flow.world.app
        issuing = await _issuing(flow.world, settings, RequestKeys(), pages=app)
        await flow.world.client(
            WALLET,
            auth_method=NONE,
            grant_types=frozenset({"authorization_code"}),
            audiences=frozenset({issuing.name}),
            scope=frozenset({"diploma"}),
            redirect_uris=(CALLBACK,),
        )
        yield flow, issuing


async def _issuing(world: World, settings: Settings, requests: RequestKeys, pages: Any = None) -> Issuing:
    anonymous = ANONYMOUS if settings.anonymous else ""
    world.here = dataclasses.replace(world.here, anonymous=anonymous)
    made = Credentials(issuer=world.here.issuer, settings=settings, requests=requests, lists=world.here.statuses)
    await world.store.commit(Add(made.resource()), Add(made.wallets()))
    world.app = protocol_app(world.here, world.env, pages, credentials=made)
    return Issuing(world, made)


def request_keys(*, required: bool = False) -> RequestKeys:
    return RequestKeys(keys=(DecryptionKey.generate(),), required=required)
