"""The verbs of `deputize vc`: make, show and check credentials with keys that lie in files. No server is needed."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from deputize.cli import wallet_verbs
from deputize.core.rules import Fault, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deputize.core.ports import Env
    from deputize.core.wire import JsonObject
    from deputize.jose.keys import PrivateKey
    from deputize.vc import Asked, Policy, VerifiedCredential
    from deputize.vc.issuer_keys import Way
    from deputize.vc.paths import Path as ClaimPath
    from deputize.vc.verify import StatusCheck

vc_app = typer.Typer(help="Credentials: SD-JWT VCs, without a server.", no_args_is_help=True)

FROM_INPUT: Final = Path("-")
BYTES_MAX: Final = 256 * 1024

Input = Annotated[Path, typer.Argument(help="A file, or - for standard input.")]
Audience = Annotated[str, typer.Option(help="The verifier's name, to which the presentation is bound.")]
Nonce = Annotated[str, typer.Option(help="What the verifier asked to be signed.")]


@vc_app.command("key")
def key_here(
    file: Annotated[Path, typer.Argument(help="Where the private key goes; nothing is overwritten.")],
    alg: Annotated[str, typer.Option(help="ES256, ES384, Ed25519, PS256 or RS256.")] = "ES256",
) -> None:
    """Make a key: the private one into a file of one's own, the public one to standard output."""
    from deputize.jose.algorithms import ALL
    from deputize.jose.keys import PrivateKey

    if alg not in ALL:
        raise Fault(f"{alg} is none of {', '.join(sorted(ALL))}")
    key = PrivateKey.generate(alg)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # its owner's alone, from the first byte on
    except OSError as problem:
        raise Fault(f"{file}: {problem.strerror}") from None
    with os.fdopen(handle, "w") as opened:
        json.dump(key.to_jwk(), opened)
    print(json.dumps(key.public_jwk()))


@vc_app.command("issue")
def issue_here(
    key: Annotated[Path, typer.Option(help="The issuer's private key, a JWK.")],
    claims: Input = FROM_INPUT,
    hide: Annotated[
        list[str] | None, typer.Option(help="A claim that may be hidden: name, a.b, list.*, list.0.")
    ] = None,
    decoys: Annotated[int, typer.Option(min=0, max=100, help="Digests of nothing, put between.")] = 0,
    holder: Annotated[Path | None, typer.Option(help="The holder's public key, a JWK: goes into cnf.")] = None,
) -> None:
    """Make a credential of claims, a JSON object with iss, vct and the rest."""
    from deputize.adapters.system import SystemRandom
    from deputize.jose.keys import PublicKey
    from deputize.vc import Frame, issue

    said = _object(claims)
    if holder is not None:
        jwk = _object(holder)
        try:
            PublicKey.from_jwk(jwk)  # which takes no private one
        except ValueError as problem:
            raise Fault(f"{holder}: {problem}") from None
        said["cnf"] = {"jwk": jwk}
    try:
        frame = Frame.of(*map(_path, hide or ()), decoys=decoys)
        print(issue(said, frame, key=_private(key), random=SystemRandom()))
    except ValueError as problem:
        raise Fault(str(problem)) from None


vc_app.command("offer")(wallet_verbs.offer)
vc_app.command("ready")(wallet_verbs.ready)
vc_app.command("accept")(wallet_verbs.accept)


@vc_app.command("present")
def present_here(  # noqa: PLR0913, PLR0917 (each is one option)
    credential: Annotated[str, typer.Argument(help="A file, - for standard input, or a verifier's link.")] = "-",
    show: Annotated[list[str] | None, typer.Option(help="A claim to show, written as in `issue`.")] = None,
    key: Annotated[Path | None, typer.Option(help="The holder's private key, a JWK.")] = None,
    audience: Audience = "",
    nonce: Nonce = "",
    wallet_file: wallet_verbs.WalletFile = wallet_verbs.WALLET,
    ca_file: wallet_verbs.Ca = "",
    roots: wallet_verbs.RootsFile = None,
    dev: wallet_verbs.OwnMachine = False,
    yes: Annotated[bool, typer.Option("--yes", help="Answer a link without being asked.")] = False,
) -> None:
    """Choose what of a credential is shown, and bind it to a verifier; or answer a verifier's LINK from the wallet."""
    from deputize.adapters.system import SystemClock
    from deputize.vc import present

    if "://" in credential:
        wallet_verbs.present_link(credential, wallet_file, ca_file, roots, dev=dev, yes=yes)
        return
    asked = _asked(audience, nonce)
    if (asked is None) != (key is None):
        raise Fault("to bind a presentation takes --key, --audience and --nonce; without it, none of them")
    try:
        shown = [_path(each) for each in show or ()]
        holder = None if key is None else _private(key)
        print(present(_text(Path(credential)), shown, asked=asked, key=holder, now=SystemClock()()))
    except ValueError as problem:
        raise Fault(str(problem)) from None


@vc_app.command("verify")
def verify_here(  # noqa: PLR0913, PLR0917 (each is one option)
    issuer: Annotated[str, typer.Option(help="Whose credentials are taken: the iss, letter for letter.")],
    vct: Annotated[list[str], typer.Option("--type", help="A type that this issuer may issue.")],
    presentation: Input = FROM_INPUT,
    jwks: Annotated[
        Path | None, typer.Option(help="The issuer's public key or keys; without it, they are looked up at the issuer.")
    ] = None,
    audience: Audience = "",
    nonce: Nonce = "",
    status: Annotated[
        Path | None, typer.Option(help="The status list, as a file; without it, it is fetched from where it lies.")
    ] = None,
    did: Annotated[bool, typer.Option("--did", help="The issuer is a DID: did:jwk, did:key or did:web.")] = False,
    ignore_status: Annotated[bool, typer.Option(help="Take one with a status that nobody looks at.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="An origin inside that may be asked, such as https://lists.lab.example:8443."),
    ] = None,
    ca_file: Annotated[str, typer.Option(help="A file of certificate authorities to trust beside the system's.")] = "",
) -> None:
    """Check a credential or a presentation; print the claims that it shows, as JSON.

    The issuer's keys and the status list are fetched over https, from the issuer itself and from public addresses.
    Where the list cannot be had, the credential is not taken.
    """
    from deputize.vc import Policy, TrustedIssuer, decentralized, pinned, well_known

    if status is not None and ignore_status:
        raise Fault("--status looks at the status, --ignore-status does not: one of them")
    try:
        if did and jwks is not None:
            raise Fault("--did finds the issuer's key by its DID, --jwks says it: one of them")
        found = decentralized() if did else well_known(loopback=True)
        keys: Way = found if jwks is None else pinned(_set(jwks))
        check = _status_check(status, keys, ignored=ignore_status)
        trusted = TrustedIssuer(issuer=issuer, keys=keys, types=frozenset(vct), status=check)
        policy, asked = Policy(issuers=(trusted,)), _asked(audience, nonce)
        origins = frozenset(allow or ()) | _origin_of(issuer)
        seen = asyncio.run(_verified(_text(presentation), policy, asked, origins, ca_file))
    except ValueError as problem:
        raise Fault(str(problem)) from None
    print(json.dumps(seen.claims, ensure_ascii=False))


def _status_check(file: Path | None, way: "Way", *, ignored: bool) -> "StatusCheck":
    from deputize.vc import StatusLists, status_at_hand, status_ignored, status_of_issuer

    if ignored:
        return status_ignored
    looked_at = status_of_issuer(StatusLists(), way) if file is None else status_at_hand(_bytes(file), way)

    async def check(status: "Mapping[str, object]", issuer: str, env: "Env") -> None:
        try:
            await looked_at(status, issuer, env)
        except Fault as fault:
            raise Fault(f"all else about it is good, but nobody knows whether it still stands: {fault}") from None

    return check


def _origin_of(issuer: str) -> frozenset[str]:
    """The origin of an issuer that has one: whoever was named on the command line may be asked, also inside."""
    from deputize.core.values import WebUrl

    try:
        return frozenset({WebUrl(issuer).origin})
    except ValueError:
        return frozenset()


async def _verified(
    text: str, policy: "Policy", asked: "Asked | None", origins: frozenset[str], ca_file: str
) -> "VerifiedCredential":
    from deputize.compose.parts import reader_env
    from deputize.vc import averify
    from deputize.vc.status_list import IS_VALID, NAMES

    async with reader_env(allowed_origins=origins, ca_file=ca_file) as env:
        try:
            return await averify(text, policy, asked=asked, env=env)
        except Refusal as refusal:
            if refusal.rule is not IS_VALID:
                raise
            told = refusal.found["status"]
            raise Fault(f"all else about it is good, but its status is {NAMES.get(told, told)}") from None


def _asked(audience: str, nonce: str) -> "Asked | None":
    from deputize.vc import Asked

    if not audience and not nonce:
        return None
    try:
        return Asked(audience=audience, nonce=nonce)
    except ValueError:
        raise Fault("--audience and --nonce go together") from None


def _path(said: str) -> "ClaimPath":
    """A path as one types it: a dot between steps, a star for each element, digits for one."""
    return tuple(None if step == "*" else int(step) if step.isdecimal() else step for step in said.split("."))


def _text(file: Path) -> str:
    try:
        text = sys.stdin.read(BYTES_MAX + 1) if file == FROM_INPUT else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise Fault(f"{file} cannot be read: {problem}") from None
    return text.strip()


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise Fault(f"{file} cannot be read: {problem.strerror}") from None


def _object(file: Path) -> "JsonObject":
    from deputize.core.wire import json_object

    try:
        return json_object(_text(file).encode(), BYTES_MAX)
    except ValueError as problem:
        raise Fault(f"{file}: {problem}") from None


def _private(file: Path) -> "PrivateKey":
    from deputize.jose.keys import PrivateKey

    try:
        return PrivateKey.from_jwk(_object(file))
    except (ValueError, KeyError):
        raise Fault(f"{file} is no private key in JWK") from None


def _set(file: Path) -> "JsonObject":
    told = _object(file)
    return told if "keys" in told else {"keys": [told]}
