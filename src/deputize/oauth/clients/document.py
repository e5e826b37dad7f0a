"""A client that nobody registered: its id is the URL of what it says of itself (client id metadata document)."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from deputize.core.ports import Add, Append, Env, Event, Replace
from deputize.core.published import Published, fetched, fresh_for
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds, WebUrl, scope
from deputize.core.wire import Call, Headers, JsonObject, Malformed, Reply, b64u
from deputize.jose.keys import KeySet, holds_secret
from deputize.oauth import client_document as documents
from deputize.oauth.client import Client, Document, Resource, Way, resources_named
from deputize.oauth.client_document import SPEC
from deputize.oauth.login import NONE
from deputize.oauth.redirects import NATIVE
from deputize.oauth.standing import Standing

NAME: Final = "document"
# A client that was not looked at for so long is forgotten: one that a person has allowed something, one that was named.
KEPT: Final = Seconds(30 * 24 * 3600)
NAMED_KEPT: Final = Seconds(2 * 24 * 3600)
DEFAULT_FRESH: Final = Seconds(3600)
KEYS_KEPT: Final = Seconds(60)  # so long a key that was taken out still signs, and a new one does not yet
LOOKS_A_HOST_MAX: Final = 20  # a minute, in one process
LOOKS_MAX: Final = 300  # at all hosts together

FOUND = Rule(
    SPEC, "Metadata Discovery Errors", "The client's document can be had at its id, small, as JSON, and at once."
)
METHOD_COMMON = Rule(
    SPEC, "Client Authentication", "The client can authenticate with a method that this server supports."
)
TRUSTED = Rule(SPEC, "Client ID Domain Trust", "The host of the client id is one from which this server takes clients.")
SAME_ORIGIN = Rule(
    SPEC,
    "Relationship between redirect_uris and client_id or client_uri",
    "The redirect URIs are at the client id's own origin or on the person's own machine, where the server wants that.",
)
KEYS_FOUND = Rule(SPEC, "Client Authentication", "The client's keys can be had at its jwks_uri, and are public ones.")
NOT_TOO_OFTEN = Rule(
    "Deputize", "bounds", "Documents of one host, and of clients not known yet, are fetched so often a minute."
)

Tier = Literal["allowed", "asked", "blocked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Which clients may tell of themselves, and what they may ask people for.

    `audiences` are the resources (`*`: all) that such a client may lead to; without any, none is let in. `grant_types`
    are those that it may use, if its document says so too. `allowed`, `asked` and `blocked` are hosts, or all below one
    (`*.example.org`); `others` says which of these all the others are. A client from an allowed host is asked for
    once, one from an asked host each time. `same_origin` wants redirect URIs at the client id's origin. A document is
    kept for as long as it says, and at least `fresh_min`, at most `fresh_max`.
    """

    audiences: tuple[str, ...] = ()
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")
    allowed: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    others: Tier = "asked"
    same_origin: bool = False
    fresh_min: Seconds = Seconds(60)
    fresh_max: Seconds = Seconds(24 * 3600)

    def tier(self, host: str) -> Tier:
        """Which tier a host is in; where several name it, the strictest."""
        tiers: tuple[tuple[Tier, tuple[str, ...]], ...] = (
            ("blocked", self.blocked),
            ("asked", self.asked),
            ("allowed", self.allowed),
        )
        return next((tier for tier, names in tiers if any(_names(name, host) for name in names)), self.others)


def _names(pattern: str, host: str) -> bool:
    return host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def way(settings: Settings, methods: frozenset[str]) -> Way:
    """The row; `methods` are what a client can authenticate with here."""
    return Way(name=NAME, find=Documents(settings, methods).find)


def public_keys(jwks: JsonObject) -> str:
    """The text of a set of public keys. Raises Malformed where one is not, or none can be used."""
    entries = jwks.get("keys")
    if not isinstance(entries, list) or any(isinstance(entry, dict) and holds_secret(entry) for entry in entries):
        raise Malformed("keys that are not public")
    KeySet.published(jwks)
    return _text(jwks)


def _text(value: Any) -> str:  # noqa: ANN401 (JSON is any value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _hash(value: Any) -> str:  # noqa: ANN401 (JSON is any value)
    return b64u(hashlib.sha256(_text(value).encode()).digest())


@dataclass(slots=True)
class Documents:
    """Finds clients by their documents. What was found lies in the store, so that all workers know it."""

    settings: Settings
    methods: frozenset[str]
    _keys: Published[str] = field(
        default_factory=lambda: Published(read=public_keys, keep=KEYS_KEPT, bytes_max=64 * 1024)
    )
    _under_way: set[str] = field(default_factory=set)
    _minute: int = 0
    _unknown: int = 0
    _looks: dict[str, int] = field(default_factory=dict)

    async def find(self, client_id: str, env: Env) -> Client | None:
        if not documents.is_url(client_id):
            return None
        for finding in documents.findings_of_url(client_id):
            if finding.must:
                finding.rule.refuse("invalid_client")
        host = urlsplit(client_id).hostname or ""
        if self.settings.tier(host) == "blocked":
            TRUSTED.refuse("invalid_client", host=host)
        kept = await env.store.read(Client, client_id)
        if kept is not None and kept.document is None:
            return None  # somebody registered it: that is for another row to know
        if kept is not None and kept.disabled_at is not None:
            return kept
        now = env.clock()
        client = kept if kept is not None and self._stands(kept, now) else await self._look(client_id, kept, env)
        return await self._with_keys(client, env, known=kept is not None)

    def _stands(self, kept: Client, now: Instant) -> bool:
        told = kept.document
        return told is not None and told.fetched_at <= now < told.fresh_until and told.policy == self._policy

    @property
    def _policy(self) -> str:
        """Stands for the settings: what was read under others is read again."""
        return _hash([astuple(self.settings), sorted(self.methods)])

    async def _look(self, client_id: str, kept: Client | None, env: Env) -> Client:
        first = client_id not in self._under_way
        with self._counted(client_id, env.clock(), known=kept is not None) as counted:
            if not counted:
                NOT_TOO_OFTEN.refuse("invalid_client", client=client_id[:200])
            client = await self._read(client_id, env)
            if first:
                await self._keep(client, kept, env)
            return client

    async def _read(self, client_id: str, env: Env) -> Client:
        try:
            document, headers = await fetched(client_id, documents.BYTES_MAX, env)
        except Fault as fault:  # one sentence for all of it: where it leads is not ours to tell
            FOUND.refuse("invalid_client", because=str(fault))
        for finding in documents.findings(document, client_id):
            if finding.must:
                finding.rule.refuse("invalid_client", where=finding.where)
        return self._client(document, headers, await resources_named(self.settings.audiences, env), env.clock())

    @contextmanager
    def _counted(self, url: str, now: Instant, *, known: bool) -> Iterator[bool]:
        """Count a look for as long as it lasts; False for one too many.

        Whoever wants the same meanwhile gets the same answer, and that is no look of their own. Whoever makes up ids
        uses up the looks at a host, and those of no client that is known.
        """
        if url in self._under_way:
            yield True
            return
        if (minute := now // 60) != self._minute:
            self._minute, self._looks, self._unknown = minute, {}, 0
        at = url if known else urlsplit(url).netloc
        looks = self._looks.get(at, 0)
        if looks >= LOOKS_A_HOST_MAX or (not known and self._unknown >= LOOKS_MAX):
            yield False
            return
        self._looks[at] = looks + 1
        self._unknown += not known
        self._under_way.add(url)
        try:
            yield True
        finally:
            self._under_way.discard(url)

    def _client(self, document: JsonObject, headers: Headers, resources: tuple[Resource, ...], now: Instant) -> Client:
        url = document["client_id"]
        told = documents.methods(document)
        common = [one for one in (documents.PRIVATE_KEY_JWT, NONE) if one in told and one in self.methods]
        if not common:
            METHOD_COMMON.refuse("unauthorized_client", told=told)
        redirects = tuple(document.get("redirect_uris", ()))
        if self.settings.same_origin and not all(_is_at_home(uri, url) for uri in redirects):
            SAME_ORIGIN.refuse("invalid_client")
        possible = frozenset(name for one in resources for name in one.scopes)
        seconds = fresh_for(headers, DEFAULT_FRESH, at_least=self.settings.fresh_min, at_most=self.settings.fresh_max)
        parts = urlsplit(url)
        tier = self.settings.tier(parts.hostname or "")
        return Client(
            key=url,
            expires_at=Instant(now + NAMED_KEPT),
            name=parts.netloc,  # what was proven; what it calls itself stands behind that
            how_known=_how_known(url, tier),
            auth_method=common[0],  # the stronger one
            grant_types=documents.grant_types(document) & frozenset(self.settings.grant_types),
            audiences=frozenset(one.key for one in resources),
            scope=possible & scope(document["scope"]) if document.get("scope") else possible,
            jwks=_text(document.get("jwks", {"keys": []})),
            dpop_bound=document.get("dpop_bound_access_tokens", False),
            redirect_uris=redirects,
            application_type=NATIVE if documents.is_native(document) else "web",
            document=Document(
                fetched_at=now,
                fresh_until=Instant(now + seconds),
                digest=_hash([document.get(member) for member in _RESTS_ON]),
                policy=self._policy,
                calls_itself=documents.calls_itself(document),
                always_asked=tier == "asked",
                jwks_uri=document.get("jwks_uri"),
                spiffe_id=document.get("spiffe_id"),
            ),
        )

    async def _keep(self, client: Client, kept: Client | None, env: Env) -> None:
        """Put it where all workers find it. Where another was faster, what that one put there is as good."""
        if kept is None:  # whoever names a client leaves no line in the audit trail by that
            await env.store.commit(Add(client))
            return
        if await env.store.select(Standing, "client", client.key, limit=1):
            client = replace(client, expires_at=Instant(env.clock() + KEPT))
        told = Event(key="", at=env.clock(), what="client_document_changed", client=client.key)
        changed = (Append(told),) if kept.rests_on != client.rests_on else ()
        await env.store.commit(Replace(kept, client), *changed)

    async def _with_keys(self, client: Client, env: Env, *, known: bool) -> Client:
        uri = client.document.jwks_uri if client.document else None
        if uri is None or client.auth_method != documents.PRIVATE_KEY_JWT:
            return client

        async def fetch(call: Call) -> Reply:
            """The way out, each look counted. One too many is as if nobody were there: what is kept goes on."""
            with self._counted(uri, env.clock(), known=known) as counted:
                if counted:
                    return await env.fetch(call)
            raise Fault("looked at too often")

        try:
            return replace(client, jwks=await self._keys.get(uri, replace(env, fetch=fetch)))
        except Fault as fault:
            KEYS_FOUND.refuse("invalid_client", because=str(fault))


_RESTS_ON: Final = (
    *("client_name", "redirect_uris", "grant_types", "application_type", "scope", "jwks", "jwks_uri", "spiffe_id"),
    *("token_endpoint_auth_method", "token_endpoint_auth_methods_supported", "dpop_bound_access_tokens"),
)


def _is_at_home(uri: str, url: str) -> bool:
    return not uri.startswith("https:") or WebUrl(uri).origin == WebUrl(url).origin


def _how_known(url: str, tier: Tier) -> str:
    vouched = "its host is one that your administrator allows" if tier == "allowed" else "nobody here has registered it"
    return f"known by its own document at {url}; {vouched}, and nobody has checked what it calls itself"
