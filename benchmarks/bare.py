"""Two servers that do nothing: what the load generator can ask at most, and what the HTTP stack can answer at most."""

import argparse
import asyncio
from typing import Any, Final, cast

import uvicorn
import uvloop

BODY: Final = b'{"keys":[' + b" " * 230 + b"]}"  # as long as a JWK set of one EC key
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)


class _Bare(asyncio.Protocol):
    """Answers whatever comes, unread."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, _: bytes) -> None:
        self._write(_ANSWER)


async def _app(_: Any, __: Any, send: Any) -> None:  # noqa: ANN401 (ASGI)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


async def _serve(port: int, stack_port: int) -> None:
    await asyncio.get_running_loop().create_server(_Bare, "127.0.0.1", port)
    config = uvicorn.Config(
        _app, port=stack_port, http="httptools", loop="none", lifespan="off", access_log=False, log_level="warning"
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("stack_port", type=int)
    ports = parser.parse_args()
    uvloop.run(_serve(ports.port, ports.stack_port))
