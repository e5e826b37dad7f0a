"""What is to be issued to whom: the datasets that somebody is entitled to, and offers of them to a wallet."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds, Secret
from deputize.core.wire import JsonObject, b64u, json_bytes
from deputize.oauth.details import dataset

LIFE: Final = Seconds(600)
KEPT_AFTER: Final = Seconds(3600)
LATER: Final = Seconds(30 * 24 * 3600)  # so long, what is not known yet may become known
TX_DIGITS: Final = 6

ISSUER_STATE = Rule(
    "OpenID4VCI 1.0", "5.1.3", "An issuer_state is of an offer that was made here, and is for whom that offer is for."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitled(Record):
    """A dataset: what a credential of one configuration says about somebody. `key` is its credential_identifier.

    `whose` is a person, or the root of the offer that it was made for. `claims` are a JSON text, empty until they are
    known: then it is issued later.
    """

    kind: ClassVar[str] = "entitlement"
    indexed: ClassVar[tuple[str, ...]] = ("whose",)

    whose: str
    configuration: str
    claims: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(Record):
    """An offer. `key` is a hash of its code (or its issuer_state): who reads the store cannot use it.

    `datasets` are the identifiers of what is offered, by configuration; `person` is whom it is for, if it is for
    anybody. `tx_hash` is there where a transaction code is needed. `coded` says that its secret is a pre-authorized
    code, and not an issuer_state. `wrong` counts wrong transaction codes.
    """

    kind: ClassVar[str] = "credential_offer"

    audience: str
    datasets: Mapping[str, str]
    lives_until: Instant
    person: str = ""
    coded: bool = True
    tx_hash: str = ""
    wrong: int = 0
    spent_at: Instant | None = None

    @property
    def root(self) -> str:
        """What every token that comes of it is named by: where this is revoked, all of them end."""
        return secret_hash(f"root {self.key}")

    def tx_hash_of(self, code: str, tx_code: str) -> str:
        """The hash of a transaction code: with the code itself, so that the store alone does not give it away."""
        return secret_hash(f"tx {code} {tx_code}")


def secret_hash(text: str) -> str:
    """What is kept of a code, an issuer_state, an identifier of a transaction."""
    return b64u(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An offer as it was made: what to commit, what goes into the link, and what is told by another way."""

    offer: Offer
    secret: Secret
    tx_code: Secret | None
    changes: tuple[Change, ...]

    def told(self) -> JsonObject:
        """The Credential Offer (OpenID4VCI 1.0, 4.1.1)."""
        return told(self.offer, self.secret.reveal())


def told(offer: Offer, secret: str) -> JsonObject:
    """The Credential Offer of one that is kept."""
    if offer.coded:
        grant: JsonObject = {"pre-authorized_code": secret}
        if offer.tx_hash:
            grant["tx_code"] = {"input_mode": "numeric", "length": TX_DIGITS}
        grants = {"urn:ietf:params:oauth:grant-type:pre-authorized_code": grant}
    else:
        grants = {"authorization_code": {"issuer_state": secret}}
    return {
        "credential_issuer": offer.audience,
        "credential_configuration_ids": sorted(offer.datasets),
        "grants": grants,
    }


async def make(
    datasets: Mapping[str, JsonObject | None],
    audience: str,
    env: Env,
    *,
    person: str = "",
    coded: bool = True,
    tx_code: bool = False,
    life: Seconds = LIFE,
) -> Made:
    """An offer of these configurations with what each will say; None where that is not known yet.

    What a person is entitled to takes the place of what they were entitled to before.
    """
    now, secret = env.clock(), env.random(256)
    offer = Offer(
        key=secret_hash(secret),
        audience=audience,
        datasets={name: dataset(person, name) if person else env.random(256) for name in datasets},
        lives_until=Instant(now + life),
        expires_at=Instant(now + life + KEPT_AFTER),
        person=person,
        coded=coded,
    )
    if not person and not coded:
        raise Fault("an offer without a code is for somebody who signs in: it names a person")
    digits = _digits(env) if tx_code and coded else None
    if digits is not None:
        offer = replace(offer, tx_hash=offer.tx_hash_of(secret, digits))
    event = Event(key="", at=now, what="credential_offered", person=person, told={"what": " ".join(sorted(datasets))})
    changes: list[Change] = [Add(offer), Append(event)]
    for name, claims in datasets.items():
        text = "" if claims is None else json_bytes(claims).decode()
        made = Entitled(
            key=offer.datasets[name],
            whose=person or offer.root,
            configuration=name,
            claims=text,
            expires_at=None if person else Instant(now + life + (KEPT_AFTER if text else LATER)),
        )
        before = await env.store.read(Entitled, made.key)
        changes.append(Add(made) if before is None else Replace(before, replace(before, claims=text)))
    return Made(
        offer=offer, secret=Secret(secret), tx_code=None if digits is None else Secret(digits), changes=tuple(changes)
    )


def _digits(env: Env) -> str:
    number = int.from_bytes(hashlib.sha256(env.random(256).encode()).digest(), "big")
    return f"{number % 10**TX_DIGITS:0{TX_DIGITS}d}"


async def person_of(issuer_state: str, hinted: str, env: Env) -> str:
    """Who alone may answer an authorization request that comes of an offer. Others may have sent the state along."""
    offer = await env.store.read(Offer, secret_hash(issuer_state))
    if offer is None or offer.coded or env.clock() >= offer.lives_until or hinted not in {"", offer.person}:
        ISSUER_STATE.refuse("invalid_request")
    return offer.person
