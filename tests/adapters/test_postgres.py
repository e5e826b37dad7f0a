"""What is PostgreSQL's own: what it must promise, others who hold rows, connections that break, servers that die."""

import asyncio
import random
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import asyncpg  # type: ignore[import-untyped] # it has no types
import pytest

from deputize.adapters.postgres import PostgresStore
from deputize.core.ports import Add, Append, Replace
from deputize.core.rules import Fault
from deputize.core.values import Instant
from tests.adapters.conftest import Servers
from tests.adapters.kills import Load
from tests.adapters.processes import kept
from tests.adapters.records import Line, Mark, Ticket
from tests.support.postgres import CARRIED, OWN, Server, running


@pytest.fixture(params=[CARRIED, OWN])
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return servers(request.param)


@pytest.fixture
def dsn(server: Server) -> str:
    return server.fresh()


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(dsn, dev=True)
    yield made
    await made.close()


@pytest.fixture(params=[CARRIED, OWN])
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One that may be stopped and killed."""
    with running(request.param) as made:
        yield made


@asynccontextmanager
async def competitor(dsn: str, **settings: str) -> AsyncIterator[Any]:
    """Somebody else in the same database, with a transaction of their own."""
    connection = await asyncpg.connect(dsn, server_settings=settings or None)
    try:
        yield connection
    finally:
        connection.terminate()


async def waits(dsn: str) -> None:
    """Until one of the store's statements waits for a lock."""
    async with competitor(dsn) as watcher:
        while not await watcher.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'deputize' AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.002)


# --- what the database has to promise -----------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_database_that_may_forget_is_refused(own_server: Server, setting: str) -> None:
    own_server.tell(f"ALTER SYSTEM SET {setting} = off")
    own_server.stop()
    own_server.start()
    dsn = own_server.dsn()
    store = PostgresStore(dsn)
    for do in (store.ready, lambda: store.commit(Add(Mark(key="a"))), lambda: store.migrate((Mark,))):
        with pytest.raises(Fault, match=f"may lose what it has acknowledged: {setting} is off") as problem:
            await do()
        assert not problem.value.retry
    await store.close()
    trial = PostgresStore(dsn, dev=True)
    assert await trial.commit(Add(Mark(key="a")))
    await trial.close()


@pytest.mark.parametrize(("value", "fits"), [("off", False), ("local", True), ("remote_write", True), ("on", True)])
async def test_a_commit_that_does_not_wait_for_the_disk_is_refused(dsn: str, value: str, *, fits: bool) -> None:
    store = PostgresStore(f"{dsn}&synchronous_commit={value}")
    if fits:
        await store.migrate((Mark,))
        assert await store.commit(Add(Mark(key="a")))
    else:
        with pytest.raises(Fault, match="synchronous_commit is off"):
            await store.migrate((Mark,))
    await store.close()


async def test_a_database_that_cannot_hold_every_text_is_refused(server: Server) -> None:
    name = f"latin{secrets.token_hex(4)}"
    server.tell(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0")
    store = PostgresStore(server.dsn(name), dev=True)
    with pytest.raises(Fault, match="encoded in LATIN1"):
        await store.ready()
    await store.close()


async def test_a_server_that_only_reads_is_none_to_write_to(dsn: str) -> None:
    """PY-13: a standby would answer from the past."""
    store = PostgresStore(f"{dsn}&default_transaction_read_only=on", dev=True)
    with pytest.raises(Fault, match="no connection") as problem:
        await store.ready()
    assert problem.value.retry
    await store.close()


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://alice:hunter2@127.0.0.1:1/x",
        "postgresql://alice:hunter2@[bad/x",
        "postgresql://alice:hunter2@/x?host=/nowhere",
        "postgresql://alice:hunter2@127.0.0.1:port/x",
        "postgresql://alice:hunter2@nowhere.invalid/x?sslmode=hunter2",
    ],
)
async def test_no_error_shows_the_password(dsn: str) -> None:
    store = PostgresStore(dsn)
    with pytest.raises(Fault) as problem:
        await store.read(Mark, "a")
    shown = f"{problem.value!r} {problem.value} {problem.value.__cause__!r} {store!r} {vars(problem.value)}"
    assert "hunter2" not in shown
    await store.close()


async def test_a_wrong_password_is_no_passing_trouble(server: Server) -> None:
    store = PostgresStore(server.dsn().replace("deputize@", "nobody-like-that:hunter2@"))
    with pytest.raises(Fault, match="InvalidAuthorizationSpecificationError") as problem:
        await store.ready()
    assert not problem.value.retry
    await store.close()


# --- others who hold rows -----------------------------------------------------------------------------------------


async def test_whoever_holds_a_row_keeps_only_those_who_want_it(dsn: str) -> None:
    """RC-13: others are written and read all the while; who wants the row is decided once it is let go."""
    store = PostgresStore(dsn, dev=True, busy_seconds_max=600)
    old = Ticket(key="held")
    await store.commit(Add(old), Add(Mark(key="m")))
    async with competitor(dsn) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT FROM ticket WHERE key = 'held' FOR UPDATE")
        wanting = [asyncio.create_task(store.commit(Replace(old, replace(old, number=n)))) for n in range(20)]
        both = asyncio.create_task(store.commit(Add(Mark(key="with")), Replace(old, replace(old, number=99))))
        for n in range(50):
            assert await store.commit(Add(Mark(key=str(n))), Append(Line(key="", text=str(n))))
            assert await store.read(Mark, str(n)) is not None
            assert await store.read(Ticket, "held") == old
        assert not any(task.done() for task in [*wanting, both])
        assert await store.read(Mark, "with") is None
        await transaction.rollback()
        assert (await asyncio.gather(*wanting, both)).count(True) == 1
    assert (await store.read(Mark, "with") is not None) == both.result()
    await store.close()


async def test_whoever_waits_too_long_for_a_row_is_told_to_come_again(dsn: str) -> None:
    """RC-12, RC-13: patience has an end, nothing of that commit is there, and the row is as it was."""
    store = PostgresStore(dsn, dev=True, busy_seconds_max=0.05)
    old = Ticket(key="held")
    await store.commit(Add(old), Add(Mark(key="m")))
    async with competitor(dsn) as other, other.transaction():
        await other.execute("SELECT FROM ticket WHERE key = 'held' FOR UPDATE")
        wanting = (store.commit(Add(Mark(key=f"with{n}")), Replace(old, replace(old, number=n))) for n in range(20))
        for outcome in await asyncio.gather(*wanting, return_exceptions=True):
            assert isinstance(outcome, Fault)
            assert outcome.retry
        assert await store.read(Ticket, "held") == old
    assert await kept(store, Mark) == ["m"]
    assert await store.commit(Replace(old, replace(old, number=1)))
    await store.close()


@pytest.mark.parametrize("moved", [True, False])
async def test_a_row_that_is_let_go_in_time_is_decided(store: PostgresStore, dsn: str, *, moved: bool) -> None:
    old = Ticket(key="held")
    await store.commit(Add(old))
    async with competitor(dsn) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("UPDATE ticket SET version = version + 1 WHERE key = 'held'")
        wanting = asyncio.gather(*(store.commit(Replace(old, replace(old, number=n))) for n in range(1, 9)))
        await store.commit(Add(Mark(key="others")))
        await (transaction.commit() if moved else transaction.rollback())
        assert sum(await wanting) == (0 if moved else 1)


async def test_a_stale_replacement_of_a_held_row_is_told_at_once(store: PostgresStore, dsn: str) -> None:
    old = Ticket(key="held")
    await store.commit(Add(old))
    await store.commit(Replace(old, replace(old, number=1)))
    async with competitor(dsn) as other, other.transaction():
        await other.execute("SELECT FROM ticket WHERE key = 'held' FOR UPDATE")
        assert not await store.commit(Replace(old, replace(old, number=2)))


async def test_a_key_that_somebody_has_added_but_not_committed_is_waited_for(store: PostgresStore, dsn: str) -> None:
    """Those of the same batch wait along, for a second; then each goes its own way."""
    await store.commit(Add(Mark(key="first")), Append(Line(key="", text="1")))
    async with competitor(dsn) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("INSERT INTO mark (key, version, body) VALUES ('theirs', 0, '')")
        told = await asyncio.gather(
            *(store.commit(Add(Mark(key=key)), Append(Line(key="", text=key))) for key in ("a", "theirs", "z")),
            return_exceptions=True,
        )
        assert told[0] is told[2] is True
        assert isinstance(told[1], Fault)
        assert told[1].retry
        wanting = asyncio.create_task(store.commit(Add(Mark(key="theirs"))))
        await waits(dsn)
        await transaction.rollback()
        assert await wanting
    assert await kept(store, Mark) == ["a", "first", "theirs", "z"]


async def test_a_deadlock_with_somebody_else_is_tried_again(store: PostgresStore, dsn: str) -> None:
    """RC-12: a real one: each has what the other wants next, and the database gives our batch up."""
    await store.commit(Add(Mark(key="first")))
    async with competitor(dsn, deadlock_timeout="10s") as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("INSERT INTO mark (key, version, body) VALUES ('b', 0, '')")
        wanting = asyncio.gather(
            store.commit(Add(Mark(key="a")), Append(Line(key="", text="x"))), store.commit(Add(Mark(key="b")))
        )
        await waits(dsn)
        await other.execute("INSERT INTO mark (key, version, body) VALUES ('a', 0, '') ON CONFLICT DO NOTHING")
        await transaction.commit()
        assert sorted(await wanting) == [False, False]
    assert await kept(store, Line) == []


async def test_a_serialization_failure_is_tried_again(dsn: str) -> None:
    """RC-12: a real one, as a database gives that is set to serializable."""
    store = PostgresStore(f"{dsn}&default_transaction_isolation=serializable", dev=True)
    await store.commit(Add(Mark(key="first")))
    async with competitor(dsn) as other:
        transaction = other.transaction(isolation="serializable")
        await transaction.start()
        await other.execute("INSERT INTO mark (key, version, body) VALUES ('theirs', 0, '')")
        wanting = asyncio.gather(store.commit(Add(Mark(key="theirs"))), store.commit(Add(Mark(key="ours"))))
        await waits(dsn)
        await transaction.commit()
        assert await wanting == [False, True]
    await store.close()


async def test_all_races_end_well_where_the_database_is_serializable(dsn: str) -> None:
    stores = [PostgresStore(f"{dsn}&default_transaction_isolation=serializable", dev=True) for _ in range(3)]
    old = Ticket(key="one")
    await stores[0].commit(Add(old))
    for turn in range(10):
        now = await stores[0].read(Ticket, "one")
        assert now is not None
        told = await asyncio.gather(
            *(
                stores[n % 3].commit(Replace(now, replace(now, number=n)), Add(Mark(key=f"{turn}.{n}")))
                for n in range(30)
            )
        )
        assert told.count(True) == 1
    assert len(await kept(stores[0], Mark)) == 10
    for store in stores:
        await store.close()


@pytest.mark.parametrize(
    ("state", "retry", "tries"), [("40001", True, 5), ("40P01", True, 5), ("53100", True, 1), ("23514", False, 1)]
)
async def test_what_the_database_refuses_is_a_fault_for_that_commit_alone(
    store: PostgresStore, dsn: str, state: str, *, retry: bool, tries: int
) -> None:
    """RC-12: at most five times, and then it is said. 53100 is a full disk."""
    await store.commit(Add(Mark(key="first")), Append(Line(key="", text="x")))
    async with competitor(dsn) as other:
        await other.execute("CREATE SEQUENCE tries")
        await other.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" PERFORM nextval('tries'); RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"
        )
        await other.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON mark FOR EACH ROW WHEN (new.key = 'bad') EXECUTE FUNCTION refuse()"
        )
        with pytest.raises(Fault) as problem:
            await store.commit(Add(Mark(key="bad")))
        assert problem.value.retry is retry
        assert await other.fetchval("SELECT last_value FROM tries") == tries
        told = await asyncio.gather(
            *(store.commit(Add(Mark(key=key)), Append(Line(key="", text=key))) for key in ("a", "bad", "z")),
            return_exceptions=True,
        )
    assert told[0] is told[2] is True
    assert isinstance(told[1], Fault)
    assert await kept(store, Mark) == ["a", "first", "z"]
    assert sorted(line.text for line in await store.select(Line, "", "")) == ["a", "x", "z"]


async def test_a_pager_does_not_pass_over_a_commit_that_comes_late(store: PostgresStore, dsn: str) -> None:
    """The slow one has its key first; the fast one waits for it, so that nobody sees 3 before 2."""
    await store.commit(Append(Line(key="", text="first")))
    slow, fast = PostgresStore(dsn, dev=True), PostgresStore(dsn, dev=True)
    await asyncio.gather(slow.ready((Line,)), fast.ready((Line,)))
    async with competitor(dsn) as other:
        await other.execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.3); RETURN new; END $$"
        )
        await other.execute(
            "CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON line DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW WHEN (new.by_by = 'slow') EXECUTE FUNCTION dawdle()"
        )
        late = asyncio.create_task(slow.commit(Append(Line(key="", text="late", by="slow"))))
        dawdles = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        while not late.done() and not await other.fetchval(dawdles):
            await asyncio.sleep(0.002)
    assert await fast.commit(Append(Line(key="", text="next")))
    assert [line.text for line in await store.select(Line, "", "")] == ["first", "late", "next"]
    await asyncio.gather(late, slow.close(), fast.close())


# --- connections that break, servers that die ---------------------------------------------------------------------


async def test_a_connection_that_was_cut_while_idle_is_made_again(store: PostgresStore, dsn: str) -> None:
    await store.commit(Add(Mark(key="a")))
    await store.read(Mark, "a")
    async with competitor(dsn) as other:
        await other.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'deputize'")
    assert await store.read(Mark, "a") is not None
    with suppress(Fault):  # whether the news of it has come yet
        await store.commit(Add(Mark(key="b")))
    assert await store.commit(Add(Mark(key="c")))


async def test_an_answer_that_was_lost_is_a_fault_and_never_a_yes(store: PostgresStore, dsn: str) -> None:
    await store.commit(Add(Mark(key="first")))
    async with competitor(dsn) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("INSERT INTO mark (key, version, body) VALUES ('b', 0, '')")
        wanting = asyncio.gather(*(store.commit(Add(Mark(key=key))) for key in "ab"), return_exceptions=True)
        await waits(dsn)
        await other.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'deputize'")
        for outcome in await wanting:
            assert isinstance(outcome, Fault)
            assert outcome.retry
        await transaction.rollback()
    assert await store.commit(Add(Mark(key="a")))
    assert await kept(store, Mark) == ["a", "first"]


async def test_a_restart_under_load_loses_nothing_and_the_store_finds_back(own_server: Server) -> None:
    store = PostgresStore(own_server.fresh(), dev=True)
    load = Load(store)
    for _ in range(2):
        await load.until(200)
        await asyncio.to_thread(own_server.stop, signal.SIGINT)
        await asyncio.to_thread(own_server.start)
    await load.until(200)
    await load.stop()
    assert load.faults
    await load.check()
    await store.close()


async def test_a_server_that_is_killed_under_load_has_all_that_it_acknowledged(own_server: Server) -> None:
    store = PostgresStore(own_server.fresh(), dev=True)
    load = Load(store)
    dice = random.Random(7)
    for _ in range(3):
        await load.until(dice.randrange(50, 300))
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
    await load.until(100)
    await load.stop()
    assert load.faults
    await load.check()
    await store.close()


async def test_a_standby_that_is_promoted_takes_over(own_server: Server) -> None:
    """Both are named in the DSN; the one that takes writes is found, before and after."""
    own_server.tell("ALTER SYSTEM SET synchronous_standby_names = '*'")
    standby = own_server.standby()
    own_server.tell("SELECT pg_reload_conf()")
    try:
        where = f"{own_server.folder},{standby.folder}"
        store = PostgresStore(own_server.dsn(host=where, port="5432,5432"), dev=True)
        load = Load(store, 4)
        await load.until(50)
        await asyncio.to_thread(own_server.kill)
        standby.tell("SELECT pg_promote()")
        standby.tell("ALTER SYSTEM RESET synchronous_standby_names")
        standby.tell("SELECT pg_reload_conf()")
        await load.until(50)
        await load.stop()
        await load.check()
        await store.close()
    finally:
        standby.close()


async def test_a_store_goes_with_its_loop_and_can_be_used_by_the_next(dsn: str) -> None:
    store = PostgresStore(dsn, dev=True)

    def rounds() -> None:
        for n in range(3):
            assert asyncio.run(store.commit(Add(Mark(key=str(n)))))

    await asyncio.to_thread(rounds)
    assert await kept(store, Mark) == ["0", "1", "2"]
    with pytest.raises(RuntimeError, match="one event loop"):
        await asyncio.to_thread(lambda: asyncio.run(store.read(Mark, "0")))
    await store.close()


async def test_many_shapes_of_commits_do_with_few_sentences(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deputize.adapters.postgres_batches.SHAPES_MAX", 2)
    old = Ticket(key="t")
    assert await store.commit(Add(old))
    assert await store.commit(Add(Mark(key="m")))
    assert await store.commit(Append(Line(key="", text="1")))
    assert await store.commit(Replace(old, replace(old, number=1)))
    assert await store.commit(Add(Mark(key="n")), Append(Line(key="", text="2")))
    assert not await store.commit(Add(Mark(key="n")), Append(Line(key="", text="3")))
    assert await kept(store, Mark) == ["m", "n"]
    assert [line.text for line in await store.select(Line, "", "")] == ["1", "2"]


async def test_a_body_that_is_no_such_record_is_a_fault(store: PostgresStore, dsn: str) -> None:
    await store.commit(Add(Ticket(key="a")))
    async with competitor(dsn) as vandal:
        await vandal.execute("UPDATE ticket SET body = 'x'")
    with pytest.raises(Fault, match="a stored ticket cannot be read as one"):
        await store.read(Ticket, "a")


async def test_sweepers_do_not_wait_for_each_other_nor_for_those_who_hold_a_row(store: PostgresStore, dsn: str) -> None:
    await store.commit(*(Add(Mark(key=str(n), expires_at=Instant(1))) for n in range(3000)))
    other_store = PostgresStore(dsn)
    async with competitor(dsn) as other, other.transaction():
        await other.execute("SELECT FROM mark WHERE key = '7' FOR UPDATE")
        swept = await asyncio.gather(*(one.sweep(Instant(1)) for one in (store, other_store)))
        assert sum(swept) == 2999
    assert await store.sweep(Instant(1)) == 1
    await other_store.close()


def test_the_wheel_carries_what_the_tests_need() -> None:
    """They are never skipped for want of a database."""
    with running(CARRIED) as server:
        assert server.tell("SHOW fsync").strip() == "on"
        assert server.tell("SHOW server_version").startswith(CARRIED)
        folder = server.folder
    assert not folder.exists()
