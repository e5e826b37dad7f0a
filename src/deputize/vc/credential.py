"""What makes an SD-JWT a credential (SD-JWT VC): its typ, its type, and the claims that are never hidden."""

from collections.abc import Iterable, Mapping
from typing import Final

from deputize.core.ports import Random
from deputize.core.rules import Refusal, Rule
from deputize.core.wire import JsonObject
from deputize.jose.keys import PrivateKey
from deputize.vc.issue import Frame, Unfit, Unsigned, unsigned
from deputize.vc.sdjwt import DEFAULT_HASH, hides

TYP: Final = "dc+sd-jwt"
LEGACY_TYP: Final = "vc+sd-jwt"  # before November 2024
PROTECTED: Final = frozenset({"iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "aka_vcts", "status"})
VCTS_MAX: Final = 20
VCT_MAX: Final = 2048

_SPEC: Final = "draft-ietf-oauth-sd-jwt-vc"
VCT = Rule(_SPEC, "Verifiable Digital Credential Type - vct Claim", "The vct is there, a text that names the type.")
AKA_VCTS = Rule(
    _SPEC,
    "Also Known As Types - aka_vcts Claim",
    "Where there are aka_vcts, they are one or more texts, and the vct is not among them.",
)
NEVER_HIDDEN = Rule(
    _SPEC,
    "Registered JWT Claims",
    "Neither these claims nor any part of them are in a Disclosure:"
    " iss, nbf, exp, cnf, vct, vct#integrity, aka_vcts, status.",
)
INTEGRITY_IS_TEXT = Rule(_SPEC, "Document Integrity", "The vct#integrity is a text, where there is one.")


def held_types(claims: Mapping[str, object], error: str) -> frozenset[str]:
    """All types that a credential says it is of, its `vct` among them."""
    vct, others = claims.get("vct"), claims.get("aka_vcts", ())
    if not isinstance(vct, str) or not 1 <= len(vct) <= VCT_MAX:
        VCT.refuse(error)
    if not isinstance(claims.get("vct#integrity", ""), str):
        INTEGRITY_IS_TEXT.refuse(error)
    if others != ():
        if not isinstance(others, list) or not 1 <= len(others) <= VCTS_MAX or vct in others:
            AKA_VCTS.refuse(error)
        if not all(isinstance(name, str) and name for name in others):
            AKA_VCTS.refuse(error)
    return frozenset((vct, *others))


def held_protected(issued: Mapping[str, object], claims: Mapping[str, object], error: str) -> None:
    """Nothing of the claims that are never hidden came out of a Disclosure, or could."""
    for name in PROTECTED & claims.keys():
        if name not in issued or hides(issued[name]):
            NEVER_HIDDEN.refuse(error, claim=name)


# --- the issuer's side --------------------------------------------------------------------------------------------


def lint(claims: Mapping[str, object], frame: Frame) -> Iterable[tuple[Rule, str]]:
    """What of these claims in this frame no verifier would take, and where."""
    for name in PROTECTED & (frame.hides | frame.inside.keys()):
        yield NEVER_HIDDEN, str(name)
    try:
        held_types(claims, "")
    except Refusal as refusal:
        yield refusal.rule, ""


def prepare(
    claims: Mapping[str, object],
    frame: Frame,
    *,
    alg: str,
    kid: str | None,
    random: Random,
    hashed: str = DEFAULT_HASH,
    header: JsonObject | None = None,
) -> Unsigned:
    """A credential for a key that is elsewhere to sign. `header` replaces the `kid` (an `x5c`). Raises Unfit."""
    for rule, where in lint(claims, frame):
        raise Unfit(rule, where)
    return unsigned(claims, frame, alg=alg, kid=kid, typ=TYP, random=random, hashed=hashed, header=header)


def issue(
    claims: Mapping[str, object],
    frame: Frame,
    *,
    key: PrivateKey,
    random: Random,
    hashed: str = DEFAULT_HASH,
    header: JsonObject | None = None,
) -> str:
    """Make a credential with a key in hand. Raises Unfit."""
    made = prepare(claims, frame, alg=key.alg.name, kid=key.kid, random=random, hashed=hashed, header=header)
    return made.signed(key.sign(made.data))
