"""Which credentials this server issues and asks for: one table of settings, and what is made of it."""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Issuer, Seconds, WebUrl
from deputize.core.wire import JsonObject
from deputize.jose.keys import PrivateKey
from deputize.jose.x509 import certificate
from deputize.oauth import statuses
from deputize.oauth.client import Client, Resource
from deputize.oauth.grants import pre_authorized_code
from deputize.oauth.login import NONE
from deputize.oauth.statuses import StatusEntry
from deputize.vc import dcql
from deputize.vc.client_ids import REDIRECT_URI, X509_HASH, certificate_hash
from deputize.vc.credential import prepare
from deputize.vc.dcql import KEY_IDENTIFIER
from deputize.vc.issuance import RequestKeys
from deputize.vc.issue import Frame
from deputize.vc.issuer_keys import pinned, well_known
from deputize.vc.presentations import Verifier
from deputize.vc.status_check import StatusLists
from deputize.vc.status_list import IS_VALID, VALID, reference_in
from deputize.vc.verify import Policy, TrustedIssuer, status_of_issuer

PATH: Final = "/credentials"
ANONYMOUS: Final = "anonymous-wallet"
PRESENT: Final = "/present"
TAKEN: Final = frozenset({"requests", "answers"})  # names of what wallets ask for below it
DAY: Final = 24 * 3600
SET_HERE: Final = frozenset({"iss", "vct", "iat", "exp", "cnf", "status"})
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A credential that is issued: its type, the scope that stands for it, and what of it may be hidden.

    `name` is for people. `hides` are claims as one types them (`name`, `address.city`, `langs.*`). `life` is how long a
    credential is good, in seconds; `status` says that it can be revoked, by an entry of a list.
    """

    vct: str
    scope: str = ""
    name: str = ""
    hides: tuple[str, ...] = ()
    life: Seconds = Seconds(90 * DAY)
    status: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A presentation that is asked for at `/present/NAME`: a DCQL query, and a sentence that says what for.

    `cross_device` also shows a picture for a wallet on another device. Nobody can tell then whose wallet it is: someone
    may have been sent the picture. So it is off.
    """

    purpose: str
    query: Mapping[str, Any]
    cross_device: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What this server issues, and what it asks wallets for. Where both are empty, all of it is off.

    `anonymous` lets wallets redeem an offer's code without saying who they are. `batch` is how many credentials a
    wallet gets at once, `offer_life` how long an offer is good, `interval` when to ask again for what is not ready.
    `certificate` and `key` (PEM and JWK files) sign requests to wallets and, with `haip`, credentials; `request_key` (a
    JWK file) opens requests that wallets encrypt, without which no answer is encrypted; `encrypted_only` refuses all
    others. `trusted` are other issuers whose credentials are taken, each with its types. `haip` narrows all of it to
    the High Assurance Interoperability Profile.
    """

    issued: Mapping[str, Issued] = field(default_factory=dict)
    asked: Mapping[str, Asked] = field(default_factory=dict)
    trusted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    anonymous: bool = False
    batch: int = 8
    offer_life: Seconds = Seconds(600)
    interval: Seconds = Seconds(10)
    certificate: str = ""
    key: str = ""
    request_key: str = ""
    encrypted_only: bool = False
    haip: bool = False

    @property
    def on(self) -> bool:
        return bool(self.issued or self.asked)


def mistakes(settings: Settings) -> Iterator[str]:
    """What is wrong in the table, each with its place."""
    for name, one in settings.issued.items():
        where = f"credentials.issued.{name}"
        if not _NAME.fullmatch(name):
            yield f"{where}: a name has letters, digits, dots, hyphens and underscores"
        if not one.vct:
            yield f"{where}.vct: a type is needed"
        if not 60 <= one.life <= 365 * DAY:
            yield f"{where}.life: a minute to a year"
        if settings.haip and not one.scope:
            yield f"{where}.scope: HAIP wants one for each credential"
    yield from _of_presentations(settings)
    yield from _of_the_whole(settings)


def _of_presentations(settings: Settings) -> Iterator[str]:
    for name, asked in settings.asked.items():
        if not _NAME.fullmatch(name) or name in TAKEN:
            yield f"credentials.asked.{name}: another name, of letters, digits, dots, hyphens and underscores"
        try:
            query = dcql.read(dict(asked.query))
        except Refusal as refusal:
            yield f"credentials.asked.{name}.query: {refusal.rule.says}"
            continue
        if any(each.type != KEY_IDENTIFIER for one in query.credentials for each in one.authorities):
            yield f"credentials.asked.{name}.query: of trusted authorities, aki alone can be checked here"
    for issuer in settings.trusted:
        try:
            WebUrl(issuer)
        except ValueError as problem:
            yield f"credentials.trusted.{issuer}: {problem}"


def _of_the_whole(settings: Settings) -> Iterator[str]:
    scopes = [one.scope for one in settings.issued.values() if one.scope]
    if len(set(scopes)) != len(scopes):
        yield "credentials.issued: two of them have one scope"
    if not 1 <= settings.batch <= 64:
        yield "credentials.batch: 1 to 64"
    if not 10 <= settings.offer_life <= DAY:
        yield "credentials.offer_life: ten seconds to a day"
    if settings.interval < 1:
        yield "credentials.interval: a second or more"
    if bool(settings.certificate) != bool(settings.key):
        yield "credentials.certificate: it and credentials.key come together"
    if settings.encrypted_only and not settings.request_key:
        yield "credentials.encrypted_only: needs credentials.request_key"
    if settings.haip and not settings.certificate:
        yield "credentials.haip: needs credentials.certificate"
    if settings.haip and settings.anonymous:
        yield "credentials.haip: wallets say who they are, so anonymous is off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """A key and the certificates that stand for it, leaf first."""

    key: PrivateKey
    chain: tuple[bytes, ...]

    @property
    def x5c(self) -> list[str]:
        """The certificates as a header has them, without the anchor that its reader knows (HAIP 1.0, 6.1.1)."""
        kept = [der for der in self.chain if not _signed_itself(der)]
        return [base64.b64encode(der).decode() for der in kept]


def _signed_itself(der: bytes) -> bool:
    one = certificate(der)
    return one.subject == one.issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The table in force: its settings, and the keys that they name."""

    issuer: Issuer
    settings: Settings
    certified: Certified | None = None
    requests: RequestKeys = RequestKeys()
    lists: statuses.Statuses | None = None

    @property
    def name(self) -> str:
        """The Credential Issuer Identifier; what tokens for it have as their audience, and credentials as their iss."""
        return self.issuer.at(PATH)

    def hold(self, name: str, claims: JsonObject, env: Env) -> None:
        """Hold that such a credential can be issued, before it is promised. Raises Fault."""
        issued = self.settings.issued[name]
        taken = sorted(SET_HERE & claims.keys())
        if taken:
            raise Fault(f"the server itself says {', '.join(taken)}")
        try:
            prepare({**claims, "vct": issued.vct}, self.frame(issued), alg="ES256", kid=None, random=env.random)
        except ValueError as problem:
            raise Fault(f"nobody could verify such a credential: {problem}") from None

    def frame(self, one: Issued) -> Frame:
        return Frame.of(*(_path(each) for each in one.hides))

    def resource(self) -> Resource:
        """This issuer as a resource: its scopes are those of the credentials."""
        scopes = {one.scope: f"put your credential {name} into a wallet" for name, one in self.settings.issued.items()}
        scopes.pop("", None)
        return Resource(key=self.name, name="credentials", scopes=scopes)

    def wallets(self) -> Client:
        """Who stands for wallets that do not say who they are."""
        return Client(
            key=ANONYMOUS,
            name="a wallet that does not say who it is",
            auth_method=NONE,
            grant_types=frozenset({pre_authorized_code.TYPE}),
            audiences=frozenset({self.name}),
        )

    def policy(self, env: Env, *, error: str = "invalid_request") -> Policy:
        """Whose credentials are taken: our own, and those of issuers that are trusted by name."""
        types = frozenset(one.vct for one in self.settings.issued.values())
        by_certificate = self.certified if self.settings.haip else None
        keys = list(env.signer.keys()) if by_certificate is None else [by_certificate.key.public_jwk()]
        own = TrustedIssuer(issuer=self.name, keys=pinned({"keys": keys}), types=types, status=_own_status)
        others = (
            TrustedIssuer(issuer=issuer, keys=_WEB, types=frozenset(vcts), status=_STATUS)
            for issuer, vcts in self.settings.trusted.items()
        )
        return Policy(issuers=((own,) if types else ()) + tuple(others), error=error)

    @property
    def scheme(self) -> str:
        """The scheme of links for wallets to present something."""
        return "haip-vp" if self.settings.haip else "openid4vp"

    @property
    def offer_scheme(self) -> str:
        """The scheme of links for wallets to be issued something."""
        return "haip-vci" if self.settings.haip else "openid-credential-offer"

    def verifier(self, env: Env) -> Verifier:
        """Who asks: by the hash of a certificate, or by no more than the address that is answered."""
        name = f"{X509_HASH}:{certificate_hash(self.certified.chain[0])}" if self.certified else f"{REDIRECT_URI}:"
        return Verifier(client_id=name, response_uri=self.issuer.at(PRESENT + "/answers/{}"), policy=self.policy(env))


_WEB: Final = well_known()
_STATUS: Final = status_of_issuer(StatusLists(error="invalid_request"), _WEB)


async def _own_status(status: Mapping[str, object], issuer: str, env: Env) -> None:
    """Look up a status in the records that our own lists are made from."""
    del issuer
    reference = reference_in({"status": status}, error="invalid_request")
    if reference is None:
        return
    entry = await env.store.read(StatusEntry, statuses.entry_key(reference.uri.rpartition("/")[2], reference.idx))
    if entry is None or entry.at(None) != VALID:
        IS_VALID.refuse("invalid_request")


def _path(said: str) -> tuple[str | int | None, ...]:
    return tuple(None if step == "*" else int(step) if step.isdecimal() else step for step in said.split("."))


def picture_of(link: str) -> str:
    """A link as a picture that a wallet reads, in a data URL."""
    import segno  # noqa: PLC0415 (a server starts without it)

    drawn = segno.make(link, micro=False, boost_error=False)
    return drawn.svg_data_uri(scale=4, border=2, dark="#15201b", light="#ffffff")


def json_of(value: Any) -> JsonObject:  # noqa: ANN401 (what a settings file says)
    """A mapping of settings as JSON has it."""
    return {name: _plain(each) for name, each in value.items()}


def _plain(value: Any) -> Any:  # noqa: ANN401 (the same)
    if isinstance(value, Mapping):
        return json_of(value)
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
