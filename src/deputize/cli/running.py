"""Running ASGI applications: one loop, one set of signals, an orderly end."""

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog
import uvicorn

from deputize.adapters.system import ForgettingClock
from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import Issuer
from deputize.oauth import backchannel_logout
from deputize.server.http import Asgi

log = structlog.get_logger("deputize.cli")

DRAIN_SECONDS: Final = 10
SWEEP_SECONDS: Final = 60
TELL_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of the certificate, of its key, and of the authorities whose certificates clients may show."""

    certificate: str
    key: str
    authorities: str | None


@dataclass(frozen=True, slots=True)
class Listening:
    """An application and where it listens."""

    app: Asgi
    host: str
    port: int
    tls: Tls | None = None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # `run` listens to signals once, for all servers of the process


def _server(one: Listening, http: type | str) -> _Server:
    return _Server(
        uvicorn.Config(
            one.app,
            host=one.host,
            port=one.port,
            http=cast("Any", http),
            loop="none",
            ws="none",  # or connections would be handed to a library for websockets, wherever one is installed
            lifespan="auto",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            ssl_certfile=one.tls.certificate if one.tls else None,
            ssl_keyfile=one.tls.key if one.tls else None,
            ssl_ca_certs=one.tls.authorities if one.tls else None,
            ssl_cert_reqs=ssl.CERT_OPTIONAL if one.tls and one.tls.authorities else ssl.CERT_NONE,
        )
    )


def _bound(one: Listening) -> socket.socket:
    """A socket that other workers may bind beside us: the system spreads what comes over all of them."""
    family = socket.AF_INET6 if ":" in one.host else socket.AF_INET
    # Said to be TCP, so that the loop turns Nagle's algorithm off.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((one.host, one.port))
    except OSError as problem:
        bound.close()
        raise Fault(f"there is no listening at {one.host}, port {one.port}: {problem.strerror}") from None
    return bound


async def serve(
    *listening: Listening,
    http: type | str = "auto",
    shared: bool = False,
    when_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal says to stop; what is under way is finished first. `shared`: with other workers."""
    sockets = [[_bound(one)] if shared else None for one in listening]
    servers = [_server(one, http) for one in listening]
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop)
    async with asyncio.TaskGroup() as group:
        for server, bound in zip(servers, sockets, strict=True):
            group.create_task(server.serve(bound))
        while not all(server.started or server.should_exit for server in servers):  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.005)
        if not any(server.should_exit for server in servers):
            gc.collect()
            gc.freeze()  # what was made at the start stays: it need not be looked through again and again
            gc.enable()
            when_ready()


@asynccontextmanager
async def sweeping(env: Env) -> AsyncIterator[None]:
    """Forget what has expired, once a minute, for as long as this lasts."""
    clock = ForgettingClock(env.clock)

    async def sweep() -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await env.store.sweep(clock())
            except Fault as fault:  # what has expired is refused whether it is swept or not: the next sweep does it
                log.error("not swept", what=str(fault))  # noqa: TRY400 (a Fault tells all that there is)

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await env.store.close()


@asynccontextmanager
async def telling(issuer: Issuer, env: Env) -> AsyncIterator[None]:
    """Tell clients of sessions that have ended, all that wait at once, for as long as this lasts."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            try:
                due = await backchannel_logout.waiting(env)
                await asyncio.gather(*(backchannel_logout.tell(one, issuer, env) for one in due))
            except Fault as fault:  # what is to be told lies in the store, and waits there
                log.error("clients not told", what=str(fault))  # noqa: TRY400 (a Fault tells all that there is)

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run on the fastest loop there is."""
    try:
        import uvloop  # noqa: PLC0415 (not there on every platform)
    except ImportError:
        asyncio.run(_main(main))
    else:
        uvloop.run(_main(main))


async def _main(main: Callable[[], Awaitable[None]]) -> None:
    await main()
