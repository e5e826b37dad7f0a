"""What happened, in order: the audit trails of the server and of the gateway, read from their own records."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deputize.adapters.sqlite import SqliteStore
from deputize.core.ports import Event

TOLD: Final = ("decision", "method", "path", "status", "error", "via")


def timeline(folder: Path) -> list[str]:
    """One line an event: when, who, for whom, what."""
    events = [event for path in _stores(folder) for event in asyncio.run(_events(path))]
    return [_line(event) for event in sorted(events, key=lambda event: event.at)]


def _stores(folder: Path) -> list[Path]:
    return [folder / name for name in ("deputize.db", "gateway.db") if (folder / name).exists()]


async def _events(path: Path) -> list[Event]:
    store = SqliteStore(path)
    try:
        found: list[Event] = []
        while page := await store.select(Event, "", "", after=found[-1].key if found else ""):
            found += page
        return found
    finally:
        await store.close()


def _line(event: Event) -> str:
    at = datetime.fromtimestamp(event.at, UTC).strftime("%H:%M:%S")
    who = f"{event.client} for {event.person}" if event.person and event.client else event.client or event.person
    told = " ".join(event.told[name] for name in TOLD if event.told.get(name))
    return f"{at}  {who:26} {event.what.replace('_', ' '):20} {told}".rstrip()
