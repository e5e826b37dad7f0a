"""One connection to PostgreSQL as the store wants it: to a primary that keeps what it acknowledges; anew when lost."""

import contextlib
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped] # it has no types, and this is the one module that sees it

from deputize.core.rules import Fault

CONNECT_SECONDS_MAX: Final = 5.0
STATEMENT_SECONDS_MAX: Final = 5.0
LOCK_SECONDS_MAX: Final = 1.0  # most of a batch waits for nobody; so long may one commit keep the others
_ANSWER_SECONDS_MAX: Final = STATEMENT_SECONDS_MAX + 1.0  # then the network is to blame, or the machine
_STATEMENTS_MAX: Final = 200

_SESSION: Final = {
    "application_name": "deputize",
    "statement_timeout": f"{STATEMENT_SECONDS_MAX:.0f}s",
    "lock_timeout": f"{LOCK_SECONDS_MAX:.0f}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS_MAX:.0f}s",
    "tcp_keepalives_idle": "60",
    # All is looked for by its key. A plan that was made while a table was small reads it from end to end, and stays.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
_LOOK: Final = (
    "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),"
    " current_setting('server_encoding')"
)

_PASSING: Final = ("08", "40", "53", "55", "57", "58")  # classes of what may be over in a moment
SERIALIZATION_FAILURE: Final = "40001"
DEADLOCK: Final = "40P01"
DIVISION_BY_ZERO: Final = "22012"  # how the sentence that writes says that it was torn


def code_of(problem: BaseException) -> str:
    """What PostgreSQL calls this problem; nothing if it is none of PostgreSQL's."""
    return getattr(problem, "sqlstate", None) or ""


def fault(problem: BaseException) -> Fault:
    """What callers are told: the name of the problem, for its text may hold what nobody else should read."""
    if isinstance(problem, Fault):
        return Fault(*problem.args, retry=problem.retry)
    code = code_of(problem)
    passing = code.startswith(_PASSING) or code == DIVISION_BY_ZERO or isinstance(problem, (OSError, Lost))
    return Fault(f"the store's database: {type(problem).__name__} {code}".rstrip(), retry=passing)


class Lost(Exception):
    """The connection was lost before the answer came: what was asked may have been done, or not."""


class Link:
    """A connection that is made when it is needed, and again when it was lost."""

    def __init__(self, dsn: str, *, dev: bool, session: dict[str, str] | None = None) -> None:
        self._dsn = dsn
        self._dev = dev
        self._session = _SESSION | (session or {})
        self._unhurried = "synchronous_commit" in self._session  # by our own will, and not the database's
        self._connection: Any = None
        self._statements: dict[str, Any] = {}
        self._named = 0

    async def ask(self, sentence: str, *values: Any, seconds_max: float = _ANSWER_SECONDS_MAX) -> list[Any]:  # noqa: ANN401 (whatever a column holds)
        """The rows that the sentence gives; all it does is one transaction."""
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = await self._connect()
        try:
            statement = self._statements.get(sentence)
            if statement is None:
                statement = await self._prepared(connection, sentence)
            rows: list[Any] = await statement.fetch(*values, timeout=seconds_max)
        except asyncpg.PostgresError as problem:
            self._statements.pop(sentence, None)  # its plan may be what is wrong
            if code_of(problem).startswith(("08", "57P")):
                self.drop()
                raise Lost(type(problem).__name__) from None
            raise
        except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as problem:
            # An internal error is what it makes of the database's last word, where nothing was asked.
            self.drop()
            raise Lost(type(problem).__name__) from None
        except BaseException:
            self.drop()  # given up in the middle: whatever comes next on this line is no answer to us
            raise
        return rows

    async def _prepared(self, connection: Any, sentence: str) -> Any:  # noqa: ANN401 (asyncpg has no types)
        if len(self._statements) >= _STATEMENTS_MAX:
            self._statements.clear()
        self._named += 1
        # Under a name of its own: what has none is parsed and planned each time, which costs more than it does.
        statement = await connection.prepare(sentence, name=f"deputize_{self._named}", timeout=_ANSWER_SECONDS_MAX)
        self._statements[sentence] = statement
        return statement

    async def run(self, sentence: str) -> None:
        """Do what cannot be prepared; alone, and for as long as it takes."""
        if self._connection is None or self._connection.is_closed():
            await self._connect()
        await self._connection.execute(sentence, timeout=None)

    async def _connect(self) -> Any:  # noqa: ANN401 (asyncpg has no types)
        self.drop()
        try:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_SECONDS_MAX,
                server_settings=self._session,
                statement_cache_size=0,
                target_session_attrs="read-write",
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InternalClientError) as problem:
            told = fault(problem)
            raise Fault(f"{told} (no connection)", retry=told.retry or not code_of(problem)) from None
        except (ValueError, asyncpg.InterfaceError):  # the text might show the DSN, and that may hold a password
            raise Fault("the store's database: the DSN cannot be used as it is") from None
        try:
            self._check(tuple((await connection.fetch(_LOOK, timeout=_ANSWER_SECONDS_MAX))[0]))
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    def _check(self, told: tuple[str, str, str, str]) -> None:
        """A database that may forget what it has acknowledged is none to keep single use in. Raises Fault."""
        fsync, full_page_writes, synchronous_commit, encoding = told
        if encoding != "UTF8":
            raise Fault(f"the store's database is encoded in {encoding}: it has to be UTF8")
        if self._dev:
            return
        for name, value in (
            ("fsync", fsync),
            ("full_page_writes", full_page_writes),
            ("synchronous_commit", synchronous_commit),
        ):
            if value == "off" and not (name == "synchronous_commit" and self._unhurried):
                raise Fault(f"the store's database may lose what it has acknowledged: {name} is off")

    def drop(self) -> None:
        """Let go of the connection, whatever state it is in."""
        connection, self._connection = self._connection, None
        self._statements = {}
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Say good-bye."""
        connection, self._connection = self._connection, None
        self._statements = {}
        if connection is not None:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.close(timeout=1.0)
