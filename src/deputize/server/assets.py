"""What the pages are made of: templates, and the files that a browser fetches once, named by what is in them."""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

_TYPES: Final = {
    "deputize.css": "text/css; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "onward.js": "text/javascript; charset=utf-8",
    "passkeys.js": "text/javascript; charset=utf-8",
    "badge.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its name with a hash of what is in it, so that it never changes under that name."""

    name: str
    media_type: str
    body: bytes
    packed: bytes


def load() -> Mapping[str, Asset]:
    """The files, by their plain names."""
    found = {}
    for plain, media_type in _TYPES.items():
        body = files("deputize.server").joinpath("static", plain).read_bytes()
        stem, _, ending = plain.rpartition(".")
        name = f"{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{ending}"
        found[plain] = Asset(name, media_type, body, gzip.compress(body, mtime=0))
    return found


def templates(base: str, assets: Mapping[str, Asset]) -> Environment:
    """The templates. Everything that they are given is escaped; `base` is where the pages begin."""

    def asset(plain: str) -> str:
        return f"{base}/static/{assets[plain].name}"

    def in_path(text: str) -> str:
        return quote(text, safe="")

    def from_capital(text: str) -> str:
        return text[:1].upper() + text[1:]

    made = Environment(
        loader=PackageLoader("deputize.server", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: dict[str, Callable[..., object]] = {"in_path": in_path, "from_capital": from_capital}
    made.globals.update(base=base, asset=asset, person="", token="", here="")
    made.filters.update(filters)
    return made
