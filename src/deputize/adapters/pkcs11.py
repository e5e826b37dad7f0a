"""Keys in a PKCS#11 token (an HSM, a smart card, SoftHSM): they sign there, and never come out.

The token's keys are made with the token's own tools. What is told here is which of them sign, and from when.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from deputize.adapters.keys_ring import DEFAULT, Plan, Ring, SigningKey
from deputize.adapters.keys_signer import RingSigner, Step
from deputize.adapters.system import SystemClock
from deputize.core.ports import Clock
from deputize.core.rules import Fault
from deputize.core.values import Instant, Secret
from deputize.core.wire import JsonObject, Malformed
from deputize.jose.keys import PublicKey, public_members, thumbprint

T = TypeVar("T")

ALG: Final = "ES256"
_SIGNATURE_BYTES: Final = 64
_CLOCK: Final = SystemClock()

log = structlog.get_logger("deputize.keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """A key in the token, by its label, and when it begins to sign."""

    label: str
    signs_from: Instant = Instant(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAt:
    """Where the token is: the vendor's module, the token's label, the PIN of its user."""

    module: Path
    token: str
    pin: Secret


class Pkcs11Signer(RingSigner):
    """Signs with the keys of a token. Which is due follows from their times, as with any other ring."""

    def __init__(self, door: "_Door", ring: Ring, labels: dict[str, str], *, plan: Plan, clock: Clock) -> None:
        self._door = door
        self._labels = labels
        self._given = ring
        super().__init__(ring, plan, clock)

    @classmethod
    async def open(
        cls, where: TokenAt, keys: Iterable[TokenKey], plan: Plan = DEFAULT, *, clock: Clock = _CLOCK
    ) -> "Pkcs11Signer":
        """Find the keys, and see that each signs what its public part verifies. Raises Fault."""
        door = _Door(where)
        ordered = sorted(keys, key=lambda key: key.signs_from)
        if not ordered:
            raise Fault("no key of the token is named")
        found: list[tuple[TokenKey, JsonObject]] = [(key, await door.public(key.label)) for key in ordered]
        for key, jwk in found:
            test = b"does this key sign what its public part verifies"
            if not PublicKey.from_jwk(jwk).verifies(await door.sign(key.label, test), test):
                raise Fault(f"the token's private and public key {key.label!r} are no pair")
        try:
            ring = Ring(generation=1, keys=tuple(_timed(found, plan, clock())))
        except Malformed as problem:
            raise Fault(f"the keys of the token {where.token!r}: {problem}") from None
        labels = {jwk["kid"]: key.label for key, jwk in found}
        return cls(door, ring, labels, plan=plan, clock=clock)

    async def sign(self, kid: str, data: bytes) -> bytes:
        return await self._door.sign(self._labels[self._to_sign_with(kid).kid], data)

    def _see(self) -> Ring:
        return self._given

    async def _change(self, step: Step, what: str) -> Ring:
        del step, what
        raise Fault("keys in a token are made and destroyed there; keys.pkcs11.keys says which sign, and from when")

    async def tend(self) -> None:
        """Nothing: the token is tended by its own."""


def _timed(found: list[tuple[TokenKey, JsonObject]], plan: Plan, now: Instant) -> Iterable[SigningKey]:
    """The keys with their times: each signs until the next one does."""
    for place, (key, jwk) in enumerate(found):
        until = found[place + 1][0].signs_from if place + 1 < len(found) else None
        one = SigningKey(
            kid=jwk["kid"],
            alg=ALG,
            public=jwk,
            private=None,
            made_at=min(now, key.signs_from),
            signs_from=key.signs_from,
        )
        yield one if until is None else one.ended(until, plan)


# --- the token ----------------------------------------------------------------------------------------------------


@cache
def _thread_of(module: Path) -> ThreadPoolExecutor:
    """The one thread that calls this module. What it loads is told that nobody calls it from two at once."""
    return ThreadPoolExecutor(1, thread_name_prefix=f"deputize-{module.name}")


class _Door:
    """The way to the token: one session in one thread, opened again when it was lost. Nothing here shows the PIN."""

    def __init__(self, where: TokenAt) -> None:
        self._where = where
        self._session: Any = None
        self._keys: dict[str, Any] = {}
        self._locked_out: str | None = None

    async def public(self, label: str) -> JsonObject:
        return await self._call(lambda: self._public(label))

    async def sign(self, label: str, data: bytes) -> bytes:
        return await self._call(lambda: self._sign(label, data))

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(_thread_of(self._where.module), self._tried, work)

    # --- all of the following runs in the module's thread ---

    def _tried(self, work: Callable[[], T]) -> T:
        """Do it; once more with a new session, where the token went away and came back."""
        was_open = self._session is not None
        try:
            return self._done(work)
        except Fault as fault:
            if not (was_open and fault.retry):
                raise
            log.warning("the token is asked anew", what=str(fault))
        with contextlib.suppress(_library().PKCS11Error):  # it may be gone already
            self._session.close()
        self._session, self._keys = None, {}
        return self._done(work)

    def _done(self, work: Callable[[], T]) -> T:
        errors = _library()
        try:
            if self._session is None:
                self._session = self._opened()
            return work()
        except (errors.NoSuchKey, errors.NoSuchToken, errors.MultipleObjectsReturned) as problem:
            raise Fault(f"the token {self._where.token!r}, or its key, is not there once: {problem!r}") from None
        except errors.PKCS11Error as problem:
            raise Fault(f"the token {self._where.token!r}: {type(problem).__name__}", retry=True) from None

    def _opened(self) -> Any:  # noqa: ANN401 (the library is an extra: its types are not always here)
        if self._locked_out is not None:  # a wrong PIN said again and again locks the token
            raise Fault(self._locked_out)
        module = _library()
        token = module.lib(str(self._where.module)).get_token(token_label=self._where.token)
        try:
            return token.open(user_pin=self._where.pin.reveal())
        except module.UserAlreadyLoggedIn:  # by another session of this process: the token asks once
            return token.open()
        except (module.PinIncorrect, module.PinInvalid, module.PinLenRange, module.PinLocked, module.PinExpired) as no:
            self._locked_out = f"the token {self._where.token!r} does not take the PIN ({type(no).__name__})"
            raise Fault(self._locked_out) from None

    def _sign(self, label: str, data: bytes) -> bytes:
        module = _library()
        key = self._keys.get(label)
        if key is None:
            key = self._keys[label] = self._session.get_key(
                object_class=module.ObjectClass.PRIVATE_KEY, key_type=module.KeyType.EC, label=label
            )
        signature = bytes(key.sign(hashlib.sha256(data).digest(), mechanism=module.Mechanism.ECDSA))
        if len(signature) != _SIGNATURE_BYTES:
            raise Fault(f"the token's key {label!r} does not sign as {ALG} does")
        return signature  # as PKCS#11 and JWS both have it: r and s, one after the other

    def _public(self, label: str) -> JsonObject:
        module = _library()
        found = self._session.get_key(
            object_class=module.ObjectClass.PUBLIC_KEY, key_type=module.KeyType.EC, label=label
        )
        try:
            key = load_der_public_key(module.util.ec.encode_ec_public_key(found))
        except ValueError:
            key = None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise Fault(f"the token's key {label!r} is not for {ALG}: it wants the curve P-256")
        members = {**public_members(key), "alg": ALG, "use": "sig"}
        return {**members, "kid": thumbprint(members)}


def _library() -> Any:  # noqa: ANN401 (an extra: its types are not always here)
    try:
        return import_module("pkcs11")
    except ImportError:
        raise Fault("keys in a token need the extra: pip install 'deputize[pkcs11]'") from None
