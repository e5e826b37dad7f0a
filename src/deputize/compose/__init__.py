"""The only place that knows both ports and plugs: what is configured becomes what runs."""

from deputize.compose.parts import guard_env, local_env, server_parts
from deputize.compose.settings import Settings, load

__all__ = ["Settings", "guard_env", "load", "local_env", "server_parts"]
