"""Door to asking: the backchannel request (OpenID CIBA Core 1.0), collected by polling."""

import re
from dataclasses import dataclass
from typing import Final

from deputize.core.ports import Env
from deputize.core.rules import Rule
from deputize.core.values import Instant, Issuer, Seconds
from deputize.core.wire import Form, JsonObject
from deputize.oauth import asking
from deputize.oauth.approval import Approval
from deputize.oauth.asked import OPENID, allowed_scope, asked_scope, target
from deputize.oauth.authority import Authority
from deputize.oauth.client import Person
from deputize.oauth.details import Detail, details, shown_text
from deputize.oauth.grant import Grant
from deputize.oauth.login import AuthenticatedClient

TYPE: Final = "urn:openid:params:grant-type:ciba"
_SPEC: Final = "OpenID CIBA Core 1.0"
_EXPIRY: Final = re.compile(r"[1-9][0-9]{0,8}")
HINTS: Final = ("login_hint", "login_hint_token", "id_token_hint")

REGISTERED = Rule(_SPEC, "4", "The client is registered for CIBA.")
ONE_HINT = Rule(_SPEC, "7.1", "There is exactly one hint of who is asked, and it is a login_hint.")
KNOWN_PERSON = Rule(_SPEC, "13", "The hint names a person who may be asked.")
OPENID_SCOPE = Rule(_SPEC, "7.1", "The scope has openid in it.")
MESSAGE = Rule(_SPEC, "13", "The binding message is one short line without control or direction marks.")
EXPIRY = Rule(_SPEC, "7.1", "The requested_expiry is a positive whole number.")


@dataclass(frozen=True, slots=True)
class Begin:
    """A backchannel authentication request."""

    scope: frozenset[str]
    resources: tuple[str, ...]
    login_hint: str
    binding_message: str
    details: tuple[Detail, ...]
    life: Seconds | None


def parse_begin(form: Form) -> Begin:
    scope = asked_scope(form) or frozenset()
    if OPENID not in scope:
        OPENID_SCOPE.refuse("invalid_scope")
    if [name for name in HINTS if name in form] != ["login_hint"]:
        ONE_HINT.refuse("invalid_request", hints=sum(name in form for name in HINTS))
    message, expiry = form.get("binding_message") or "", form.get("requested_expiry")
    try:
        if message:
            shown_text(message)
    except ValueError:
        MESSAGE.refuse("invalid_binding_message")
    if expiry is not None and not _EXPIRY.fullmatch(expiry):
        EXPIRY.refuse("invalid_request")
    told = form.get("authorization_details")
    return Begin(
        scope=scope - {OPENID},
        resources=form.all("resource"),
        login_hint=form.one("login_hint"),
        binding_message=message,
        details=() if told is None else details(told),
        life=None if expiry is None else Seconds(int(expiry)),
    )


async def begin(request: Begin, client: AuthenticatedClient, settings: asking.Settings, env: Env) -> JsonObject:
    """Ask the person; the acknowledgement."""
    if TYPE not in client.client.grant_types:
        REGISTERED.refuse("unauthorized_client")
    client.hold_confidential()
    resource = await target(request.resources, client.client, env)
    scope = allowed_scope(request.scope, client.client, resource)
    person: Person | None = await asking.person_hinted(request.login_hint, env)
    if person is None:
        KNOWN_PERSON.refuse("unknown_user_id")
    now = env.clock()
    life = Seconds(min(request.life or settings.life, settings.life))
    # A yes to scopes stands until it is taken back; a yes to one thing, or to being recognised, is for this once.
    remember = bool(scope) and not request.details
    until = Instant(now + (settings.standing_life if remember else life))
    asked = await asking.ask(
        asking.Ask(
            key=env.random(256),
            client=client.id,
            person=person.key,
            page=env.random(128),
            door=TYPE,
            wanted=Authority(audience=frozenset({resource.key}), scope=scope, details=request.details, until=until),
            created_at=now,
            lives_until=Instant(now + life),
            expires_at=Instant(now + life + asking.KEPT_AFTER),
            state=asking.Waiting(now, settings.interval),
            words=request.binding_message,
            remember=remember,
            jkt=client.key.name if client.key else None,
            openid=True,
        ),
        settings,
        env,
    )
    return {"auth_req_id": asked.key, "expires_in": life, "interval": settings.interval}


def parse(form: Form) -> str:
    return form.one("auth_req_id")


async def approve(auth_req_id: str, client: AuthenticatedClient, _: Issuer, env: Env) -> Approval:
    return await asking.collect(auth_req_id, client, TYPE, env)


GRANT = Grant(TYPE, parse, approve)
