"""Requests that no client would send, over a socket of one's own."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Raw:
    """The first answer, and whether the connection was closed after it."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool


async def raw(url: str, data: bytes) -> Raw:
    """Send these bytes, and read the first answer. `{host}` in them is the host of the URL."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(data.replace(b"{host}", parts.netloc.encode()))
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
            if "content-length" in headers:
                body = await reader.readexactly(int(headers["content-length"]))
            else:
                body = await _chunks(reader)
            closed = headers.get("connection") == "close" and await reader.read() == b""
        return Raw(int(line.split(" ")[1]), headers, body, closed)
    finally:
        writer.close()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
