"""How `deputize resource` is called; what its verbs do stands in `cli.hand`, imported when one runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

if TYPE_CHECKING:
    from deputize.cli.hand import ShownResource

app = typer.Typer(help="The APIs that tokens are issued for.", no_args_is_help=True)

out: Final = Console(highlight=False, soft_wrap=True)

Url = Annotated[str, typer.Argument(help="Its identifier (RFC 8707): the audience of its tokens.", metavar="URL")]
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="The TOML file (default: deputize.toml).")]
Dev = Annotated[bool, typer.Option("--dev", help="The records of `deputize serve --dev`.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for machines.")]


@app.command("add")
def add_resource(
    url: Url,
    name: Annotated[str, typer.Option(help="What people call it.")],
    scope: Annotated[list[str], typer.Option(help='name=sentence: words that follow "… wants to"; may be repeated.')],
    default_scope: Annotated[str, typer.Option(help="What is asked for where no scope is named (default: all).")] = "",
    jwks: Annotated[
        Path | None, typer.Option(help="Its guard's public keys, with which it asks about tokens and signs challenges.")
    ] = None,
    config: ConfigFile = None,
    dev: Dev = False,
    as_json: AsJson = False,
) -> None:
    """Make a resource. A server that runs knows it at once."""
    from deputize.cli import hand

    made = hand.add_resource(
        config,
        url,
        name=name,
        scopes=tuple(scope),
        default_scope=default_scope,
        jwks=hand.jwks_file(jwks),
        dev=dev,
    )
    _say([made], as_json=as_json, alone=True)


@app.command("list")
def list_resources(config: ConfigFile = None, dev: Dev = False, as_json: AsJson = False) -> None:
    """List the resources and their scopes; the server itself, which tells who a person is, is one of them."""
    from deputize.cli import hand

    _say(hand.resources(config, dev=dev), as_json=as_json)


@app.command("disable")
def disable_resource(url: Url, config: ConfigFile = None, dev: Dev = False) -> None:
    """Issue no more tokens for a resource; those that there are hold no more where they are asked about."""
    from deputize.cli import hand

    hand.switch_resource(config, url, on=False, dev=dev)
    out.print(f"{url} is disabled", markup=False)


@app.command("enable")
def enable_resource(url: Url, config: ConfigFile = None, dev: Dev = False) -> None:
    """Issue tokens for a resource again."""
    from deputize.cli import hand

    hand.switch_resource(config, url, on=True, dev=dev)
    out.print(f"{url} is enabled", markup=False)


def _say(shown: "list[ShownResource]", *, as_json: bool, alone: bool = False) -> None:
    if as_json:
        told = [one.as_json() for one in shown]
        print(json.dumps(told[0] if alone else told, ensure_ascii=False))
        return
    for one in shown:
        for line in one.lines():
            out.print(line, markup=False)
