"""How the verbs of offers and wallets are called; what they do stands in `cli.wallet`, imported when one runs."""

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from deputize.core.rules import Fault

WALLET: Final = Path("var/wallet.json")

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="The TOML file (default: deputize.toml).")]
Link = Annotated[str, typer.Argument(help="The link, in quotes; or - for standard input.")]
WalletFile = Annotated[Path, typer.Option("--wallet", help="The wallet's file, for its owner alone.")]
OwnMachine = Annotated[bool, typer.Option("--dev", help="Also go to addresses of this machine.")]
Ca = Annotated[str, typer.Option("--ca", help="Certificate authorities to trust beside the system's (PEM).")]
RootsFile = Annotated[Path | None, typer.Option("--roots", help="Who certifies verifiers and issuers (PEM).")]


def offer(
    name: Annotated[str, typer.Argument(help="A credential of the table credentials.issued.")],
    claims: Annotated[
        Path | None, typer.Option(help="What it says: a JSON object in a file; without it, later.")
    ] = None,
    person: Annotated[str, typer.Option(help="For this person, who signs in to fetch it.")] = "",
    tx_code: Annotated[bool, typer.Option("--tx-code", help="Six digits that are told by another way.")] = False,
    by_reference: Annotated[bool, typer.Option("--by-reference", help="A short link to the offer.")] = False,
    config: ConfigFile = None,
    dev: Annotated[bool, typer.Option("--dev", help="The records of `deputize serve --dev`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for machines.")] = False,
) -> None:
    """Offer a credential to a wallet: a link, and a picture of it."""
    from deputize.cli import wallet

    told = wallet.offer(
        config,
        name,
        None if claims is None else object_in(claims),
        dev=dev,
        person=person,
        tx_code=tx_code,
        by_reference=by_reference,
    )
    if as_json:
        print(json.dumps({"link": told.link, "tx_code": told.tx_code, "dataset": told.dataset}))
        return
    print(told.link)
    picture(told.link)
    if told.tx_code:
        print(f"Transaction code, to be told by another way: {told.tx_code}")
    if claims is None:
        print(f"What it says is to follow: deputize vc ready {told.dataset} --claims FILE")


def ready(
    dataset: Annotated[str, typer.Argument(help="The identifier that `offer` has printed.")],
    claims: Annotated[Path, typer.Option(help="What the credential says: a JSON object in a file.")],
    config: ConfigFile = None,
    dev: Annotated[bool, typer.Option("--dev", help="The records of `deputize serve --dev`.")] = False,
) -> None:
    """Say what a credential says that was offered without it."""
    from deputize.cli import wallet

    wallet.ready(config, dataset, object_in(claims), dev=dev)


def accept(
    link: Link,
    tx_code: Annotated[str | None, typer.Option("--tx-code", help="The code that was told by another way.")] = None,
    wallet_file: WalletFile = WALLET,
    client_id: Annotated[str | None, typer.Option("--client", help="Who this wallet is, if it says so.")] = None,
    ca_file: Ca = "",
    roots: RootsFile = None,
    dev: OwnMachine = False,
) -> None:
    """Fetch what is offered, verify it, and keep it in a file; print what it says, as JSON."""
    from deputize.cli import wallet

    places = wallet.Places(dev=dev, ca_file=ca_file, roots=roots)
    try:
        seen = wallet.accept(link_of(link), wallet_file, places, tx_code=tx_code, client_id=client_id)
    except ValueError as problem:
        raise Fault(str(problem)) from None
    for claims in seen:
        print(json.dumps(claims, ensure_ascii=False))


def present_link(link: str, wallet_file: Path, ca_file: str, roots: Path | None, *, dev: bool, yes: bool) -> None:
    """Answer a verifier's request; where nobody said yes beforehand, the person is asked."""
    from deputize.cli import wallet

    places = wallet.Places(dev=dev, ca_file=ca_file, roots=roots)
    if not yes:
        lines, _ = wallet.present(link, wallet_file, places, optional=False, yes=False)
        print("This would be shown " + "\n  ".join(lines))
        if not sys.stdin.isatty() or not typer.confirm("Show it?"):
            raise Fault("nothing was shown: --yes shows it without asking")
    lines, back = wallet.present(link, wallet_file, places, optional=False, yes=True)
    print("Shown " + "\n  ".join(lines))
    if back is not None:
        print(f"Go on in the browser where you began: {back}")


def object_in(file: Path) -> "dict[str, object]":
    from deputize.core.wire import json_object

    try:
        return json_object(file.read_bytes())
    except (OSError, ValueError) as problem:
        raise Fault(f"{file}: {problem}") from None


def link_of(text: str) -> str:
    return sys.stdin.readline().strip() if text == "-" else text


def picture(link: str) -> None:
    """Draw a link, where there is somebody to look at it."""
    import segno

    if sys.stdout.isatty():
        segno.make(link, micro=False, boost_error=False).terminal(out=sys.stdout, compact=True)
