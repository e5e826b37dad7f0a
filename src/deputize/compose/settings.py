"""One TOML file that mirrors the modules; every name also as `DEPUTIZE_SECTION__NAME`; all mistakes told at once."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from deputize.adapters.guarded_fetch import GuardedFetch
from deputize.adapters.guarded_fetch import Settings as FetchSettings
from deputize.compose.keys import KeySettings
from deputize.compose.keys import mistakes as mistakes_of_keys
from deputize.compose.upstreams import UpstreamSettings
from deputize.compose.upstreams import mistakes as mistakes_of_upstreams
from deputize.core.rules import Fault
from deputize.core.specs import SPECS
from deputize.core.values import Issuer, WebUrl
from deputize.oauth import fapi2
from deputize.oauth.asking import Settings as AskSettings
from deputize.oauth.certificate import Edge
from deputize.oauth.clients.document import Settings as DocumentSettings
from deputize.oauth.device import Settings as DeviceSettings
from deputize.oauth.families import Settings as RefreshSettings
from deputize.oauth.mandates import Settings as MandateSettings
from deputize.oauth.nonces import Settings as DpopSettings
from deputize.oauth.registering import Settings as RegistrationSettings
from deputize.oauth.requested import Settings as AuthorizeSettings
from deputize.oauth.statuses import Settings as StatusSettings
from deputize.oauth.tokens import Settings as TokenSettings
from deputize.server.credentials import Settings as CredentialSettings
from deputize.server.credentials import mistakes as mistakes_of_credentials

FILE: Final = Path("deputize.toml")


class Mistakes(Fault):
    """Everything that is wrong with the configuration, each a line that says where."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Who the server is, and where it listens. `issuer` is what clients see: never taken from a request.

    With `tls_certificate` and `tls_key` (files) it ends TLS itself; `client_authorities` (a file) names those whose
    certificates clients may authenticate with. `proxies` are the addresses of proxies that end TLS in front of it and
    tell of a client's certificate (RFC 9440): nobody else's word is taken. `browser_origins` are those of clients that
    run in a browser, such as https://app.example: their scripts may call and read the token endpoint (CORS).
    """

    issuer: str = "http://127.0.0.1:9400"
    host: str = "127.0.0.1"
    port: int = 9400
    management_port: int = 9401
    tls_certificate: str = ""
    tls_key: str = ""
    client_authorities: str = ""
    proxies: tuple[str, ...] = ()
    browser_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where records lie: the path of an SQLite file, or the DSN of a PostgreSQL database."""

    path: str = "var/deputize.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientsSettings:
    """How clients are known that nobody registered."""

    document: DocumentSettings = DocumentSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthSettings:
    """The settings of the modules of `oauth`.

    `profile` is what the issuer keeps to: "fapi2" narrows it to FAPI 2.0 (docs/fapi2.md).
    """

    profile: Literal["oauth21", "fapi2"] = "oauth21"
    clients: ClientsSettings = ClientsSettings()
    tokens: TokenSettings = TokenSettings()
    asking: AskSettings = AskSettings()
    authorize: AuthorizeSettings = AuthorizeSettings()
    refresh: RefreshSettings = RefreshSettings()
    dpop: DpopSettings = DpopSettings()
    device: DeviceSettings = DeviceSettings()
    status: StatusSettings = StatusSettings()
    mandates: MandateSettings = MandateSettings()
    registration: RegistrationSettings = RegistrationSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """The settings of the modules of `adapters`."""

    fetch: FetchSettings = FetchSettings()


class _Environment(EnvSettingsSource):
    """The environment, where lists are JSON at any depth: the source itself looks no deeper than at the sections."""

    def __call__(self) -> dict[str, Any]:
        return {name: _with_lists(value) for name, value in super().__call__().items()}


def _with_lists(value: Any) -> Any:  # noqa: ANN401 (what the environment can say)
    if isinstance(value, Mapping):
        return {name: _with_lists(inner) for name, inner in value.items()}
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value  # no list, which whoever wants one says
    return value


class Settings(BaseSettings):
    """The whole tree. Unknown names are refused."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="DEPUTIZE_", env_nested_delimiter="__", case_sensitive=False
    )

    dev: bool = False
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    keys: KeySettings = KeySettings()
    oauth: OAuthSettings = OAuthSettings()
    adapters: AdapterSettings = AdapterSettings()
    credentials: CredentialSettings = CredentialSettings()
    upstreams: dict[str, UpstreamSettings] = {}
    drafts: dict[str, bool] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then what `load` hands over from the file: nothing else is read."""
        del env_settings, dotenv_settings, file_secret_settings
        return _Environment(settings_cls), init_settings

    @property
    def drafts_on(self) -> frozenset[str]:
        """The names of the specifications that are in force."""
        return frozenset(
            spec.name for spec in SPECS if self.drafts.get(spec.name, self.dev or spec.status.on_by_default)
        )


def load(path: Path | None = None, *, dev: bool = False) -> Settings:
    """Read file and environment. Raises Mistakes, with all of them."""
    told = _file(path)
    if dev:
        told = {**told, "dev": True}
    try:
        settings = Settings(**told)
    except ValidationError as problem:
        raise Mistakes([_line(error) for error in problem.errors()]) from None
    lines = list(_contradictions(settings))
    if lines:
        raise Mistakes(lines)
    return settings


def _file(path: Path | None) -> dict[str, Any]:
    source = path or FILE
    if not source.exists():
        if path is not None:
            raise Mistakes([f"{path}: there is no such file"])
        return {}
    try:
        return dict(TomlConfigSettingsSource(Settings, source)())
    except ValueError as problem:
        raise Mistakes([f"{source}: {problem}"]) from None


def _line(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"{where}: no such setting"
    return f"{where}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _contradictions(settings: Settings) -> Iterator[str]:
    try:
        issuer = Issuer(settings.server.issuer)
    except ValueError as problem:
        yield f"server.issuer: {problem}"
    else:
        if not settings.dev and issuer.origin.startswith("http:"):
            yield "server.issuer: http is for --dev only; an issuer is https"
        if settings.dev and not issuer.is_loopback and not issuer.origin.startswith("https:"):
            yield "server.issuer: --dev wants https or a loopback address"
    if bool(settings.server.tls_certificate) != bool(settings.server.tls_key):
        yield "server.tls_certificate: it and server.tls_key come together"
    for origin in settings.server.browser_origins:
        if not _is_origin(origin):
            yield f"server.browser_origins: {origin[:80]} is no scheme, host and port, such as https://app.example"
    try:
        Edge.of(settings.server.proxies)
    except ValueError as problem:
        yield f"server.proxies: {problem}"
    mandates = "agent-mandate" in settings.drafts_on
    if mandates and "status-list" not in settings.drafts_on:
        yield "drafts.agent-mandate: mandates are taken back through status lists: drafts.status-list"
    life = settings.oauth.mandates.life if mandates else settings.oauth.tokens.life
    yield from mistakes_of_keys(settings.keys, max(life, settings.oauth.tokens.life))
    yield from _mistakes_of_fetch(settings)
    yield from mistakes_of_upstreams(settings.upstreams, dev=settings.dev)
    yield from _mistakes_of_profile(settings)
    yield from mistakes_of_credentials(settings.credentials)
    names = {spec.name for spec in SPECS}
    for name in settings.drafts:
        if name not in names:
            yield f"drafts.{name}: no such specification (`deputize specs` lists them)"
    documents, registration = settings.oauth.clients.document, settings.oauth.registration
    for name, value, least in (
        ("oauth.tokens.life", settings.oauth.tokens.life, 1),
        ("oauth.asking.life", settings.oauth.asking.life, 1),
        ("oauth.asking.interval", settings.oauth.asking.interval, 1),
        ("oauth.asking.waiting_max", settings.oauth.asking.waiting_max, 1),
        ("oauth.refresh.life", settings.oauth.refresh.life, 1),
        ("oauth.refresh.idle", settings.oauth.refresh.idle, 1),
        ("oauth.refresh.grace", settings.oauth.refresh.grace, 0),
        ("oauth.registration.per_source", registration.per_source, 1),
        ("oauth.registration.per_hour", registration.per_hour, 1),
        ("oauth.registration.most", registration.most, 1),
        ("oauth.registration.unused_life", registration.unused_life, 3600),
        ("oauth.asking.standing_life", settings.oauth.asking.standing_life, 1),
        ("oauth.clients.document.fresh_min", settings.oauth.clients.document.fresh_min, 1),
        ("oauth.clients.document.fresh_max", settings.oauth.clients.document.fresh_max, documents.fresh_min),
    ):
        if value < least:
            yield f"{name}: at least {least}"


def _is_origin(text: str) -> bool:
    try:
        return WebUrl(text).origin == text == text.lower()
    except ValueError:
        return False


def _mistakes_of_profile(settings: Settings) -> Iterator[str]:
    registration = settings.oauth.registration
    if registration.mode != "off" and not registration.audiences:
        yield "oauth.registration.audiences: name what clients that register themselves may lead to"
    if settings.credentials.haip and settings.oauth.profile != "fapi2":
        yield "credentials.haip: needs oauth.profile fapi2: pushed requests, clients that authenticate, bound tokens"
    if settings.oauth.profile == "fapi2":
        if registration.mode == "open":
            yield "oauth.registration.mode: with oauth.profile fapi2, nobody registers whom nobody knows"
        for alg in (settings.keys.alg, *settings.keys.also):
            if alg not in fapi2.ALGS:
                yield f"keys: with oauth.profile fapi2 nothing is signed with {alg}: {', '.join(sorted(fapi2.ALGS))}"


def _mistakes_of_fetch(settings: Settings) -> Iterator[str]:
    fetch = settings.adapters.fetch
    try:
        GuardedFetch(settings=fetch)
    except ValueError as problem:
        yield f"adapters.fetch.allowed_origins: {problem}"
        return
    except OSError as problem:
        yield f"adapters.fetch.ca_file: {fetch.ca_file} cannot be read: {problem.strerror or 'no certificates in it'}"
        return
    if min(fetch.seconds, fetch.connect_seconds, fetch.idle_seconds) <= 0:
        yield "adapters.fetch.seconds: it, connect_seconds and idle_seconds are more than 0"
    # What listens on our own loopback trusts whoever can reach it: only a server that is there itself may ask it.
    inside = [origin for origin in fetch.allowed_origins if WebUrl(origin).is_loopback]
    if inside and not (settings.dev or settings.server.issuer.startswith("http:")):
        yield f"adapters.fetch.allowed_origins: {inside[0]} is loopback, which is for --dev only"


def origins(path: Path | None, settings: Settings) -> Iterator[tuple[str, object, str]]:
    """Every setting in force: its name, its value, and where it came from."""
    from_file = dict(_flat(_file(path)))
    from_env = dict(_flat(EnvSettingsSource(Settings)()))
    for name, value in _flat(settings.model_dump()):
        origin = "environment" if name in from_env else str(path or FILE) if name in from_file else "default"
        if name == "dev" and value and origin == "default":
            origin = "--dev"
        yield name, value, origin


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
