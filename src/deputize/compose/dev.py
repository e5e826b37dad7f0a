"""What `--dev` sets up: two people, a pharmacy and its tools, its telephone bot, and clients to try things with.

Each party's secrets lie in a file of its own under `var/dev`, as they would on machines of their own. All are made at
random on first use: there is no default password and no default key.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deputize.core.ports import Add, Change, Env, Record
from deputize.core.wire import JsonObject
from deputize.jose.keys import PrivateKey
from deputize.oauth.client import OWN_SCOPES, Client, Person, Resource, SecretHash, secret_hash
from deputize.oauth.device import DeviceClient
from deputize.oauth.grants import (
    authorization_code,
    ciba,
    client_credentials,
    device_code,
    refresh_token,
    token_exchange,
    transaction,
)
from deputize.oauth.login import NONE
from deputize.server.people import enrol

PHARMACY: Final = "http://127.0.0.1:9420"
GATEWAY: Final = "http://127.0.0.1:9410"
TOOLS: Final = "http://127.0.0.1:9430/mcp"
CLINIC: Final = "http://127.0.0.1:9440"
READ: Final = "prescriptions:read"
ORDER: Final = "prescriptions:order"
PEOPLE: Final = (("alice", "Alice"), ("bob", "Bob"))
DEVICE: Final = "demo-device"
AGENTS: Final = ("pharmacy-bot", "delivery-bot")
ERRAND_BOT: Final = "errand-bot"


@dataclass(frozen=True, slots=True)
class DevFiles:
    """The files under `var/dev`: one a party."""

    folder: Path

    def read(self, name: str) -> JsonObject | None:
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def kept(self, name: str, made: JsonObject) -> JsonObject:
        """What the file says; where there is none, `made`, written so that only its owner may read it."""
        found = self.read(name)
        if found is not None:
            return found
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.folder / f"{name}.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(made, file, indent=2)
        return made


@dataclass(frozen=True, slots=True)
class DevPlaces:
    """Where the demo's processes listen."""

    pharmacy: str = PHARMACY
    gateway: str = GATEWAY
    tools: str = TOOLS
    clinic: str = CLINIC


async def seed(env: Env, issuer: str, files: DevFiles, places: DevPlaces = DevPlaces()) -> JsonObject:
    """Make what is missing; the people's passwords, to be told to whoever started this."""
    people = files.kept("people", {login: {"name": name, "password": env.random(96)} for login, name in PEOPLE})
    for login, told in people.items():
        if await env.store.read(Person, login) is None:
            await enrol(env, login=login, name=told["name"], password=told["password"])
    reads = {READ: "read your prescriptions"}
    await _seed_api(
        env,
        files.kept("pharmacy", _api(issuer, places.pharmacy, "Madrid Pharmacy")),
        {**reads, ORDER: "prepare orders (you will be asked about each)"},
    )
    await _seed_api(
        env,
        files.kept("tools", _api(issuer, places.tools, "Madrid Pharmacy's tools")),
        {**reads, ORDER: "order your medicine"},
        first=frozenset(reads),
    )
    agents = {name: files.kept(name, {"gateway": places.gateway, "name": name, "key": _new_key()}) for name in AGENTS}
    gateway = files.kept("gateway", _gateway(issuer, places, agents))
    for name in AGENTS:
        await _once(env, _agent(name, places.pharmacy, _jwks(gateway["agents"][name]["client_key"])))
    await _seed_errands(env, issuer, files, places)
    await _seed_tryable(env, issuer, files, places.pharmacy)
    await _seed_apps(env, issuer, files, places.pharmacy)
    return people


def _api(issuer: str, resource: str, name: str) -> JsonObject:
    return {"issuer": issuer, "resource": resource, "name": name, "key": _new_key()}


async def _seed_api(
    env: Env, told: JsonObject, scopes: Mapping[str, str], *, first: frozenset[str] = frozenset()
) -> None:
    """An API, and the client by which its guard asks about tokens. `first` is what is asked for where no scope is."""
    name, resource, jwks = told["name"], told["resource"], _jwks(told["key"])
    await _once(env, Resource(key=resource, name=name, scopes=scopes, default_scope=first, jwks=jwks))
    await _once(
        env,
        Client(
            key=resource,
            name=name,
            auth_method="private_key_jwt",
            grant_types=frozenset(),
            jwks=jwks,
            serves=resource,
        ),
    )


def _gateway(issuer: str, places: DevPlaces, agents: dict[str, JsonObject]) -> JsonObject:
    return {
        "issuer": issuer,
        "url": places.gateway,
        "agents": {
            name: {"jwk": PrivateKey.from_jwk(told["key"]).public_jwk(), "client_key": _new_key()}
            for name, told in agents.items()
        },
        "routes": [
            {
                "prefix": "/pharmacy",
                "upstream": places.pharmacy,
                "resource": places.pharmacy,
                "agent": name,
                "person": "alice",
                "scopes": {"GET": [READ], "POST": [ORDER]},
                "may_ask": True,
            }
            for name in agents
        ],
    }


def _agent(name: str, resource: str, jwks: str) -> Client:
    return Client(
        key=name,
        name=name,
        auth_method="private_key_jwt",
        grant_types=frozenset({ciba.TYPE, token_exchange.TYPE, client_credentials.GRANT.type, transaction.DOOR}),
        audiences=frozenset({resource}),
        scope=frozenset({READ, ORDER}),
        jwks=jwks,
        dpop_bound=True,
        how_known="an agent of Madrid Pharmacy, registered by your administrator; its keys are held by the gateway",
    )


async def _seed_errands(env: Env, issuer: str, files: DevFiles, places: DevPlaces) -> None:
    """An agent that keeps its own key, and a clinic that knows no more of us than our name."""
    files.kept("clinic", {"issuer": issuer, "url": places.clinic, "name": "Lisbon Clinic"})
    told = files.kept(
        ERRAND_BOT,
        {"issuer": issuer, "name": ERRAND_BOT, "resource": places.pharmacy, "scope": [READ], "key": _new_key()},
    )
    await _once(
        env,
        Client(
            key=ERRAND_BOT,
            name=ERRAND_BOT,
            auth_method="private_key_jwt",
            grant_types=frozenset({ciba.TYPE, token_exchange.TYPE}),
            audiences=frozenset({places.pharmacy}),
            scope=frozenset({READ}),
            jwks=_jwks(told["key"]),
            dpop_bound=True,
            how_known="an agent that runs errands, registered by your administrator; it keeps its own key",
        ),
    )


async def _seed_tryable(env: Env, issuer: str, files: DevFiles, resource: str) -> None:
    told = files.kept(
        "try",
        {
            "issuer": issuer,
            "resource": resource,
            "private_key_jwt": {"client_id": "try-key", "key": _new_key()},
            "client_secret_basic": {"client_id": "try-secret", "secret": env.random(256)},
        },
    )
    common: dict[str, Any] = {
        "grant_types": frozenset({client_credentials.GRANT.type}),
        "audiences": frozenset({resource}),
        "scope": frozenset({READ}),
    }
    key, secret = told["private_key_jwt"], told["client_secret_basic"]
    await _once(
        env,
        Client(
            key=key["client_id"],
            name="Try it, with a key",
            auth_method="private_key_jwt",
            jwks=_jwks(key["key"]),
            **common,
        ),
    )
    await _once(
        env,
        Client(
            key=secret["client_id"],
            name="Try it, with a secret",
            auth_method="client_secret_basic",
            secrets=(SecretHash(secret_hash(secret["secret"])),),
            **common,
        ),
    )


async def _seed_apps(env: Env, issuer: str, files: DevFiles, resource: str) -> None:
    """Clients that people use in a browser: on their own machine, on a device without one, and one that keeps a key."""
    told = files.kept(
        "apps", {"issuer": issuer, "native": "demo-app", "web": {"client_id": "demo-web", "key": _new_key()}}
    )
    common: dict[str, Any] = {
        "grant_types": frozenset({authorization_code.TYPE, refresh_token.TYPE}),
        "audiences": frozenset({resource, issuer}),
        "scope": frozenset({READ, ORDER, *OWN_SCOPES}),
        "redirect_uris": tuple(f"http://{host}/callback" for host in ("127.0.0.1", "[::1]", "localhost")),
        "application_type": "native",
    }
    await _once(env, Client(key=told["native"], name="Demo app", auth_method=NONE, **common))
    device = {**common, "grant_types": frozenset({device_code.TYPE, refresh_token.TYPE}), "redirect_uris": ()}
    await _once(env, Client(key=DEVICE, name="Demo device", auth_method=NONE, **device))
    await _once(env, DeviceClient(key=DEVICE, risk="to be tried on one's own machine", assessed_at=env.clock()))
    web = told["web"]
    jwks = _jwks(web["key"])
    await _once(env, Client(key=web["client_id"], name="Demo web", auth_method="private_key_jwt", jwks=jwks, **common))


async def _once(env: Env, record: Record) -> None:
    changes: tuple[Change, ...] = (Add(record),)
    await env.store.commit(*changes)  # False where it is there from an earlier start: then that one stands


def _new_key() -> JsonObject:
    return PrivateKey.generate().to_jwk()


def _jwks(key: JsonObject) -> str:
    return json.dumps({"keys": [PrivateKey.from_jwk(key).public_jwk()]})
