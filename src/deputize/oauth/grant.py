"""What a grant is: a type, how to read its question, and how to answer it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from deputize.core.ports import Env
from deputize.core.values import Issuer
from deputize.core.wire import Form
from deputize.oauth.approval import GONE, Approval
from deputize.oauth.login import AuthenticatedClient


@dataclass(frozen=True, slots=True)
class Grant:
    """A row. `parse` reads what this grant alone knows of; `approve` answers: may this client have it, and what?

    The two agree on a type that the table cannot see. `public` says that a client that keeps no secret may use it, too:
    what it shows then is worth something by itself. `gone` is the error where a person, or what they allowed, is no
    more.
    """

    type: str
    parse: Callable[[Form], Any]
    approve: Callable[[Any, AuthenticatedClient, Issuer, Env], Awaitable[Approval]]
    public: bool = False
    gone: str = GONE
