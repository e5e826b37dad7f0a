"""Where records lie, as one text: the path of an SQLite file, or the DSN of a PostgreSQL database."""

from typing import TYPE_CHECKING, Union

from deputize.adapters.sqlite import SqliteStore
from deputize.core.rules import Fault

if TYPE_CHECKING:
    from deputize.adapters.postgres import PostgresStore

DurableStore = Union[SqliteStore, "PostgresStore"]


def is_postgres(place: str) -> bool:
    return place.startswith(("postgresql://", "postgres://"))


def open_store(place: str, *, dev: bool = False) -> "DurableStore":
    """The store at this place. Raises Fault where it cannot be opened; PostgreSQL is first asked when it is used."""
    if not is_postgres(place):
        return SqliteStore(place)
    try:
        from deputize.adapters.postgres import PostgresStore  # noqa: PLC0415 (an extra, which may not be installed)
    except ImportError:
        raise Fault("PostgreSQL needs the extra `postgres`: pip install 'deputize[postgres]'") from None
    return PostgresStore(place, dev=dev)
