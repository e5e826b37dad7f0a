"""Who asks for a credential, and what of it they may have: within the token, and within what they are entitled to."""

from typing import Final

from deputize.core.ports import Add, Env
from deputize.core.rules import Refusal, Rule
from deputize.core.values import Seconds
from deputize.core.wire import Inbound
from deputize.oauth import caller, nonces, tokens
from deputize.oauth.caller import Caller
from deputize.oauth.details import OPENID_CREDENTIAL, dataset
from deputize.oauth.offers import Entitled
from deputize.oauth.server import AuthorizationServer
from deputize.server.credentials import Credentials, Issued
from deputize.vc.issuance import CredentialRequest

TOKEN_LIFE_MAX: Final = Seconds(300)

_SPEC: Final = "OpenID4VCI 1.0"
SHORT_OR_BOUND = Rule(
    _SPEC, "13.10", "An access token for credentials lives for five minutes at most, or is bound to a key."
)
KNOWN_CONFIGURATION = Rule(_SPEC, "8.3.1.2", "The credential configuration is one that this issuer has.")
KNOWN_IDENTIFIER = Rule(
    _SPEC, "8.3.1.2", "The credential_identifier is one of the token's, and of what its subject is entitled to."
)
SCOPE_GRANTED = Rule(_SPEC, "8.2", "A configuration that is asked for by its name is one whose scope the token has.")
ENTITLED = Rule(_SPEC, "8.3.1.2", "There is something to be said in this credential about the token's subject.")


async def bearer(
    request: Inbound, credentials: Credentials, here: AuthorizationServer, env: Env
) -> tuple[Caller, tuple[Add, ...]]:
    """Whose token it is, with all that a token of ours is held to wherever it is shown."""
    shown = caller.credentials(request.headers)
    if shown is None:
        raise Refusal("missing_token", caller.TOKEN_NEEDED)
    told, once = caller.check(
        shown,
        request.headers,
        tokens.own_keys(env),
        caller.access_token(issuer=here.issuer.text, audience=credentials.name),
        method=request.method,
        url=request.url,
        now=env.clock(),
        bound_only=credentials.settings.haip,
        shown_certificate=request.certificate,
        nonces=await nonces.at(here.issuer.text, here.dpop, env),
    )
    token = await tokens.read(shown.token, here.issuer, env, error="invalid_token")
    if told.key is None and told.authority.until - token.issued_at > TOKEN_LIFE_MAX:
        SHORT_OR_BOUND.refuse("invalid_token")
    return told, once


async def dataset_of(
    asked: CredentialRequest, told: Caller, credentials: Credentials, env: Env
) -> tuple[Issued, Entitled]:
    """What is to be issued: within the token, and of what its subject is entitled to."""
    if asked.identifier is not None:
        key = asked.identifier
        if key not in identifiers(told, credentials.name):
            KNOWN_IDENTIFIER.refuse("unknown_credential_identifier")
    else:
        configured = credentials.settings.issued.get(asked.configuration or "")
        if configured is None:
            KNOWN_CONFIGURATION.refuse("unknown_credential_configuration")
        if not configured.scope or configured.scope not in told.authority.scope:
            SCOPE_GRANTED.refuse("unknown_credential_configuration")
        key = dataset(told.subject, asked.configuration or "")
    found = await env.store.read(Entitled, key)
    if found is None:
        ENTITLED.refuse("credential_request_denied")
    if found.whose not in stands_for(told):
        KNOWN_IDENTIFIER.refuse("unknown_credential_identifier")
    issued = credentials.settings.issued.get(found.configuration)
    if issued is None:
        KNOWN_CONFIGURATION.refuse("unknown_credential_configuration")
    return issued, found


def identifiers(told: Caller, issuer: str) -> frozenset[str]:
    """The datasets that a token names, of this issuer."""
    found: set[str] = set()
    for one in told.authority.details:
        members = one.members
        if one.type == OPENID_CREDENTIAL and members.get("locations", [issuer]) == [issuer]:
            found |= set(members.get("credential_identifiers", ()))
    return frozenset(found)


def stands_for(told: Caller) -> frozenset[str]:
    """For whom a token may have credentials issued: its subject, or the offer that it came of."""
    roots = told.claims.get("roots", ())
    return frozenset((str(told.subject), *(roots if isinstance(roots, list | tuple) else ())))
