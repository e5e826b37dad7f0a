"""Where an answer may be sent: to a redirect URI of the client, letter for letter; a loopback port floats."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from deputize.core.rules import Rule
from deputize.core.values import WebUrl
from deputize.oauth.client import Client

NATIVE: Final = "native"
LENGTH_MAX: Final = 2048

REGISTERED = Rule(
    "RFC 9700",
    "2.1",
    "The redirect URI is one of the client's, letter for letter; only the port of a native app's loopback may differ.",
)
NAMED = Rule(
    "RFC 6749", "3.1.2.3", "The request names a redirect URI, unless the client has but one and asks for no ID token."
)

# RFC 8252, 7.1: a scheme of one's own is a domain name turned round, so it has a dot; `javascript` has none.
_OWN_SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:/[A-Za-z0-9\-._~:/?@!$&'()*+,;=%]*")
_LOOPBACK: Final = re.compile(
    r"(?P<host>http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::(?P<port>[1-9][0-9]{0,4}))?(?P<rest>(?:[/?].*)?)"
)

REGISTERED_AFTER = Rule(
    "OpenID Connect RP-Initiated Logout 1.0",
    "3",
    "The post_logout_redirect_uri is one that the client is registered with, letter for letter.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A proof: this redirect URI is the client's own. Only `verified` makes one."""

    uri: str

    @property
    def host(self) -> str:
        """Whom a person would see in the address bar; for a scheme of an app's own, the scheme."""
        parts = urlsplit(self.uri)
        return parts.hostname or f"{parts.scheme}:"

    @property
    def origin(self) -> str:
        """Scheme and host and port; for a scheme of an app's own, the scheme."""
        parts = urlsplit(self.uri)
        return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"

    @property
    def is_on_this_machine(self) -> bool:
        """Whether whatever runs on the person's machine may be listening there (RFC 8252, 8.6)."""
        return not self.uri.startswith("https:")

    def with_params(self, params: tuple[tuple[str, str], ...]) -> str:
        """The URI with these parameters; the query that it has stays."""
        return f"{self.uri}{'&' if '?' in self.uri else '?'}{urlencode(params)}"


def is_fit(uri: str, application_type: str) -> bool:
    """Whether this may be a redirect URI at all: https; loopback; for a native app also a scheme of its own."""
    if len(uri) > LENGTH_MAX or "*" in uri:  # compared letter for letter, so who writes one means something else
        return False
    if application_type == NATIVE and _OWN_SCHEME.fullmatch(uri):
        return True
    try:
        WebUrl(uri)
    except ValueError:
        return False
    return True


def verified(asked: str | None, client: Client, *, openid: bool = False) -> Destination:
    """The redirect URI of a request. A refusal goes to a page, and nowhere else: nobody has verified a place for it."""
    known = [uri for uri in client.redirect_uris if is_fit(uri, client.application_type)]
    if asked is None:
        if len(known) != 1 or openid:
            NAMED.refuse("invalid_request", registered=len(known))
        return Destination(uri=known[0])
    floats = client.application_type == NATIVE
    if not any(asked == uri or (floats and _differ_by_port(asked, uri)) for uri in known):
        REGISTERED.refuse("invalid_request", asked=asked.partition("?")[0])
    return Destination(uri=asked)


def after_logout(asked: str, client: Client) -> Destination:
    """Where a person goes on to who has signed out (OpenID Connect RP-Initiated Logout 1.0, 3)."""
    if asked not in client.post_logout_redirect_uris or not is_fit(asked, client.application_type):
        REGISTERED_AFTER.refuse("invalid_request", asked=asked.partition("?")[0][:200])
    return Destination(uri=asked)


def _differ_by_port(asked: str, registered: str) -> bool:
    one, other = _LOOPBACK.fullmatch(asked), _LOOPBACK.fullmatch(registered)
    if one is None or other is None or not is_fit(asked, NATIVE) or int(one["port"] or 80) > 65535:
        return False
    return (one["host"], one["rest"]) == (other["host"], other["rest"])
