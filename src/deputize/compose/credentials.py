"""The files that the table of credentials names, read; and the records that it needs, made."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from deputize.compose.settings import Settings
from deputize.core.ports import Add, Env, Replace
from deputize.core.rules import Fault
from deputize.core.wire import json_object
from deputize.jose.keys import PrivateKey
from deputize.jose.x509 import pem_ders
from deputize.oauth.client import Client, Resource
from deputize.oauth.server import AuthorizationServer
from deputize.server.credentials import Certified, Credentials
from deputize.vc.issuance import RequestKeys, new_request_key, request_key


async def credentials_of(settings: Settings, here: AuthorizationServer, env: Env) -> Credentials | None:
    """The table in force; None where it is empty. Raises Fault for a file that cannot be read."""
    table = settings.credentials
    if not table.on:
        return None
    made = Credentials(
        issuer=here.issuer,
        settings=table,
        certified=_certified(table.certificate, table.key) if table.certificate else None,
        requests=_request_keys(table.request_key, required=table.encrypted_only),
        lists=here.statuses,
    )
    if table.issued:
        wanted = made.resource()
        found = await env.store.read(Resource, wanted.key)
        if found is None:
            await env.store.commit(Add(wanted))  # False where another worker was faster
        elif found.scopes != wanted.scopes:
            await env.store.commit(Replace(found, wanted))
        if here.anonymous and await env.store.read(Client, here.anonymous) is None:
            await env.store.commit(Add(made.wallets()))
    return made


def _certified(certificate: str, key: str) -> Certified:
    try:
        chain = pem_ders(Path(certificate).read_text())
        return Certified(key=PrivateKey.from_jwk(_jwk(key)), chain=chain)
    except (OSError, ValueError, KeyError) as problem:
        raise Fault(f"credentials.certificate and credentials.key: {problem}") from None


def _request_keys(place: str, *, required: bool) -> RequestKeys:
    """The key for requests that are encrypted; made where the file is not there yet, for its owner alone."""
    if not place:
        return RequestKeys()
    try:
        with contextlib.suppress(FileExistsError):  # another worker may have been faster
            opened = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "w") as file:
                json.dump(new_request_key(), file)
        return RequestKeys(keys=(request_key(_jwk(place)),), required=required)
    except (OSError, ValueError) as problem:
        raise Fault(f"credentials.request_key: {problem}") from None


def _jwk(place: str) -> dict[str, Any]:
    return json_object(Path(place).read_bytes())
