"""Ports and plugs, put together for each kind of process."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from deputize.adapters.guarded_fetch import GuardedFetch
from deputize.adapters.guarded_fetch import Settings as FetchSettings
from deputize.adapters.keys_signer import RingSigner
from deputize.adapters.memory import MemoryStore
from deputize.adapters.notify import ConsoleNotify
from deputize.adapters.policy import SettingsPolicy
from deputize.adapters.sqlite import SqliteStore
from deputize.adapters.stores import is_postgres, open_store
from deputize.adapters.system import SystemClock, SystemRandom
from deputize.compose.credentials import credentials_of
from deputize.compose.keys import signer_of
from deputize.compose.kinds import KINDS
from deputize.compose.settings import Settings
from deputize.core.ports import Add, Env, Fetch, Store
from deputize.core.rules import Fault
from deputize.core.values import Issuer
from deputize.core.wire import JsonObject
from deputize.jose.x509 import Roots, pem_ders
from deputize.oauth import fapi2
from deputize.oauth.certificate import Edge
from deputize.oauth.client import EVERY, Way, own_resource
from deputize.oauth.client_auth import METHODS, with_certificates
from deputize.oauth.clients import document
from deputize.oauth.grants import table
from deputize.oauth.login import Method
from deputize.oauth.mandates import Mandates
from deputize.oauth.server import AuthorizationServer
from deputize.oauth.statuses import Statuses
from deputize.server.credentials import ANONYMOUS, Credentials
from deputize.server.mandates import mint


class NoSigner:
    """The signer of a process that signs nothing as a server."""

    def active(self) -> NoReturn:
        raise LookupError("this process has no signing keys")

    async def sign(self, kid: str, data: bytes) -> bytes:
        del kid, data
        self.active()

    def keys(self) -> tuple[JsonObject, ...]:
        return ()


def local_env(path: str | Path, *, allowed_origins: frozenset[str] = frozenset()) -> Env:
    """The ports on one machine: records in the SQLite file at `path`, fetches to `allowed_origins` only, no keys."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return ports(SqliteStore(Path(path)), allowed_origins=allowed_origins)


def ports(store: Store, *, allowed_origins: frozenset[str] = frozenset(), fetch: Fetch | None = None) -> Env:
    """The ports around a store; no keys. Where no `fetch` is given, it reaches `allowed_origins` only."""
    return Env(
        clock=SystemClock(),
        random=SystemRandom(),
        store=store,
        fetch=fetch or GuardedFetch(allowed_origins),
        signer=NoSigner(),
        notify=ConsoleNotify(),
        policy=SettingsPolicy(),
    )


def guard_env(path: str | Path, *, issuer: str, lists: str = "") -> Env:
    """What an API's guard needs: a store of its own, and a way to its authorization server alone.

    `lists` is where that server's status lists are, if not there: a URL at the CDN that serves them.
    """
    parts = [urlsplit(url) for url in (issuer, lists) if url]
    return local_env(path, allowed_origins=frozenset(f"{one.scheme}://{one.netloc}" for one in parts))


@asynccontextmanager
async def client_env(issuer: str) -> AsyncIterator[Env]:
    """What a client needs that keeps nothing: the way to one authorization server, for as long as this lasts."""
    async with aclosing(GuardedFetch(frozenset({Issuer(issuer).origin}))) as fetch:
        yield ports(MemoryStore(), fetch=fetch)


@asynccontextmanager
async def reader_env(*, allowed_origins: frozenset[str] = frozenset(), ca_file: str = "") -> AsyncIterator[Env]:
    """What somebody needs who reads what others publish, and keeps nothing: public addresses, and these origins.

    `ca_file` names certificate authorities to trust beside the system's.
    """
    async with aclosing(GuardedFetch(allowed_origins, FetchSettings(ca_file=ca_file))) as fetch:
        yield ports(MemoryStore(), fetch=fetch)


@dataclass(frozen=True, slots=True)
class ServerParts:
    """An authorization server and its ports; `edge` where clients' certificates can reach it.

    `credentials` are those that it issues and asks for, if any.
    """

    here: AuthorizationServer
    env: Env
    signer: RingSigner
    edge: Edge | None = None
    credentials: Credentials | None = None


def _methods(settings: Settings) -> tuple[Method, ...]:
    if not takes_certificates(settings):
        return METHODS
    authorities = settings.server.client_authorities
    return with_certificates(Roots(pem_ders(Path(authorities).read_text())) if authorities else None)


def _ways(settings: Settings, methods: tuple[Method, ...]) -> tuple[Way, ...]:
    """How clients are known that nobody registered: by their documents, where some resource is open to them."""
    documents = settings.oauth.clients.document
    if settings.dev and not documents.audiences:
        documents = replace(documents, audiences=(EVERY,))
    if not documents.audiences or "client-id-metadata-document" not in settings.drafts_on:
        return ()
    strong = settings.oauth.profile == "fapi2"
    names = fapi2.names_of(methods) if strong else (name for method in methods for name in method.names)
    return (document.way(documents, frozenset(names)),)


def takes_certificates(settings: Settings) -> bool:
    """Whether a client's certificate can reach the server: through a trusted proxy, or by its own TLS."""
    return bool(settings.server.proxies or (settings.server.tls_certificate and settings.server.client_authorities))


async def _store(settings: Settings) -> Store:
    """The store that the settings name. Refuses one that this program does not fit, unless it is for development."""
    place = settings.store.path
    if not is_postgres(place):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
    store = open_store(place, dev=settings.dev)
    if settings.dev:
        await store.migrate(KINDS)
    try:
        (await store.schema(KINDS)).check()
    except Fault:
        await store.close()
        raise
    return store


async def server_parts(settings: Settings) -> ServerParts:
    """The authorization server that the settings describe. `signer` wants to be watched for as long as it serves."""
    methods = _methods(settings)
    issuer = Issuer(settings.server.issuer)
    devices = replace(settings.oauth.device, on=True) if settings.dev else settings.oauth.device
    here = AuthorizationServer(
        issuer=issuer,
        grants=table(settings.oauth.refresh, devices, credentials=bool(settings.credentials.issued)),
        methods=methods,
        ways=_ways(settings, methods),
        tokens=settings.oauth.tokens,
        asks=settings.oauth.asking,
        authorize=settings.oauth.authorize,
        refresh=settings.oauth.refresh,
        dpop=settings.oauth.dpop,
        device=devices,
        registration=settings.oauth.registration,
        fapi2=settings.oauth.profile == "fapi2",
        drafts=settings.drafts_on,
        statuses=Statuses(issuer, settings.oauth.status) if "status-list" in settings.drafts_on else None,
        mandates=Mandates(mint, settings.oauth.mandates) if "agent-mandate" in settings.drafts_on else None,
        anonymous=ANONYMOUS if settings.credentials.issued and settings.credentials.anonymous else "",
    )
    edge = Edge.of(settings.server.proxies) if takes_certificates(settings) else None
    env = ports(await _store(settings), fetch=GuardedFetch(settings=settings.adapters.fetch))
    await env.store.commit(Add(own_resource(here.issuer.text)))  # False where it is there from an earlier start
    signer = await signer_of(settings.keys, env.store, env.clock)
    env = replace(env, signer=signer)
    return ServerParts(here, env, signer, edge, await credentials_of(settings, here, env))
