"""How `deputize person` is called; what its verbs do stands in `cli.person`, imported when one runs."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

app = typer.Typer(help="Who can sign in.", no_args_is_help=True)

out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="The TOML file (default: deputize.toml).")]
Dev = Annotated[bool, typer.Option("--dev", help="The records of `deputize serve --dev`.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for machines.")]


@app.command("invite")
def invite_person(
    login: str,
    config: ConfigFile = None,
    dev: Dev = False,
    name: Annotated[str, typer.Option(help="The name that agents and pages call them by.")] = "",
    hours: Annotated[int, typer.Option(min=1, max=24 * 30, help="How long the link is good.")] = 72,
) -> None:
    """Make a one-time link by which this person sets how they sign in; for who has an account, all anew."""
    from deputize.cli.person import invite

    out.print(invite(config, login, name=name, hours=hours, dev=dev), markup=False)
    err.print("The link works once. Give it to this person, and to nobody else, by a way that you trust.")


@app.command("list")
def list_people(config: ConfigFile = None, dev: Dev = False, as_json: AsJson = False) -> None:
    """List who can sign in, how, and who is invited."""
    from deputize.cli.person import listed

    shown = listed(config, dev=dev)
    if as_json:
        print(json.dumps([one.as_json() for one in shown], ensure_ascii=False))
        return
    for one in shown:
        out.print(one.line(), markup=False)
    if not shown:
        out.print("There is nobody yet: `deputize person invite LOGIN` makes a link.")
