"""Other OpenID providers, as the settings name them."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deputize.core.values import IssuerIdentifier, Secret, WebUrl, scope
from deputize.oauth.upstream import Upstream

_KEY: Final = re.compile(r"[a-z0-9-]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """A provider that people may come from: its issuer, what this server is there, and what the page calls it.

    The secret lies in `client_secret_file`, or in the variable of the environment that `client_secret_env` names;
    without one, this server is a public client there. `elsewhere` are other origins of its endpoints. With `enrols`,
    whoever comes from there and is not known becomes a person here. The redirect URI to register there is the issuer
    here with `/sign-in/from/` and the section's name.
    """

    issuer: str
    client_id: str
    name: str
    client_secret_file: str = ""
    client_secret_env: str = ""
    scope: str = "openid profile"
    elsewhere: tuple[str, ...] = ()
    enrols: bool = False

    def secret(self) -> Secret | None:
        """The secret, from where it lies. Raises OSError or KeyError."""
        if self.client_secret_file:
            return Secret(Path(self.client_secret_file).read_text().strip())
        return Secret(os.environ[self.client_secret_env]) if self.client_secret_env else None


def mistakes(told: Mapping[str, UpstreamSettings], *, dev: bool) -> Iterator[str]:
    """What is wrong with them, each a line that says where."""
    for key, one in told.items():
        where = f"upstreams.{key}"
        if not _KEY.fullmatch(key):
            yield f"{where}: a name has small letters, figures and dashes, at most 32"
        try:
            if IssuerIdentifier(one.issuer).is_loopback and not dev:
                yield f"{where}.issuer: loopback is for --dev only"
        except ValueError as problem:
            yield f"{where}.issuer: {problem}"
        try:
            if "openid" not in scope(one.scope):
                yield f"{where}.scope: openid is in it"
        except ValueError as problem:
            yield f"{where}.scope: {problem}"
        if not all(_is_origin(origin) for origin in one.elsewhere):
            yield f"{where}.elsewhere: each is an origin such as https://login.example.com"
        if not one.name.strip() or not one.client_id:
            yield f"{where}: it has a name and a client_id"
        try:
            if (secret := one.secret()) is not None and not secret.reveal():
                yield f"{where}: its secret is empty"
        except (OSError, KeyError) as problem:
            yield f"{where}: its secret cannot be read: {problem}"
    issuers = [one.issuer for one in told.values()]
    if len(set(issuers)) != len(issuers):
        yield "upstreams: each issuer is there once"


def _is_origin(text: str) -> bool:
    try:
        return WebUrl(text).origin == text
    except ValueError:
        return False


def upstreams_of(told: Mapping[str, UpstreamSettings]) -> tuple[Upstream, ...]:
    """The providers, in the order in which they were named."""
    return tuple(
        Upstream(
            key=key,
            name=one.name,
            issuer=IssuerIdentifier(one.issuer),
            client_id=one.client_id,
            secret=one.secret(),
            scope=one.scope,
            elsewhere=one.elsewhere,
            enrols=one.enrols,
        )
        for key, one in told.items()
    )
