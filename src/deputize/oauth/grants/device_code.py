"""Door to asking: a device begins, and collects by polling what a person allowed elsewhere (RFC 8628)."""

from typing import Final

from deputize.core.ports import Add, Env, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Issuer, Secret
from deputize.core.wire import Form, JsonObject
from deputize.oauth import asking, device, throttle, tokens
from deputize.oauth.approval import Approval
from deputize.oauth.asked import OPENID
from deputize.oauth.details import details
from deputize.oauth.device import DeviceClient, DeviceRequest, Settings
from deputize.oauth.grant import Grant
from deputize.oauth.login import AuthenticatedClient
from deputize.oauth.requested import leads_to

TYPE: Final = device.TYPE
_DRAWS: Final = 5

REGISTERED = Rule("RFC 8628", "3.1", "The client is registered for the device flow.")
ASSESSED = Rule("RFC 10027", "2", "The risk of the device flow was assessed for this client.")
NOT_SENSITIVE = Rule("RFC 10027", "6.2", "What is asked for is nothing that this server keeps from devices.")
FEW_WAIT = Rule("Deputize", "device", "Only so many requests of a client wait that came from one network.")
YOURS = Rule("RFC 8628", "3.4", "The device code is this client's, shown with the key that it was asked for with.")


async def begin(
    form: Form, client: AuthenticatedClient, source: str, issuer: Issuer, settings: Settings, env: Env
) -> JsonObject:
    """Keep the request, and draw the codes that it is known by: one for the device, one for a person."""
    if TYPE not in client.client.grant_types:
        REGISTERED.refuse("unauthorized_client")
    assessed = await env.store.read(DeviceClient, client.id)
    if assessed is None or assessed.withdrawn_at is not None:
        ASSESSED.refuse("unauthorized_client")
    tokens.check_bound(client.client, client.key)
    told = form.get("authorization_details")
    wanted = () if told is None else details(told)
    audience, scope = await leads_to(form, client.client, has_details=bool(wanted), issuer=issuer.text, env=env)
    if not scope.isdisjoint(settings.never):
        NOT_SENSITIVE.refuse("invalid_scope", asked=sorted(scope))
    begun_by, now = f"{throttle.network(source)} {client.id}", env.clock()
    await _hold_back(begun_by, settings, env, now)
    secret, until = Secret(env.random(256)), Instant(now + settings.life)
    for _ in range(_DRAWS):
        made = DeviceRequest(
            key=device.letters_of(env.random(256)),
            sha256=device.hash_of(secret),
            client=client.id,
            audience=audience,
            scope=scope,
            details=wanted,
            openid=OPENID in scope,
            jkt=client.key.name if client.key else None,
            created_at=now,
            lives_until=until,
            expires_at=Instant(until + asking.KEPT_AFTER),
            waiting=asking.Waiting(now, settings.interval),
            source=source,
            begun_by=begun_by,
        )
        if await env.store.commit(Add(made)):
            return _told(made, secret, issuer, settings)
    raise Fault("no user code could be drawn that is not in use", retry=True)


async def _hold_back(begun_by: str, settings: Settings, env: Env, now: Instant) -> None:
    waiting, after = 0, ""
    while page := await env.store.select(DeviceRequest, "begun_by", begun_by, after=after):
        waiting += sum(now < one.lives_until for one in page)
        after = page[-1].key
        if waiting >= settings.waiting_max:
            FEW_WAIT.refuse("slow_down", begun_by=begun_by)


def _told(made: DeviceRequest, secret: Secret, issuer: Issuer, settings: Settings) -> JsonObject:
    where = issuer.at(device.PATH)
    link = {"verification_uri_complete": f"{where}?user_code={made.shown}"} if settings.link else {}
    return {
        "device_code": f"{made.key}.{secret.reveal()}",
        "user_code": made.shown,
        "verification_uri": where,
        **link,
        "expires_in": settings.life,
        "interval": settings.interval,
    }


def parse(form: Form) -> Secret:
    return Secret(form.one("device_code"))


async def approve(device_code: Secret, client: AuthenticatedClient, _: Issuer, env: Env) -> Approval:
    found = await device.find(device_code, env)
    shown = client.key.name if client.key else None
    if found is None or found.client != client.id or found.jkt not in {None, shown}:
        YOURS.refuse("invalid_grant")  # the same for another client's as for one that never was
    if found.person:
        return await asking.collect(found.key, client, TYPE, env)
    after, says = device.looked(found, env.clock())
    if not await env.store.commit(Replace(found, after)):  # another poll, or the person, was faster: come again
        asking.SLOW_DOWN.refuse("slow_down", race=True)
    raise says


GRANT = Grant(TYPE, parse, approve, public=True)
