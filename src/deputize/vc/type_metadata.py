"""What a type says of its credentials: how to show them, which claims they have, and which of those may be hidden."""

import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from deputize.core.ports import Env
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds, WebUrl
from deputize.core.wire import Call, JsonObject, Malformed, json_object
from deputize.vc.paths import Node, Path, path, select

CHAIN_MAX: Final = 8
CLAIMS_MAX: Final = 200
DISPLAYS_MAX: Final = 50
TEXT_MAX: Final = 1000
DOCUMENT_MAX: Final = 256 * 1024
KEPT_MAX: Final = 256

_SPEC: Final = "draft-ietf-oauth-sd-jwt-vc"
INTEGRITY = Rule(
    _SPEC, "Document Integrity", "What was fetched has the strongest of the hashes that were said of it beforehand."
)
TYPE_NAMED = Rule(_SPEC, "Type Metadata", "The metadata of a type names that type, and follows its own format.")
ENDS = Rule(
    _SPEC, "Extending Type Metadata", "A type extends at most seven others, one after the other, and not itself."
)
NARROWS = Rule(
    _SPEC,
    "Extending Claim Metadata",
    "A type leaves as it is whether a claim is mandatory, always or never hidden in the type that it extends.",
)
HIDEABLE = Rule(
    _SPEC, "Claim Selective Disclosure Metadata", "A claim can be hidden as its type says: always, or never."
)
MANDATORY = Rule(_SPEC, "Claim Metadata", "A claim that is mandatory in its type was issued.")
FITTING = Rule(_SPEC, "Claim Path", "The paths of a type fit the objects and arrays of its credentials.")

Hideable = Literal["always", "allowed", "never"]
_SVG_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_HASHES: Final = ("sha512", "sha384", "sha256")  # the strongest first
_EXPRESSION: Final = re.compile(r"(sha256|sha384|sha512)-([A-Za-z0-9+/]+={0,2})(\?[\x21-\x7e]*)?")


@dataclass(frozen=True, slots=True)
class ClaimRule:
    """What a type says of the claims at a path."""

    path: Path
    mandatory: bool = False
    sd: Hideable = "allowed"
    svg_id: str = ""
    display: tuple[JsonObject, ...] = ()
    said: frozenset[str] = frozenset()  # the members that stood there, which are those that override


@dataclass(frozen=True, slots=True)
class TypeDocument:
    """One document of a type; `display` is None where it says none."""

    vct: str
    name: str = ""
    description: str = ""
    extends: str | None = None
    extends_integrity: str | None = None
    display: tuple[JsonObject, ...] | None = None
    claims: tuple[ClaimRule, ...] = ()


@dataclass(frozen=True, slots=True)
class TypeMetadata:
    """A type with all that it extends put together; `vcts` are its own name and theirs."""

    vcts: tuple[str, ...]
    name: str
    description: str
    display: tuple[JsonObject, ...]
    claims: tuple[ClaimRule, ...]


# --- reading ------------------------------------------------------------------------------------------------------


def read(document: JsonObject) -> TypeDocument:
    """Read one document. Raises Malformed."""
    extends = document.get("extends")
    integrity = document.get("extends#integrity")
    if not isinstance(extends, str | None) or not isinstance(integrity, str | None):
        raise Malformed("extends is a text")
    claims = tuple(map(_claim, _list(document, "claims", CLAIMS_MAX)))
    if len({claim.path for claim in claims}) != len(claims):
        raise Malformed("a path is there twice")
    ids = [claim.svg_id for claim in claims if claim.svg_id]
    if len(set(ids)) != len(ids):
        raise Malformed("an svg_id is there twice")
    return TypeDocument(
        vct=_text(document, "vct"),
        name=_text(document, "name", optional=True),
        description=_text(document, "description", optional=True),
        extends=extends,
        extends_integrity=integrity,
        display=_displays(document, "name") if "display" in document else None,
        claims=claims,
    )


def _claim(said: JsonObject) -> ClaimRule:
    mandatory, sd, svg_id = said.get("mandatory", False), said.get("sd", "allowed"), said.get("svg_id", "")
    if type(mandatory) is not bool:
        raise Malformed("mandatory is true or false")
    if sd not in ("always", "allowed", "never"):
        raise Malformed("sd is always, allowed or never")
    if "svg_id" in said and not (isinstance(svg_id, str) and _SVG_ID.fullmatch(svg_id)):
        raise Malformed("an svg_id is a name")
    if not isinstance(said.get("path"), list):
        raise Malformed("a claim has a path")
    return ClaimRule(path(said["path"]), mandatory, sd, svg_id, _displays(said, "label"), frozenset(said))


def _displays(said: JsonObject, title: str) -> tuple[JsonObject, ...]:
    """Texts to show, which are claims of whoever published the type: shown escaped, if at all."""
    displays = tuple(_list(said, "display", DISPLAYS_MAX))
    for each in displays:
        _text(each, "locale")
        _text(each, title)
        _text(each, "description", optional=True)
    return displays


def _list(said: JsonObject, name: str, at_most: int) -> list[JsonObject]:
    found = said.get(name, [])
    if not isinstance(found, list) or len(found) > at_most or not all(isinstance(each, dict) for each in found):
        raise Malformed(f"{name} is an array of objects")
    return found


def _text(said: JsonObject, name: str, *, optional: bool = False) -> str:
    found = said.get(name, "" if optional else None)
    if not isinstance(found, str) or len(found) > TEXT_MAX or not (found or optional):
        raise Malformed(f"{name} is a text")
    return found


def merged(chain: Sequence[TypeDocument], error: str) -> TypeMetadata:
    """Put a type, first, and those that it extends, each after its child, together: the root is read first."""
    claims: dict[Path, ClaimRule] = {}
    display: tuple[JsonObject, ...] = ()
    for document in reversed(chain):
        display = display if document.display is None else document.display
        for rule in document.claims:
            claims[rule.path] = _over(claims[rule.path], rule, error) if rule.path in claims else rule
    ids = [rule.svg_id for rule in claims.values() if rule.svg_id]
    if len(set(ids)) != len(ids):
        TYPE_NAMED.refuse(error, problem="an svg_id is there twice")
    child = chain[0]
    return TypeMetadata(
        tuple(document.vct for document in chain), child.name, child.description, display, tuple(claims.values())
    )


def _over(parent: ClaimRule, child: ClaimRule, error: str) -> ClaimRule:
    """The child's members over the parent's."""
    if "sd" in child.said and parent.sd not in {"allowed", child.sd}:
        NARROWS.refuse(error, path=parent.path)
    if "mandatory" in child.said and parent.mandatory and not child.mandatory:
        NARROWS.refuse(error, path=parent.path)
    return ClaimRule(
        parent.path,
        child.mandatory if "mandatory" in child.said else parent.mandatory,
        child.sd if "sd" in child.said else parent.sd,
        child.svg_id or parent.svg_id,
        child.display if "display" in child.said else parent.display,
        parent.said | child.said,
    )


def hold_integrity(said: str, octets: bytes, error: str) -> None:
    """Hold what was fetched against an integrity string (W3C SRI): the strongest hash in it decides."""
    found: dict[str, list[bytes]] = {}
    for expression in said.split(" "):
        matched = _EXPRESSION.fullmatch(expression)
        if matched:
            try:
                found.setdefault(matched[1], []).append(binascii.a2b_base64(matched[2], strict_mode=True))
            except ValueError:
                found.setdefault(matched[1], [])
    for name in _HASHES:
        if name in found:
            if hashlib.new(name, octets).digest() not in found[name]:
                break
            return
    INTEGRITY.refuse(error, said=said[:200])


# --- finding ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Catalogue:
    """The types that a verifier knows: documents that it was given, and, if it may fetch, those at https URLs.

    `bundle` has documents by the vct that they are for. What is fetched is kept for `keep` seconds.
    """

    bundle: Mapping[str, bytes] = field(default_factory=dict)
    fetches: bool = False
    keep: Seconds = Seconds(300)
    _kept: dict[str, tuple[bytes, Instant]] = field(default_factory=dict)

    def at_hand(self, vct: str, integrity: str | None, now: Instant, error: str) -> TypeMetadata | None:
        """A type with all that it extends, if nobody has to be asked."""
        chain: list[TypeDocument] = []
        name: str | None = vct
        while name is not None:
            octets = self._near(name, now)
            if octets is None:
                return None
            name, integrity = _next(chain, name, octets, integrity, error)
        return merged(chain, error)

    async def find(self, vct: str, integrity: str | None, env: Env, error: str) -> TypeMetadata:
        """The same, with what has to be fetched. Raises Fault where it cannot be had."""
        chain: list[TypeDocument] = []
        name: str | None = vct
        while name is not None:
            octets = self._near(name, env.clock())
            if octets is None:
                octets = await self._fetched(name, env)
            name, integrity = _next(chain, name, octets, integrity, error)
        return merged(chain, error)

    def _near(self, vct: str, now: Instant) -> bytes | None:
        if vct in self.bundle:
            return self.bundle[vct]
        octets, at = self._kept.get(vct, (None, Instant(0)))
        return octets if 0 <= now - at < self.keep else None

    async def _fetched(self, vct: str, env: Env) -> bytes:
        if not self.fetches:
            raise Fault(f"the type {vct[:200]} is not among those known here")
        try:
            if urlsplit(WebUrl(vct).text).scheme != "https":
                raise ValueError
        except ValueError:
            raise Fault(f"the type {vct[:200]} is at no https URL and not among those known here") from None
        call = Call(method="GET", url=vct, headers=(("accept", "application/json"),), bytes_max=DOCUMENT_MAX)
        reply = await env.fetch(call)
        if reply.status != 200:
            raise Fault(f"{vct} answered {reply.status}", retry=True)
        self._kept.pop(vct, None)
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[vct] = (reply.body, env.clock())
        return reply.body


def _next(
    chain: list[TypeDocument], vct: str, octets: bytes, integrity: str | None, error: str
) -> tuple[str | None, str | None]:
    """Put one document at the end of the chain; the name of the next one, and the integrity that is said of it."""
    if integrity is not None:
        hold_integrity(integrity, octets, error)
    try:
        document = read(json_object(octets, DOCUMENT_MAX))
    except Malformed as problem:
        TYPE_NAMED.refuse(error, vct=vct[:200], problem=str(problem))
    if document.vct != vct:
        TYPE_NAMED.refuse(error, vct=vct[:200])
    chain.append(document)
    if document.extends is not None and (len(chain) >= CHAIN_MAX or document.extends in {each.vct for each in chain}):
        ENDS.refuse(error, vct=vct[:200])
    return document.extends, document.extends_integrity


# --- holding a credential against its type ------------------------------------------------------------------------


def hold_claims(rules: Iterable[ClaimRule], root: Node, error: str, *, all_shown: bool) -> None:
    """Hold the claims of a credential against its type.

    Where not `all_shown`, a claim that is missing may be one that was not shown, unless it is at the top and never
    hidden.
    """
    for rule in rules:
        try:
            found = select(root, rule.path)
        except Malformed as problem:
            FITTING.refuse(error, path=rule.path, problem=str(problem))
        for node in found:
            if (rule.sd == "always" and node is not None and not node.disclosure) or (
                rule.sd == "never" and (node is None or node.disclosure)
            ):
                HIDEABLE.refuse(error, path=rule.path)
        if rule.mandatory and not found and (all_shown or (rule.sd == "never" and len(rule.path) == 1)):
            MANDATORY.refuse(error, path=rule.path)
