"""DCQL (OpenID4VP 1.0, 6): which credentials a verifier asks for, and which of their claims; read strictly."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from deputize.core.rules import Rule
from deputize.core.wire import JsonObject, Malformed
from deputize.vc.paths import Path, path

FORMAT: Final = "dc+sd-jwt"
KEY_IDENTIFIER: Final = "aki"
QUERIES_MAX: Final = 32
CLAIMS_MAX: Final = 100
SETS_MAX: Final = 32
VALUES_MAX: Final = 100
TEXT_MAX: Final = 2048

Scalar = str | int | bool

_SPEC: Final = "OpenID4VP 1.0"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")

QUERY = Rule(
    _SPEC,
    "6",
    "A query is an object with one or more Credential Queries, and each array in it has one or more members.",
)
IDS = Rule(_SPEC, "6.1", "The ids in a query are letters, digits, underscores and hyphens, and none is there twice.")
FLAGS = Rule(
    _SPEC,
    "6.1",
    "What is true or false in a query (multiple, required, require_cryptographic_holder_binding) is either.",
)
META = Rule(_SPEC, "B.3.5", "A query for an SD-JWT VC names the types that it takes, in vct_values.")
CLAIM_PATHS = Rule(_SPEC, "7", "A path is an array of names, indexes from zero and nulls.")
VALUES = Rule(_SPEC, "6.3", "The values that a claim may have are texts, whole numbers, true or false.")
CLAIM_SETS = Rule(_SPEC, "6.4.1", "Claim sets name claims of their own Credential Query by the ids of these.")
SETS_OF_KNOWN = Rule(_SPEC, "6.2", "The options of a credential set name Credential Queries of the same query.")
AUTHORITIES = Rule(
    _SPEC, "6.1.1", "A trusted authority has a type and one or more values; an aki is a key identifier in base64url."
)
FEW = Rule("Deputize", "bounds", "A query has at most 32 credentials, 32 sets, and 100 claims with 100 values each.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimQuery:
    """A claim that is to be shown, and the values that it may have: none are any."""

    path: Path
    values: tuple[Scalar, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who is to have issued: by the key identifier of a certificate (`aki`), or in a way that only others know."""

    type: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialQuery:
    """One credential that is asked for. `types` are empty where its format has none that we know.

    `bound`: the holder is to sign. `multiple`: more than one may be presented.
    """

    id: str
    format: str
    types: frozenset[str] = frozenset()
    claims: tuple[ClaimQuery, ...] = ()
    claim_sets: tuple[tuple[str, ...], ...] = ()
    authorities: tuple[Authority, ...] = ()
    multiple: bool = False
    bound: bool = True

    def options(self) -> tuple[tuple[ClaimQuery, ...], ...]:
        """The sets of claims of which any one is enough, the verifier's favourite first."""
        if not self.claim_sets:
            return (self.claims,)
        by_id = {claim.id: claim for claim in self.claims}
        return tuple(tuple(by_id[name] for name in names) for names in self.claim_sets)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSet:
    """Combinations of credentials of which any one is enough, the verifier's favourite first."""

    options: tuple[tuple[str, ...], ...]
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A whole query. `said` is the object that it was read from, and that goes out."""

    credentials: tuple[CredentialQuery, ...]
    sets: tuple[CredentialSet, ...] = ()
    said: JsonObject = field(compare=False, repr=False, default_factory=dict)

    def of(self, name: str) -> CredentialQuery | None:
        """The Credential Query of this id."""
        return next((one for one in self.credentials if one.id == name), None)

    @property
    def all_bound(self) -> bool:
        """Whether each presentation is signed by its holder."""
        return all(one.bound for one in self.credentials)


def read(said: object, *, error: str = "invalid_request") -> Query:
    """Read a query, as a wallet that is sent one and as a verifier that writes one. Unknown members are ignored."""
    if not isinstance(said, dict):
        QUERY.refuse(error)
    credentials = tuple(_credential(one, error) for one in _array(said.get("credentials"), QUERIES_MAX, error))
    names = _distinct((one.id for one in credentials), error)
    sets: tuple[CredentialSet, ...] = ()
    if "credential_sets" in said:
        sets = tuple(_set(one, names, error) for one in _array(said["credential_sets"], SETS_MAX, error))
    return Query(credentials=credentials, sets=sets, said=said)


def _credential(said: object, error: str) -> CredentialQuery:
    if not isinstance(said, dict):
        QUERY.refuse(error)
    form, meta = said.get("format"), said.get("meta")
    if not isinstance(form, str) or not form or not isinstance(meta, dict):
        QUERY.refuse(error)
    claims = tuple(_claim(one, error) for one in _array(said["claims"], CLAIMS_MAX, error)) if "claims" in said else ()
    known = _distinct((claim.id for claim in claims if claim.id), error)
    claim_sets: tuple[tuple[str, ...], ...] = ()
    if "claim_sets" in said:
        if not claims or not all(claim.id for claim in claims):
            CLAIM_SETS.refuse(error)
        claim_sets = tuple(
            _names(one, known, CLAIMS_MAX, CLAIM_SETS, error) for one in _array(said["claim_sets"], SETS_MAX, error)
        )
    authorities: tuple[Authority, ...] = ()
    if "trusted_authorities" in said:
        authorities = tuple(_authority(one, error) for one in _array(said["trusted_authorities"], SETS_MAX, error))
    return CredentialQuery(
        id=_id(said.get("id"), error),
        format=form,
        types=_types(meta, error) if form == FORMAT else frozenset(),
        claims=claims,
        claim_sets=claim_sets,
        authorities=authorities,
        multiple=_flag(said, "multiple", error, absent=False),
        bound=_flag(said, "require_cryptographic_holder_binding", error, absent=True),
    )


def _claim(said: object, error: str) -> ClaimQuery:
    if not isinstance(said, dict):
        QUERY.refuse(error)
    steps = said.get("path")
    try:
        where = path(steps if isinstance(steps, list) else [])
    except Malformed:
        CLAIM_PATHS.refuse(error)
    values: tuple[Scalar, ...] = ()
    if "values" in said:
        values = tuple(_array(said["values"], VALUES_MAX, error))
        if not all(type(value) in {str, int, bool} for value in values):
            VALUES.refuse(error)
    return ClaimQuery(path=where, values=values, id=_id(said["id"], error) if "id" in said else "")


def _set(said: object, known: frozenset[str], error: str) -> CredentialSet:
    if not isinstance(said, dict):
        QUERY.refuse(error)
    options = tuple(
        _names(one, known, QUERIES_MAX, SETS_OF_KNOWN, error) for one in _array(said.get("options"), SETS_MAX, error)
    )
    return CredentialSet(options=options, required=_flag(said, "required", error, absent=True))


def _authority(said: object, error: str) -> Authority:
    name, values = (said.get("type"), said.get("values")) if isinstance(said, dict) else (None, None)
    if not isinstance(name, str) or not name:
        AUTHORITIES.refuse(error)
    if not isinstance(values, list) or not 1 <= len(values) <= VALUES_MAX:
        AUTHORITIES.refuse(error)
    if not all(isinstance(value, str) and 1 <= len(value) <= TEXT_MAX for value in values):
        AUTHORITIES.refuse(error)
    return Authority(type=name, values=frozenset(values))


def _types(meta: JsonObject, error: str) -> frozenset[str]:
    values = meta.get("vct_values")
    if not isinstance(values, list) or not 1 <= len(values) <= VALUES_MAX:
        META.refuse(error)
    if not all(isinstance(value, str) and 1 <= len(value) <= TEXT_MAX for value in values):
        META.refuse(error)
    return frozenset(values)


def _array(said: object, at_most: int, error: str) -> list[Any]:
    if not isinstance(said, list) or not said:
        QUERY.refuse(error)
    if len(said) > at_most:
        FEW.refuse(error, members=len(said))
    return said


def _names(said: object, known: frozenset[str], at_most: int, rule: Rule, error: str) -> tuple[str, ...]:
    names = _array(said, at_most, error)
    if not all(isinstance(name, str) and name in known for name in names):
        rule.refuse(error)
    return tuple(dict.fromkeys(names))


def _id(said: object, error: str) -> str:
    if not isinstance(said, str) or not _ID.fullmatch(said):
        IDS.refuse(error)
    return said


def _distinct(names: Iterable[str], error: str) -> frozenset[str]:
    told = list(names)
    if len(set(told)) != len(told):
        IDS.refuse(error)
    return frozenset(told)


def _flag(said: JsonObject, name: str, error: str, *, absent: bool) -> bool:
    value = said.get(name, absent)
    if not isinstance(value, bool):
        FLAGS.refuse(error, member=name)
    return value
