"""The gateway's long-running verb."""

import json
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rich.console import Console

from deputize.cli import running
from deputize.cli.running import Listening
from deputize.compose import observe
from deputize.compose.parts import local_env
from deputize.core.rules import Fault
from deputize.gateway.app import gateway_app
from deputize.gateway.settings import Configured, read
from deputize.server.wire_guard import GuardedProtocol

err: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def gateway_here(config: Path, port: int | None, store: Path, *, dev: bool) -> None:
    """Run the gateway until it is told to stop."""
    observe.configure(level="info")
    if not config.exists():
        raise Fault(f"there is no file {config}: `deputize serve --dev` makes one for its demo")
    try:
        configured = read(json.loads(config.read_text()), dev=dev)
    except (ValueError, KeyError) as problem:
        raise Fault(f"{config}: {problem}") from None
    running.run(lambda: _gateway(configured, port, store))


class GatewayProtocol(GuardedProtocol):
    """As strict about framing; but an upload may take its time, and the gateway itself sees to that it is steady."""

    body_seconds = 600.0
    whole_bytes_max = 0


async def _gateway(configured: Configured, port: int | None, store: Path) -> None:
    env = local_env(store, allowed_origins=configured.origins)
    url = urlsplit(configured.settings.url.text)
    app = gateway_app(configured.routes, configured.agents, configured.identity, env, settings=configured.settings)

    def ready() -> None:
        err.print(f"[bold]Deputize gateway[/] is at {configured.settings.url}")
        for route in configured.routes:
            err.print(f"  {route.agent}: {route.prefix} → {route.upstream}", markup=False)

    async with running.sweeping(env):
        listening = Listening(app, url.hostname or "127.0.0.1", port or url.port or 9410)
        try:
            await running.serve(listening, http=GatewayProtocol, when_ready=ready)
        finally:
            await app.close()
