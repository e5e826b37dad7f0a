"""What an operator makes by hand: clients and resources, on the records of the server."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from deputize.cli.serving import with_records
from deputize.compose.parts import ServerParts
from deputize.core.ports import Add, Append, Env, Event, Replace
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Secret, WebUrl, scope, scope_text
from deputize.core.wire import JsonObject, Malformed, json_object
from deputize.jose.keys import holds_secret
from deputize.jose.x509 import pem_ders, thumbprint
from deputize.oauth import client_secret
from deputize.oauth.client import EVERY, OWN_SCOPES, Client, Resource, SecretHash, resources_named, secret_hash
from deputize.oauth.client_auth import mtls
from deputize.oauth.grants.transaction import DOOR
from deputize.oauth.login import NONE
from deputize.oauth.registering import Offer, as_client, keys_told, registered

FILE_BYTES_MAX: Final = 256 * 1024

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_SUBJECT: Final = re.compile(r"(san_dns|san_uri|san_ip|san_email|subject_dn):.+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedClient:
    """A client as an operator wants it. `metadata` are further members of RFC 7591, 2; what is said here goes first.

    `resources` are those that it may lead to, `scope` what it may ask for there (empty: all). `certificate_subject` and
    `certificate` (PEM) are for the methods of RFC 8705.
    """

    client_id: str
    method: str
    name: str = ""
    redirect_uris: tuple[str, ...] = ()
    grant_types: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    scope: str = ""
    jwks: JsonObject | None = None
    certificate_subject: str = ""
    certificate: str = ""
    metadata: JsonObject = field(default_factory=dict)

    def members(self, grants: tuple[str, ...]) -> JsonObject:
        told: dict[str, Any] = {
            "client_name": self.name,
            "redirect_uris": list(self.redirect_uris),
            "scope": self.scope,
            "jwks": self.jwks,
        }
        said = {name: value for name, value in told.items() if value}
        return {**self.metadata, **said, "grant_types": list(grants), "token_endpoint_auth_method": self.method}


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeClient:
    """A client that was made, and its secret where it has one: told this once."""

    client: Client
    secret: Secret | None

    def as_json(self) -> JsonObject:
        one = self.client
        told: JsonObject = {
            "client_id": one.key,
            "client_name": one.name,
            "token_endpoint_auth_method": one.auth_method,
            "grant_types": sorted(one.grant_types),
            "redirect_uris": list(one.redirect_uris),
            "application_type": one.application_type,
            "resources": sorted(one.audiences),
            "scope": scope_text(one.scope),
        }
        return told if self.secret is None else {**told, "client_secret": self.secret.reveal()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownResource:
    """A resource as an operator sees one. `asks` says that its guard may ask here about tokens, with a key."""

    url: str
    name: str
    scopes: dict[str, str]
    default_scope: str
    asks: bool
    state: str

    def as_json(self) -> JsonObject:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        yield f"{self.url}  {self.name}: {self.state}{', its guard has a key' if self.asks else ''}"
        for one, sentence in self.scopes.items():
            yield f"  {one}: … wants to {sentence}"


def add_client(config: Path | None, wanted: WantedClient, *, dev: bool) -> MadeClient:
    """Make a client, held against the rules that hold for one that registers itself. Raises Fault."""
    return with_records(config, lambda parts: client_made(wanted, parts), dev=dev)


async def client_made(wanted: WantedClient, parts: ServerParts) -> MadeClient:
    """Make a client on the records at hand. Raises Fault."""
    if not _ID.fullmatch(wanted.client_id):
        raise Fault(f"{wanted.client_id!r} is no client_id: letters, digits, and after the first one . _ ~ - too")
    env, here = parts.env, parts.here
    possible = frozenset(grant.type for grant in here.grants) | {DOOR}
    grants = wanted.grant_types or tuple(wanted.metadata.get("grant_types", ()))
    if not grants and (wanted.redirect_uris or wanted.metadata.get("redirect_uris")):
        grants = ("authorization_code", "refresh_token")
    _known("grant", grants, possible)
    _known("method", (wanted.method,), frozenset(here.method_names))
    for grant in here.grants if wanted.method == NONE else ():
        if grant.type in grants and not grant.public:
            raise Fault(f"the grant {grant.type} is for clients that authenticate")
    resources = await _resources(wanted, here.issuer.text, env)
    offer = Offer(
        grant_types=possible,
        methods=frozenset(here.method_names),
        resources=resources,
        signs_with=env.signer.active()[1],
    )
    try:
        told = registered(wanted.members(grants), offer)
    except Refusal as refusal:
        where = refusal.found.get("where")
        raise Fault(f"{refusal.rule.says}{f' ({where})' if where else ''}") from None
    secret = env.random(client_secret.BITS) if wanted.method in client_secret.METHODS else None
    blank = Client(
        key=wanted.client_id,
        name="",
        auth_method="",
        grant_types=frozenset(),
        secrets=() if secret is None else (SecretHash(secret_hash(secret)),),
        certificate_subject=_subject(wanted),
        certificates=_certificates(wanted),
    )
    client = replace(as_client(told, blank, resources), said="")  # it changes by the operator's hand alone
    event = Event(key="", at=env.clock(), what="client_added", client=client.key)
    if not await env.store.commit(Add(client), Append(event)):
        raise Fault(f"there is a client {client.key} already")
    return MadeClient(client=client, secret=None if secret is None else Secret(secret))


def _known(what: str, told: tuple[str, ...], possible: frozenset[str]) -> None:
    for one in told:
        if one not in possible:
            raise Fault(f"{one!r} is no {what} of this server: {', '.join(sorted(possible))}")
    if not told:
        raise Fault(f"name a {what}: {', '.join(sorted(possible))}")


async def _resources(wanted: WantedClient, issuer: str, env: Env) -> tuple[Resource, ...]:
    """The resources that it may lead to; this server itself, where who a person is may be asked for."""
    try:
        asked = scope(wanted.scope or str(wanted.metadata.get("scope", "")))
    except ValueError as problem:
        raise Fault(f"the scope: {problem}") from None
    names = [*wanted.resources, *([issuer] if asked & OWN_SCOPES.keys() else [])]
    for name in names:
        found = await env.store.read(Resource, name)
        if name != EVERY and (found is None or found.disabled_at is not None):
            raise Fault(f"{name} is no resource here, or a disabled one: `deputize resource list` says which there are")
    resources = await resources_named(tuple(dict.fromkeys(names)), env)
    if not resources:
        raise Fault("name a resource that it may lead to (--resource), or openid in --scope")
    unknown = asked - frozenset(name for one in resources for name in one.scopes)
    if unknown:
        raise Fault(f"no resource that it may lead to has the scope {scope_text(unknown)}")
    return resources


def _subject(wanted: WantedClient) -> str | None:
    if (wanted.method == mtls.CA_ISSUED) != bool(wanted.certificate_subject):
        raise Fault(f"a certificate's subject goes with the method {mtls.CA_ISSUED}, and it with one")
    if wanted.certificate_subject and not _SUBJECT.fullmatch(wanted.certificate_subject):
        raise Fault("the subject is written san_dns:…, san_uri:…, san_ip:…, san_email:… or subject_dn:…")
    return wanted.certificate_subject or None


def _certificates(wanted: WantedClient) -> frozenset[str]:
    if (wanted.method == mtls.SELF_SIGNED) != bool(wanted.certificate):
        raise Fault(f"a certificate goes with the method {mtls.SELF_SIGNED}, and it with one")
    if not wanted.certificate:
        return frozenset()
    try:
        return frozenset(thumbprint(der) for der in pem_ders(wanted.certificate))
    except (Malformed, ValueError):
        raise Fault("the certificate cannot be read: PEM is needed") from None


def add_resource(
    config: Path | None,
    url: str,
    *,
    name: str,
    scopes: tuple[str, ...],
    default_scope: str = "",
    jwks: JsonObject | None = None,
    dev: bool,
) -> ShownResource:
    """Make a resource; with `jwks`, its guard may ask here about tokens, and sign challenges. Raises Fault.

    `scopes` are each `name=sentence`: words that follow "… wants to".
    """
    try:
        WebUrl(url)
        first = scope(default_scope)
    except ValueError as problem:
        raise Fault(str(problem)) from None
    if not name.strip():
        raise Fault("say what people call it (--name)")
    sentences = dict(map(_sentence, scopes))
    if len(sentences) != len(scopes):
        raise Fault("a scope is there twice")
    if not sentences or not first <= sentences.keys():
        raise Fault("the scope that is asked for where none is named is among its scopes, and it has at least one")
    if jwks is not None and any(map(holds_secret, _entries(jwks))):
        raise Fault("this is a private key: it stays with the API; what is needed here is its public half")
    try:
        keys = json.dumps(keys_told({"jwks": jwks}, needed=False) or {"keys": []})
    except Refusal as refusal:
        raise Fault(refusal.rule.says) from None
    made = Resource(key=url, name=name.strip(), scopes=sentences, default_scope=first, jwks=keys)
    guard = Client(
        key=url,
        name=made.name,
        auth_method="private_key_jwt",
        grant_types=frozenset(),
        jwks=keys,
        serves=url,
    )

    async def work(parts: ServerParts) -> ShownResource:
        env = parts.env
        event = Event(key="", at=env.clock(), what="resource_added", told={"resource": url})
        if not await env.store.commit(Add(made), *([Add(guard)] if jwks else []), Append(event)):
            raise Fault(f"there is {url} already")
        return _shown(made)

    return with_records(config, work, dev=dev)


def _sentence(told: str) -> tuple[str, str]:
    name, _, sentence = told.partition("=")
    try:
        plain = len(scope(name)) == 1 and " " not in name
    except ValueError:
        plain = False
    if not plain or not sentence.strip():
        raise Fault(f"{told!r} is no scope: name=sentence, with words that follow “… wants to”")
    if name in OWN_SCOPES:
        raise Fault(f"the scope {name} is this server's own")
    return name, sentence.strip()


def _entries(jwks: JsonObject) -> list[JsonObject]:
    keys = jwks.get("keys")
    return [one for one in keys if isinstance(one, dict)] if isinstance(keys, list) else []


def resources(config: Path | None, *, dev: bool) -> list[ShownResource]:
    """All resources, this server's own too."""

    async def work(parts: ServerParts) -> list[ShownResource]:
        return [_shown(one) for one in await resources_named((EVERY,), parts.env)]

    return with_records(config, work, dev=dev)


def _shown(one: Resource) -> ShownResource:
    return ShownResource(
        url=one.key,
        name=one.name,
        scopes=dict(one.scopes),
        default_scope=scope_text(one.default_scope),
        asks=bool(one.keys.keys),
        state="enabled" if one.disabled_at is None else "disabled",
    )


def switch_resource(config: Path | None, url: str, *, on: bool, dev: bool) -> None:
    """Disable a resource, so that no token for it is issued or holds where it is asked about; or enable it again."""

    async def work(parts: ServerParts) -> None:
        env = parts.env
        before = await env.store.read(Resource, url)
        if before is None or before.own:
            raise Fault(f"there is no resource {url}" if before is None else "this is the server itself")
        after = replace(before, disabled_at=None if on else before.disabled_at or env.clock())
        what = "resource_enabled" if on else "resource_disabled"
        event = Event(key="", at=env.clock(), what=what, told={"resource": url})
        if not await env.store.commit(Replace(before, after), Append(event)):
            raise Fault("somebody else changed this at the same time", retry=True)

    with_records(config, work, dev=dev)


def json_file(path: Path | None) -> JsonObject | None:
    """The JSON object in a file. Raises Fault."""
    if path is None:
        return None
    try:
        return json_object(text_file(path).encode(), bytes_max=FILE_BYTES_MAX)
    except Malformed as problem:
        raise Fault(f"{path} is no JSON object: {problem}") from None


def text_file(path: Path | None) -> str:
    """What stands in a file; nothing where none is named. Raises Fault."""
    try:
        return "" if path is None else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise Fault(f"{path} cannot be read: {problem}") from None


def jwks_file(path: Path | None) -> JsonObject | None:
    """The keys in a file: a set of them, or one alone. Raises Fault."""
    told = json_file(path)
    return {"keys": [told]} if told is not None and "keys" not in told else told
