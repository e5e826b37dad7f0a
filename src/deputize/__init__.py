"""Deputize gives an agent a badge, not your keys: agents hold nothing, and a person approves exactly what runs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deputize import vc
    from deputize.adapters.system import SystemRandom
    from deputize.bff import Bff
    from deputize.compose.parts import client_env, guard_env, local_env, reader_env
    from deputize.jose.keys import PrivateKey
    from deputize.resource import Guard
    from deputize.sdk.agent import Agent
    from deputize.server.wire_guard import GuardedProtocol

__version__ = "0.1.0"
__all__ = [
    "Agent",
    "Bff",
    "Guard",
    "GuardedProtocol",
    "PrivateKey",
    "SystemRandom",
    "client_env",
    "guard_env",
    "local_env",
    "reader_env",
    "vc",
]

_HOMES: Final = {
    "Agent": "deputize.sdk.agent",
    "Bff": "deputize.bff",
    "Guard": "deputize.resource",
    "GuardedProtocol": "deputize.server.wire_guard",
    "PrivateKey": "deputize.jose.keys",
    "SystemRandom": "deputize.adapters.system",
    "client_env": "deputize.compose.parts",
    "guard_env": "deputize.compose.parts",
    "local_env": "deputize.compose.parts",
    "reader_env": "deputize.compose.parts",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (each name has the type that TYPE_CHECKING shows)
    """Import a public name when it is first used: whoever wants the guard alone loads no pages and no database."""
    if name == "vc":
        return import_module("deputize.vc")
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(_HOMES[name]), name)
