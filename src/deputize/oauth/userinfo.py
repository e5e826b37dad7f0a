"""Who a person is (OpenID Connect Core, 5.3): for a token that is for this server itself, and says openid."""

from deputize.core.ports import Env
from deputize.core.rules import Refusal, Rule
from deputize.core.wire import Inbound, JsonObject
from deputize.oauth import caller, dpop, fapi2, nonces, tokens
from deputize.oauth.asked import OPENID
from deputize.oauth.client import Person
from deputize.oauth.server import AuthorizationServer

PROFILE = "profile"

OF_A_PERSON = Rule("OpenID Connect Core 1.0", "5.3", "The token is on behalf of a person, whom it tells of.")


async def userinfo(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject:
    """GET and POST /userinfo: what the granted scope tells of the person, and nothing else."""
    shown = caller.credentials(request.headers)
    if shown is None:
        raise Refusal("missing_token", caller.TOKEN_NEEDED)
    if here.fapi2:
        fapi2.hold_proofs(request.headers)
    expected = caller.access_token(issuer=here.issuer.text, audience=here.issuer.text)
    told, once = caller.check(
        shown,
        request.headers,
        tokens.own_keys(env),
        expected,
        method=request.method,
        url=request.url,
        now=env.clock(),
        shown_certificate=request.certificate,
        nonces=await nonces.at(here.issuer.text, here.dpop, env),
    )
    token = await tokens.read(shown.token, here.issuer, env, error="invalid_token")
    caller.check_scope(told, frozenset({OPENID}))
    if token.approval.subject is None:
        OF_A_PERSON.refuse("invalid_token")
    if once and not await env.store.commit(*once):
        dpop.PROOF_ONCE.refuse("invalid_token")
    person = await env.store.read(Person, token.subject)
    claims: JsonObject = {"sub": token.subject}
    if person is not None and PROFILE in told.authority.scope:
        claims["name"] = person.name
    return claims
