"""How `deputize client device` is called; what its verbs do stands in `cli.devices`."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

app = typer.Typer(help="Which clients may use the device flow (RFC 8628).", no_args_is_help=True)

out: Final = Console(highlight=False, soft_wrap=True)

Which = Annotated[str, typer.Argument(help="The client_id.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="The TOML file (default: deputize.toml).")]
Dev = Annotated[bool, typer.Option("--dev", help="The records of `deputize serve --dev`.")]


@app.command("allow")
def allow_device(
    client: Which,
    risk: Annotated[str, typer.Option(help="Why that is safe enough: kept with the record (RFC 10027, 2).")],
    config: ConfigFile = None,
    dev: Dev = False,
) -> None:
    """Let a client use the device flow, from now on."""
    from deputize.cli.devices import allow

    allow(config, client, risk, dev=dev)
    out.print(f"{client} may use the device flow", markup=False)


@app.command("withdraw")
def withdraw_device(client: Which, config: ConfigFile = None, dev: Dev = False) -> None:
    """Let a client begin no more device flows; what was allowed before stays until it is taken back."""
    from deputize.cli.devices import withdraw

    withdraw(config, client, dev=dev)
    out.print(f"{client} may use the device flow no more", markup=False)


@app.command("list")
def list_devices(
    config: ConfigFile = None,
    dev: Dev = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for machines.")] = False,
) -> None:
    """List the clients that may, and why."""
    from deputize.cli.devices import listed

    found = listed(config, dev=dev)
    if as_json:
        print(json.dumps([one.as_json() for one in found], ensure_ascii=False))
        return
    for one in found:
        out.print(f"{one.client_id}: {one.risk}", markup=False)
    if not found:
        out.print("No client may use the device flow.")
