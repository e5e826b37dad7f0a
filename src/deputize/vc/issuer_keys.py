"""How the keys of a credential's issuer are found: one row a way, and a verifier's policy says which for whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from cryptography import x509

from deputize.core.ports import Env
from deputize.core.published import Published
from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds, WebUrl
from deputize.core.wire import JsonObject, Malformed
from deputize.jose.jws import Jws
from deputize.jose.keys import KeySet, PublicKey
from deputize.jose.x509 import Roots, VerifiedChain, x5c

_SPEC: Final = "draft-ietf-oauth-sd-jwt-vc"
KEY_FOUND = Rule(
    _SPEC,
    "Issuer Signature Mechanisms",
    "The issuer's key is found in the one way that is set for this issuer, and in no other.",
)
WEB_ISSUER = Rule(
    _SPEC,
    "JWT VC Issuer Metadata Request",
    "An issuer whose keys are looked up is an https URL without user, query and fragment.",
)
NAMES_ITSELF = Rule(
    _SPEC, "JWT VC Issuer Metadata Validation", "The issuer that the metadata names is the iss, letter for letter."
)
ONE_KEY = Rule(_SPEC, "JWT VC Issuer Metadata Validation", "Exactly one key of the issuer fits kid and alg.")
SUBJECT_IS_ISSUER = Rule(
    _SPEC, "Inline X.509 Certificates", "Where a certificate stands for the issuer, it names the iss if there is one."
)


@dataclass(frozen=True, slots=True)
class Found:
    """Who issued, as far as the way tells, and with which keys that can have been."""

    issuer: str
    keys: tuple[PublicKey, ...]


class Way(Protocol):
    """How the keys of an issuer are found. `iss` is what the credential claims; `error` the code of a refusal."""

    @property
    def name(self) -> str: ...

    @property
    def vouches(self) -> bool:
        """Whether the keys themselves say whose they are: then they may be those of issuers that no policy names."""

    def at_hand(self, token: Jws, iss: str | None, now: Instant, error: str) -> Found | None:
        """What needs nobody to be asked; None where somebody has to be."""

    async def find(self, token: Jws, iss: str | None, env: Env, error: str) -> Found:
        """What is found when others are asked, too."""


def _fitting(keys: KeySet, token: Jws) -> tuple[PublicKey, ...]:
    """The one key for this signature, or none."""
    found = keys.candidates(token.kid, token.alg)
    return found if len(found) == 1 else ()


# --- keys that the verifier was given -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Pinned:
    """The verifier was given the issuer's keys."""

    keys: KeySet
    name: str = "pinned"
    vouches: bool = False

    def at_hand(self, token: Jws, iss: str | None, now: Instant, error: str) -> Found:
        del now
        found = _fitting(self.keys, token)
        if iss is None:
            KEY_FOUND.refuse(error, way=self.name)
        if not found:
            ONE_KEY.refuse(error, kid=token.kid, alg=token.alg[:20])
        return Found(iss, found)

    async def find(self, token: Jws, iss: str | None, env: Env, error: str) -> Found:
        return self.at_hand(token, iss, env.clock(), error)


def pinned(jwks: Mapping[str, object]) -> Pinned:
    """The way of a JWK set that the verifier was given. Raises Malformed."""
    return Pinned(KeySet.published(jwks))


# --- metadata that the issuer publishes ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IssuerMetadata:
    """What an issuer publishes: its own name, and its keys or where they are."""

    issuer: str
    keys: KeySet | None
    jwks_uri: str | None


def issuer_metadata(document: JsonObject) -> IssuerMetadata:
    """Read JWT VC Issuer Metadata. Raises Malformed, or ValueError for a URL that is none."""
    jwks, uri, issuer = document.get("jwks"), document.get("jwks_uri"), str(document.get("issuer"))
    if (jwks is None) == (uri is None):
        raise Malformed("exactly one of jwks and jwks_uri")
    if isinstance(jwks, dict):
        return IssuerMetadata(issuer, KeySet.published(jwks), None)
    if not isinstance(uri, str):
        raise Malformed("a JWK set, or the URL of one")
    if urlsplit(WebUrl(uri).text).scheme != "https":
        raise Malformed("jwks_uri is an https URL")
    return IssuerMetadata(issuer, None, uri)


METADATA_PATH: Final = "/.well-known/jwt-vc-issuer"


def metadata_url(iss: str, error: str, *, loopback: bool = False) -> str:
    """Where the metadata of an issuer lies: the well-known part stands between host and path.

    `loopback` takes an issuer over http on this machine, too.
    """
    try:
        url = WebUrl(iss)
    except ValueError:
        WEB_ISSUER.refuse(error, iss=iss[:200])
    if not (iss.startswith("https://") or (loopback and iss.startswith("http://"))) or "?" in iss:
        WEB_ISSUER.refuse(error, iss=iss[:200])
    return f"{url.origin}{METADATA_PATH}{urlsplit(iss).path.removesuffix('/')}"


@dataclass(frozen=True, slots=True, eq=False)
class WellKnown:
    """The issuer publishes metadata at its own URL. Kept by this row, so that one row is made and used on.

    `loopback` is for issuers on one's own machine, over http.
    """

    metadata: Published[IssuerMetadata]
    sets: Published[KeySet]
    loopback: bool = False
    name: str = "jwt-vc-issuer"
    vouches: bool = False

    def at_hand(self, token: Jws, iss: str | None, now: Instant, error: str) -> Found | None:
        if iss is None:
            KEY_FOUND.refuse(error, way=self.name)
        kept = self.metadata.fresh(metadata_url(iss, error, loopback=self.loopback), now)
        keys = kept and kept.issuer == iss and (kept.keys or self.sets.fresh(kept.jwks_uri or "", now))
        found = _fitting(keys, token) if keys else ()
        return Found(iss, found) if found else None

    async def find(self, token: Jws, iss: str | None, env: Env, error: str) -> Found:
        if iss is None:
            KEY_FOUND.refuse(error, way=self.name)
        found = _fitting(await self._keys(iss, env, error, fresher=False), token)
        if not found:  # a new key, perhaps
            found = _fitting(await self._keys(iss, env, error, fresher=True), token)
        if not found:
            ONE_KEY.refuse(error, kid=token.kid, alg=token.alg[:20])
        return Found(iss, found)

    async def _keys(self, iss: str, env: Env, error: str, *, fresher: bool) -> KeySet:
        url = metadata_url(iss, error, loopback=self.loopback)
        known = await self.metadata.get(url, env, named=iss, fresher=fresher)
        if known.issuer != iss:  # two names that differ by a slash share a URL, and one of them is the issuer's
            NAMES_ITSELF.refuse(error, iss=iss[:200])
        return known.keys or await self.sets.get(known.jwks_uri or "", env, fresher=fresher)


KEEP: Final = Seconds(300)


def well_known(keep: Seconds = KEEP, *, loopback: bool = False) -> WellKnown:
    """The way of JWT VC Issuer Metadata; documents are kept for `keep` seconds. `loopback`: see `WellKnown`."""
    return WellKnown(
        Published(issuer_metadata, names_itself="issuer", keep=keep, bytes_max=64 * 1024),
        Published(KeySet.published, keep=keep, bytes_max=64 * 1024),
        loopback,
    )


# --- certificates in the header -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Certified:
    """The credential brings certificates that chain to these roots; the leaf's key signed it.

    `anchored`: whoever these roots certify is this issuer, whatever the certificate calls it. Else an `iss` is one
    that the leaf names: an https URL of a host that is among its DNS names, or a URI that stands there letter for
    letter.
    """

    roots: Roots
    anchored: bool = False
    name: str = "x5c"

    @property
    def vouches(self) -> bool:
        return not self.anchored

    def at_hand(self, token: Jws, iss: str | None, now: Instant, error: str) -> Found:
        if "x5c" not in token.header:
            KEY_FOUND.refuse(error, way=self.name)
        try:
            ders = x5c(token.header["x5c"])
            chain = self.roots.verify(ders, now, error=error)
            if chain.leaf.subject == chain.leaf.issuer:
                raise Malformed("a certificate that signed itself")
            key = chain.key(alg=token.alg)
        except Malformed as problem:
            KEY_FOUND.refuse(error, problem=str(problem))
        if iss is not None and not self.anchored and not _names(chain, iss):
            SUBJECT_IS_ISSUER.refuse(error, iss=iss[:200])
        return Found(iss or chain.leaf.subject.rfc4514_string(), (key,))

    async def find(self, token: Jws, iss: str | None, env: Env, error: str) -> Found:
        return self.at_hand(token, iss, env.clock(), error)


def _names(chain: VerifiedChain, iss: str) -> bool:
    # Whom no iss is told of is called by the subject: so that issuer is found again, say for its status lists.
    if iss in chain.uris or iss == chain.leaf.subject.rfc4514_string():
        return True
    try:
        host = urlsplit(WebUrl(iss).text).hostname
        names = chain.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    return iss.startswith("https://") and host in {name.lower() for name in names.get_values_for_type(x509.DNSName)}


def certified(roots: Roots, *, anchored: bool = False) -> Certified:
    """The way of certificates that chain to these roots."""
    return Certified(roots, anchored)
