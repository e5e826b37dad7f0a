"""private_key_jwt: our issuer is the sole audience, and an assertion works once (rfc7523bis)."""

from deputize.core.ports import Add, Env
from deputize.core.rules import Rule
from deputize.core.values import Issuer
from deputize.core.wire import Form, Inbound
from deputize.oauth import assertion
from deputize.oauth.client import Client
from deputize.oauth.login import Method

ASSERTION_TYPE = Rule("RFC 7521", "4.2", "A client assertion comes with the assertion type that is supported here.")


def claims_to_be(_: Inbound, form: Form) -> str | None:
    compact = form.get("client_assertion")
    if compact is None and "client_assertion_type" not in form:
        return None
    if compact is None or form.get("client_assertion_type") != assertion.TYPE:
        ASSERTION_TYPE.refuse("invalid_client")
    return assertion.claimed_client(compact) or ""


async def verify(_: Inbound, form: Form, client: Client, issuer: Issuer, env: Env) -> tuple[Add, ...]:
    return (assertion.check(form.one("client_assertion"), client.key, client.keys, issuer, env.clock()),)


METHOD = Method("private_key_jwt", claims_to_be, verify)
