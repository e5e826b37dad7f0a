"""What a client-authentication method is, and the proof that a client has passed one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from deputize.core.ports import Add, Append, Env
from deputize.core.rules import Rule
from deputize.core.values import ClientId, Issuer
from deputize.core.wire import Form, Inbound
from deputize.oauth.binding import BoundKey
from deputize.oauth.client import Client

NONE: Final = "none"  # the method of a public client: it says who it is, and keeps no secret to prove it

CONFIDENTIAL = Rule("RFC 6749", "2.1", "Who uses this is a client that authenticates, and not a public one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedClient:
    """A proof: this client authenticated with the method it is registered for, and holds `key` if it showed one."""

    client: Client
    method: str
    key: BoundKey | None

    @property
    def id(self) -> ClientId:
        return ClientId(self.client.key)

    def hold_confidential(self) -> None:
        """Hold that it has proven who it is: a public client has not."""
        if self.method == NONE:
            CONFIDENTIAL.refuse("unauthorized_client")


@dataclass(frozen=True, slots=True)
class Claim:
    """The client_id that a request claims, and what it shows for it. Nothing of it is believed yet."""

    client_id: str
    shown: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Method:
    """A row.

    `claims` reads what a request claims by this method; None where it does not use it. `verify` gets what it has read
    and refuses with `invalid_client`, or gives the marks that make what was shown usable only once, and what is to be
    told of it. The two agree on a type that the table cannot see. `also` are further registered names that it serves.
    """

    name: str
    claims: Callable[[Inbound, Form], Claim | None]
    verify: Callable[[Any, Inbound, Client, Issuer, Env], Awaitable[tuple[Add | Append, ...]]]
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names under which clients are registered for it."""
        return (self.name, *self.also)


def proven(client: Client, method: str, key: BoundKey | None) -> AuthenticatedClient:
    """The one maker; called by `oauth.client_auth` alone."""
    return AuthenticatedClient(client=client, method=method, key=key)
