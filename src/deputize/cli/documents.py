"""The verbs for a client's own document (client id metadata document): lint, for what is wrong with one; publish."""

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from deputize.adapters.guarded_fetch import GuardedFetch
from deputize.adapters.guarded_fetch import Settings as FetchSettings
from deputize.adapters.memory import MemoryStore
from deputize.compose import observe
from deputize.compose.parts import ports
from deputize.core.ports import Env
from deputize.core.published import fetched
from deputize.core.rules import Fault
from deputize.core.wire import JsonObject, Malformed, json_object
from deputize.jose.keys import PrivateKey
from deputize.oauth import client_document as documents
from deputize.oauth.client_document import CACHED, Finding
from deputize.oauth.clients.document import FOUND, KEYS_FOUND, public_keys
from deputize.oauth.login import NONE
from deputize.oauth.redirects import NATIVE

KEYS_MAX: Final = 64 * 1024
KEY_NAME: Final = ".key.json"


@dataclass(frozen=True, slots=True)
class Linted:
    """What was found at a document, or in it; `ok` where no server that keeps to the draft would refuse it."""

    url: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not any(one.must for one in self.findings)

    def as_json(self) -> JsonObject:
        told = [
            {
                "must": one.must,
                "where": one.where,
                "says": one.rule.says,
                "spec": one.rule.spec,
                "section": one.rule.section,
            }
            for one in self.findings
        ]
        return {"client_id": self.url, "ok": self.ok, "findings": told}

    def lines(self) -> Iterator[str]:
        """One line a finding: how bad, where, the sentence that should be true, and its clause."""
        for one in self.findings:
            where = f"{one.where}: " if one.where else ""
            yield f"{'refused' if one.must else 'note'}  {where}{one.rule.says} ({one.rule.spec}, {one.rule.section})"
        yield f"{self.url} {'is a good client id' if self.ok else 'would be refused'}"


# --- lint -----------------------------------------------------------------------------------------------------------


def lint(what: str, *, at: str = "", allow: tuple[str, ...] = (), ca_file: str = "") -> Linted:
    """Hold a document at its URL, or in a file, against the draft.

    `at` is the URL that a file is for (empty: what its client_id says). `allow` are origins inside that may be asked,
    `ca_file` further authorities.
    """
    if "://" not in what:
        return _of_file(Path(what), at)
    observe.configure(level="error")
    fetch = GuardedFetch(settings=FetchSettings(allowed_origins=allow, ca_file=ca_file))
    return asyncio.run(_of_url(what, fetch))


def _of_file(path: Path, at: str) -> Linted:
    try:
        body = path.read_bytes()
    except OSError as problem:
        raise Fault(f"{path} cannot be read: {problem.strerror}") from None
    try:
        document = json_object(body, documents.BYTES_MAX)
    except Malformed as problem:
        return Linted(at or str(path), (Finding(FOUND, str(problem)),))
    told = document.get("client_id")
    url = at or (told if isinstance(told, str) else "")
    return Linted(url, (*documents.findings_of_url(url), *documents.findings(document, url)))


async def _of_url(url: str, fetch: GuardedFetch) -> Linted:
    found = list(documents.findings_of_url(url))
    if any(one.must for one in found):
        return Linted(url, tuple(found))
    env = ports(MemoryStore(), fetch=fetch)
    try:
        document, headers = await fetched(url, documents.BYTES_MAX, env)
        found += documents.findings(document, url)
        if not headers.all("cache-control") and not headers.all("expires"):
            found.append(Finding(CACHED, "", must=False))
        found += await _of_keys(document, env)
    except Fault as fault:
        found.append(Finding(FOUND, str(fault)))
    finally:
        await fetch.aclose()
    return Linted(url, tuple(found))


async def _of_keys(document: JsonObject, env: Env) -> list[Finding]:
    uri = document.get("jwks_uri")
    if not isinstance(uri, str):
        return []
    try:
        keys, _ = await fetched(uri, KEYS_MAX, env)
        public_keys(keys)
    except (Fault, Malformed) as problem:
        return [Finding(KEYS_FOUND, f"jwks_uri: {problem}")]
    return []


# --- publish --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a client wants to say of itself. A `public` one keeps no key."""

    url: str
    name: str
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]
    scope: str = ""
    public: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The files that were written: the document for the web, and the key (None for a public client) for nobody."""

    document: Path
    key: Path | None
    members: JsonObject


def publish(wanted: Wanted, folder: Path) -> Made:
    """Write a document into a folder that is for the web, and its key beside that folder, where it is not.

    A key that is there is used again. Raises Fault on a document that would be refused.
    """
    name = urlsplit(wanted.url).path.rpartition("/")[2] or "client.json"
    if name.endswith(KEY_NAME):
        raise Fault(f"{name} is what the key of another document is called")
    key_file = None if wanted.public else folder.resolve().parent / (name.removesuffix(".json") + KEY_NAME)
    key = None if key_file is None else _key(key_file) or PrivateKey.generate()
    members = _members(wanted, key)
    found = (*documents.findings_of_url(wanted.url), *documents.findings(members, wanted.url))
    if wrong := [f"{one.where}: {one.rule.says}" for one in found if one.must]:
        raise Fault("; ".join(wrong))
    text = json.dumps(members, indent=2, ensure_ascii=False) + "\n"
    if len(text.encode()) > documents.BYTES_MAX:
        raise Fault(f"the document has more than {documents.BYTES_MAX} bytes, which servers need not read")
    folder.mkdir(parents=True, exist_ok=True)
    if key_file is not None and key is not None and not key_file.exists():
        _write_key(key_file, key)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return Made(document=file, key=key_file, members=members)


def _members(wanted: Wanted, key: PrivateKey | None) -> JsonObject:
    method = NONE if key is None else documents.PRIVATE_KEY_JWT
    redirect_uris = list(wanted.redirect_uris)
    told: dict[str, Any] = {
        "client_id": wanted.url,
        "client_name": wanted.name,
        "redirect_uris": redirect_uris,
        "application_type": NATIVE if documents.is_native({"redirect_uris": redirect_uris}) else "web",
        "grant_types": list(wanted.grant_types),
        "response_types": ["code"] if documents.CODE in wanted.grant_types else [],
        "scope": wanted.scope,
        "token_endpoint_auth_method": method,
        "token_endpoint_auth_methods_supported": [method],
        "jwks": None if key is None else {"keys": [key.public_jwk()]},
    }
    return {name: value for name, value in told.items() if value}


def _key(file: Path) -> PrivateKey | None:
    """The key in this file, if the file is there."""
    if not file.exists():
        return None
    try:
        return PrivateKey.from_jwk(json_object(file.read_bytes()))
    except Malformed:
        raise Fault(f"{file} is there, and holds no private key") from None


def _write_key(file: Path, key: PrivateKey) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # its owner's alone, from the first byte on
    with os.fdopen(handle, "w", encoding="utf-8") as written:
        json.dump(key.to_jwk(), written)
