"""The pre-authorized code (OpenID4VCI 1.0, 6): of an offer; short, spent once, guarded by a transaction code."""

import hmac
from dataclasses import dataclass, replace
from typing import Final

from deputize.core.ports import Add, Append, Env, Event, Replace
from deputize.core.rules import Rule
from deputize.core.values import Instant, Issuer, Seconds, Secret, Subject
from deputize.core.wire import Form, Inbound
from deputize.jose.jwt import SKEW
from deputize.oauth import statuses, throttle
from deputize.oauth.approval import Approval
from deputize.oauth.authority import Authority
from deputize.oauth.details import openid_credential
from deputize.oauth.grant import Grant
from deputize.oauth.login import AuthenticatedClient
from deputize.oauth.offers import Offer, secret_hash
from deputize.oauth.tokens import Revoked

TYPE: Final = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
TOKEN_LIFE: Final = Seconds(300)  # OpenID4VCI 1.0, 13.10: so long at most, where nothing binds the token
WRONG_MAX: Final = 5
TRIES: Final = 20

_SPEC: Final = "OpenID4VCI 1.0"
LIVE = Rule(
    _SPEC, "6.3", "The pre-authorized code is of an offer that was made here, has not expired, and was not used."
)
TX_EXPECTED = Rule(_SPEC, "6.3", "A tx_code is sent if the offer says that one is needed, and never else.")
TX_RIGHT = Rule(_SPEC, "6.3", "The tx_code is the one that was told by another way.")
TX_FEW_TRIES = Rule(_SPEC, "13.6.3", "After five wrong transaction codes, the offer is over.")
NO_REPLAY = Rule(_SPEC, "13.6.2", "A pre-authorized code is used once: a second use ends what was issued for it.")


@dataclass(frozen=True, slots=True)
class Request:
    """What this grant asks."""

    code: Secret
    tx_code: Secret | None


def parse(form: Form) -> Request:
    told = form.get("tx_code")
    return Request(code=Secret(form.one("pre-authorized_code")), tx_code=None if told is None else Secret(told))


def named(request: Inbound, anonymous: str) -> Form:
    """The form of a request; of a wallet that does not say who it is, with the client that stands for such."""
    form = request.form()
    says = {"client_id", "client_assertion"} & form.fields.keys() or request.headers.all("authorization")
    if not anonymous or form.get("grant_type") != TYPE or says or request.certificate is not None:
        return form
    return Form({**form.fields, "client_id": (anonymous,)})


async def approve(request: Request, client: AuthenticatedClient, _: Issuer, env: Env) -> Approval:
    code = request.code.reveal()
    offer = await env.store.read(Offer, secret_hash(code))
    now = env.clock()
    if offer is None or not offer.coded or (now >= offer.lives_until and offer.spent_at is None):
        LIVE.refuse("invalid_grant")
    if bool(offer.tx_hash) != (request.tx_code is not None):
        TX_EXPECTED.refuse("invalid_request", expected=bool(offer.tx_hash))
    if request.tx_code is not None:
        await _held_tx(request.tx_code, code, offer, env)
    if offer.spent_at is not None:  # by one who knows all of it: the wallet that had it, or a thief of both
        await _revoke(offer, client, env)
        NO_REPLAY.refuse("invalid_grant")
    event = Event(key="", at=now, what="offer_taken", client=client.id, person=offer.person)
    return Approval(
        client=client.id,
        subject=Subject(offer.person) if offer.person else None,
        authority=Authority(
            audience=frozenset({offer.audience}),
            details=tuple(openid_credential(name, (key,)) for name, key in sorted(offer.datasets.items())),
            until=Instant(now + TOKEN_LIFE),
        ),
        roots=(offer.root,),
        once=(Replace(offer, replace(offer, spent_at=now)), Append(event)),
    )


async def _held_tx(told: Secret, code: str, offer: Offer, env: Env) -> None:
    """Hold the transaction code. It is short: so each attempt is counted first, and few are let through."""
    if offer.wrong >= WRONG_MAX:
        TX_FEW_TRIES.refuse("invalid_grant")
    meter = throttle.meter("offer", offer.key, free=2)
    await throttle.attempt(meter, env=env)
    made = offer.tx_hash_of(code, told.reveal())
    if hmac.compare_digest(made, offer.tx_hash):
        return
    current: Offer | None = offer
    for _ in range(TRIES):
        if current is None or await env.store.commit(Replace(current, replace(current, wrong=current.wrong + 1))):
            break
        current = await env.store.read(Offer, offer.key)
    TX_RIGHT.refuse("invalid_grant", wrong=offer.wrong + 1)


async def _revoke(offer: Offer, client: AuthenticatedClient, env: Env) -> None:
    """End what was issued for the code: each token of it names the offer's root."""
    mark = Add(Revoked(key=offer.root, expires_at=Instant((offer.spent_at or 0) + TOKEN_LIFE + 2 * SKEW)))
    event = Event(key="", at=env.clock(), what="offer_replayed", client=client.id, person=offer.person)
    await statuses.commit((mark, Append(event)), env, ends=offer.root)  # False where another replay was faster


GRANT = Grant(TYPE, parse, approve, public=True, gone="invalid_grant")
