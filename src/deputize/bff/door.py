"""What a browser may ask: calls of this origin's own pages, and going to sign in. Nothing here has an effect."""

from typing import Final
from urllib.parse import parse_qsl

from deputize.core.rules import Rule
from deputize.core.wire import Headers
from deputize.resource.asgi import PLAIN_PATH, QUERY, Scope, one_reading, plain_query

HEADER: Final = "x-bff"

OWN_PAGE = Rule(
    "RFC 10017",
    "6.1.3.3",
    "A call comes from a page of this origin, and has the header X-BFF: 1, which no other sends.",
)
GONE_TO = Rule("RFC 10017", "6.1.3.3", "Signing in begins by going there, and by nothing that a page loads or frames.")
BACK_HERE = Rule("RFC 9700", "4.11", "After signing in a browser goes on to a path of this origin, and nowhere else.")


def headers_of(scope: Scope) -> Headers:
    """The header fields of a request, doubles kept."""
    return Headers(tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]))


def hold_own_page(headers: Headers, origin: str) -> None:
    """Hold that a script of this origin calls. A page elsewhere would have to ask first, and is told nothing."""
    from_here = headers.all("sec-fetch-site") in {(), ("same-origin",)} and headers.all("origin") in {(), (origin,)}
    if not from_here or headers.all(HEADER) != ("1",):
        OWN_PAGE.refuse("csrf")


def hold_gone_to(headers: Headers) -> None:
    """Hold that a person goes there: browsers say what a request is for."""
    if headers.all("sec-fetch-dest") not in {(), ("document",)}:
        GONE_TO.refuse("csrf")


def return_path(scope: Scope, reserved: str) -> str:
    """Where to go on to after signing in: what the query says under `return`, if that is a path of this origin."""
    told = [value for name, value in parse_qsl(scope.get("query_string", b"").decode("latin-1")) if name == "return"]
    if not told:
        return "/"
    back = str(told[0])
    path, mark, query = back.partition("?")
    plain = one_reading(path, path) and (not mark or plain_query(query))
    if len(told) > 1 or not plain or path == reserved or path.startswith(f"{reserved}/"):
        BACK_HERE.refuse("invalid_request")
    return back


def target(scope: Scope) -> tuple[str, str]:
    """Path and query as they came, or a refusal of what has two readings."""
    raw = scope.get("raw_path")
    path = str(scope["path"]) if raw is None else bytes(raw).decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    if not one_reading(path, scope["path"]):
        PLAIN_PATH.refuse("invalid_request")
    if not plain_query(query):
        QUERY.refuse("invalid_request")
    return path, query
