"""Signing keys as one record of the store, under the master key: all that several hosts need to sign as one server."""

import asyncio
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import structlog

from deputize.adapters import keys_ring
from deputize.adapters.keys_master import MasterKey
from deputize.adapters.keys_ring import DEFAULT, Plan, Ring
from deputize.adapters.keys_signer import RingSigner, Step
from deputize.adapters.keys_written import from_bytes, to_bytes
from deputize.adapters.system import SystemClock
from deputize.core.ports import Add, Append, Clock, Event, Record, Replace, Store
from deputize.core.rules import Fault
from deputize.core.values import Instant
from deputize.core.wire import Malformed

NAME: Final = "server"
TRIES_MAX: Final = 10
_CLOCK: Final = SystemClock()

log = structlog.get_logger("deputize.keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing(Record):
    """All keys of one server, written as they would be in a file. Whoever changes them replaces all at once."""

    kind: ClassVar[str] = "key_ring"

    document: str = ""


class StoreSigner(RingSigner):
    """Signs with the keys of a record. `watch` has to run: it alone sees what other processes change."""

    def __init__(
        self, store: Store, record: KeyRing, ring: Ring, *, plan: Plan, master: MasterKey, clock: Clock
    ) -> None:
        self._store = store
        self._record = record
        self._master = master
        self._seen: Ring | Fault = ring
        super().__init__(ring, plan, clock)

    @classmethod
    async def open(
        cls, store: Store, master: MasterKey, plan: Plan = DEFAULT, *, clock: Clock = _CLOCK, make: bool = True
    ) -> "StoreSigner":
        """The keys in the store, made where there are none (unless `make` says no).

        Never without a master key: who can read the database, or a copy of it, would sign as this server. Raises
        Fault if the record is there and cannot be opened: it is never replaced.
        """
        record = await store.read(KeyRing, NAME)
        if record is None and not make:
            raise Fault("there are no keys in the store: `deputize serve` makes them")
        if record is None:
            now = clock()
            ring = await asyncio.to_thread(keys_ring.founded, plan, now)
            new = KeyRing(key=NAME, document=to_bytes(ring, master).decode())
            if await store.commit(Add(new), _event("keys_founded", ring, now)):
                log.warning("made new keys: there were none in the store")
            record = await store.read(KeyRing, NAME)  # ours, or that of a process which was faster
        if record is None:
            raise Fault("the keys went away while they were opened", retry=True)
        return cls(store, record, _ring(record, master), plan=plan, master=master, clock=clock)

    async def look(self) -> None:
        try:
            record = await self._store.read(KeyRing, NAME)
            if record is None:
                raise Fault("the keys are gone from the store")
            if record.version != self._record.version or isinstance(self._seen, Fault):
                self._record, self._seen = record, _ring(record, self._master)
        except Fault as fault:
            self._seen = fault
        self._turn()

    def _see(self) -> Ring:
        if isinstance(self._seen, Fault):
            raise self._seen
        return self._seen

    async def _change(self, step: Step, what: str) -> Ring:
        for _ in range(TRIES_MAX):
            record = await self._store.read(KeyRing, NAME)
            if record is None:
                raise Fault("the keys are gone from the store")
            ring, now = _ring(record, self._master), self._clock()
            after = await asyncio.to_thread(step, ring, now)
            if after is not ring:
                new = replace(record, document=to_bytes(after, self._master).decode())
                if not await self._store.commit(Replace(record, new), _event(what, after, now)):
                    continue
            self._seen = after
            return after
        raise Fault("others kept changing the keys", retry=True)


async def rewrap(store: Store, before: MasterKey, master: MasterKey, *, clock: Clock = _CLOCK) -> None:
    """Encrypt the keys in the store under another master key."""
    record = await store.read(KeyRing, NAME)
    if record is None:
        raise Fault("there are no keys in the store")
    ring = _ring(record, before)
    after = ring.with_keys(list(ring.keys))
    new = replace(record, document=to_bytes(after, master).decode())
    if not await store.commit(Replace(record, new), _event("keys_rewrapped", after, clock())):
        raise Fault("somebody else changed the keys meanwhile", retry=True)


def _ring(record: KeyRing, master: MasterKey) -> Ring:
    try:
        return from_bytes(record.document.encode(), master)
    except Malformed as problem:
        raise Fault(f"the keys in the store cannot be used, and are left as they are: {problem}") from None


def _event(what: str, ring: Ring, now: Instant) -> Append:
    told = {"generation": str(ring.generation), "kids": " ".join(key.kid for key in ring.keys)}
    return Append(Event(key="", at=now, what=what, told=told))
