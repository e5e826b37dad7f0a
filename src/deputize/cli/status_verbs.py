"""How `deputize status` is called; what its verbs do stands in `cli.status`, imported when one runs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="status", help="The lists that tell which tokens are no more.", no_args_is_help=True)

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="The TOML file (default: deputize.toml).")]
Dev = Annotated[bool, typer.Option("--dev", help="The records of `deputize serve --dev`.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for machines.")]


@app.command("show")
def show(config: ConfigFile = None, dev: Dev = False, as_json: AsJson = False) -> None:
    """Show the lists, and how many entries were told of."""
    from deputize.cli import status

    found = status.shown(config, dev=dev)
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        state = "open" if one.takes_entries else "closed"
        print(f"{one.uri}\n  {one.size} entries of {one.bits} bits, {state}; told: {one.told or 'nothing'}")
    if not found:
        print("There are no lists.")


@app.command("set")
def set_status(name: str, idx: int, status: str, config: ConfigFile = None, dev: Dev = False) -> None:
    """Tell a list (by its NAME) that the entry IDX is valid, invalid, suspended, or a number."""
    from deputize.cli.status import told

    told(config, name, idx, status, dev=dev)


@app.command("export")
def export(folder: Path, config: ConfigFile = None, dev: Dev = False) -> None:
    """Write all lists as files that any host can serve; to be done again before they expire."""
    from deputize.cli.status import exported

    for path in exported(config, folder, dev=dev):
        print(path)
