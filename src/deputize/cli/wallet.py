"""What `deputize vc offer`, `accept` and `present LINK` do: an issuer's offer, and a wallet that is a file."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from deputize.cli.serving import with_records
from deputize.compose.parts import ServerParts, reader_env
from deputize.core.ports import Append, Env, Event, Replace
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import WebUrl
from deputize.core.wire import JsonObject, json_object
from deputize.jose.jwt import peek
from deputize.jose.keys import PrivateKey
from deputize.jose.x509 import Roots, pem_ders
from deputize.oauth import offers
from deputize.oauth.client import Person
from deputize.oauth.offers import Entitled
from deputize.sdk import wallet as calls
from deputize.sdk.answers import Refused
from deputize.sdk.flow import Flow, arun
from deputize.sdk.wallet import Received, Wallet
from deputize.server.credentials import Credentials
from deputize.vc import answers, client_ids, issuance, requests
from deputize.vc.answers import Held
from deputize.vc.issuer_keys import Way, certified, well_known
from deputize.vc.presented import HEADER_MAX, holder_key
from deputize.vc.sdjwt import BYTES_MAX
from deputize.vc.verify import Policy, TrustedIssuer, averify, status_ignored

T = TypeVar("T")

FILE_MAX: Final = 4 * 1024 * 1024
AS_ASKED = Rule(
    "OpenID4VCI 1.0", "8.3", "A credential is of the type that was asked for, and bound to the key that was proven."
)


# --- the issuer's side --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """An offer as an operator hands it on: the link, and what is told by another way."""

    link: str
    tx_code: str
    dataset: str


def offer(
    config: Path | None,
    name: str,
    claims: JsonObject | None,
    *,
    dev: bool,
    person: str,
    tx_code: bool,
    by_reference: bool,
) -> Offered:
    """Make an offer at the server whose records lie here: with a code, or for a person who signs in."""

    async def work(parts: ServerParts) -> Offered:
        credentials = _on(parts, name)
        if claims is not None:
            credentials.hold(name, claims, parts.env)
        if person and await parts.env.store.read(Person, person) is None:
            raise Fault(f"there is nobody called {person}")
        made = await offers.make(
            {name: claims},
            credentials.name,
            parts.env,
            person=person,
            coded=not person,
            tx_code=tx_code,
            life=credentials.settings.offer_life,
        )
        if not await parts.env.store.commit(*made.changes):
            raise Fault("somebody else was faster; please try again", retry=True)
        told = f"{credentials.name}/offers/{made.secret.reveal()}" if by_reference else made.told()
        return Offered(
            link=issuance.offer_link(credentials.offer_scheme, told),
            tx_code="" if made.tx_code is None else made.tx_code.reveal(),
            dataset=made.offer.datasets[name],
        )

    return with_records(config, work, dev=dev)


def ready(config: Path | None, name: str, claims: JsonObject, *, dev: bool) -> None:
    """Say what a credential that was offered without it says: it is issued when the wallet asks again."""

    async def work(parts: ServerParts) -> None:
        kept = await parts.env.store.read(Entitled, name)
        if kept is None:
            raise Fault("nothing was offered under this identifier")
        _on(parts, kept.configuration).hold(kept.configuration, claims, parts.env)
        text = json.dumps(claims, ensure_ascii=False, separators=(",", ":"))
        event = Event(key="", at=parts.env.clock(), what="credential_ready", told={"configuration": kept.configuration})
        after = Entitled(
            key=kept.key, expires_at=kept.expires_at, whose=kept.whose, configuration=kept.configuration, claims=text
        )
        if not await parts.env.store.commit(Replace(kept, after), Append(event)):
            raise Fault("somebody else was faster; please try again", retry=True)

    with_records(config, work, dev=dev)


def _on(parts: ServerParts, name: str) -> Credentials:
    credentials = parts.credentials
    if credentials is None or name not in credentials.settings.issued:
        there = ", ".join(credentials.settings.issued) if credentials else ""
        raise Fault(f"this server issues no {name}: credentials.issued names {there or 'nothing'}")
    return credentials


# --- the wallet ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a wallet goes: also to this machine itself (`dev`), and trusting these authorities beside the system's."""

    dev: bool = False
    ca_file: str = ""
    roots: Path | None = None

    def origins(self, *urls: str) -> frozenset[str]:
        """What may be asked beside public addresses: of the places that were named, those on this machine."""
        found = set()
        for url in urls:
            try:
                one = WebUrl(url)
            except ValueError:
                continue
            if self.dev and one.is_loopback:
                found.add(one.origin)
        return frozenset(found)

    def trusted(self) -> Roots | None:
        if self.roots is None:
            return None
        try:
            return Roots(pem_ders(self.roots.read_text()))
        except (OSError, ValueError) as problem:
            raise Fault(f"{self.roots}: {problem}") from None


def accept(link: str, file: Path, places: Places, *, tx_code: str | None, client_id: str | None) -> list[JsonObject]:
    """Fetch what is offered, verify it, keep it; what each credential says."""

    async def work() -> list[JsonObject]:
        told = issuance.read_offer_link(link)
        issuer = told if isinstance(told, str) else told.issuer
        async with reader_env(allowed_origins=places.origins(issuer), ca_file=places.ca_file) as env:
            wallet = Wallet(clock=env.clock, random=env.random, client_id=client_id, dpop_key=PrivateKey.generate())
            offered = await _run(calls.read_offer(link), env)
            if places.origins(offered.issuer) != places.origins(issuer):
                raise Fault("the offer leads to an issuer elsewhere than it lies")
            keys = [PrivateKey.generate() for _ in offered.configurations]
            received = await _run(calls.accept(offered, keys, wallet, tx_code=tx_code), env)
            seen = []
            for one in received:
                try:
                    seen.append(await verified(one, places, env))
                except (Refusal, Fault):
                    await _run(calls.notify(one, "credential_failure", wallet), env)
                    raise
            _keep(file, received)
            for one in received:
                await _run(calls.notify(one, "credential_accepted", wallet), env)
            return seen

    return asyncio.run(work())


async def verified(one: Received, places: Places, env: Env) -> JsonObject:
    """A credential is kept once it is found good: its issuer's, of the type that was asked for, for our own key."""
    token, _ = peek(one.credential.partition("~")[0], "invalid_request", bytes_max=BYTES_MAX, header_max=HEADER_MAX)
    roots = places.trusted()
    way: Way = certified(roots) if roots is not None and "x5c" in token.header else well_known(loopback=places.dev)
    trusted = TrustedIssuer(issuer=one.issuer.name, keys=way, types=frozenset({one.vct}), status=status_ignored)
    seen = await averify(one.credential, Policy(issuers=(trusted,)), asked=None, env=env, holder=True)
    if (
        seen.vct != one.vct
        or holder_key(seen.claims, None, "invalid_request").thumbprint != one.key.public().thumbprint
    ):
        AS_ASKED.refuse("invalid_request", vct=seen.vct)
    return seen.claims


async def _run(flow: Flow[T], env: Env) -> T:
    try:
        return await arun(flow, env)
    except Refused as told:
        raise Fault(f"{told.error}: {told.description or 'no more was said'}") from None


def present(link: str, file: Path, places: Places, *, optional: bool, yes: bool) -> tuple[list[str], str | None]:
    """Answer a verifier with what the wallet has: what was shown, and where the browser is to go on."""

    async def work() -> tuple[list[str], str | None]:
        named = _urls_in(link)
        async with reader_env(allowed_origins=places.origins(*named), ca_file=places.ca_file) as env:
            wallet = Wallet(clock=env.clock, random=env.random)
            trust = client_ids.Trust(roots=places.trusted(), unsigned=True)
            request = await _run(calls.read_request(link, trust, wallet), env)
            held = _held(file)
            chosen = answers.choice(request, held, optional=optional)
            if not chosen.picks:
                reasons = "; ".join(f"{name}: {' '.join(dict.fromkeys(said))}" for name, said in chosen.missing.items())
                await _run(calls.send(request, answers.refusal(request, "access_denied")), env)
                raise Fault(f"nothing in this wallet answers what {request.client_id} asks ({reasons})")
            shown = [
                f"{pick.query}: {', '.join(sorted('.'.join(map(str, node.path)) for node in pick.show)) or 'no claims'}"
                for pick in chosen.picks
            ]
            if not yes:
                return [f"to {request.client_id}", *shown], None
            back = await _run(calls.send(request, answers.answer(request, held, chosen, env.clock())), env)
            return [f"to {request.client_id}", *shown], back

    return asyncio.run(work())


def _urls_in(link: str) -> tuple[str, ...]:
    params = requests.read_link(link).params
    return tuple(params[name] for name in ("request_uri", "response_uri") if name in params)


# --- the file -----------------------------------------------------------------------------------------------------


def _held(file: Path) -> list[Held]:
    found = [answers.held(str(one["credential"]), PrivateKey.from_jwk(one["key"])) for one in _read(file)]
    if not found:
        raise Fault(f"{file} has no credentials: `deputize vc accept` fetches some")
    return found


def _read(file: Path) -> list[JsonObject]:
    try:
        told = json_object(file.read_bytes(), FILE_MAX).get("credentials") if file.exists() else []
    except (OSError, ValueError) as problem:
        raise Fault(f"{file}: {problem}") from None
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise Fault(f"{file} is no wallet")
    return told


def _keep(file: Path, received: Sequence[Received]) -> None:
    """Write the wallet as a whole, for its owner alone: who is cut off meanwhile has the one before."""
    before = _read(file)
    now = [{"issuer": one.issuer.name, "credential": one.credential, "key": one.key.to_jwk()} for one in received]
    beside = file.with_name(file.name + ".new")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump({"credentials": [*before, *now]}, opened)
    beside.replace(file)
