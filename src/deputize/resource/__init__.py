"""Guard an API: named calls only, by callers that its server vouches for, and with a person's approval where wanted."""

from deputize.core.wire import json_object
from deputize.oauth.caller import Caller, Seen
from deputize.resource.calls import Operation
from deputize.resource.guard import Guard
from deputize.resource.mcp import guard_tools

__all__ = ["Caller", "Guard", "Operation", "Seen", "guard_tools", "json_object"]
