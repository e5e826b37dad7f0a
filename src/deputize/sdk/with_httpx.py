"""`httpx`, where it is installed, with tokens: hand this to a client as its `auth`."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from deputize.sdk.calling import Answering

# It is no dependency of ours: where it is not installed, there is no client to hand this to either.
_Auth: Any = import_module("httpx").Auth if find_spec("httpx") else object


class OAuth(Answering, _Auth):  # type: ignore[misc]  # its types are there only where it is
    """Tokens for the resources that an httpx client calls: `httpx.Client(auth=OAuth(access, visit=…))`."""
