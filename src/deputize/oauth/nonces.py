"""Nonces for DPoP proofs (RFC 9449, 8 and 9): made from the time and one secret, so every worker knows them all."""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import ClassVar, Final

from deputize.core.ports import Add, Env, Record
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import b64u

HEADER: Final = "dpop-nonce"
_KEY: Final = "dpop"

FRESH = Rule("RFC 9449", "8", "The proof has in it a nonce that this server gave out lately.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Whether proofs must have a nonce in them, and how long one is given out; the one before is taken, too."""

    nonces: bool = False
    nonce_life: Seconds = Seconds(300)

    def __post_init__(self) -> None:
        if not 10 <= self.nonce_life <= 3600:
            raise ValueError("a nonce is given out for ten seconds to an hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class NonceSecret(Record):
    """What nonces are made from: made once for all who share the store."""

    kind: ClassVar[str] = "nonce_secret"

    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonces:
    """The nonces of one place (an issuer, a resource): no other place takes them."""

    place: str
    life: Seconds
    secret: str = field(repr=False)

    def fresh(self, now: Instant) -> str:
        """The nonce that is given out now."""
        return self._at(now // self.life)

    def accepts(self, nonce: object, now: Instant) -> bool:
        """Whether it is of now or of just before; or of just after, where another host's clock is ahead of ours."""
        slot = now // self.life
        told = nonce.encode("utf-8", "surrogatepass") if isinstance(nonce, str) else b""
        same = [hmac.compare_digest(told, self._at(one).encode()) for one in (slot - 1, slot, slot + 1)]
        return any(same)

    def hold(self, nonce: object, now: Instant) -> None:
        """Hold the nonce of a proof."""
        if not self.accepts(nonce, now):
            FRESH.refuse("use_dpop_nonce", there=nonce is not None)

    def _at(self, slot: int) -> str:
        made = hmac.new(self.secret.encode(), f"{slot} {self.place}".encode(), hashlib.sha256)
        return b64u(made.digest()[:16])


async def at(place: str, settings: Settings, env: Env) -> Nonces | None:
    """The nonces of this place; None where they are off."""
    if not settings.nonces:
        return None
    return Nonces(place=place, life=settings.nonce_life, secret=await secret_of(_KEY, env))


async def secret_of(name: str, env: Env) -> str:
    """The secret of this name: made at first use, once for all who share the store."""
    kept = await env.store.read(NonceSecret, name)
    if kept is None:
        await env.store.commit(Add(NonceSecret(key=name, secret=env.random(256))))
        kept = await env.store.read(NonceSecret, name)  # ours, or that of another who was faster
        if kept is None:
            raise Fault("the secret of the nonces is gone", retry=True)
    return kept.secret
