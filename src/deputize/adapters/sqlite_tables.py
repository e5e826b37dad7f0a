"""A kind's table in SQLite, and every sentence that is said to it: written once a kind, so parsed once."""

import sqlite3
from typing import Final, Generic, TypeVar

from deputize.adapters.packing import Packing, packing
from deputize.core.ports import Record

R = TypeVar("R", bound=Record)

# How far each kind's appended records have been counted. The name begins with what no kind's name can begin with:
# a counter that is swept along with its rows would hand out the same keys again.
COUNTERS: Final = "CREATE TABLE IF NOT EXISTS _appended (kind TEXT PRIMARY KEY NOT NULL, last INTEGER NOT NULL)"
COUNTED: Final = "SELECT last FROM _appended WHERE kind = ?"
COUNT: Final = "INSERT OR REPLACE INTO _appended (kind, last) VALUES (?, ?)"

# How often each kind that is kept in memory has changed. The file itself counts, whoever writes: another process, one
# of an earlier version, or an operator by hand.
CHANGES: Final = "CREATE TABLE IF NOT EXISTS _changed (kind TEXT PRIMARY KEY NOT NULL, times INTEGER NOT NULL)"
CHANGED: Final = "SELECT kind, times FROM _changed"

KINDS: Final = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '[a-z]*' AND name NOT GLOB 'sqlite_*'"
_FILLED_AT_ONCE: Final = 1000


def forget(name: str) -> str:
    """Forgets some of what has expired in the table of this name."""
    return (
        f'DELETE FROM "{name}" WHERE rowid IN'  # noqa: S608 (a name that the file itself told, quoted)
        f' (SELECT rowid FROM "{name}" WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)'
    )


class Table(Generic[R]):
    """One kind's table. Its names were checked by `packing`: small letters, digits and _."""

    # Rows lie in the order of writing, with the keys in an index beside them: keys are random, and a table sorted by
    # them was measured at two thirds of the speed.

    __slots__ = (
        *("_columns", "add", "append", "by", "is_there", "is_this", "kept", "name", "packing", "read", "replace"),
        *("replace_body", "unfilled"),
    )

    def __init__(self, kind: type[R]) -> None:
        self.packing: Packing[R] = packing(kind)
        self.name = name = self.packing.name
        self.kept = kind.kept
        self._columns = tuple(f"by_{field}" for field in kind.indexed)
        places = "".join(f", {column}" for column in self._columns)
        values = ", ?" * len(self._columns)
        sets = "".join(f", {column} = ?" for column in self._columns)
        rows = f'SELECT key, version, body FROM "{name}" WHERE'  # noqa: S608 (a checked name, quoted)
        self.append = f'INSERT INTO "{name}" (version, key, expires_at, body{places}) VALUES (0, ?, ?, ?{values})'  # noqa: S608 (the same)
        self.add = f"{self.append} ON CONFLICT (key) DO NOTHING"
        self.replace = (
            f'UPDATE "{name}" SET version = version + 1, expires_at = ?, body = ?{sets} WHERE key = ? AND version = ?'  # noqa: S608 (the same)
        )
        # An index is written anew for each column that is set, changed or not: most replacements change none of them.
        self.replace_body = f'UPDATE "{name}" SET version = version + 1, body = ? WHERE key = ? AND version = ?'  # noqa: S608 (the same)
        self.is_there = f"{rows} key = ?"
        self.is_this = f"{rows} key = ? AND version = ?"
        self.read = f"{rows} key = ?"
        self.by = {"": f"{rows} key > ? ORDER BY key LIMIT ?"}
        for field in kind.indexed:
            self.by[field] = f"{rows} by_{field} = ? AND key > ? ORDER BY key LIMIT ?"
        # What a program wrote that did not know the field yet, since this one brought it in.
        self.unfilled = {field: f'SELECT 1 FROM "{name}" WHERE by_{field} IS NULL LIMIT 1' for field in kind.indexed}  # noqa: S608 (the same)

    def make(self, connection: sqlite3.Connection) -> None:
        """Bring the table into the file, or up to date: a newly indexed column is filled from the bodies."""
        name = self.name
        connection.execute(
            f'CREATE TABLE IF NOT EXISTS "{name}"'
            " (key TEXT PRIMARY KEY NOT NULL, expires_at INTEGER, version INTEGER NOT NULL, body BLOB NOT NULL)"
        )
        connection.execute(
            f'CREATE INDEX IF NOT EXISTS "{name} expires_at" ON "{name}" (expires_at) WHERE expires_at IS NOT NULL'
        )
        missing = self.missing(connection)
        for column in missing:
            connection.execute(f'ALTER TABLE "{name}" ADD COLUMN {column} TEXT')
        if missing:
            self.fill(connection)
        for column in self._columns:
            connection.execute(f'CREATE INDEX IF NOT EXISTS "{name} {column}" ON "{name}" ({column}, key)')

        if self.kept:
            self._count_changes(connection)

    def _count_changes(self, connection: sqlite3.Connection) -> None:
        connection.execute(CHANGES)
        connection.execute("INSERT OR IGNORE INTO _changed (kind, times) VALUES (?, 0)", (self.name,))
        for verb in ("INSERT", "UPDATE", "DELETE"):
            connection.execute(
                f'CREATE TRIGGER IF NOT EXISTS "{self.name} {verb}" AFTER {verb} ON "{self.name}"'  # noqa: S608 (a checked name)
                f" BEGIN UPDATE _changed SET times = times + 1 WHERE kind = '{self.name}'; END"
            )

    def missing(self, connection: sqlite3.Connection) -> list[str]:
        """The columns that the file does not have."""
        there = {row[1] for row in connection.execute(f'PRAGMA table_info("{self.name}")')}
        return [column for column in self._columns if column not in there]

    def fill(self, connection: sqlite3.Connection) -> None:
        """Write into the columns what the bodies say, where nothing was written yet."""
        sets = ", ".join(f"{column} = ?" for column in self._columns)
        empty = " OR ".join(f"{column} IS NULL" for column in self._columns)
        done = 0
        while rows := connection.execute(
            f'SELECT rowid, version, body FROM "{self.name}" WHERE rowid > ? AND ({empty}) ORDER BY rowid LIMIT ?',  # noqa: S608 (a checked name)
            (done, _FILLED_AT_ONCE),
        ).fetchall():
            filled = ((*self.packing.indexed_in(body, version), rowid) for rowid, version, body in rows)
            connection.executemany(f'UPDATE "{self.name}" SET {sets} WHERE rowid = ?', filled)  # noqa: S608 (the same)
            done = rows[-1][0]
