"""What a request asks for: its scope and its target, held against what the client is registered for."""

from typing import Final

from deputize.core.ports import Env
from deputize.core.rules import Rule
from deputize.core.values import scope
from deputize.core.wire import Form
from deputize.oauth.client import Client, Resource
from deputize.oauth.tokens import TARGET_KNOWN

OPENID: Final = "openid"

SCOPE_ALLOWED = Rule("RFC 6749", "3.3", "The scope is well formed, and within what the client is registered for.")
TARGET_NAMED = Rule("RFC 8707", "2.2", "The request leads to one resource: it names one, or the client has only one.")


def asked_scope(form: Form) -> frozenset[str] | None:
    """The scope of a request; None where it names none."""
    text = form.get("scope")
    try:
        return None if text is None else scope(text)
    except ValueError:
        SCOPE_ALLOWED.refuse("invalid_scope")


def allowed_scope(asked: frozenset[str] | None, client: Client, resource: Resource) -> frozenset[str]:
    """The scope asked for (by default all), if client and resource have it."""
    known = client.scope & frozenset(resource.scopes)
    wanted = known if asked is None else asked
    if not wanted <= known:
        SCOPE_ALLOWED.refuse("invalid_scope", asked=sorted(wanted))
    return wanted


async def target(named: tuple[str, ...], client: Client, env: Env) -> Resource:
    """The one resource that a request leads to (RFC 8707): named, or the only one that the client may use."""
    names = set(named) if named else set(client.audiences)
    if not named and len(names) > 1:  # who a person is, is not what a request leads to by itself
        found = [await env.store.read(Resource, name) for name in names]
        names -= {one.key for one in found if one is not None and one.own}
    if len(names) != 1:
        TARGET_NAMED.refuse("invalid_target", named=len(names))
    name = names.pop()
    resource = await env.store.read(Resource, name) if name in client.audiences else None
    if resource is None or resource.disabled_at is not None or resource.own:
        TARGET_KNOWN.refuse("invalid_target", audience=name[:200])
    return resource
