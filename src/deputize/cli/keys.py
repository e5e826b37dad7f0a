"""The verbs of `deputize keys`: what an operator sees of the signing keys, and does with them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deputize.adapters import key_file, keys_store
from deputize.adapters.keys_master import MasterKey
from deputize.adapters.keys_ring import CACHED_MAX, State
from deputize.adapters.keys_signer import KeyTold, RingSigner
from deputize.adapters.memory import MemoryStore
from deputize.adapters.stores import open_store
from deputize.adapters.system import SystemClock
from deputize.compose import observe
from deputize.compose.keys import master_of, signer_of
from deputize.compose.settings import Settings, load
from deputize.core.ports import Clock, Store
from deputize.core.rules import Fault
from deputize.core.values import Instant
from deputize.core.wire import JsonObject

KID_LEAST: Final = 6  # so many of its first letters name a key on the command line

_SAYS: Final = {
    State.NEXT: "published, signs from {signs_from}",
    State.ACTIVE: "signs",
    State.RETIRING: "signs no more, shown until {shown_until}",
    State.RETIRED: "gone with the next change",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys as they are now, and what there is to know of what was done."""

    keys: tuple[KeyTold, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> list[JsonObject]:
        return [
            {
                "kid": key.kid,
                "alg": key.alg,
                "state": str(key.state),
                "made_at": key.made_at,
                "signs_from": key.signs_from,
                "signs_until": key.signs_until,
                "shown_until": key.shown_until,
            }
            for key in self.keys
        ]

    def lines(self) -> list[str]:
        return [f"{key.kid}  {key.alg}  {key.state}: {_says(key)}" for key in self.keys]


def listed(config: Path | None, *, dev: bool) -> Keys:
    """The keys that there are."""
    return _with_signer(config, _told, dev=dev)


def rotate(config: Path | None, *, dev: bool, at_once: bool = False, alg: str | None = None) -> Keys:
    """Publish the next key; it signs when whoever verifies has had the time to see it, or at once."""

    async def work(signer: RingSigner) -> Keys:
        before = signer.told()
        await signer.rotate(at_once=at_once, alg=alg)
        return await _told(signer, *_notes_on_rotation(before, signer.told()))

    return _with_signer(config, work, dev=dev)


def retire(config: Path | None, kid: str, *, dev: bool) -> Keys:
    """Take a key away at once: for one that somebody else may have."""

    async def work(signer: RingSigner) -> Keys:
        before = signer.told()
        gone = _named(kid, before)
        await signer.retire(gone.kid)
        note = (
            f"What {gone.kid} signed is refused here within two seconds. Others refuse it when they look for keys"
            f" again: within a minute, or {CACHED_MAX // 60} where they go on with a copy."
        )
        return await _told(signer, note, *_unseen(before, signer.told()))

    return _with_signer(config, work, dev=dev)


def wrap(config: Path | None, *, dev: bool, before: Path | None = None) -> Keys:
    """Encrypt the keys under the master key of the settings: open ones, or those under another (the file `before`)."""
    observe.configure(level="warning")
    settings = load(config, dev=dev)
    if settings.keys.keep == "pkcs11":
        raise Fault("keys in a token need no wrapping")
    master = master_of(settings.keys)
    if master is None:
        raise Fault("there is nothing to wrap with: name keys.master_key_file or keys.master_key_env")
    old = None if before is None else MasterKey.from_file(before)
    if settings.keys.keep == "file":
        key_file.wrap(Path(settings.keys.path), master, old)
    elif old is None:
        raise Fault("keys in the store are wrapped from the start; another master key is brought in with the old one")
    else:
        asyncio.run(_rewrapped(settings, old, master))
    note = f"The keys are encrypted under the master key {master.name}. Start each worker anew: it knows another."
    return Keys(keys=listed(config, dev=dev).keys, notes=(note,))


async def _rewrapped(settings: Settings, old: MasterKey, master: MasterKey) -> None:
    store = open_store(settings.store.path, dev=settings.dev)
    try:
        await keys_store.rewrap(store, old, master)
    finally:
        await store.close()


def _with_signer(config: Path | None, work: Callable[[RingSigner], Awaitable[Keys]], *, dev: bool) -> Keys:
    observe.configure(level="warning")
    settings = load(config, dev=dev)
    clock: Clock = SystemClock()

    async def main() -> Keys:
        in_store = settings.keys.keep == "store"
        store: Store = open_store(settings.store.path, dev=settings.dev) if in_store else MemoryStore()
        try:
            return await work(await signer_of(settings.keys, store, clock, make=False))
        finally:
            await store.close()

    return asyncio.run(main())


async def _told(signer: RingSigner, *notes: str) -> Keys:
    return Keys(keys=signer.told(), notes=notes)


def _named(kid: str, keys: tuple[KeyTold, ...]) -> KeyTold:
    """The one key that is meant. Its first letters will do; none is ever guessed."""
    meant = [key for key in keys if key.kid == kid] or [
        key for key in keys if len(kid) >= KID_LEAST and key.kid.startswith(kid)
    ]
    if len(meant) != 1:
        raise Fault(f"no key, or more than one, is called {kid}: `deputize keys list` lists them")
    return meant[0]


def _notes_on_rotation(before: tuple[KeyTold, ...], after: tuple[KeyTold, ...]) -> list[str]:
    if [key.kid for key in before] == [key.kid for key in after] and _signing(before) == _signing(after):
        return [f"The next key is there already; it signs from {_when(key.signs_from)}." for key in _coming(after)]
    if _signing(before) != _signing(after):
        return _unseen(before, after)
    return [
        f"The next key is published. It signs from {_when(key.signs_from)}, in every worker and on every host."
        for key in _coming(after)
    ]


def _unseen(before: tuple[KeyTold, ...], after: tuple[KeyTold, ...]) -> list[str]:
    """Say it aloud where a key signs that others have had no time to see."""
    begun, now = _signing(after) - _signing(before), SystemClock()()
    if all(key.made_at + 2 * CACHED_MAX <= now for key in after if key.kid in begun):
        return []
    told = (
        "A KEY SIGNS FROM NOW ON THAT OTHERS HAVE HAD NO TIME TO SEE. Who verifies with a copy of the keys refuses its"
        f" tokens until he looks again: for up to {CACHED_MAX // 60} minutes, or for as long as he keeps such copies."
    )
    return [told]


def _signing(keys: tuple[KeyTold, ...]) -> set[str]:
    return {key.kid for key in keys if key.state is State.ACTIVE}


def _coming(keys: tuple[KeyTold, ...]) -> list[KeyTold]:
    return [key for key in keys if key.state is State.NEXT]


def _says(key: KeyTold) -> str:
    return _SAYS[key.state].format(
        signs_from=_when(key.signs_from), shown_until="-" if key.shown_until is None else _when(key.shown_until)
    )


def _when(at: Instant) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
