"""An application on a real port, and Debian's chromium in front of it."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from playwright.async_api import Browser, async_playwright

from deputize.server.http import Asgi

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def loopback_socket() -> socket.socket:
    """A socket on a free port of loopback."""
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    return made


def origin_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()
    return f"http://{host}:{port}"


@asynccontextmanager
async def served(app: Asgi, bound: socket.socket) -> AsyncIterator[None]:
    """The application answers on the socket until the block ends."""
    said: Any = app  # uvicorn has names of its own for the same ASGI
    config = uvicorn.Config(said, log_level="warning", access_log=False, lifespan="off", ws="none", server_header=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()
