"""What the consent page says, as a frozen value: who was verified, who they say they are, and each thing by itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from deputize.core.ports import Env
from deputize.core.values import Instant
from deputize.core.wire import Form
from deputize.oauth import details as kinds
from deputize.oauth.asked import OPENID
from deputize.oauth.asking import Ask
from deputize.oauth.authority import Authority
from deputize.oauth.client import OWN_SCOPES, Client, Resource
from deputize.oauth.reading import may, minutes, words_of
from deputize.oauth.redirects import Destination
from deputize.oauth.standing import Standing
from deputize.server.views import Permission, left, moment, shown, together, visible

NOTHING_LEFT = "Leave at least one thing ticked, or deny the whole."


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing that is asked for, to follow "to …". `field` is its tick's name; without one it cannot be left out."""

    says: str
    field: str = ""
    ticked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks, as far as anybody has verified it, and what to beware of; whom the answer reaches; more `facts`.

    `action` is where the person's answer is sent.
    """

    action: str
    who: str
    warning: str
    goes_to: str
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentView:
    """A question of consent.

    `who` is what was verified: the host of the client's own document, else the host that the answer goes to, or that it
    stays here.

    `calls_itself` is what the client says of itself, `before` what the person has allowed it already. `action` is where
    the answer is sent.
    """

    action: str
    who: str
    calls_itself: str
    how_known: str
    goes_to: str
    facts: tuple[tuple[str, str], ...]
    wants: str
    place: str
    choices: tuple[Choice, ...]
    length: str
    before: tuple[Permission, ...]
    warning: str
    problem: str = ""

    @property
    def title(self) -> str:
        return f"{self.who} asks"

    @property
    def can_be_narrowed(self) -> bool:
        return any(choice.field for choice in self.choices)


def by_redirect(client: Client, destination: Destination, page: str) -> Asker:
    """Who asks through this browser, whose answer goes back through it."""
    who, warning = _who(client, destination)
    return Asker(action=f"/authorize/{page}", who=who, warning=warning, goes_to=destination.origin)


def _who(client: Client, destination: Destination) -> tuple[str, str]:
    if client.document is not None:
        return client.name, _beware_of_document(client, destination)
    if not destination.is_on_this_machine:
        return destination.host, ""
    beware = "Any program on it could be the one that asks. Go on only if you have just started this yourself."
    return "An app on this device", f"We know no more of it than that it runs on the device you are using. {beware}"


def _beware_of_document(client: Client, destination: Destination) -> str:
    """The host of a document was verified, and not that what asks on this device, or elsewhere, belongs to it."""
    if destination.is_on_this_machine:
        return (
            "The answer goes to a program on the device that you are using, and any program on it could say that it "
            f"belongs to {client.name}. Go on only if you have just started this yourself."
        )
    if destination.host != urlsplit(client.key).hostname:
        return f"The answer goes to {destination.host}, and not to {client.name}."
    return ""


def _choices(wanted: Authority, resources: tuple[Resource, ...], ticked: Authority) -> tuple[Choice, ...]:
    several = sum(not one.own for one in resources) > 1
    found: list[tuple[str, str, bool]] = []
    for index, detail in enumerate(wanted.details):
        field = "" if wanted.is_bound else f"detail{index}"
        found.append((kinds.says(detail).wants, field, detail in ticked.details))
    for index, name in enumerate(sorted(wanted.scope)):
        words = words_of(frozenset({name}), resources)[0]
        at = " and ".join(one.name for one in resources if not one.own and name in one.scopes) if several else ""
        field = "" if name == OPENID else f"scope{index}"
        found.append((f"{words} at {at}" if at else words, field, name in ticked.scope))
    if len(found) == 1:
        found = [(says, "", True) for says, _, _ in found]
    return tuple(Choice(together(shown(says)), field, tick) for says, field, tick in found)


def allowed(form: Form, wanted: Authority) -> Authority | None:
    """What was left ticked; None where nothing was."""
    only_one = len(wanted.details) + len(wanted.scope) == 1
    details = tuple(
        detail for index, detail in enumerate(wanted.details) if only_one or wanted.is_bound or f"detail{index}" in form
    )
    scope = frozenset(
        name for index, name in enumerate(sorted(wanted.scope)) if only_one or name == OPENID or f"scope{index}" in form
    )
    return wanted.narrowed(scope=scope, details=details) if details or scope else None


def consent_view(
    ask: Ask,
    client: Client,
    asker: Asker,
    resources: tuple[Resource, ...],
    before: Iterable[tuple[Authority, str]],
    now: Instant,
    *,
    problem: str = "",
    ticked: Authority | None = None,
) -> ConsentView:
    """Make the view. `before` is what was allowed, each with its words."""
    calls_itself = client.name if client.document is None else client.document.calls_itself or client.key
    wanted = ask.wanted
    names = " and ".join(visible(one.name) for one in resources if not one.own)
    length = minutes(max(0, wanted.until - ask.created_at))
    return ConsentView(
        action=asker.action,
        who=shown(asker.who),
        calls_itself=shown(calls_itself),
        how_known=shown(client.how_known),
        goes_to=shown(asker.goes_to),
        facts=tuple((label, shown(said)) for label, said in asker.facts),
        wants="act for you" if wanted.details or wanted.scope - OWN_SCOPES.keys() else "know who you are",
        place=names,
        choices=_choices(wanted, resources, ticked or wanted),
        length=f"{length}, or until you take it back" if ask.remember else f"this once, within {length}",
        before=tuple(
            Permission(visible(words), moment(once.until, now), left(once.until - now))
            for once, words in before
            if once.until > now
        ),
        warning=asker.warning,
        problem=problem,
    )


async def resources_of(ask: Ask, standing: Standing | None, env: Env) -> dict[str, Resource]:
    """The resources that are asked for, and those that were allowed before."""
    names = ask.wanted.audience.union(*(once.audience for once in (standing.allowed if standing else ())))
    found = [await env.store.read(Resource, name) for name in sorted(names)]
    return {one.key: one for one in found if one is not None}


def before_of(standing: Standing | None, resources_of: dict[str, Resource]) -> list[tuple[Authority, str]]:
    """What a standing remembers, in words."""
    found = []
    for once in standing.allowed if standing else ():
        named = tuple(resources_of[name] for name in sorted(once.audience) if name in resources_of)
        found.append((once, may(once, named)))
    return found
