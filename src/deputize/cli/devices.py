"""What an operator says of clients and the device flow, on the records of the server."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deputize.cli.serving import with_records
from deputize.core.ports import Add, Env, Replace
from deputize.core.rules import Fault
from deputize.core.values import Instant
from deputize.core.wire import JsonObject
from deputize.oauth.device import DeviceClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """A client that may use the device flow, and why that was held to be safe enough."""

    client_id: str
    risk: str
    assessed_at: Instant

    def as_json(self) -> JsonObject:
        return asdict(self)


def allow(config: Path | None, client: str, risk: str, *, dev: bool) -> None:
    """Let a client use the device flow from now on. Raises Fault where nobody says why."""
    if not risk.strip():
        raise Fault("say why it is safe enough")
    with_records(config, lambda parts: _allow(client, risk.strip(), parts.env), dev=dev)


async def _allow(client: str, risk: str, env: Env) -> None:
    before = await env.store.read(DeviceClient, client)
    made = DeviceClient(key=client, risk=risk, assessed_at=env.clock())
    await _commit(Add(made) if before is None else Replace(before, replace(made, version=before.version)), env)


def withdraw(config: Path | None, client: str, *, dev: bool) -> None:
    """Let a client begin no more device flows. Raises Fault where it may not as it is."""
    with_records(config, lambda parts: _withdraw(client, parts.env), dev=dev)


async def _withdraw(client: str, env: Env) -> None:
    before = await env.store.read(DeviceClient, client)
    if before is None or before.withdrawn_at is not None:
        raise Fault(f"{client} may not use it as it is")
    await _commit(Replace(before, replace(before, withdrawn_at=env.clock())), env)


async def _commit(change: Add | Replace, env: Env) -> None:
    if not await env.store.commit(change):
        raise Fault("somebody else changed this at the same time", retry=True)


def listed(config: Path | None, *, dev: bool) -> list[Assessed]:
    """The clients that may."""
    return with_records(config, lambda parts: _listed(parts.env), dev=dev)


async def _listed(env: Env) -> list[Assessed]:
    found: list[DeviceClient] = []
    while page := await env.store.select(DeviceClient, "", "", after=found[-1].key if found else ""):
        found += page
    return [
        Assessed(client_id=one.key, risk=one.risk, assessed_at=one.assessed_at)
        for one in found
        if one.withdrawn_at is None
    ]
