"""`httpx2` with tokens: hand this to a client as its `auth`."""

import httpx2

from deputize.sdk.calling import Answering


class OAuth(Answering, httpx2.Auth):
    """Tokens for the resources that an httpx2 client calls: `httpx2.Client(auth=OAuth(access, visit=…))`."""
