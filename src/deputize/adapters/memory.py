"""A store in memory, for tests and trials. What it keeps is packed, so what passes here can be kept anywhere."""

from dataclasses import dataclass
from typing import TypeVar

from deputize.adapters.packing import appended_key, check_replace, check_where, packing
from deputize.core.ports import Add, Append, Change, Record, Replace
from deputize.core.rules import Fault
from deputize.core.values import Instant

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class _Row:
    version: int
    expires_at: Instant | None
    indexed: tuple[str, ...]
    body: bytes


def _row(record: Record, version: int) -> _Row:
    kept = packing(type(record))
    return _Row(version, record.expires_at, kept.indexed(record), kept.pack(record))


class MemoryStore:
    """Forgets all when the process ends. Belongs to one thread."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, _Row]] = {}
        self._kinds: dict[str, type[Record]] = {}
        self._appended: dict[str, int] = {}
        self._closed = False

    def _table(self, kind: type[Record]) -> dict[str, _Row]:
        if self._closed:
            raise Fault("the store is closed")
        name = packing(kind).name
        if self._kinds.setdefault(name, kind) is not kind:
            raise TypeError(f"two classes of records call themselves {name!r}")
        return self._tables.setdefault(name, {})

    async def read(self, kind: type[R], key: str) -> R | None:
        row = self._table(kind).get(key)
        return None if row is None else packing(kind).unpack(row.body, key, row.version)

    async def select(self, kind: type[R], where: str, equals: str, *, after: str = "", limit: int = 100) -> list[R]:
        rows = self._table(kind)
        check_where(kind, where)
        place = kind.indexed.index(where) if where else None
        keys = sorted(
            key for key, row in rows.items() if key > after and (place is None or row.indexed[place] == equals)
        )
        return [packing(kind).unpack(rows[key].body, key, rows[key].version) for key in keys[:limit]]

    async def commit(self, *changes: Change) -> bool:
        writes: dict[tuple[str, str], _Row] = {}
        appends: list[Record] = []
        holds = True
        for change in changes:
            match change:
                case Add(record):
                    rows, key, row = self._table(type(record)), record.key, _row(record, 0)
                    holds &= key not in rows
                case Replace(old, new):
                    check_replace(old, new)
                    rows, record, key = self._table(type(new)), new, new.key
                    row = _row(new, old.version + 1)
                    holds &= key in rows and rows[key].version == old.version
                case Append(record):
                    self._table(type(record))
                    _row(record, 0)
                    appends.append(record)
                    continue
            place = (record.kind, key)
            holds &= place not in writes  # a key changes once in a commit
            writes[place] = row
        if not holds:
            return False
        for (kind, key), row in writes.items():
            self._tables[kind][key] = row
        for record in appends:
            self._appended[record.kind] = number = self._appended.get(record.kind, 0) + 1
            self._tables[record.kind][appended_key(number)] = _row(record, 0)
        return True

    async def sweep(self, now: Instant) -> int:
        swept = 0
        for rows in self._tables.values():
            expired = [key for key, row in rows.items() if row.expires_at is not None and row.expires_at <= now]
            for key in expired:
                del rows[key]
            swept += len(expired)
        return swept

    async def close(self) -> None:
        self._closed = True
