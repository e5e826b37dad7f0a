"""none: a client that keeps no secret says who it is, and proves nothing; what it has is bound by PKCE and its key."""

from deputize.core.ports import Add, Env
from deputize.core.values import Issuer
from deputize.core.wire import Form, Inbound
from deputize.oauth.client import Client
from deputize.oauth.login import NONE, Claim, Method


def claims(request: Inbound, form: Form) -> Claim | None:
    other = {"client_assertion", "client_assertion_type", "client_secret"} & set(form.fields)
    # Another scheme than Basic is no client authentication: it authenticates nobody here, and nobody by this row.
    if other or request.certificate is not None or request.headers.all("authorization"):
        return None
    name = form.get("client_id")
    return None if name is None else Claim(name, None)


async def verify(_: None, __: Inbound, ___: Client, ____: Issuer, _____: Env) -> tuple[Add, ...]:
    return ()


METHOD = Method(NONE, claims, verify)
