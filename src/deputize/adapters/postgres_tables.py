# ruff: noqa: S608 (the names in these sentences were checked, or come from the store's own books; values are parameters)
"""A kind's table in PostgreSQL, and the one sentence that writes many commits at once.

Texts are compared byte by byte (`COLLATE "C"`), as everywhere else. PostgreSQL's text holds no NUL and its indexes no
long values, so a text is written as it stands unless it has such in it: then so that it sorts as before.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from deputize.adapters.packing import Packing, packing
from deputize.core.ports import Record
from deputize.core.wire import b64u

R = TypeVar("R", bound=Record)

ADD: Final = "a"
REPLACE: Final = "r"
APPEND: Final = "p"

# Who appends takes turns until their commit is visible: keys become visible in the order in which they were given, so
# whoever reads on from the last key that was seen misses none. The number says "depu", and is one for all tables.
_TURN: Final = "pg_advisory_xact_lock(1684369525, 0)"

_NEVER: Final = -1  # the version of a row that no replacement may leave behind: there was nothing to be replaced
_INDEXED_BYTES_MAX: Final = 1000  # an entry of an index holds a field and a key, and 2704 bytes
_PREFIX: Final = 225  # so many characters of a long text are kept in sight: at most 900 bytes
CHANGED: Final = "SELECT kind, times FROM _changed"
COUNTER: Final = "deputize counts"  # the trigger
# A replacement that moves no index and finds room on its page writes no index: with full pages, every second one did.
_FILLED: Final = 85
_NAME_MAX: Final = 63  # PostgreSQL cuts longer names, and two may then be one


def written(text: str) -> str:
    """The text as it is put into a column: without NUL, and short. Raises UnicodeEncodeError for half a character."""
    if "\x00" in text or "\x01" in text:
        text = text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
    if text.isascii() and len(text) <= _INDEXED_BYTES_MAX:
        return text
    data = text.encode()
    if len(data) <= _INDEXED_BYTES_MAX:
        return text
    return f"{text[:_PREFIX]}\x01\x03{b64u(hashlib.sha256(data).digest())}"


def meant(column: str) -> str | None:
    """The text that was written; None if it was too long to be read back from its column."""
    if "\x01" not in column:
        return column
    if "\x01\x03" in column:
        return None
    return column.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01")


class Table(Generic[R]):
    """One kind's table. Its names were checked by `packing`: small letters, digits and _."""

    __slots__ = (
        "by",
        "by_fields",
        "columns",
        "exact",
        "fill",
        "kept",
        "keys",
        "name",
        "packing",
        "read",
        "unfilled",
        "unfilled_by",
    )

    def __init__(self, kind: type[R]) -> None:
        self.packing: Packing[R] = packing(kind)
        self.name = name = self.packing.name
        self.kept = kind.kept
        self.by_fields = tuple(f"by_{field}" for field in kind.indexed)
        self.columns = ", ".join(("expires_at", "body", *self.by_fields))
        self.keys = _named(name, "keys")  # the sequence that gives the keys of what is appended
        rows = f'SELECT key, version, body FROM "{name}"'
        self.read = f"{rows} WHERE key = $1"
        self.exact = f"{rows} WHERE key = ANY($1::text[])"
        self.by = {"": f"{rows} WHERE key > $1 ORDER BY key LIMIT $2"}
        for field in kind.indexed:
            # A last row without a key says that a program which did not know the field has written since.
            self.by[field] = (
                f"({rows} WHERE by_{field} = $3 AND key > $1 ORDER BY key LIMIT $2)"
                f' UNION ALL (SELECT NULL, NULL, NULL FROM "{name}" WHERE by_{field} IS NULL LIMIT 1)'
            )
        unfilled = " OR ".join(f"{by} IS NULL" for by in self.by_fields)
        self.unfilled = f"{rows} WHERE key > $1 AND ({unfilled or 'false'}) ORDER BY key LIMIT $2"
        self.unfilled_by = {field: f"{rows} WHERE by_{field} IS NULL LIMIT $1" for field in kind.indexed}
        names = "".join(f", {by}" for by in self.by_fields)
        values = "".join(f", ${number}::text[]" for number, _ in enumerate(self.by_fields, start=3))
        self.fill = (
            f'UPDATE "{name}" t SET {", ".join(f"{by} = n.{by}" for by in self.by_fields)}'
            f" FROM unnest($1::text[], $2::bigint[]{values}) AS n(key, version{names})"
            " WHERE t.key = n.key AND t.version = n.version"
        )

    def inputs(self, verb: str) -> list[tuple[str, str]]:
        """The columns that a part of the sentence takes, with their types."""
        columns = [("n", "int"), ("s", "int")]
        if verb != APPEND:
            columns.append(("key", "text"))
        if verb == REPLACE:
            columns.append(("version", "bigint"))
        return [*columns, ("expires_at", "bigint"), ("body", "bytea"), *((by, "text") for by in self.by_fields)]

    def width(self, verb: str) -> int:
        return len(self.inputs(verb))

    def made(self) -> Iterator[str]:
        """What brings the table into an empty place."""
        columns = "".join(f', {by} text COLLATE "C"' for by in self.by_fields)
        yield (
            f'CREATE TABLE IF NOT EXISTS "{self.name}" (key text COLLATE "C" PRIMARY KEY,'
            f" version bigint NOT NULL, expires_at bigint, body bytea NOT NULL{columns}) WITH (fillfactor = {_FILLED})"
        )
        yield f'CREATE SEQUENCE IF NOT EXISTS "{self.keys}"'

    def counts(self) -> Iterator[str]:
        """What makes the database count the changes of a kind that is kept in memory, whoever makes them."""
        if self.kept:
            yield f"INSERT INTO _changed (kind, times) VALUES ('{self.name}', 0) ON CONFLICT DO NOTHING"
            yield (
                f'CREATE OR REPLACE TRIGGER "{COUNTER}" AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON "{self.name}"'
                " FOR EACH STATEMENT EXECUTE FUNCTION _count_change()"
            )

    def indexes(self) -> Iterator[tuple[str, str]]:
        """The indexes beside the key's own: each a name, and what it is on."""
        yield _named(self.name, "expires_at"), f'"{self.name}" (expires_at) WHERE expires_at IS NOT NULL'
        for by in self.by_fields:
            yield _named(self.name, by), f'"{self.name}" ({by}, key)'


def _named(table: str, what: str) -> str:
    name = f"{table} {what}"
    return name if len(name) <= _NAME_MAX else f"{name[:40]} {hashlib.sha256(name.encode()).hexdigest()[:20]}"


def forget(name: str) -> str:
    """Forgets some of what has expired in the table of this name, but nothing that somebody holds just now."""
    return (
        f'WITH gone AS (DELETE FROM "{name}" WHERE ctid = ANY(ARRAY('
        f'SELECT ctid FROM "{name}" WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))'
        " RETURNING 1) SELECT count(*) FROM gone"
    )


# --- the sentence -------------------------------------------------------------------------------------------------

Part = tuple[str, str]  # a table's name and a verb
Shape = tuple[bool, tuple[Part, ...]]  # does any commit have several conditions; which parts take part, in order


def sentence(shape: Shape, tables: dict[str, Table[Any]]) -> str:
    """One statement that writes many commits, each by itself: all of it or nothing.

    Each part takes its rows as arrays: `n` numbers the commit and `s` its step. It answers with the steps whose
    condition did not hold, and with those that could not be decided because somebody holds the row.

    Nobody waits in a circle. What is to be replaced is locked first, and not waited for (SKIP LOCKED). Then is added
    what is to be added, in the order of tables and keys; then comes the turn to append, and whoever has that waits for
    nothing more. PostgreSQL works out each name (`o1`, `o2`…) before the first row that asks for it.

    Where a commit has several conditions, all are looked at before anything is added. If one still fails because
    another transaction added the same key a moment ago, the statement ends in a division by zero and leaves nothing.

    No table is ever joined, only looked into row by row (LATERAL, OFFSET 0, ON CONFLICT): a plan that was made while a
    table held ten rows would otherwise go through all of them, and go on so when there are millions.
    """
    several, parts = shape
    place = _Places()
    numbered = [(f"i{number}", tables[name], verb) for number, (name, verb) in enumerate(parts)]
    adds = [(rows, table) for rows, table, verb in numbered if verb == ADD]
    replaces = [(rows, table) for rows, table, verb in numbered if verb == REPLACE]
    appends = [(rows, table) for rows, table, verb in numbered if verb == APPEND]

    steps = [_input(rows, table, verb, place) for rows, table, verb in numbered]
    ill: list[str] = []
    for rows, table in replaces:
        look = f'SELECT version FROM "{table.name}" WHERE key = {rows}.key'
        steps.append(
            f"{rows}_held AS MATERIALIZED (SELECT n, s, there.version = {rows}.version AS fits"
            f" FROM {rows}, LATERAL ({look} FOR NO KEY UPDATE SKIP LOCKED) there)"
        )
        ill.append(f"SELECT n, s, false FROM {rows}_held WHERE NOT fits")
        ill.append(
            f"SELECT n, s, EXISTS ({look} AND version = {rows}.version OFFSET 0)"
            f" FROM {rows} WHERE s NOT IN (SELECT s FROM {rows}_held)"
        )
    if several:
        ill += [
            f'SELECT n, s, false FROM {rows} WHERE EXISTS (SELECT FROM "{table.name}" WHERE key = {rows}.key OFFSET 0)'
            for rows, table in adds
        ]
    out = "o0"
    steps.append(f"{out} (n, s, busy) AS MATERIALIZED ({' UNION ALL '.join(ill) or 'SELECT 0, 0, false WHERE false'})")
    for number, (rows, table) in enumerate(adds, start=1):
        left = f"{rows} WHERE n NOT IN (SELECT n FROM {out})"
        steps.append(
            f'{rows}_new AS (INSERT INTO "{table.name}" (key, version, {table.columns})'
            f" SELECT key, 0, {table.columns} FROM {left} ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING key)"
        )
        steps.append(
            f"o{number} (n, s, busy) AS MATERIALIZED (SELECT n, s, busy FROM {out} UNION ALL"
            f" SELECT n, s, false FROM {left} AND key NOT IN (SELECT key FROM {rows}_new))"
        )
        out = f"o{number}"
    for rows, table in replaces:
        sets = ", ".join(f"{column} = excluded.{column}" for column in table.columns.split(", "))
        steps.append(
            f'{rows}_new AS (INSERT INTO "{table.name}" AS was (key, version, {table.columns})'
            f" SELECT key, {_NEVER}, {table.columns} FROM {rows} WHERE n NOT IN (SELECT n FROM {out})"
            f" ON CONFLICT (key) DO UPDATE SET version = was.version + 1, {sets} RETURNING version)"
        )
    torn = [f"EXISTS (SELECT FROM {rows}_new WHERE version = {_NEVER})" for rows, _ in replaces]
    if several:  # `IS TRUE` keeps these from being joined, too
        torn += [
            f"EXISTS (SELECT FROM {rows} WHERE (n IN (SELECT n FROM {out})) IS TRUE"
            f" AND (key IN (SELECT key FROM {rows}_new)) IS TRUE)"
            for rows, _ in adds
        ]
    if appends:
        left = " OR ".join(f"EXISTS (SELECT FROM {rows} WHERE n NOT IN (SELECT n FROM {out}))" for rows, _ in appends)
        last = "".join(f" AND (SELECT count(*) FROM {rows}_new) >= 0" for rows, _ in replaces)
        steps.append(f"turn AS MATERIALIZED (SELECT {_TURN} FROM (SELECT WHERE ({left}){last} OFFSET 0) mine)")
    for rows, table in appends:
        steps.append(
            f'{rows}_new AS (INSERT INTO "{table.name}" (key, version, {table.columns})'
            f" SELECT lpad(nextval('\"{table.keys}\"')::text, 16, '0'), 0, {table.columns} FROM"
            f" (SELECT {rows}.* FROM turn, {rows} WHERE n NOT IN (SELECT n FROM {out}) ORDER BY n, s OFFSET 0) mine)"
        )
    whole = f", 1 / (CASE WHEN {' OR '.join(torn)} THEN 0 ELSE 1 END)" if torn else ""
    return (
        f"WITH {', '.join(steps)} SELECT"
        f" ARRAY(SELECT s FROM {out} WHERE NOT busy), ARRAY(SELECT s FROM {out} WHERE busy){whole}"
    )


class _Places:
    """Counts the places for values."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, kind: str) -> str:
        self._count += 1
        return f"${self._count}::{kind}[]"


def _input(rows: str, table: Table[Any], verb: str, place: _Places) -> str:
    columns = table.inputs(verb)
    places = ", ".join(place(kind) for _, kind in columns)
    names = ", ".join(name for name, _ in columns)
    return f"{rows} AS MATERIALIZED (SELECT * FROM unnest({places}) AS {rows} ({names}))"


def arrays(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as columns, which is how a part takes them."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
