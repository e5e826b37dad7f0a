"""private_key_jwt: our issuer is the sole audience, and an assertion works once (rfc7523bis).

A client from before that may be let go on with the token endpoint's URL there, until a day that is agreed with it: each
use is an event, so that one sees who is not done.
"""

from deputize.core.ports import Add, Append, Env, Event
from deputize.core.rules import Rule
from deputize.core.values import Issuer
from deputize.core.wire import Form, Inbound
from deputize.oauth import assertion
from deputize.oauth.client import Client
from deputize.oauth.login import Claim, Method
from deputize.oauth.server import TOKEN_PATH

ASSERTION_TYPE = Rule("RFC 7521", "4.2", "A client assertion comes with the assertion type that is supported here.")


def claims(_: Inbound, form: Form) -> Claim | None:
    compact = form.get("client_assertion")
    if compact is None and "client_assertion_type" not in form:
        return None
    if compact is None or form.get("client_assertion_type") != assertion.TYPE:
        ASSERTION_TYPE.refuse("invalid_client")
    told = assertion.peek(compact)
    return Claim(told.client_id, told)


async def verify(
    told: assertion.Peeked, request: Inbound, client: Client, issuer: Issuer, env: Env
) -> tuple[Add | Append, ...]:
    now, until = env.clock(), client.legacy_audience_until
    url = issuer.at(TOKEN_PATH)
    if until is None or now >= until or request.url != url or not told.has_audience(url):
        typs = assertion.TYPS_SAID if client.document else assertion.TYPS
        return (assertion.check(told, client.key, client.keys, issuer.text, now, typs=typs),)
    once = assertion.check(told, client.key, client.keys, url, now)
    said = {"until": str(until)}
    return once, Append(Event(key="", at=now, what="legacy_audience_used", client=client.key, told=said))


METHOD = Method("private_key_jwt", claims, verify)
