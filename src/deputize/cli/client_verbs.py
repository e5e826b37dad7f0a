"""How `deputize client` is called; what its verbs do stands in `cli.client` and `cli.documents`."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from deputize.cli import device_verbs

app = typer.Typer(help="The clients.", no_args_is_help=True)
secret_app = typer.Typer(help="A client's secret.", no_args_is_help=True)
app.add_typer(secret_app, name="secret")
app.add_typer(device_verbs.app, name="device")

out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="The TOML file (default: deputize.toml).")]
Dev = Annotated[bool, typer.Option("--dev", help="The records of `deputize serve --dev`.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for machines.")]


def _say(value: Any) -> None:  # noqa: ANN401 (whatever JSON can say)
    print(json.dumps(value, ensure_ascii=False))


@app.command("list")
def list_clients(
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that wait to be let in.")] = False,
    config: ConfigFile = None,
    dev: Dev = False,
    as_json: AsJson = False,
) -> None:
    """List the clients: how each is known, and what it may ask for."""
    from deputize.cli.client import listed

    found = listed(config, waiting=waiting, dev=dev)
    if as_json:
        _say([one.as_json() for one in found])
        return
    for one in found:
        for line in one.lines():
            out.print(line, markup=False)
    if not found:
        out.print("No client waits." if waiting else "There is no client yet.")


@app.command("add")
def add_client(  # noqa: PLR0913, PLR0917 (Typer reads each option from an argument)
    client: Annotated[str, typer.Argument(help="The client_id that it gets.", metavar="CLIENT_ID")],
    method: Annotated[str, typer.Option(help="How it authenticates: private_key_jwt, client_secret_basic, none, …")],
    name: Annotated[str, typer.Option(help="What people call it (default: the client_id).")] = "",
    jwks: Annotated[Path | None, typer.Option(help="Its public keys: a JWK Set or a JWK.")] = None,
    redirect_uri: Annotated[list[str] | None, typer.Option(help="Where answers may be sent; may be repeated.")] = None,
    grant: Annotated[
        list[str] | None,
        typer.Option(help="A grant type; may be repeated (default with a redirect URI: code, refresh)."),
    ] = None,
    resource: Annotated[
        list[str] | None, typer.Option(help="A resource that it may lead to; may be repeated (*: all there are now).")
    ] = None,
    scope: Annotated[str, typer.Option(help="What it may ask for (default: all scope of these resources).")] = "",
    certificate_subject: Annotated[str, typer.Option(help="For tls_client_auth: such as san_dns:bot.example.")] = "",
    certificate: Annotated[Path | None, typer.Option(help="For self_signed_tls_client_auth: a PEM file.")] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="A JSON file of further members (RFC 7591), such as dpop_bound_access_tokens.")
    ] = None,
    config: ConfigFile = None,
    dev: Dev = False,
    as_json: AsJson = False,
) -> None:
    """Make a client. Where it has a secret, that is shown this once. A server that runs knows it at once."""
    from deputize.cli import hand

    wanted = hand.WantedClient(
        client_id=client,
        method=method,
        name=name,
        redirect_uris=tuple(redirect_uri or ()),
        grant_types=tuple(grant or ()),
        resources=tuple(resource or ()),
        scope=scope,
        jwks=hand.jwks_file(jwks),
        certificate_subject=certificate_subject,
        certificate=hand.text_file(certificate),
        metadata=hand.json_file(metadata) or {},
    )
    made = hand.add_client(config, wanted, dev=dev)
    if as_json:
        _say(made.as_json())
    elif made.secret is not None:
        out.print(made.secret.reveal(), markup=False)
    if made.secret is not None:
        err.print("The secret is shown this once.")
    else:
        err.print(f"{client} is added", markup=False)


@app.command("allow")
def allow_client(
    client: Annotated[str, typer.Argument(help="The client_id.")], config: ConfigFile = None, dev: Dev = False
) -> None:
    """Let a client in that registered itself and waits. Look at it first: `deputize client list --waiting`."""
    from deputize.cli.client import allow

    allow(config, client, dev=dev)
    out.print(f"{client} is let in", markup=False)


@app.command("remove")
def remove_client(
    client: Annotated[str, typer.Argument(help="The client_id.")], config: ConfigFile = None, dev: Dev = False
) -> None:
    """Remove a client: its tokens end, and all that people allowed it is taken back."""
    from deputize.cli.client import remove

    remove(config, client, dev=dev)
    out.print(f"{client} is removed", markup=False)


@app.command("invite")
def invite_client(
    uses: Annotated[int, typer.Option(min=1, max=10_000, help="How many clients may register with it.")] = 1,
    life: Annotated[str, typer.Option(help="For how long.")] = "24h",
    config: ConfigFile = None,
    dev: Dev = False,
) -> None:
    """Make an initial access token, with which a client can register itself. It is shown this once."""
    from deputize.cli.client import invite, span

    out.print(invite(config, uses=uses, life=span(life), dev=dev).reveal(), markup=False)
    err.print(f"It is shown this once, and is good for {life}.", markup=False)


@secret_app.command("rotate")
def rotate(
    client: Annotated[str, typer.Argument(help="The client_id.")],
    overlap: Annotated[str, typer.Option(help="How long the secret before works on (0s: it ends now).")] = "24h",
    config: ConfigFile = None,
    dev: Dev = False,
    as_json: AsJson = False,
) -> None:
    """Make a new secret and show it, this once; the one before works for a while beside it."""
    from deputize.cli.client import rotate_secret, span

    told = rotate_secret(config, client, span(overlap), dev=dev)
    if as_json:
        _say({"client_id": client, "client_secret": told.secret.reveal(), "before_until": told.before_until})
    else:
        out.print(told.secret.reveal(), markup=False)
    err.print(f"It is shown this once. The secret before works for {overlap} longer.", markup=False)


@app.command("lint")
def lint_document(
    what: Annotated[str, typer.Argument(help="The URL that is the client_id, or a file.", metavar="URL|FILE")],
    at: Annotated[str, typer.Option(help="The URL that the file is for (default: its client_id).")] = "",
    allow: Annotated[
        list[str] | None, typer.Option(help="An origin inside that may be asked, such as https://app.lab.example:8443.")
    ] = None,
    ca_file: Annotated[str, typer.Option(help="A file of certificate authorities to trust beside the system's.")] = "",
    as_json: AsJson = False,
) -> None:
    """Hold a client's own document against the draft. Exit code 1 where a server would refuse it."""
    from deputize.cli.documents import lint

    told = lint(what, at=at, allow=tuple(allow or ()), ca_file=ca_file)
    if as_json:
        _say(told.as_json())
    for line in () if as_json else told.lines():
        out.print(line, markup=False)
    if not told.ok:
        raise typer.Exit(1)


@app.command("publish")
def publish_document(
    url: Annotated[str, typer.Argument(help="Where the document will lie: the client_id.")],
    name: Annotated[str, typer.Option(help="What the client calls itself.")],
    redirect_uri: Annotated[list[str] | None, typer.Option(help="Where answers may be sent; may be repeated.")] = None,
    grant: Annotated[list[str] | None, typer.Option(help="A grant type; may be repeated.")] = None,
    scope: Annotated[str, typer.Option(help="The scope that it will ask for.")] = "",
    public: Annotated[bool, typer.Option("--public", help="It keeps no key: whoever says so is it.")] = False,
    folder: Annotated[Path, typer.Option(help="What goes to the web; the key lies beside it.")] = Path("public"),
    as_json: AsJson = False,
) -> None:
    """Write a client's own document, to be put on the web, and the key that goes with it."""
    from deputize.cli.documents import Wanted, publish

    wanted = Wanted(
        url=url,
        name=name,
        redirect_uris=tuple(redirect_uri or ()),
        grant_types=tuple(grant or ("authorization_code", "refresh_token")),
        scope=scope,
        public=public,
    )
    made = publish(wanted, folder)
    if as_json:
        _say({"document": str(made.document), "key": str(made.key) if made.key else None, "members": made.members})
        return
    out.print(f"{made.document}: put it at {url}, as application/json, without redirects", markup=False)
    if made.key:
        out.print(f"{made.key}: the client's key; keep it from everybody else", markup=False)
