"""The verbs of `deputize status`: what the lists say is shown, told, and written as files that any host can serve."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from deputize.cli.serving import with_records
from deputize.compose.parts import ServerParts
from deputize.core.ports import Append, Event
from deputize.core.rules import Fault
from deputize.core.wire import json_bytes
from deputize.oauth import statuses
from deputize.oauth.statuses import Statuses, StatusList
from deputize.server.status import content_of, told_of
from deputize.vc.status_list import LEVEL_KEPT, NAMES
from deputize.vc.status_token import Form, mint

T = TypeVar("T")
Work = Callable[[ServerParts, Statuses], Awaitable[T]]

_SUFFIXES: Final = {Form.JWT: "jwt", Form.CWT: "cwt"}
_VALUES: Final = {name: status for status, name in NAMES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A list as an operator sees it; `told` counts its entries by their status, those that are VALID aside."""

    name: str
    uri: str
    bits: int
    size: int
    takes_entries: bool
    kept_until: int
    told: dict[int, int]


def shown(config: Path | None, *, dev: bool) -> list[Shown]:
    """All lists that have tokens which may still be good."""

    async def work(parts: ServerParts, here: Statuses) -> list[Shown]:
        now = parts.env.clock()
        found = []
        for one in await statuses.kept(parts.env):
            values = list((await told_of(one, parts.env)).values())
            found.append(
                Shown(
                    name=one.key,
                    uri=here.uri_of(one.key),
                    bits=one.bits,
                    size=one.size,
                    takes_entries=not one.full and now < one.closes_at,
                    kept_until=one.expires_at or 0,
                    told={value: values.count(value) for value in sorted(set(values)) if value},
                )
            )
        return found

    return _with_lists(config, work, dev=dev)


def told(config: Path | None, name: str, idx: int, status: str, *, dev: bool) -> None:
    """Tell a list of one token's status, by its name or its number; the audit trail says so in the same write."""
    value = _VALUES.get(status, int(status) if status.isascii() and status.isdigit() else -1)
    if value < 0:
        raise Fault(f"{status!r} is no status: {', '.join(_VALUES)}, or a number")

    async def work(parts: ServerParts, here: Statuses) -> None:
        del here
        one = await parts.env.store.read(StatusList, name)
        if one is None:
            raise Fault("there is no list of this name: `deputize status show` names them")
        about = {"list": name, "idx": str(idx), "status": str(value)}
        event = Event(key="", at=parts.env.clock(), what="status_told", told=about)
        await statuses.tell(one, idx, value, parts.env, Append(event))

    _with_lists(config, work, dev=dev)


def exported(config: Path | None, folder: Path, *, dev: bool) -> list[Path]:
    """Write all lists in both forms, signed now, and the document that names them; what was written."""
    folder.mkdir(parents=True, exist_ok=True)

    async def work(parts: ServerParts, here: Statuses) -> list[Path]:
        written, uris = [], []
        for one in await statuses.kept(parts.env):
            entries = await told_of(one, parts.env)
            now, life = parts.env.clock(), here.settings.life
            content = await content_of(one, entries, here, now, life, level=LEVEL_KEPT)
            for form, suffix in _SUFFIXES.items():
                written.append(_put(folder / f"{one.key}.{suffix}", await mint(content, form, parts.env)))
            uris.append(content.uri)
        return [*written, _put(folder / "status_lists.json", json_bytes({"status_lists": uris}))]

    return _with_lists(config, work, dev=dev)


def _put(path: Path, data: bytes) -> Path:
    """Write a file as a whole: who reads it meanwhile has the one before."""
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(data)
    return beside.replace(path)


def _with_lists(config: Path | None, work: Work[T], *, dev: bool) -> T:
    async def at_work(parts: ServerParts) -> T:
        if parts.here.statuses is None:
            raise Fault("status lists are switched off: drafts.status-list")
        return await work(parts, parts.here.statuses)

    return with_records(config, at_work, dev=dev)
