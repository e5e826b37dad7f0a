"""What of a query a credential answers: a wallet chooses by it, and a verifier holds an answer against it again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from deputize.core.rules import Rule
from deputize.core.wire import Malformed
from deputize.vc.dcql import FORMAT, KEY_IDENTIFIER, ClaimQuery, CredentialQuery, CredentialSet, Query
from deputize.vc.paths import Node, select, showing

_SPEC: Final = "OpenID4VP 1.0"

ASKED_FOR = Rule(_SPEC, "8.1", "A vp_token answers Credential Queries of the request, and nothing that was not asked.")
ONE_UNLESS_MULTIPLE = Rule(
    _SPEC, "8.1", "One presentation answers a Credential Query, and more only where it says multiple."
)
OF_FORMAT = Rule(_SPEC, "6.1", "A presentation is of the format, and bound to its holder where the query wants that.")
OF_TYPE = Rule(_SPEC, "B.3.5", "A presentation is of a type that the query names in vct_values.")
OF_AUTHORITY = Rule(_SPEC, "6.1.1", "A presentation comes from an authority that the query trusts, where it names any.")
CLAIMS_SHOWN = Rule(_SPEC, "6.4.1", "A presentation shows all claims of one of the sets that the query takes.")
ALL_REQUIRED = Rule(
    _SPEC, "6.4.2", "All credentials that are asked for are presented, or an option of each required set of them."
)


class Shown(Protocol):
    """A credential, as far as one sees it. `authorities` are key identifiers of its certificates, in base64url."""

    @property
    def types(self) -> frozenset[str]: ...

    @property
    def root(self) -> Node: ...

    @property
    def bound(self) -> bool: ...

    @property
    def authorities(self) -> frozenset[str]: ...


# --- one credential -----------------------------------------------------------------------------------------------


def claimed(root: Node, claim: ClaimQuery) -> tuple[Node, ...]:
    """The nodes that answer a claim, with one of its values if it names any; none where it cannot be answered."""
    try:
        found = [node for node in select(root, claim.path) if node is not None]
    except Malformed:
        return ()
    if claim.values:
        found = [node for node in found if _is_one_of(node, claim.values)]
    return tuple(found)


def _is_one_of(node: Node, values: Iterable[object]) -> bool:
    if node.members is not None or node.elements is not None:
        return False
    return any(type(value) is type(node.value) and value == node.value for value in values)  # True is no 1


def answering(root: Node, query: CredentialQuery) -> tuple[Node, ...] | None:
    """What is to be shown for the first set of claims that can be; None where there is no such set."""
    for option in query.options():
        found = [claimed(root, claim) for claim in option]
        if all(found):
            return tuple(node for nodes in found for node in nodes)
    return None


def unfit(one: Shown, query: CredentialQuery) -> Rule | None:
    """Why a credential is none that the query asks for, whatever it shows; None where it is one."""
    if query.format != FORMAT or (query.bound and not one.bound):
        return OF_FORMAT
    if query.types.isdisjoint(one.types):
        return OF_TYPE
    if query.authorities and not any(
        each.type == KEY_IDENTIFIER and not each.values.isdisjoint(one.authorities) for each in query.authorities
    ):
        return OF_AUTHORITY
    return None


def held(one: Shown, query: CredentialQuery, error: str) -> None:
    """Hold one verified presentation against its query: nothing that the wallet may have looked at is believed."""
    reason = unfit(one, query)
    if reason is not None:
        reason.refuse(error, query=query.id)
    if answering(one.root, query) is None:
        CLAIMS_SHOWN.refuse(error, query=query.id)


# --- the query as a whole -----------------------------------------------------------------------------------------


def required(query: Query) -> tuple[CredentialSet, ...]:
    """What has to be presented: the required sets; without any sets, each credential."""
    sets = query.sets or tuple(CredentialSet(options=((one.id,),)) for one in query.credentials)
    return tuple(one for one in sets if one.required)


def satisfied(query: Query, there: Iterable[str]) -> bool:
    """Whether presentations for these Credential Queries are enough."""
    names = frozenset(there)
    return all(any(names.issuperset(option) for option in one.options) for one in required(query))


def held_shape(query: Query, answers: Mapping[str, Sequence[object]], error: str) -> None:
    """Hold that what is answered was asked, and how often; before anybody looks at a presentation."""
    for name, presentations in answers.items():
        asked = query.of(name)
        if asked is None or not presentations:
            ASKED_FOR.refuse(error, query=name[:80])
        if len(presentations) > 1 and not asked.multiple:
            ONE_UNLESS_MULTIPLE.refuse(error, query=name)


def held_whole(query: Query, answers: Mapping[str, Sequence[Shown]], error: str) -> None:
    """Hold verified presentations against the whole query (OpenID4VP 1.0, 8.6)."""
    held_shape(query, answers, error)
    for asked in query.credentials:
        for one in answers.get(asked.id, ()):
            held(one, asked, error)
    if not satisfied(query, answers):
        ALL_REQUIRED.refuse(error, answered=sorted(answers))


# --- the wallet's choice ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A credential that answers a Credential Query, by its place in what was offered, and what it has to show."""

    query: str
    place: int
    show: tuple[Node, ...]
    disclosures: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a wallet may answer: nothing but `picks` goes out. `missing` says, by query, why each credential is none.

    There are no picks where the query cannot be satisfied as a whole: then nothing is sent at all.
    """

    picks: tuple[Pick, ...]
    missing: Mapping[str, tuple[str, ...]]


def choose(query: Query, credentials: Sequence[Shown], *, optional: bool = False) -> Choice:
    """Choose what answers a query, with the fewest Disclosures of those that answer equally well.

    Of sets, the first option that can be met is taken, as the verifier ordered them. Where the query says `multiple`,
    one is enough. What is not required is presented only with `optional`.
    """
    best = {one.id: _best(one, credentials) for one in query.credentials}
    there = {name for name, pick in best.items() if pick is not None}
    missing = {one.id: _reasons(one, credentials) for one in query.credentials if one.id not in there}
    if not satisfied(query, there):
        return Choice(picks=(), missing=missing)
    sets = required(query) + (tuple(one for one in query.sets if not one.required) if optional else ())
    chosen: dict[str, Pick] = {}
    for one in sets:
        option = next((option for option in one.options if there.issuperset(option)), ())
        for name in option:
            pick = best[name]
            if pick is not None:
                chosen[name] = pick
    return Choice(picks=tuple(chosen.values()), missing=missing)


def _best(query: CredentialQuery, credentials: Sequence[Shown]) -> Pick | None:
    picks = []
    for place, one in enumerate(credentials):
        nodes = None if unfit(one, query) else answering(one.root, query)
        if nodes is not None:
            picks.append(Pick(query=query.id, place=place, show=nodes, disclosures=showing(one.root, nodes)))
    return min(picks, key=lambda pick: len(pick.disclosures), default=None)


def _reasons(query: CredentialQuery, credentials: Sequence[Shown]) -> tuple[str, ...]:
    return tuple((unfit(one, query) or CLAIMS_SHOWN).says for one in credentials)
