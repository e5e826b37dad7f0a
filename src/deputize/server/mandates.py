"""Mandates as SD-JWT VCs, and what this server publishes for those who verify them: its keys, and their type."""

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from deputize.core.ports import Env
from deputize.core.values import Issuer
from deputize.core.wire import JsonObject
from deputize.oauth.mandates import TYPE_PATH
from deputize.oauth.server import AuthorizationServer
from deputize.vc.credential import prepare
from deputize.vc.issue import Frame
from deputize.vc.issuer_keys import METADATA_PATH
from deputize.vc.paths import Path

_SHARED: Final = ("may", "authorization_details")
_HIDDEN: Final[tuple[Path, ...]] = (("sub",), *((name, None) for name in _SHARED))


async def mint(claims: JsonObject, env: Env) -> str:
    """A mandate, signed by the server's active key. The person and each permission may be hidden."""
    kid, alg = env.signer.active()
    decoys: dict[Path, int] = {(name,): _decoys(claims[name]) for name in _SHARED if name in claims}
    made = prepare(claims, Frame.of(*_HIDDEN, decoys=decoys), alg=alg, kid=kid, random=env.random)
    return made.signed(await env.signer.sign(kid, made.data))


def _decoys(elements: Sequence[object]) -> int:
    """So many that there are four, eight, sixteen: how much the agent may do is nobody's guess who is shown one."""
    padded = 4
    while padded < len(elements):
        padded *= 2
    return padded - len(elements)


def published(here: AuthorizationServer, env: Env) -> dict[str, Callable[[], JsonObject]]:
    """What is published, by its path, where this server gives mandates."""
    if here.mandates is None:
        return {}
    path = urlsplit(here.issuer.text).path
    described = type_metadata(here.issuer)
    return {METADATA_PATH + path: lambda: issuer_metadata(here.issuer, env), path + TYPE_PATH: lambda: described}


def issuer_metadata(issuer: Issuer, env: Env) -> JsonObject:
    """JWT VC Issuer Metadata: the keys that mandates are signed with, under the issuer's own name."""
    return {"issuer": issuer.text, "jwks": {"keys": list(env.signer.keys())}}


def type_metadata(issuer: Issuer) -> JsonObject:
    """The type of mandates: what is in one, what of it may be hidden, and what to call it."""
    return {
        "vct": issuer.at(TYPE_PATH),
        "name": "Agent mandate",
        "description": "A person lets an agent do something; the agent holds the key that the mandate is bound to.",
        "display": [
            {"locale": "en", "name": "Agent mandate", "description": "What a person lets an agent do for them."}
        ],
        "claims": [
            _claim(["sub"], "The person", sd="always"),
            _claim(["act"], "The agent that acts", sd="never", mandatory=True),
            _claim(["act", "sub"], "The agent's name at the issuer", sd="never", mandatory=True),
            _claim(["may"], "What it may do", sd="never", mandatory=True),
            _claim(["may", None], "One permission", sd="always"),
            _claim(["may", None, "resource"], "Where"),
            _claim(["may", None, "scope"], "What"),
            _claim(["authorization_details"], "What it may do, in detail", sd="never"),
            _claim(["authorization_details", None], "One detail", sd="always"),
        ],
    }


def _claim(path: list[str | None], label: str, **rules: str | bool) -> JsonObject:
    return {"path": path, "display": [{"locale": "en", "label": label}], **rules}
