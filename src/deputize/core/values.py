"""The alphabet: small values that were checked when they were made."""

import hmac
import re
from dataclasses import dataclass
from typing import NewType
from urllib.parse import urlsplit

Instant = NewType("Instant", int)  # seconds since 1970-01-01T00:00Z, as on the wire
Seconds = NewType("Seconds", int)
ClientId = NewType("ClientId", str)
Subject = NewType("Subject", str)

# RFC 3986's characters, less nothing: urllib drops tabs and newlines silently, so the text is held against this first.
_URI_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")  # RFC 6749, 3.3
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class WebUrl:
    """An absolute https URL, compared letter for letter; http only where the host is loopback.

    No userinfo, no fragment. Raises ValueError.
    """

    text: str

    def __post_init__(self) -> None:
        if not _URI_CHARACTERS.fullmatch(self.text) or len(self.text) > 2048:  # a length that every proxy carries
            raise ValueError("only the characters of a URI, at most 2048 of them")
        parts = urlsplit(self.text)
        _ = parts.port  # raises where it is no number
        if not parts.hostname or parts.scheme not in {"https", "http"}:
            raise ValueError("an absolute https URL is needed")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK_HOSTS:
            raise ValueError("http is for loopback only; use https")
        if "@" in parts.netloc or "#" in self.text:
            raise ValueError("no userinfo and no fragment")

    @property
    def origin(self) -> str:
        """Scheme, host and port as written."""
        parts = urlsplit(self.text)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def is_loopback(self) -> bool:
        return urlsplit(self.text).hostname in _LOOPBACK_HOSTS

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class IssuerIdentifier(WebUrl):
    """An issuer identifier (RFC 8414, 2): a URL with neither query nor fragment, never rebuilt from a request."""

    def __post_init__(self) -> None:
        WebUrl.__post_init__(self)
        if "?" in self.text:
            raise ValueError("an issuer has no query")


@dataclass(frozen=True, slots=True)
class Issuer(IssuerIdentifier):
    """The identifier of a server of our own making: what lies there has a URL that is made by appending to it."""

    def __post_init__(self) -> None:
        IssuerIdentifier.__post_init__(self)
        if self.text.endswith("/"):
            raise ValueError("an issuer does not end with a slash here")

    def at(self, path: str) -> str:
        """The URL of one of this issuer's own endpoints."""
        return self.text + path


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Secret:
    """A text that cannot show itself. There is no `==`, so that nobody compares in variable time."""

    _text: str

    def reveal(self) -> str:
        return self._text

    def matches(self, other: str) -> bool:
        own, told = (text.encode("utf-8", "surrogatepass") for text in (self._text, other))
        return hmac.compare_digest(own, told)

    def __repr__(self) -> str:
        return "Secret(…)"


def scope(text: str) -> frozenset[str]:
    """Read a space-separated scope (RFC 6749, 3.3). Raises ValueError on any other character."""
    tokens = frozenset(token for token in text.split(" ") if token)
    for token in tokens:
        if not _SCOPE_TOKEN.fullmatch(token):
            raise ValueError("a scope token has only printable ASCII without quote and backslash")
    return tokens


def scope_text(tokens: frozenset[str]) -> str:
    """Write a scope; sorted, so that the same scope is the same text."""
    return " ".join(sorted(tokens))
