"""The program of docs/how-to/write-a-client.md runs as it stands there."""

import re
import threading
from pathlib import Path
from typing import Any

import anyio.from_thread
import anyio.to_thread
import httpx2

from deputize.adapters.system import SystemClock
from deputize.sdk import LoopbackReceiver
from tests.sdk.person import DESK, a_desk

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-client.md"


async def test_the_program_reads_notes() -> None:
    text = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(text, names)
    async with a_desk() as desk:
        desk.world.clock.now = SystemClock()()

        def opened(url: str) -> None:
            back = anyio.from_thread.run(desk.opened, url)
            threading.Thread(target=httpx2.get, args=(back,), kwargs={"trust_env": False}, daemon=True).start()

        def work() -> str:
            with LoopbackReceiver(open_page=opened) as receiver:
                told: str = names["read_notes"](desk.url, desk.issuer, DESK, receiver)
                return told

        assert "alice" in await anyio.to_thread.run_sync(work)
