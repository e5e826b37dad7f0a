"""The device flow, from the device's side (RFC 8628): show a code, and wait until a person has answered elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deputize.core.rules import Fault
from deputize.core.values import WebUrl
from deputize.oauth.details import Detail
from deputize.oauth.device import TYPE
from deputize.oauth.metadata import ServerMetadata
from deputize.sdk.answers import (
    Fields,
    Pending,
    TokenSet,
    details_field,
    is_plain,
    members,
    pending_told,
    scope_field,
    some,
    token_told,
)
from deputize.sdk.flow import Flow, Wait
from deputize.sdk.login import ClientLogin
from deputize.sdk.obtain import polled

CODE_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a device shows: the code, where to type it, and, where the server allows it, a link with the code in it.

    Both are for whoever stands before the device, and to be sent to nobody (RFC 10027): a code that comes by mail is
    what an attack looks like.
    """

    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    pending: Pending


def device_begin(
    server: ServerMetadata,
    login: ClientLogin,
    *,
    scope: frozenset[str] = frozenset(),
    resource: str | None = None,
    details: tuple[Detail, ...] = (),
) -> Flow[Prompt]:
    """Begin: what is to be shown. The key that is shown here is the one that collects."""
    fields: Fields = (*scope_field(scope), *some("resource", resource), *details_field(details))
    told = members((yield from login.sent(server, server.device_authorization_endpoint, fields)))
    code, complete = told.get("user_code"), told.get("verification_uri_complete")
    if not is_plain(code, CODE_MAX):
        raise Fault("the answer has no usable user_code")
    return Prompt(
        user_code=str(code),
        verification_uri=_url(told.get("verification_uri")),
        verification_uri_complete=None if complete is None else _url(complete),
        pending=pending_told(told, "device_code", login.clock()),
    )


def device_collect(
    server: ServerMetadata, login: ClientLogin, prompt: Prompt, *, scope: frozenset[str] = frozenset()
) -> Flow[TokenSet]:
    """Look until the person has answered, or no longer may. Refused where they said no."""
    yield Wait(prompt.pending.interval)  # nobody types that fast
    fields = (("grant_type", TYPE), ("device_code", prompt.pending.handle.reveal()))
    reply = yield from polled(server, login, server.token_endpoint, fields, prompt.pending)
    return token_told(reply, login, scope, narrower=True)


def device(
    server: ServerMetadata,
    login: ClientLogin,
    show: Callable[[Prompt], object],
    *,
    scope: frozenset[str] = frozenset(),
    resource: str | None = None,
    details: tuple[Detail, ...] = (),
) -> Flow[TokenSet]:
    """Have somebody asked who stands before this device: `show` shows them the code."""
    prompt = yield from device_begin(server, login, scope=scope, resource=resource, details=details)
    show(prompt)
    return (yield from device_collect(server, login, prompt, scope=scope))


def _url(value: object) -> str:
    """An address that can be shown: whatever else stands there might be a line for a terminal."""
    try:
        return WebUrl(value if isinstance(value, str) else "").text
    except ValueError:
        raise Fault("the answer has no usable verification_uri") from None
