"""What a resource said when it said no: the challenges of its WWW-Authenticate fields, however many stand in one."""

import re
from dataclasses import dataclass
from typing import Final

from deputize.core.values import Seconds
from deputize.core.values import scope as read_scope
from deputize.core.wire import Headers

INSUFFICIENT_SCOPE: Final = "insufficient_scope"
INSUFFICIENT_AUTHENTICATION: Final = "insufficient_user_authentication"
USE_NONCE: Final = "use_dpop_nonce"
LENGTH_MAX: Final = 16 * 1024

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 (a token of HTTP, no secret)
_PARAM: Final = re.compile(rf"[ \t]*({_TOKEN})[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*+)\"|({_TOKEN}))[ \t]*(?=,|\Z)")
_SCHEME: Final = re.compile(rf"[ \t]*({_TOKEN})(?:[ \t]+[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|\Z)|[ \t]+|(?=,|\Z))")
_ESCAPED: Final = re.compile(r"\\(.)")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_SCHEMES: Final = frozenset({"bearer", "dpop"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenged:
    """What a client acts on, from whichever of the schemes that we speak. `scope` is None where none was named."""

    schemes: frozenset[str] = frozenset()
    errors: frozenset[str] = frozenset()
    scope: frozenset[str] | None = None
    acr_values: tuple[str, ...] = ()
    max_age: Seconds | None = None
    resource_metadata: str | None = None


def challenges(value: str) -> tuple[tuple[str, dict[str, str]], ...]:
    """The challenges of one field (RFC 9110, 11.6.1), as far as it can be read: schemes in lower case, parameters."""
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    while at < len(value) <= LENGTH_MAX:
        if value[at] in ", \t":
            at += 1
            continue
        param = _PARAM.match(value, at) if found else None
        if param is not None:
            name, quoted, token = param.groups()
            # The first of two wins: what comes after it was put there by somebody else.
            found[-1][1].setdefault(name.lower(), token if quoted is None else _ESCAPED.sub(r"\1", quoted))
            at = param.end()
            continue
        scheme = _SCHEME.match(value, at)
        if scheme is None:
            break
        found.append((scheme.group(1).lower(), {}))
        at = scheme.end()
    return tuple(found)


def challenged(headers: Headers) -> Challenged:
    """What the challenges of an answer come to. What cannot be read says nothing."""
    known = [one for line in headers.all("www-authenticate") for one in challenges(line) if one[0] in _SCHEMES]
    params = [told for _, told in known]
    max_age = _first(params, "max_age") or ""
    return Challenged(
        schemes=frozenset(scheme for scheme, _ in known),
        errors=frozenset(told["error"] for told in params if "error" in told),
        scope=_scope(_first(params, "scope")),
        acr_values=tuple((_first(params, "acr_values") or "").split()),
        max_age=Seconds(int(max_age)) if _SECONDS.fullmatch(max_age) else None,
        resource_metadata=_first(params, "resource_metadata"),
    )


def _first(params: list[dict[str, str]], name: str) -> str | None:
    return next((told[name] for told in params if name in told), None)


def _scope(text: str | None) -> frozenset[str] | None:
    try:
        return read_scope(text) or None if text else None
    except ValueError:
        return None
