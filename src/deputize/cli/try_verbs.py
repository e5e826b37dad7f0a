"""The verbs of `deputize try`: a test client, each of whose steps is told."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

app = typer.Typer(help="A test client: obtain a token and see each step.", no_args_is_help=True)

out: Final = Console(highlight=False, soft_wrap=True)

IssuerAt = Annotated[str, typer.Option(help="The authorization server.")]
ScopeAsked = Annotated[str, typer.Option(help="The scope to ask for (default: all that the client may have).")]
ResourceAsked = Annotated[str, typer.Option(help="The resource (RFC 8707; default: the client's only one).")]
Dpop = Annotated[bool, typer.Option(help="Bind the token to a fresh key.")]
ShowToken = Annotated[bool, typer.Option("--show-token", help="Print the token itself, too.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")]
DEV: Final = "http://127.0.0.1:9400"


@app.command("client-credentials")
def try_client_credentials(
    issuer: IssuerAt = DEV,
    client: Annotated[
        Path,
        typer.Option(
            help="A JSON file with `client_id` and `key` (a private JWK) or `secret`; `serve --dev` makes one."
        ),
    ] = Path("var/dev/try.json"),
    method: Annotated[str, typer.Option(help="private_key_jwt or client_secret_basic.")] = "private_key_jwt",
    scope: ScopeAsked = "",
    resource: ResourceAsked = "",
    dpop: Dpop = True,
    show_token: ShowToken = False,
    as_json: AsJson = False,
) -> None:
    """Obtain a token by client_credentials, and say what is in it."""
    from deputize.cli.trying import Trial, obtain_by_client_credentials

    trial = Trial(issuer=issuer, client=client, method=method, scope=scope, resource=resource, dpop=dpop)
    _tell(obtain_by_client_credentials(trial, show_token=show_token), as_json=as_json)


@app.command("code")
def try_code(
    issuer: IssuerAt = DEV,
    client_id: Annotated[
        str, typer.Option(help="A public client with the redirect URI http://127.0.0.1/callback.")
    ] = "demo-app",
    scope: ScopeAsked = "",
    resource: ResourceAsked = "",
    dpop: Dpop = True,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser, beside printing where it is.")] = True,
    show_token: ShowToken = False,
    as_json: AsJson = False,
) -> None:
    """Have a person sign in and consent in a browser, and say what is in the token."""
    import webbrowser

    from deputize.cli.trying import CodeTrial, obtain_by_code

    def opened(url: str) -> None:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"Open {url}", markup=False)
        if browser:
            webbrowser.open(url)

    trial = CodeTrial(issuer=issuer, client_id=client_id, scope=scope, resource=resource, dpop=dpop)
    _tell(obtain_by_code(trial, opened, show_token=show_token), as_json=as_json)


@app.command("device")
def try_device(
    issuer: IssuerAt = DEV,
    client_id: Annotated[
        str, typer.Option(help="A public client for which `deputize client device allow` was said.")
    ] = "demo-device",
    scope: Annotated[str, typer.Option(help="The scope to ask for.")] = "prescriptions:read",
    resource: ResourceAsked = "",
    dpop: Dpop = True,
    show_token: ShowToken = False,
    as_json: AsJson = False,
) -> None:
    """Show a code, have a person type it elsewhere, and say what is in the token (RFC 8628)."""
    from deputize.cli.trying import CodeTrial, obtain_by_device
    from deputize.sdk import Prompt

    def shown(prompt: Prompt) -> None:
        told = f"Open {prompt.verification_uri} and type {prompt.user_code}"
        Console(stderr=True, highlight=False, soft_wrap=True).print(told, markup=False)

    trial = CodeTrial(issuer=issuer, client_id=client_id, scope=scope, resource=resource, dpop=dpop)
    _tell(obtain_by_device(trial, shown, show_token=show_token), as_json=as_json)


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    for line in told["steps"]:
        out.print(line, markup=False)
    if "access_token" in told:
        out.print(told["access_token"], markup=False)
