"""What a client says of itself at its own id: what such a document may hold, and what may be wrong with it."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from deputize.core.rules import Refusal, Rule
from deputize.core.values import WebUrl
from deputize.core.values import scope as read_scope
from deputize.core.wire import JsonObject, Malformed
from deputize.jose import jwt
from deputize.jose.keys import KeySet, holds_secret
from deputize.oauth.login import NONE
from deputize.oauth.redirects import NATIVE, is_fit

SPEC: Final = "draft-ietf-oauth-client-id-metadata-document-03"
BYTES_MAX: Final = 5 * 1024
DEPTH_MAX: Final = 8
NAME_MAX: Final = 64
URL_MAX: Final = 2048
ENTRIES_MAX: Final = 50

PRIVATE_KEY_JWT: Final = "private_key_jwt"
CODE: Final = "authorization_code"

ID_URL = Rule(
    SPEC,
    "Client Identifier URL",
    "The client id is an https URL with a path, and has no dot segments, no user, no password and no fragment.",
)
NO_QUERY = Rule(SPEC, "Client Identifier URL", "The client id has no query.")
NAMES_ITSELF = Rule(
    SPEC, "Client ID Metadata Document", "The client_id in the document is the document's URL, letter for letter."
)
NO_SECRET = Rule(
    SPEC, "Client ID Metadata Document", "The document holds no secret: no client_secret, no private or symmetric key."
)
NO_SHARED_METHOD = Rule(
    SPEC, "Client ID Metadata Document", "The client authenticates with nothing that it would share with a server."
)
METHOD_LISTED = Rule(
    SPEC, "Client Authentication", "The one authentication method is among the supported ones, where both are told."
)
KEYS = Rule(
    "RFC 7591", "2", "A client that authenticates with a key publishes jwks or an https jwks_uri, and not both."
)
SHAPES = Rule("RFC 7591", "2", "Each member of the document has the type that it is registered with.")
SHALLOW = Rule("Deputize", "bounds", "The document is nested at most 8 deep.")
REDIRECTS = Rule(
    SPEC,
    "Redirect URL Registration",
    "A client for the authorization code has redirect URIs: https, loopback, or a scheme of an app's own with a dot.",
)
UNCHANGED = Rule(
    SPEC, "Changes in Client Metadata", "The client's document is what it was when its authorization request began."
)
SPIFFE = Rule(
    "draft-ietf-oauth-spiffe-client-auth-02",
    "Client Registration",
    "The spiffe_id is a SPIFFE ID in lower case; an asterisk stands only for all below its last slash.",
)

# What is good to know, and no reason to refuse.
SHOWN_URLS = Rule(
    SPEC,
    "Server Side Request Forgery (SSRF) Attacks",
    "The URLs that are shown to people are https; others are left out.",
)
NO_DEFAULT_METHOD = Rule(
    SPEC, "Client Authentication", "The document says how the client authenticates; without it, it is a public client."
)
BOTH_METHODS = Rule(
    SPEC, "Client Authentication", "The document says both its one authentication method and the supported ones."
)
STABLE = Rule(SPEC, "Client Identifier URL", "The path of the client id is more than a slash.")
NAMED = Rule("MCP authorization 2026-07-28", "Client ID Metadata Documents", "The document has a client_name.")
CACHED = Rule(SPEC, "Metadata Caching", "The answer says for how long the document may be kept.")
MEMBERS = Rule("RFC 7591", "2", "Each grant type has the response type that goes with it.")

_SHARED: Final = re.compile(r"client_secret_.*|.*_(?:secret|hmac|symmetric).*")
_PERCENT_DOTS: Final = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)
_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)*(?:/\*)?")

_TEXTS: Final = (
    *("client_id", "client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri", "scope"),
    *("token_endpoint_auth_method", "software_statement", "software_id", "software_version", "application_type"),
    *("spiffe_id", "spiffe_bundle_endpoint", "backchannel_logout_uri"),
)
_LISTS: Final = (
    *("redirect_uris", "grant_types", "response_types", "contacts"),
    *("token_endpoint_auth_methods_supported", "authorization_grant_profiles_supported", "post_logout_redirect_uris"),
)
SWITCHES: Final = (
    *("dpop_bound_access_tokens", "tls_client_certificate_bound_access_tokens"),
    *("require_pushed_authorization_requests", "require_signed_request_object"),
)
_SHOWN: Final = ("client_uri", "logo_uri", "tos_uri", "policy_uri")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a document, or its URL, does otherwise than the rule says; `must` where it is refused for that."""

    rule: Rule
    where: str
    must: bool = True


# --- the id ---------------------------------------------------------------------------------------------------------


def is_url(client_id: str) -> bool:
    """Whether a client_id means a document at all."""
    return client_id.startswith("https://")


def findings_of_url(url: str) -> Iterator[Finding]:
    """What is wrong with a client id; held against the text, since a URL's reader would clear away what is wrong."""
    if not _is_id(url):
        yield Finding(ID_URL, "client_id")
        return
    if "?" in url:
        yield Finding(NO_QUERY, "client_id")
    if urlsplit(url).path == "/":
        yield Finding(STABLE, "client_id", must=False)


def _is_id(url: str) -> bool:
    try:
        WebUrl(url)
    except ValueError:
        return False
    parts = urlsplit(url)
    segments = parts.path.split("/")[1:]
    plain = parts.scheme == "https" and len(url) <= URL_MAX and url == url.strip() and not url.endswith(("?", "#"))
    return plain and bool(segments) and not any(_PERCENT_DOTS.fullmatch(segment) for segment in segments)


# --- the document ---------------------------------------------------------------------------------------------------


def findings(document: JsonObject, url: str) -> Iterator[Finding]:
    """All that is wrong with a document that was found at `url`, the worst first."""
    if document.get("client_id") != url:
        yield Finding(NAMES_ITSELF, "client_id")
    yield from _of_shapes(document)
    if depth(document) > DEPTH_MAX:
        yield Finding(SHALLOW, "")
        return
    yield from _of_secrets(document, "")
    yield from _of_statement(document)
    yield from _of_methods(document)
    yield from _of_keys(document)
    yield from _of_redirects(document)
    spiffe = document.get("spiffe_id")
    if isinstance(spiffe, str) and not is_spiffe(spiffe):
        yield Finding(SPIFFE, "spiffe_id")
    yield from _of_what_is_shown(document)


def findings_of_members(members: JsonObject) -> Iterator[Finding]:
    """All that is wrong with what a client says of itself when it registers: what a document must keep, too.

    It may hold a secret that both sides know, since nobody else reads it; but no private key.
    """
    yield from _of_shapes(members)
    if depth(members) > DEPTH_MAX:
        yield Finding(SHALLOW, "")
        return
    if any(map(holds_secret, _jwks(members))):
        yield Finding(NO_SECRET, "jwks")
    yield from _of_methods(members)
    yield from _of_keys(members)
    yield from _of_redirects(members)
    yield from _of_what_is_shown(members)


def depth(value: Any) -> int:  # noqa: ANN401 (JSON is any value)
    """How deep objects and arrays lie in each other."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def _of_shapes(document: JsonObject) -> Iterator[Finding]:
    for name in _TEXTS:
        if not isinstance(document.get(name, ""), str):
            yield Finding(SHAPES, name)
    for name in _LISTS:
        told = document.get(name, [])
        if not isinstance(told, list) or len(told) > ENTRIES_MAX or not all(isinstance(one, str) for one in told):
            yield Finding(SHAPES, name)
    for name in SWITCHES:
        if not isinstance(document.get(name, False), bool):
            yield Finding(SHAPES, name)
    if not isinstance(document.get("jwks", {}), dict):
        yield Finding(SHAPES, "jwks")
    if not is_scope(document.get("scope", "")):
        yield Finding(SHAPES, "scope")


def is_scope(told: object) -> bool:
    try:
        return isinstance(told, str) and read_scope(told) is not None
    except ValueError:
        return False


def _of_secrets(members: Mapping[str, Any], inside: str) -> Iterator[Finding]:
    """Secrets that a document publishes, or a statement inside it."""
    for name in ("client_secret", "client_secret_expires_at"):
        if name in members:
            yield Finding(NO_SECRET, inside + name)
    if any(map(holds_secret, _jwks(members))):
        yield Finding(NO_SECRET, inside + "jwks")
    singular, plural = members.get("token_endpoint_auth_method"), members.get("token_endpoint_auth_methods_supported")
    if isinstance(singular, str) and is_shared(singular):
        yield Finding(NO_SHARED_METHOD, inside + "token_endpoint_auth_method")
    if isinstance(plural, list) and any(isinstance(one, str) and is_shared(one) for one in plural):
        yield Finding(NO_SHARED_METHOD, inside + "token_endpoint_auth_methods_supported")


def is_shared(method: str) -> bool:
    """Whether a method of client authentication rests on a secret that both sides know."""
    return _SHARED.fullmatch(method) is not None


def _jwks(members: Mapping[str, Any]) -> list[Mapping[str, object]]:
    jwks = members.get("jwks")
    entries = jwks.get("keys") if isinstance(jwks, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _of_statement(document: JsonObject) -> Iterator[Finding]:
    # Nothing of a software statement is believed here; but what must not be published is not published inside it.
    statement = document.get("software_statement")
    if isinstance(statement, str):
        try:
            _, claims = jwt.peek(statement, "invalid_client")
        except Refusal:
            yield Finding(SHAPES, "software_statement")
        else:
            yield from _of_secrets(claims, "software_statement: ")


def _of_methods(document: JsonObject) -> Iterator[Finding]:
    singular, plural = document.get("token_endpoint_auth_method"), document.get("token_endpoint_auth_methods_supported")
    if isinstance(plural, list) and singular is not None and singular not in plural:
        yield Finding(METHOD_LISTED, "token_endpoint_auth_method")
    if singular is None and plural is None:
        yield Finding(NO_DEFAULT_METHOD, "token_endpoint_auth_method", must=False)
    elif singular is None or plural is None:
        missing = "token_endpoint_auth_method" if singular is None else "token_endpoint_auth_methods_supported"
        yield Finding(BOTH_METHODS, missing, must=False)


def methods(document: JsonObject) -> tuple[str, ...]:
    """How a client authenticates, by its document; RFC 7591's default does not hold here."""
    singular, plural = document.get("token_endpoint_auth_method"), document.get("token_endpoint_auth_methods_supported")
    if singular is not None:
        return (singular,)
    return (NONE,) if plural is None else tuple(plural)


def _of_keys(document: JsonObject) -> Iterator[Finding]:
    inline, uri = document.get("jwks"), document.get("jwks_uri")
    if inline is not None and uri is not None:
        yield Finding(KEYS, "jwks_uri")
    if isinstance(uri, str) and not _is_https(uri):
        yield Finding(KEYS, "jwks_uri")
    if isinstance(inline, dict) and not _has_key(inline):
        yield Finding(KEYS, "jwks")
    if methods_want_key(document) and inline is None and uri is None:
        yield Finding(KEYS, "jwks")


def methods_want_key(document: JsonObject) -> bool:
    told = [document.get("token_endpoint_auth_method"), *_list(document, "token_endpoint_auth_methods_supported")]
    return PRIVATE_KEY_JWT in told


def _has_key(jwks: JsonObject) -> bool:
    try:
        return bool(KeySet.from_jwks(jwks).keys)
    except Malformed:
        return False


def _is_https(text: str) -> bool:
    try:
        return WebUrl(text).text.startswith("https:")
    except ValueError:
        return False


def _list(document: JsonObject, name: str) -> list[str]:
    told = document.get(name)
    return [one for one in told if isinstance(one, str)] if isinstance(told, list) else []


def grant_types(document: JsonObject) -> frozenset[str]:
    """What the client says that it uses; the default is RFC 7591's."""
    return frozenset(_list(document, "grant_types") if "grant_types" in document else [CODE])


def _of_redirects(document: JsonObject) -> Iterator[Finding]:
    uris = _list(document, "redirect_uris")
    kind = NATIVE if is_native(document) else "web"
    if not all(is_fit(uri, kind) for uri in uris) or (CODE in grant_types(document) and not uris):
        yield Finding(REDIRECTS, "redirect_uris")
    if (
        CODE in grant_types(document)
        and "code" not in _list(document, "response_types")
        and "response_types" in document
    ):
        yield Finding(MEMBERS, "response_types", must=False)


def is_native(document: JsonObject) -> bool:
    """Whether the client runs on a person's own machine: it says so, or says nothing and wants its answers there."""
    told = document.get("application_type")
    uris = _list(document, "redirect_uris")
    return told == NATIVE if told is not None else any(not uri.startswith("https:") for uri in uris)


def is_spiffe(text: str) -> bool:
    return _SPIFFE.fullmatch(text) is not None and not {".", ".."} & set(text.split("/"))


def _of_what_is_shown(document: JsonObject) -> Iterator[Finding]:
    for name in _SHOWN:
        told = document.get(name)
        if isinstance(told, str) and not _is_https(told):
            yield Finding(SHOWN_URLS, name, must=False)
    if not calls_itself(document):
        yield Finding(NAMED, "client_name", must=False)


def calls_itself(document: JsonObject) -> str:
    """The name that a client claims: on one line, without what is not seen or turns the line around, and short."""
    told = document.get("client_name")
    plain = unicodedata.normalize("NFKC", told if isinstance(told, str) else "")
    seen = "".join(
        " " if one.isspace() else one for one in plain if one.isspace() or unicodedata.category(one)[0] != "C"
    )
    return " ".join(seen.split())[:NAME_MAX].rstrip()
