"""Where the server's keys lie, how they come and go, and the signer that comes of it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from deputize.adapters.key_file import FileSigner
from deputize.adapters.keys_master import MasterKey
from deputize.adapters.keys_ring import CACHED_MAX, DEFAULT, SKEW_MAX, Plan
from deputize.adapters.keys_signer import RingSigner
from deputize.adapters.keys_store import StoreSigner
from deputize.adapters.pkcs11 import ALG, Pkcs11Signer, TokenAt, TokenKey
from deputize.core.ports import Clock, Store
from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKeySettings:
    """A key of the token by its label; `signs_from` is a time such as 2027-01-01T00:00:00Z (empty: ever since)."""

    label: str
    signs_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Settings:
    """A PKCS#11 token: the file of its module, its label, its PIN by reference, and which of its keys sign."""

    module: str = ""
    token: str = ""
    pin_file: str = ""
    pin_env: str = ""
    keys: tuple[TokenKeySettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """Where the server's keys lie, and how they come and go.

    `keep`: in the file at `path`, in the store (for several hosts), or in a PKCS#11 token. `master_key_file`, or the
    variable of the environment that `master_key_env` names, holds what they are encrypted with. `alg` is signed with;
    `also` are further algorithms with a key of their own. A new key is published for `lead` before it signs, and
    shown for `overlap` after; it signs for `rotate_after` (0: until `deputize keys rotate`).
    """

    keep: Literal["file", "store", "pkcs11"] = "file"
    path: str = "var/keys.json"
    master_key_file: str = ""
    master_key_env: str = ""
    alg: str = DEFAULT.alg
    also: tuple[str, ...] = DEFAULT.also
    lead: Seconds = DEFAULT.lead
    overlap: Seconds = DEFAULT.overlap
    rotate_after: Seconds = DEFAULT.rotate_after
    pkcs11: Pkcs11Settings = Pkcs11Settings()


def mistakes(keys: KeySettings, token_life: Seconds) -> Iterator[str]:
    """What contradicts itself, each a line that says where."""
    try:
        plan_of(keys)
    except ValueError as problem:
        yield f"keys: {problem}"
    least = token_life + SKEW_MAX + 2 * CACHED_MAX
    if keys.overlap < least:
        yield f"keys.overlap: at least {least}: what is signed may live for {token_life}, and is verified until it ends"
    if keys.master_key_file and keys.master_key_env:
        yield "keys.master_key_file: it or keys.master_key_env, not both"
    if keys.keep == "store" and not (keys.master_key_file or keys.master_key_env):
        yield "keys.keep: in the store keys are encrypted, so name keys.master_key_file or keys.master_key_env"
    if keys.keep == "pkcs11":
        yield from _mistakes_of_token(keys)


def _mistakes_of_token(keys: KeySettings) -> Iterator[str]:
    token = keys.pkcs11
    if keys.alg != ALG or keys.also:
        yield f"keys.alg: a token's keys sign {ALG}, and nothing else"
    for name, value in (("module", token.module), ("token", token.token), ("keys", token.keys)):
        if not value:
            yield f"keys.pkcs11.{name}: keys.keep says pkcs11, so it is needed"
    if bool(token.pin_file) == bool(token.pin_env):
        yield "keys.pkcs11.pin_file: it or keys.pkcs11.pin_env, and one of them"
    for key in token.keys:
        try:
            _instant(key.signs_from)
        except ValueError:
            yield f"keys.pkcs11.keys: {key.signs_from!r} is no time with its zone, such as 2027-01-01T00:00:00Z"


def plan_of(keys: KeySettings) -> Plan:
    """How keys come and go by the settings. Raises ValueError."""
    return Plan(alg=keys.alg, also=keys.also, lead=keys.lead, overlap=keys.overlap, rotate_after=keys.rotate_after)


def master_of(keys: KeySettings) -> MasterKey | None:
    """The master key that the settings refer to. Raises Fault where it is referred to, and is not there or is none."""
    if keys.master_key_file:
        return MasterKey.from_file(keys.master_key_file)
    if not keys.master_key_env:
        return None
    text = os.environ.get(keys.master_key_env, "")
    if not text:
        raise Fault(f"keys.master_key_env names {keys.master_key_env}, and there is no such variable")
    return MasterKey(text)


async def signer_of(keys: KeySettings, store: Store, clock: Clock, *, make: bool = True) -> RingSigner:
    """The signer that the settings describe; `make` says whether first keys are made where there are none."""
    plan = plan_of(keys)
    if keys.keep == "pkcs11":
        return await _token_signer(keys.pkcs11, plan, clock)
    master = master_of(keys)
    if keys.keep == "store":
        if master is None:
            raise Fault("keys in the store want a master key")
        return await StoreSigner.open(store, master, plan, clock=clock, make=make)
    path = Path(keys.path)
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
    return FileSigner.open(path, plan, master=master, clock=clock, make=make)


@asynccontextmanager
async def watching(signer: RingSigner) -> AsyncIterator[None]:
    """Look after the keys for as long as this lasts: what others change is seen, and what is due is done."""
    task = asyncio.create_task(signer.watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _token_signer(token: Pkcs11Settings, plan: Plan, clock: Clock) -> Pkcs11Signer:
    where = TokenAt(module=Path(token.module), token=token.token, pin=_pin_of(token))
    keys = [TokenKey(label=key.label, signs_from=_instant(key.signs_from)) for key in token.keys]
    return await Pkcs11Signer.open(where, keys, plan, clock=clock)


def _pin_of(token: Pkcs11Settings) -> Secret:
    try:
        text = Path(token.pin_file).read_text() if token.pin_file else os.environ.get(token.pin_env, "")
    except (OSError, UnicodeDecodeError):
        raise Fault(f"the file of the token's PIN, {token.pin_file}, cannot be read") from None
    if not (pin := text.strip()):
        raise Fault(f"there is no PIN for the token {token.token!r}")
    return Secret(pin)


def _instant(text: str) -> Instant:
    if not text:
        return Instant(0)
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return Instant(int(at.timestamp()))
