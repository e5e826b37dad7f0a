"""A wallet's calls: it takes an offer and fetches credentials for it, and answers a verifier: flows of the SDK."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from deputize.core.ports import Clock, Random
from deputize.core.rules import Fault, Rule
from deputize.core.values import IssuerIdentifier, Seconds, Secret, WebUrl
from deputize.core.wire import Call, JsonObject, Malformed, Reply, form_bytes, json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth import dpop
from deputize.oauth.metadata import ServerMetadata, well_known
from deputize.sdk.answers import Refused, members, refuse
from deputize.sdk.discover import find_server
from deputize.sdk.flow import Flow, Wait
from deputize.sdk.login import FORM
from deputize.vc import issuance, proofs, requests
from deputize.vc.client_ids import Trust
from deputize.vc.issuance import PRE_AUTHORIZED, CredentialOffer
from deputize.vc.requests import NO_KINDS, Kinds, PresentationRequest

BYTES_MAX: Final = 256 * 1024
WAITS_MAX: Final = 20
INTERVAL_MAX: Final = Seconds(300)
WELL_KNOWN: Final = "/.well-known/openid-credential-issuer"

_SPEC: Final = "OpenID4VCI 1.0"
ITS_METADATA = Rule(_SPEC, "12.2.1", "The metadata of an issuer name that very issuer, letter for letter.")
ITS_SERVER = Rule(_SPEC, "12.2.4", "The authorization server in an offer is one that the issuer's metadata name.")
ITS_OFFER = Rule(_SPEC, "4.1.1", "What is offered is among what the issuer's metadata describe.")
CODE_TYPED = Rule(_SPEC, "6.1", "A transaction code is sent where the offer has one, and never else.")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerMetadata:
    """What a wallet acts on of an issuer's document: each endpoint lies at the issuer's own origin."""

    name: str
    servers: tuple[str, ...]
    credential_endpoint: str
    nonce_endpoint: str | None
    deferred_endpoint: str | None
    notification_endpoint: str | None
    configurations: Mapping[str, JsonObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What an issuer gave for one key; to be verified before it is kept. `token` is for telling the issuer."""

    issuer: IssuerMetadata
    configuration: str
    vct: str
    credential: str
    key: PrivateKey = field(repr=False)
    notification_id: str | None
    token: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """Who fetches: the ports, a name if the wallet has one, and the key that its tokens are bound to, if they are."""

    clock: Clock
    random: Random
    client_id: str | None = None
    dpop_key: PrivateKey | None = field(default=None, repr=False)


# --- what is offered ----------------------------------------------------------------------------------------------


def read_offer(link: str) -> Flow[CredentialOffer]:
    """The offer that a link leads to. To be asked for once the person wants that (OpenID4VCI 1.0, 15.6)."""
    told = issuance.read_offer_link(link)
    if isinstance(told, CredentialOffer):
        return told
    reply = yield Call(method="GET", url=told, headers=(("accept", "application/json"),), bytes_max=issuance.OFFER_MAX)
    return issuance.offer(members(reply, bytes_max=issuance.OFFER_MAX))


def find_issuer(name: str) -> Flow[IssuerMetadata]:
    """The issuer of this name, by its own document; a document of another is the end."""
    url = well_known(name, WELL_KNOWN)
    reply = yield Call(method="GET", url=url, headers=(("accept", "application/json"),), bytes_max=BYTES_MAX)
    document = members(reply, bytes_max=BYTES_MAX)
    if document.get("credential_issuer") != name:
        ITS_METADATA.refuse("invalid_issuer", asked=name)
    servers, configurations = (
        document.get("authorization_servers", [name]),
        document.get("credential_configurations_supported"),
    )
    if not isinstance(servers, list) or not servers or not isinstance(configurations, dict):
        raise Fault(f"{url} is no issuer's metadata")
    credential = _endpoint(document, "credential_endpoint", name)
    if credential is None:
        raise Fault(f"{url} names no credential_endpoint")
    return IssuerMetadata(
        name=name,
        servers=tuple(map(str, servers)),
        credential_endpoint=credential,
        nonce_endpoint=_endpoint(document, "nonce_endpoint", name),
        deferred_endpoint=_endpoint(document, "deferred_credential_endpoint", name),
        notification_endpoint=_endpoint(document, "notification_endpoint", name),
        configurations={str(key): one for key, one in configurations.items() if isinstance(one, dict)},
    )


def _endpoint(document: JsonObject, name: str, issuer: str) -> str | None:
    told = document.get(name)
    if told is None:
        return None
    try:
        url = WebUrl(str(told))
    except ValueError as problem:
        raise Fault(f"{name}: {problem}") from None
    if url.origin != WebUrl(issuer).origin:
        raise Fault(f"{name} is not at the issuer's own origin")
    return url.text


# --- accepting ----------------------------------------------------------------------------------------------------


def accept(
    offer: CredentialOffer, keys: Sequence[PrivateKey], wallet: Wallet, *, tx_code: str | None = None
) -> Flow[list[Received]]:
    """Redeem an offer's code, and have one credential of each configuration issued, each to a key of its own."""
    if offer.code is None:
        raise Fault("this offer wants the person to sign in at the issuer: it has no pre-authorized code")
    if (offer.tx_code is None) != (tx_code is None):
        CODE_TYPED.refuse("invalid_request", wanted=offer.tx_code is not None)
    issuer = yield from find_issuer(offer.issuer)
    if not set(offer.configurations) <= issuer.configurations.keys():
        ITS_OFFER.refuse("invalid_request")
    if offer.server is not None and offer.server not in issuer.servers:
        ITS_SERVER.refuse("invalid_request", server=offer.server)
    server = yield from find_server(IssuerIdentifier(offer.server or issuer.servers[0]).text)
    if len(keys) < len(offer.configurations):
        raise Fault("each credential needs a key of its own")
    told = yield from _token(server, offer, wallet, tx_code)
    received = []
    for name, key in zip(offer.configurations, keys, strict=False):
        received += yield from _credential(issuer, name, key, told, wallet)
    return received


def _token(server: ServerMetadata, offer: CredentialOffer, wallet: Wallet, tx_code: str | None) -> Flow[JsonObject]:
    fields = [("grant_type", PRE_AUTHORIZED), ("pre-authorized_code", offer.code or "")]
    fields += [("tx_code", tx_code)] if tx_code is not None else []
    fields += [("client_id", wallet.client_id)] if wallet.client_id is not None else []
    reply = yield from _sent(server.token_endpoint, form_bytes(fields), FORM, wallet)
    told = members(reply)
    if not isinstance(told.get("access_token"), str):
        raise Fault("the server gave no token")
    return told


def _credential(
    issuer: IssuerMetadata, name: str, key: PrivateKey, told: JsonObject, wallet: Wallet
) -> Flow[list[Received]]:
    token, bound = Secret(str(told["access_token"])), str(told.get("token_type", "")).lower() == "dpop"
    said = _asked_by(name, told)
    for last in (False, True):
        nonce = None
        if issuer.nonce_endpoint is not None:
            reply = yield Call(method="POST", url=issuer.nonce_endpoint, headers=(("accept", "application/json"),))
            nonce = str(members(reply).get("c_nonce"))
        now = wallet.clock()
        proof = proofs.prove(key, issuer=issuer.name, nonce=nonce, now=now, client_id=wallet.client_id)
        body = json_bytes({**said, "proofs": {"jwt": [proof]}})
        reply = yield from _sent(issuer.credential_endpoint, body, "application/json", wallet, token, bound=bound)
        if last or not _says(reply, "invalid_nonce"):  # OpenID4VCI 1.0, 8.3.1.2: once more, with a new one
            break
    if reply.status == 202:
        reply = yield from _later(issuer, _members(reply), wallet, token, bound=bound)
    answer = _members(reply)
    try:
        texts = issuance.credentials(answer)
    except Malformed as problem:
        raise Fault(f"the issuer's answer: {problem}") from None
    vct, notification = issuer.configurations[name].get("vct"), answer.get("notification_id")
    return [
        Received(
            issuer=issuer,
            configuration=name,
            vct=str(vct),
            credential=text,
            key=key,
            notification_id=notification if isinstance(notification, str) else None,
            token=token,
        )
        for text in texts
    ]


def _asked_by(name: str, told: JsonObject) -> JsonObject:
    """By which name the credential is asked for (OpenID4VCI 1.0, 8.2)."""
    for detail in told.get("authorization_details") or ():
        if isinstance(detail, dict) and detail.get("credential_configuration_id") == name:
            names = detail.get("credential_identifiers")
            if isinstance(names, list) and names:
                return {"credential_identifier": str(names[0])}
    return {"credential_configuration_id": name}


def _later(issuer: IssuerMetadata, told: JsonObject, wallet: Wallet, token: Secret, *, bound: bool) -> Flow[Reply]:
    """Ask again, no sooner than the issuer wants, until it is ready."""
    if issuer.deferred_endpoint is None:
        raise Fault("what is issued later cannot be fetched: the issuer names no place for that")
    body = json_bytes({"transaction_id": told.get("transaction_id")})
    for _ in range(WAITS_MAX):
        interval = told.get("interval")
        yield Wait(Seconds(min(interval if type(interval) is int and interval > 0 else 5, INTERVAL_MAX)))
        reply = yield from _sent(issuer.deferred_endpoint, body, "application/json", wallet, token, bound=bound)
        if reply.status != 202:
            return reply
        told = _members(reply)
    raise Fault("it is still not ready", retry=True)


def _members(reply: Reply) -> JsonObject:
    return members(reply, good=reply.status if reply.status in {200, 202} else 200, bytes_max=BYTES_MAX)


def _sent(
    url: str, body: bytes, kind: str, wallet: Wallet, token: Secret | None = None, *, bound: bool = True
) -> Flow[Reply]:
    """Post, with the token and a proof where there are such; once more where the server wants a nonce in the proof."""
    nonce: str | None = None
    for _ in range(2):
        headers = [("content-type", kind), ("accept", "application/json")]
        if token is not None:
            headers.append(("authorization", f"{'DPoP' if bound else 'Bearer'} {token.reveal()}"))
        if wallet.dpop_key is not None and bound:
            shown = None if token is None else token.reveal()
            jti, now = wallet.random(128), wallet.clock()
            made = dpop.prove(
                wallet.dpop_key, method="POST", url=url, jti=jti, now=now, nonce=nonce, access_token=shown
            )
            headers.append(("dpop", made))
        reply = yield Call(method="POST", url=url, headers=tuple(headers), body=body, bytes_max=BYTES_MAX)
        given = reply.headers.all("dpop-nonce")
        if not given or not (_says(reply, "use_dpop_nonce") or _challenges(reply)):
            break
        nonce = given[0]
    return reply


def _challenges(reply: Reply) -> bool:
    return reply.status == 401 and any("use_dpop_nonce" in value for value in reply.headers.all("www-authenticate"))


def _says(reply: Reply, error: str) -> bool:
    try:
        return reply.status >= 400 and reply.json_object().get("error") == error
    except Malformed:
        return False


def notify(received: Received, event: str, wallet: Wallet) -> Flow[None]:
    """Tell the issuer what became of a credential, where it wants to know. That it cannot be told is no matter."""
    place = received.issuer.notification_endpoint
    if place is None or received.notification_id is None:
        return
    body = json_bytes({"notification_id": received.notification_id, "event": event})
    yield from _sent(place, body, "application/json", wallet, received.token, bound=wallet.dpop_key is not None)


# --- presenting ---------------------------------------------------------------------------------------------------


def read_request(link: str, trust: Trust, wallet: Wallet, *, kinds: Kinds = NO_KINDS) -> Flow[PresentationRequest]:
    """The request that a link leads to, verified. A redirect is an answer like any other that is not good."""
    told = requests.read_link(link)
    if told.request_uri is None:
        if "request" not in told.params:
            return requests.unsigned(told.params, trust=trust, kinds=kinds)
        return _opened(told.params["request"], told.client_id, trust, wallet, kinds, None)
    nonce = wallet.random(128) if told.post else None
    accepts = ("accept", f"application/{requests.TYP}")
    if nonce is not None:
        form = form_bytes((("wallet_nonce", nonce),))
        call = Call(method="POST", url=told.request_uri, headers=(accepts, ("content-type", FORM)), body=form)
    else:
        call = Call(method="GET", url=told.request_uri, headers=(accepts,))
    reply = yield call
    if reply.status != 200:
        refuse(reply)
    return _opened(reply.body.decode("ascii", "replace").strip(), told.client_id, trust, wallet, kinds, nonce)


def _opened(
    compact: str, client_id: str, trust: Trust, wallet: Wallet, kinds: Kinds, nonce: str | None
) -> PresentationRequest:
    return requests.opened(
        compact, client_id=client_id, trust=trust, now=wallet.clock(), kinds=kinds, wallet_nonce=nonce
    )


def send(request: PresentationRequest, fields: Sequence[tuple[str, str]]) -> Flow[str | None]:
    """Post an answer; where the person's browser is to go on, if anywhere."""
    headers = (("content-type", FORM), ("accept", "application/json"))
    reply = yield Call(method="POST", url=request.response_uri, headers=headers, body=form_bytes(fields))
    back = members(reply).get("redirect_uri")
    if back is None:
        return None
    try:
        return WebUrl(str(back)).text
    except ValueError:
        raise Refused("invalid_redirect_uri") from None
