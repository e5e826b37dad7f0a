"""Making an SD-JWT: what is always shown, what may be hidden, and digests of nothing that stand between."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Final, cast

from deputize.core.ports import Random
from deputize.core.rules import Rule
from deputize.core.wire import JsonObject, b64u_bytes, b64u_texts, json_bytes, json_plain
from deputize.jose import jws
from deputize.jose.keys import PrivateKey
from deputize.vc.paths import Path, Step, path
from deputize.vc.sdjwt import DEFAULT_HASH, DISCLOSURES_MAX, HASHES, RESERVED, Hash

SALT_LETTERS: Final = 22  # 132 bits in base64url; RFC 9901, 9.3 wants 128
DECOYS_MAX: Final = 100

_SPEC: Final = "RFC 9901"
ALWAYS_SHOWN = Rule(
    _SPEC, "9.7", "Claims that the validity of the credential rests on (iss, aud, exp, nbf, cnf) are never hidden."
)
UNRESERVED = Rule(_SPEC, "4.1", "No claim that is issued is named _sd, _sd_alg or ....")
TYPED_SD = Rule(_SPEC, "9.11", "The typ of what is issued is a media type of its own that ends in +sd-jwt.")
CRITICAL: Final = frozenset({"iss", "aud", "exp", "nbf", "cnf"})


class Unfit(ValueError):
    """These claims cannot be issued in this frame; `rule` says why. A mistake of who issues, and no peer's."""

    def __init__(self, rule: Rule, what: str = "") -> None:
        super().__init__(f"{rule.says} ({what})" if what else rule.says)
        self.rule = rule


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What may be hidden of an object or an array, and what of that which lies in it."""

    hides: frozenset[Step] = frozenset()
    inside: "Mapping[Step, Frame]" = field(default_factory=dict)
    decoys: int = 0

    @classmethod
    def of(cls, *paths: Path | str, decoys: Mapping[Path, int] | int = 0) -> "Frame":
        """Of the paths of all that may be hidden; None in a path stands for each element of an array.

        `decoys` says how many digests of nothing are put in at a path, `()` or a bare number being the top: so that
        nobody learns from their number what was not shown. Raises ValueError.
        """
        counts = {(): decoys} if isinstance(decoys, int) else dict(decoys)
        if not all(0 <= count <= DECOYS_MAX for count in counts.values()):
            raise ValueError("there are at most 100 decoys in a place")
        return _frame([path(each) for each in paths], {where: count for where, count in counts.items() if count})

    def below(self, step: Step) -> "Frame":
        """The frame of a member, or of an element: its own, or that of each."""
        own = self.inside.get(step)
        return own or (self.inside.get(None, SHOWN) if isinstance(step, int) else SHOWN)

    def hidden(self, step: Step) -> bool:
        return step in self.hides or (isinstance(step, int) and None in self.hides)

    def paths(self) -> Iterable[Path]:
        """The paths of all that may be hidden."""
        for step in self.hides:
            yield (step,)
        for step, frame in self.inside.items():
            yield from ((step, *rest) for rest in frame.paths())


SHOWN: Final = Frame()  # hides nothing


def _frame(paths: Iterable[Path], decoys: Mapping[Path, int]) -> Frame:
    hides, below = set[Step](), dict[Step, list[Path]]()
    fewer: dict[Step, dict[Path, int]] = {}
    for first, *rest in paths:
        if rest:
            below.setdefault(first, []).append(tuple(rest))
        else:
            hides.add(first)
    for where, count in decoys.items():
        if where:
            fewer.setdefault(where[0], {})[where[1:]] = count
    inside = {step: _frame(below.get(step, ()), fewer.get(step, {})) for step in below.keys() | fewer.keys()}
    return Frame(frozenset(hides), inside, decoys.get((), 0))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Unsigned:
    """What is to be signed, and the Disclosures that go with it. It does not show itself: salts are the holder's."""

    data: bytes
    disclosures: tuple[str, ...]

    def signed(self, signature: bytes) -> str:
        """The SD-JWT, in its compact form, with the signature over `data`."""
        return "~".join((jws.compact(self.data, signature), *self.disclosures, ""))


def unsigned(
    claims: Mapping[str, object],
    frame: Frame,
    *,
    alg: str,
    kid: str | None,
    typ: str,
    random: Random,
    hashed: str = DEFAULT_HASH,
    header: JsonObject | None = None,
) -> Unsigned:
    """What is to be signed by a key that is elsewhere. `header` replaces the `kid` (an `x5c`). Raises Unfit."""
    if not typ.endswith("+sd-jwt"):
        raise Unfit(TYPED_SD, typ)
    for name in CRITICAL & (frame.hides | frame.inside.keys()):
        if name != "aud" or name in frame.hides:  # who else it is for may be hidden
            raise Unfit(ALWAYS_SHOWN, name)
    work = _Concealing(HASHES[hashed], random)
    payload = work.members(claims, frame)
    if len(work.disclosures) > DISCLOSURES_MAX:
        raise ValueError("an SD-JWT has at most 200 Disclosures here")
    if len(set(work.digests)) != len(work.digests):  # RFC 9901, 4.1: not with dice that are any good
        raise ValueError("a digest came up twice: the dice are loaded")
    if work.digests:
        payload["_sd_alg"] = hashed
    data = jws.signing_input(json_plain(payload), alg=alg, typ=typ, kid=kid, header=header)
    return Unsigned(data=data, disclosures=tuple(work.disclosures))


def issue(
    claims: Mapping[str, object],
    frame: Frame,
    *,
    key: PrivateKey,
    typ: str,
    random: Random,
    hashed: str = DEFAULT_HASH,
    header: JsonObject | None = None,
) -> str:
    """Make an SD-JWT with a key in hand. Raises Unfit."""
    made = unsigned(claims, frame, alg=key.alg.name, kid=key.kid, typ=typ, random=random, hashed=hashed, header=header)
    return made.signed(key.sign(made.data))


class _Concealing:
    """One SD-JWT in the making."""

    __slots__ = ("digests", "disclosures", "hashed", "random")

    def __init__(self, hashed: Hash, random: Random) -> None:
        self.hashed, self.random = hashed, random
        self.disclosures: list[str] = []
        self.digests: list[str] = []

    def salts(self, count: int) -> list[str]:
        """Fresh ones, thrown together."""
        letters = self.random(count * SALT_LETTERS * 6)  # each letter of base64url is six bits
        if len(letters) < count * SALT_LETTERS:
            raise ValueError("the dice give less than was asked for")
        return [letters[at : at + SALT_LETTERS] for at in range(0, count * SALT_LETTERS, SALT_LETTERS)]

    def hide(self, hidden: list[tuple[object, ...]], decoys: int) -> list[str]:
        """Write Disclosures of what is hidden; their digests, and those of nothing after them."""
        salts = self.salts(len(hidden) + decoys)
        plain = [json_plain((salt, *parts)) for salt, parts in zip(salts, hidden, strict=False)]
        texts = b64u_texts(plain)
        self.disclosures += texts
        hashed = self.hashed
        digests = b64u_texts([hashed(text.encode("ascii")).digest() for text in (*texts, *salts[len(hidden) :])])
        self.digests += digests
        return digests

    def value(self, value: object, frame: Frame) -> object:
        """A value with what is to be hidden in it taken out: made of JSON's own types alone."""
        kind = type(value)
        if kind is dict:
            return self.members(cast("JsonObject", value), frame)
        if kind is list or kind is tuple:
            return self.elements(cast("list[object]", value), frame)
        if frame is not SHOWN:
            raise ValueError("the frame has paths into a claim that is neither object nor array")
        if kind not in _SCALARS:
            json_bytes(value)  # a float that is a number passes, whatever is no JSON raises
        return value

    def members(self, node: Mapping[str, Any], frame: Frame) -> JsonObject:
        out: JsonObject = {}
        hidden: list[tuple[object, ...]] = []
        hides, inside = frame.hides, frame.inside
        for name, member in node.items():
            if name in RESERVED:
                raise Unfit(UNRESERVED, name)
            plain = type(member) in _SCALARS and name not in inside
            value = member if plain else self.value(member, inside.get(name, SHOWN))
            if name in hides:
                hidden.append((name, value))
            else:
                out[name] = value
        if hidden or frame.decoys:
            out["_sd"] = sorted(self.hide(hidden, frame.decoys))  # their order says nothing about that of the claims
        return out

    def elements(self, node: Iterable[object], frame: Frame) -> list[object]:
        out = [self.value(element, frame.below(index)) for index, element in enumerate(node)]
        places = [index for index in range(len(out)) if frame.hidden(index)]
        if places or frame.decoys:
            digests = self.hide([(out[index],) for index in places], frame.decoys)
            for index, digest in zip(places, digests, strict=False):
                out[index] = {"...": digest}
            for digest in digests[len(places) :]:
                out.insert(self.below(len(out) + 1), {"...": digest})
        return out

    def below(self, count: int) -> int:
        """A place among so many, by the dice."""
        return int.from_bytes(b64u_bytes(self.salts(1)[0][:16]), "big") % count


_SCALARS: Final = frozenset({str, int, bool, NoneType})
