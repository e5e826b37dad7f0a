"""How a connection is opened: a name is looked up once, each answer is checked, and one of them is dialled."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpcore2

from deputize.adapters.addresses import special
from deputize.core.rules import Fault

LOOKUPS_MAX: Final = 8  # threads: a name server that never answers holds up its own kind, and no password check
ADDRESSES_MAX: Final = 16

Resolve = Callable[[str, int], Awaitable[tuple[str, ...]]]  # host and port to addresses
Dial = Callable[[str, int, float | None], Awaitable[httpcore2.AsyncNetworkStream]]  # address, port, seconds


class Resolver:
    """The system's resolver, in threads of its own."""

    def __init__(self, *, absolute: bool) -> None:
        """`absolute`: a name is looked up as it is, and neither a search domain nor a file of hosts completes it."""
        self._absolute = absolute
        self._threads = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="lookup")

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of a host, in the order of preference. Raises OSError where there are none."""
        name = f"{host}." if self._absolute else host
        return await asyncio.get_running_loop().run_in_executor(self._threads, _addresses, name, port)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(name: str, port: int) -> tuple[str, ...]:
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedDialler(httpcore2.AsyncNetworkBackend):
    """Dials the addresses of a host after all of them were checked: there is no second lookup to answer otherwise.

    What comes above, TLS and its check of the host's name, sees the name and not the address.
    """

    def __init__(self, resolve: Resolve, dial: Dial, *, strangers: bool) -> None:
        self._resolve = resolve
        self._dial = dial
        self._strangers = strangers

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the interface's own)
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        del local_address, socket_options  # the pool that we make names none
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked(host, port)
                each = None if timeout is None else timeout / len(addresses)
                for address in addresses[:-1]:
                    try:
                        return await self._dial(address, port, each)
                    except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                        continue  # a host may be out of reach over one of the two protocols
                return await self._dial(addresses[-1], port, each)
        except TimeoutError:
            raise httpcore2.ConnectTimeout from None
        except OSError as problem:
            raise httpcore2.ConnectError(type(problem).__name__) from None

    async def _checked(self, host: str, port: int) -> tuple[str, ...]:
        addresses = await self._resolve(host, port)
        if not 0 < len(addresses) <= ADDRESSES_MAX:
            raise OSError("no addresses, or too many")
        for address in addresses if self._strangers else ():
            if (kept_for := special(address)) is not None:
                raise Fault(f"{host} has an address that is not public ({kept_for})")
        return addresses
