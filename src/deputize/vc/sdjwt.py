"""The format of an SD-JWT (RFC 9901): its parts, its Disclosures, and what it says once they are put back."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from deputize.core.rules import Rule
from deputize.core.wire import JsonObject, Malformed, b64u, b64u_datas, b64u_texts, json_values
from deputize.vc.paths import Node

BYTES_MAX: Final = 256 * 1024
DISCLOSURES_MAX: Final = 200
DEPTH_MAX: Final = 20  # of the whole, with all Disclosures put back
RESERVED: Final = frozenset({"_sd", "...", "_sd_alg"})

_SPEC: Final = "RFC 9901"
PARTS = Rule(
    _SPEC, "4", "An SD-JWT is a JWT, Disclosures and, last, a Key Binding JWT or nothing, each followed by a tilde."
)
BOUNDED = Rule("Deputize", "bounds", "An SD-JWT has at most 256 KiB, 200 Disclosures, and 20 levels with all put back.")
HASH = Rule(_SPEC, "4.1.1", "The hash of the digests is named once, at the top, and is one that is allowed here.")
RESERVED_NAMES = Rule(
    _SPEC, "4.1", "The names _sd, _sd_alg and ... serve their own purpose alone, and no Disclosure has one."
)
DISCLOSURE = Rule(
    _SPEC,
    "4.2",
    "A Disclosure is an array in JSON: of salt, name and value for a member, of salt and value for an element.",
)
NEW_NAME = Rule(_SPEC, "7.1", "The name that a Disclosure brings is not there yet at its level.")
DIGEST_ONCE = Rule(_SPEC, "7.1", "No digest is there twice, a decoy's included.")
SENT_ONCE = Rule(_SPEC, "4", "No Disclosure is sent twice.")
REFERENCED = Rule(_SPEC, "7.1", "Each Disclosure is referenced by a digest.")

Hash = Callable[[bytes], Any]
HASHES: Final[Mapping[str, Hash]] = {"sha-256": hashlib.sha256, "sha-384": hashlib.sha384, "sha-512": hashlib.sha512}
DEFAULT_HASH: Final = "sha-256"


class SdJwt(NamedTuple):
    """An SD-JWT that was taken apart and not yet verified: believe nothing in it."""

    jwt: str
    disclosures: tuple[str, ...]
    binding: str  # the Key Binding JWT, or empty

    @property
    def bound(self) -> str:
        """What a Key Binding JWT is over: everything up to the last tilde."""
        return "~".join((self.jwt, *self.disclosures, ""))

    @property
    def text(self) -> str:
        return self.bound + self.binding


def parse(text: str, error: str) -> SdJwt:
    """Take an SD-JWT in its compact form apart."""
    if len(text) > BYTES_MAX:
        BOUNDED.refuse(error, length=len(text))
    if "~" not in text:
        PARTS.refuse(error)
    jwt, *disclosures, binding = text.split("~", DISCLOSURES_MAX + 2)
    if len(disclosures) > DISCLOSURES_MAX:
        BOUNDED.refuse(error, disclosures=len(disclosures))
    if not jwt or "" in disclosures:
        PARTS.refuse(error)
    return SdJwt(jwt, tuple(disclosures), binding)


def digest(text: str, hashed: Hash) -> str:
    """The digest of a Disclosure, or of what a key is bound to: over the text as it was sent (RFC 9901, 4.2.3)."""
    return b64u(hashed(text.encode("ascii", "replace")).digest())


def hash_of(payload: Mapping[str, object], error: str) -> Hash:
    """The hash that a payload names."""
    name = payload.get("_sd_alg", DEFAULT_HASH)
    hashed = HASHES.get(name) if isinstance(name, str) else None
    if hashed is None:
        HASH.refuse(error, _sd_alg=str(name)[:40])
    return hashed


# --- putting the Disclosures back ---------------------------------------------------------------------------------


def reveal(payload: JsonObject, disclosures: Sequence[str], error: str) -> JsonObject:
    """What a payload says with these Disclosures put back (RFC 9901, 7.1, steps 3 to 5).

    Whatever comes out of a Disclosure stands beside what was always shown: `claims.keys() - payload.keys()` are the
    names that a Disclosure brought to the top.
    """
    hashed = hash_of(payload, error)
    table = _table(disclosures, hashed, error)
    walk = _Walk(table, error)
    claims = walk.members(payload, 1, top=True)
    if table:  # what was put back was taken out
        REFERENCED.refuse(error, left=len(table))
    return claims


def _table(disclosures: Sequence[str], hashed: Hash, error: str) -> dict[str, list[Any]]:
    """The Disclosures, read, by their digests."""
    sent = [text.encode("ascii", "replace") for text in disclosures]
    try:
        read = json_values(b64u_datas(sent), BYTES_MAX)
    except Malformed as problem:
        DISCLOSURE.refuse(error, problem=str(problem))
    for each in read:
        if type(each) is not list or not 2 <= len(each) <= 3 or type(each[0]) is not str:
            DISCLOSURE.refuse(error)
    table = dict(zip(b64u_texts([hashed(letters).digest() for letters in sent]), read, strict=True))
    if len(table) != len(sent):
        SENT_ONCE.refuse(error)
    return table


class _Walk:
    """One walk through a payload, each digest and each Disclosure looked at once."""

    __slots__ = ("error", "seen", "table")

    def __init__(self, table: dict[str, list[Any]], error: str) -> None:
        self.table, self.error, self.seen = table, error, set[str]()

    def value(self, value: object, depth: int) -> object:
        kind = type(value)
        if kind is dict:
            return self.members(cast("JsonObject", value), depth + 1)
        if kind is list:
            return self.elements(cast("list[object]", value), depth + 1)
        return value

    def members(self, node: JsonObject, depth: int, *, top: bool = False) -> JsonObject:
        if depth > DEPTH_MAX:
            BOUNDED.refuse(self.error, depth=depth)
        out = node.copy()
        digests = out.pop("_sd", _NO_DIGESTS)
        if top:
            out.pop("_sd_alg", None)
        if type(digests) is not list or "..." in out or "_sd_alg" in out:
            RESERVED_NAMES.refuse(self.error)
        for name, value in out.items():
            if type(value) in _CONTAINERS:
                out[name] = self.value(value, depth)
        shown = self.shown
        for each in digests:
            read = shown(each)
            if read is not None:
                if len(read) != 3 or type(read[1]) is not str:
                    DISCLOSURE.refuse(self.error)
                _, name, value = read
                if name in RESERVED:
                    RESERVED_NAMES.refuse(self.error, name=name)
                if name in out:
                    NEW_NAME.refuse(self.error, name=name)
                out[name] = self.value(value, depth) if type(value) in _CONTAINERS else value
        return out

    def elements(self, node: list[object], depth: int) -> list[object]:
        if depth > DEPTH_MAX:
            BOUNDED.refuse(self.error, depth=depth)
        out = []
        for element in node:
            if isinstance(element, dict) and "..." in element:
                if len(element) != 1:
                    RESERVED_NAMES.refuse(self.error)
                read = self.shown(element["..."])
                if read is not None:
                    if len(read) != 2:
                        DISCLOSURE.refuse(self.error)
                    out.append(self.value(read[1], depth))
            else:
                out.append(self.value(element, depth))
        return out

    def shown(self, each: object) -> list[Any] | None:
        """The Disclosure of a digest, which has none if it is a decoy or was not sent."""
        if type(each) is not str:
            RESERVED_NAMES.refuse(self.error, digest=type(each).__name__)
        if each in self.seen:
            DIGEST_ONCE.refuse(self.error)
        self.seen.add(each)
        return self.table.pop(each, None)


_CONTAINERS: Final = frozenset({dict, list})
_NO_DIGESTS: Final[list[str]] = []


def hides(value: object) -> bool:
    """Whether a value as it was issued has a place for a Disclosure anywhere in it."""
    if isinstance(value, dict):
        return not RESERVED.isdisjoint(value) or any(map(hides, value.values()))
    return isinstance(value, list) and any(map(hides, value))


def digests(value: object) -> int:
    """How many digests there are in a value as it was issued, those in its Disclosures aside."""
    if isinstance(value, dict):
        return len(value.get("_sd", ())) + sum(map(digests, value.values())) + ("..." in value)
    return sum(map(digests, value)) if isinstance(value, list) else 0


def all_shown(payload: JsonObject, disclosures: Iterable[str]) -> bool:
    """Whether each digest has its Disclosure, for what `reveal` has let through. A decoy never has one."""
    read = json_values(b64u_datas(text.encode() for text in disclosures), BYTES_MAX)
    return digests(payload) + sum(map(digests, read)) == len(read)


# --- where everything stands --------------------------------------------------------------------------------------


def outline(payload: JsonObject, disclosures: Iterable[str]) -> Node:
    """Where everything stands in what was issued, and which Disclosure showed it.

    For a payload and Disclosures that `reveal` has let through: what it holds is not held again.
    """
    sent = list(disclosures)
    found = _table(sent, hash_of(payload, ""), "").items()
    table = {each: (text, read) for text, (each, read) in zip(sent, found, strict=True)}
    top = {name: value for name, value in payload.items() if name != "_sd_alg"}
    return _node(top, (), "", table)


_Shown = Mapping[str, tuple[str, list[Any]]]


def _node(value: object, here: tuple[str | int, ...], disclosure: str, table: _Shown) -> Node:
    if isinstance(value, dict):
        members = {
            name: _node(member, (*here, name), "", table) for name, member in value.items() if name not in RESERVED
        }
        for text, read in filter(None, map(table.get, value.get("_sd", ()))):
            members[read[1]] = _node(read[2], (*here, read[1]), text, table)
        return Node(here, disclosure, value, members=members)
    if isinstance(value, list):
        elements = tuple(_place(element, (*here, index), table) for index, element in enumerate(value))
        return Node(here, disclosure, value, elements=elements)
    return Node(here, disclosure, value)


def _place(element: object, here: tuple[str | int, ...], table: _Shown) -> Node | None:
    if not isinstance(element, dict) or "..." not in element:
        return _node(element, here, "", table)
    if element["..."] not in table:
        return None
    text, read = table[element["..."]]
    return _node(read[1], here, text, table)


# --- the JSON forms, for those who ask for them -------------------------------------------------------------------

FLATTENED = Rule(
    _SPEC,
    "8",
    "In a JSON form, Disclosures and Key Binding JWT stand in the unprotected header of the first signature alone.",
)


def from_json(form: Mapping[str, object], error: str) -> str:
    """The compact text of an SD-JWT in the flattened or the general JSON form, which is then verified as any other.

    Of the unprotected header nothing else is looked at. A general form has one signature here: a second would be
    one that nobody has verified.
    """
    signatures = form.get("signatures", [form])
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict | Mapping):
        FLATTENED.refuse(error)
    if "signatures" in form and not {"protected", "signature", "header"}.isdisjoint(form):
        FLATTENED.refuse(error)
    one = signatures[0]
    header = one.get("header", {})
    if not isinstance(header, dict) or header.get("kb_jwt") == "":
        FLATTENED.refuse(error)
    disclosures = header.get("disclosures", [])
    if not isinstance(disclosures, list):
        FLATTENED.refuse(error)
    jwt = [_piece(piece, error) for piece in (one.get("protected"), form.get("payload"), one.get("signature"))]
    sent = [_piece(piece, error) for piece in disclosures]
    binding = header.get("kb_jwt", "")
    if not isinstance(binding, str) or "~" in binding:
        FLATTENED.refuse(error)
    return SdJwt(".".join(jwt), tuple(sent), binding).text


def _piece(piece: object, error: str) -> str:
    if not isinstance(piece, str) or not piece or "~" in piece or "." in piece:
        FLATTENED.refuse(error)
    return piece


def to_json(text: str) -> JsonObject:
    """The flattened JSON form of an SD-JWT."""
    parsed = parse(text, "")
    protected, payload, signature = parsed.jwt.split(".")
    header: JsonObject = {"disclosures": list(parsed.disclosures)}
    if parsed.binding:
        header["kb_jwt"] = parsed.binding
    return {"payload": payload, "protected": protected, "signature": signature, "header": header}
