"""The long-running verbs, and those that work on the same records."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import typer
from rich.console import Console

from deputize.adapters.stores import is_postgres
from deputize.cli import ask, running
from deputize.cli.running import Listening, Tls
from deputize.cli.workers import Workers
from deputize.compose import dev as dev_records
from deputize.compose import observe
from deputize.compose.keys import watching
from deputize.compose.parts import ServerParts, server_parts
from deputize.compose.settings import ServerSettings, Settings, load
from deputize.compose.upstreams import upstreams_of
from deputize.core.rules import Fault
from deputize.core.values import Subject
from deputize.oauth.authentication import BY_PASSWORD, BY_PASSWORD_AND_CODE
from deputize.oauth.client import Person
from deputize.server import codes
from deputize.server.app import management_app, protocol_app
from deputize.server.pages import PageSettings, pages
from deputize.server.people import Source, check_code, check_password
from deputize.server.session import USED_ONCE
from deputize.server.wire_guard import GuardedProtocol

T = TypeVar("T")

DEV_FOLDER: Final = Path("var/dev")
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def serve_here(config: Path | None, *, dev: bool, workers: int) -> None:
    """Run the server until it is told to stop."""
    settings = load(config, dev=dev)
    observe.configure(level="info")
    if workers == 1:
        running.run(lambda: _serve(settings))
    else:
        Workers(workers, lambda index: running.run(lambda: _serve(settings, worker=index))).run()


async def _serve(settings: Settings, *, worker: int | None = None) -> None:
    parts = await server_parts(settings)
    here, env = parts.here, parts.env
    people = {}
    if settings.dev and not worker:  # where there are several, the first makes the demo's records for all
        places = dev_records.DevPlaces(
            pharmacy=os.environ.get("DEPUTIZE_DEV_PHARMACY", dev_records.PHARMACY),
            gateway=os.environ.get("DEPUTIZE_DEV_GATEWAY", dev_records.GATEWAY),
            tools=os.environ.get("DEPUTIZE_DEV_TOOLS", dev_records.TOOLS),
            clinic=os.environ.get("DEPUTIZE_DEV_CLINIC", dev_records.CLINIC),
        )
        people = await dev_records.seed(env, here.issuer.text, dev_records.DevFiles(DEV_FOLDER), places)
    ways_in = PageSettings(upstreams=upstreams_of(settings.upstreams))
    app = protocol_app(here, env, pages(here, env, ways_in, parts.credentials), parts.edge, parts.credentials)
    server = settings.server

    def ready() -> None:
        if worker:
            return
        err.print(f"[bold]Deputize[/] is at {here.issuer.text}  (inbox: {here.issuer.at('/inbox')})")
        for login, told in people.items():
            err.print(f"  {told['name']} signs in as [bold]{login}[/] with {told['password']}")

    async with running.sweeping(env), running.telling(here.issuer, env), watching(parts.signer):
        await running.serve(
            Listening(app, server.host, server.port, _tls(server)),
            Listening(management_app(env), server.host, server.management_port),
            http=GuardedProtocol,
            shared=worker is not None,
            when_ready=ready,
        )


def _tls(server: ServerSettings) -> Tls | None:
    if not server.tls_certificate:
        return None
    return Tls(server.tls_certificate, server.tls_key, server.client_authorities or None)


def asks_of(config: Path | None, who: str, *, dev: bool) -> list[ask.Shown]:
    """What waits for a person who proves to be that person."""

    async def work(parts: ServerParts) -> list[ask.Shown]:
        person, _ = await _signed_in(parts, who, dev=dev)
        return await ask.listed(Subject(person.key), parts.env)

    return with_records(config, work, dev=dev)


def answer_one(config: Path | None, who: str, page: str, *, dev: bool, allow: bool) -> ask.Shown:
    """Answer one ask as a person who proves to be that person."""

    async def work(parts: ServerParts) -> ask.Shown:
        person, amr = await _signed_in(parts, who, dev=dev)
        return await ask.answer(page, Subject(person.key), allow=allow, amr=amr, env=parts.env)

    return with_records(config, work, dev=dev)


def with_records(config: Path | None, work: Callable[[ServerParts], Awaitable[T]], *, dev: bool) -> T:
    """Work on the records of the server that the configuration describes."""
    observe.configure(level="warning")
    settings = load(config, dev=dev)
    if not is_postgres(settings.store.path) and not Path(settings.store.path).exists():
        raise Fault(f"there are no records at {settings.store.path}: run this where the server runs")

    async def main() -> T:
        parts = await server_parts(settings)
        try:
            return await work(parts)
        finally:
            await parts.env.store.close()

    return asyncio.run(main())


async def _signed_in(parts: ServerParts, who: str, *, dev: bool) -> tuple[Person, tuple[str, ...]]:
    """The same password, code and throttle as at the page: the command line is no way around the person."""
    told = dev_records.DevFiles(DEV_FOLDER).read("people") if dev else None
    if told is not None and who in told:
        password = str(told[who]["password"])
    elif sys.stdin.isatty():
        password = typer.prompt(f"Password of {who}", hide_input=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    settings, here = PageSettings().people, Source("command line")
    person = await check_password(parts.env, who, password, here, settings)
    if await codes.of(person, parts.env) is None:
        return person, BY_PASSWORD
    code = typer.prompt("Code of the authenticator") if sys.stdin.isatty() else sys.stdin.readline()
    used = await check_code(parts.env, person, code, here, settings)
    if not await parts.env.store.commit(used):
        USED_ONCE.refuse("access_denied")
    return person, BY_PASSWORD_AND_CODE
