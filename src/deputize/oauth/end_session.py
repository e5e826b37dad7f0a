"""A client asks that its person be signed out here (OpenID Connect RP-Initiated Logout 1.0)."""

from dataclasses import dataclass
from typing import Final

from deputize.core.ports import Env
from deputize.core.rules import Rule
from deputize.core.wire import Form
from deputize.jose import jwt
from deputize.oauth import clients, redirects, tokens
from deputize.oauth.client import Client
from deputize.oauth.server import AuthorizationServer

SPEC: Final = "OpenID Connect RP-Initiated Logout 1.0"
_ERROR: Final = "invalid_request"
_STATE_MAX: Final = 1024

OURS = Rule(SPEC, "2", "The id_token_hint is an ID token that this server issued to a client, expired or not.")
SAME_CLIENT = Rule(SPEC, "2", "The client_id, where it is sent, is the client's that the ID token was issued to.")
NAMED = Rule(SPEC, "3", "Who names a place to go on to says which client asks, and is a client that is known here.")
BRIEF = Rule("Deputize", "bounds", "A state that comes back after signing out has at most 1024 characters.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What was asked. `person` and `sid` are whom an ID token names: empty where none was shown, so nobody is sure.

    `to` is where to go on to, with the state; empty where nowhere was named. `host` is its host, `client` who asks.
    """

    client: str = ""
    name: str = ""
    person: str = ""
    sid: str = ""
    to: str = ""
    host: str = ""

    def is_of(self, person: str, sid: str) -> bool:
        """Whether it was shown that the client was told of this very session, so that nobody needs to be asked."""
        return bool(self.person) and self.person == person and self.sid in {"", sid}


async def read(form: Form, here: AuthorizationServer, env: Env) -> Ending:
    """Read a request. A refusal goes to a page: there is no place that was verified."""
    hint, client_id = form.get("id_token_hint"), form.get("client_id")
    told: jwt.VerifiedJwt | None = None
    if hint is not None:
        client = await _known(_audience(hint), here, env)
        if client is None:
            OURS.refuse(_ERROR)
        told = tokens.own_id_token(hint, here.issuer, client, env, error=_ERROR)
        if client_id not in {None, client.key}:
            SAME_CLIENT.refuse(_ERROR)
    else:
        client = await _known(client_id, here, env)
    place, state = form.get("post_logout_redirect_uri"), form.get("state")
    to = host = ""
    if place is not None:
        if client is None:
            NAMED.refuse(_ERROR)
        if len(state or "") > _STATE_MAX:
            BRIEF.refuse(_ERROR)
        destination = redirects.after_logout(place, client)
        to = destination.with_params((("state", state),)) if state else destination.uri
        host = destination.host
    sid = told.claims.get("sid") if told else None
    return Ending(
        client=client.key if client else "",
        name=client.name if client else "",
        person=told.text("sub") if told else "",
        sid=sid if isinstance(sid, str) else "",
        to=to,
        host=host,
    )


async def _known(client_id: str | None, here: AuthorizationServer, env: Env) -> Client | None:
    return await clients.find(client_id, here.ways, env) if client_id else None


def _audience(hint: str) -> str | None:
    """Whom it says that it is for. Nothing of it is believed yet."""
    audience = jwt.peek(hint, _ERROR)[1].get("aud")
    return audience if isinstance(audience, str) else None
