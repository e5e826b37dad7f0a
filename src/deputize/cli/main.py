"""The verbs. What each needs is imported when it runs, so that `deputize --help` answers at once."""

import gc
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from deputize.cli import client_verbs, person_verbs, resource_verbs, status_verbs, try_verbs, vc
from deputize.core.rules import Fault, Refusal

if TYPE_CHECKING:
    from deputize.cli.keys import Keys

app = typer.Typer(
    name="deputize",
    help="Agents hold nothing, and a person approves exactly what runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys_app = typer.Typer(help="The server's signing keys.", no_args_is_help=True)
ask_app = typer.Typer(help="What waits for a person's answer.", no_args_is_help=True)
db_app = typer.Typer(help="What the server keeps.", no_args_is_help=True)
config_app = typer.Typer(help="The configuration.", no_args_is_help=True)
PARTS: Final = {
    "keys": keys_app,
    "client": client_verbs.app,
    "resource": resource_verbs.app,
    "db": db_app,
    "ask": ask_app,
    "person": person_verbs.app,
    "config": config_app,
    "try": try_verbs.app,
    "vc": vc.vc_app,
}
for name, part in (PARTS | {"status": status_verbs.app}).items():
    app.add_typer(part, name=name)

FROM_INPUT: Final = "-"
out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="The TOML file (default: deputize.toml).")]
Dev = Annotated[
    bool, typer.Option("--dev", help="For one's own machine: SQLite under ./var, http on loopback, demo people.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")]


def main() -> None:
    """Run; what is refused or wrong is told in a line, not in a traceback."""
    try:
        app()
    except Refusal as refusal:
        err.print(
            f"Refused: {refusal.rule.says} ({refusal.error}; {refusal.rule.spec} {refusal.rule.section})", markup=False
        )
        sys.exit(1)
    except Fault as fault:
        lines = getattr(fault, "lines", ())  # the mistakes of a configuration, all at once
        err.print(f"This cannot be done: {fault}", markup=False)
        sys.exit(2 if lines else 1)


def _say(value: Any) -> None:  # noqa: ANN401 (whatever JSON can say)
    print(json.dumps(value, ensure_ascii=False))


@app.command()
def serve(
    config: ConfigFile = None,
    dev: Dev = False,
    workers: Annotated[int, typer.Option(min=1, max=256, help="How many processes serve.")] = 1,
) -> None:
    """Run the authorization server."""
    gc.disable()  # hardly anything that a start makes is thrown away: `running.serve` looks once, at its end
    from deputize.cli.serving import serve_here

    serve_here(config, dev=dev, workers=workers)


@app.command()
def gateway(
    config: Annotated[Path, typer.Option("--config", "-c", help="The gateway's JSON file.")] = Path(
        "var/dev/gateway.json"
    ),
    port: Annotated[int | None, typer.Option(help="Where to listen, if not where the file's url says.")] = None,
    store: Annotated[Path, typer.Option(help="The gateway's own SQLite file.")] = Path("var/gateway.db"),
    dev: Dev = False,
) -> None:
    """Run the gateway: it holds the tokens, so that agents do not."""
    from deputize.cli.gateway import gateway_here

    gateway_here(config, port, store, dev=dev)


@app.command()
def demo(
    me: Annotated[bool, typer.Option("--me", help="You are Alice: the story waits for you at the page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an act.")] = False,
    act: Annotated[
        str,
        typer.Option(help="An act that stands for itself: mandate (shown to an API that has no tie to the server)."),
    ] = "",
) -> None:
    """Tell the story, live: a person, an agent, a pharmacy, and what happens when the agent tries more."""
    from deputize.cli.demo import tell

    raise typer.Exit(tell(me=me, as_json=as_json, act=act))


@app.command()
def specs(as_json: AsJson = False) -> None:
    """List the specifications that are implemented, with version and status."""
    from deputize.core.specs import SPECS

    if as_json:
        _say(
            [asdict(spec) | {"status": spec.status.value, "on_by_default": spec.status.on_by_default} for spec in SPECS]
        )
        return
    table = Table(box=None, pad_edge=False)
    for title in ("name", "document", "title", "status", "by default"):
        table.add_column(title)
    for spec in SPECS:
        table.add_row(spec.name, spec.id, spec.title, spec.status.value, "on" if spec.status.on_by_default else "off")
    out.print(table)


@config_app.command("show")
def config_show(
    config: ConfigFile = None,
    dev: Dev = False,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print what is in force. No secret can be in it: secrets are only ever referred to."""
    from deputize.compose.settings import load, origins

    rows = list(origins(config, load(config, dev=dev)))
    if as_json:
        _say({name: {"value": value, "origin": place} for name, value, place in rows})
        return
    for name, value, place in rows:
        out.print(f"{name} = {json.dumps(value)}{f'   # {place}' if origin else ''}", markup=False)


@keys_app.command("list")
def keys_list(config: ConfigFile = None, dev: Dev = False, as_json: AsJson = False) -> None:
    """List the signing keys: public parts, and where each stands in its life."""
    from deputize.cli.keys import listed

    _say_keys(listed(config, dev=dev), as_json=as_json)


@keys_app.command("rotate")
def keys_rotate(
    config: ConfigFile = None,
    dev: Dev = False,
    at_once: Annotated[bool, typer.Option("--now", help="Sign with it at once: for emergencies.")] = False,
    alg: Annotated[str | None, typer.Option(help="Of which algorithm's keys (default: the one in force).")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish the next key; it signs once whoever verifies has had the time to see it."""
    from deputize.cli.keys import rotate

    _say_keys(rotate(config, dev=dev, at_once=at_once, alg=alg), as_json=as_json)


@keys_app.command("retire")
def keys_retire(kid: str, config: ConfigFile = None, dev: Dev = False, as_json: AsJson = False) -> None:
    """Take a key away at once: for one that somebody else may have."""
    from deputize.cli.keys import retire

    _say_keys(retire(config, kid, dev=dev), as_json=as_json)


@keys_app.command("wrap")
def keys_wrap(
    config: ConfigFile = None,
    dev: Dev = False,
    before: Annotated[Path | None, typer.Option(help="The file of the master key until now, if there was one.")] = None,
) -> None:
    """Encrypt the keys under the master key that the settings refer to."""
    from deputize.cli.keys import wrap

    _say_keys(wrap(config, dev=dev, before=before), as_json=False)


def _say_keys(told: "Keys", *, as_json: bool) -> None:
    if as_json:
        _say(told.as_json())
    for line in () if as_json else told.lines():
        out.print(line, markup=False)
    for note in told.notes:
        err.print(note, markup=False)


@db_app.command("status")
def db_status(config: ConfigFile = None, dev: Dev = False, as_json: AsJson = False) -> None:
    """Say how the database stands to this program; change nothing. Exit code 1 where the two do not fit."""
    from deputize.cli.db import status
    from deputize.compose.settings import load

    told = status(load(config, dev=dev).store.path, dev=dev)
    if as_json:
        _say(asdict(told))
    else:
        out.print(
            f"database at step {told.step}, program at step {told.program}; {len(told.kinds)} kinds", markup=False
        )
        out.print(told.trouble or "they fit", markup=False)
    if told.trouble:
        raise typer.Exit(1)


@db_app.command("migrate")
def db_migrate(config: ConfigFile = None, dev: Dev = False) -> None:
    """Bring the database up to date; servers of the version before may go on."""
    from deputize.cli.db import migrate
    from deputize.compose.settings import load

    for line in migrate(load(config, dev=dev).store.path, dev=dev) or ["nothing to do"]:
        out.print(line, markup=False)


@db_app.command("sweep")
def db_sweep(config: ConfigFile = None, dev: Dev = False) -> None:
    """Forget what has expired; the server does so by itself, once a minute."""
    from deputize.cli.db import sweep
    from deputize.compose.settings import load

    out.print(f"{sweep(load(config, dev=dev).store.path, dev=dev)} records forgotten", markup=False)


@app.command()
def explain(
    token: Annotated[
        str, typer.Argument(help="The token, or - to read it from standard input (safer: no history).")
    ] = FROM_INPUT,
    as_json: AsJson = False,
) -> None:
    """Say in words what is in a token."""
    from deputize.adapters.system import SystemClock
    from deputize.cli.explain import Malformed, explain

    text = sys.stdin.read() if token == FROM_INPUT else token
    try:
        lines = list(explain(text, SystemClock()()))
    except Malformed as problem:
        raise Fault(f"this is not a token that can be read here: {problem}") from None
    if as_json:
        _say(lines)
    for line in lines if not as_json else ():
        out.print(line, markup=False)


Who = Annotated[str, typer.Option("--as", help="Whose asks: the name that this person signs in with.")]


@ask_app.command("list")
def ask_list(who: Who, config: ConfigFile = None, dev: Dev = False, as_json: AsJson = False) -> None:
    """List what waits for this person."""
    from deputize.cli.serving import asks_of

    shown = asks_of(config, who, dev=dev)
    if as_json:
        _say([asdict(one) for one in shown])
        return
    for one in shown:
        out.print(f"{one.page}\n  {one.sentence}", markup=False)
    if not shown:
        out.print("Nothing waits.")


@ask_app.command("allow")
def ask_allow(page: str, who: Who, config: ConfigFile = None, dev: Dev = False) -> None:
    """Allow one ask, as the person who is asked."""
    _answer(page, who, config, dev=dev, allow=True)


@ask_app.command("deny")
def ask_deny(page: str, who: Who, config: ConfigFile = None, dev: Dev = False) -> None:
    """Deny one ask, as the person who is asked."""
    _answer(page, who, config, dev=dev, allow=False)


def _answer(page: str, who: str, config: Path | None, *, dev: bool, allow: bool) -> None:
    from deputize.cli.serving import answer_one

    one = answer_one(config, who, page, dev=dev, allow=allow)
    out.print(f"{one.state}: {one.sentence}", markup=False)


if __name__ == "__main__":
    main()
