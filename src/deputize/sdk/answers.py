"""What an authorization server answers, read strictly: a token, a wait, or a no in its own words."""

from dataclasses import dataclass
from typing import Final, NoReturn

from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds, Secret, scope_text
from deputize.core.values import scope as read_scope
from deputize.core.wire import FORM_BYTES_MAX, JsonObject, Malformed, Reply, json_bytes
from deputize.oauth.details import Detail
from deputize.sdk.login import ClientLogin

INTERVAL: Final = Seconds(5)  # CIBA, 7.3: where the server names none
INTERVAL_MAX: Final = Seconds(300)
UNSAID_LIFE: Final = Seconds(60)  # RFC 6749, 5.1 lets a server leave expires_in out; nobody relies on more then
LIFE_MAX: Final = Seconds(400 * 24 * 3600)
TOKEN_MAX: Final = 16 * 1024
HANDLE_MAX: Final = 1024


class Refused(Exception):
    """The authorization server said no: its code, and its sentence cut to what is fit to be shown."""

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(error, description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSet:
    """What a server issued. `scope` and `details` are what it said of the token: informative, never authority."""

    access_token: Secret
    token_type: str
    expires_at: Instant
    scope: frozenset[str] = frozenset()
    details: tuple[Detail, ...] = ()
    issued_token_type: str | None = None
    refresh_token: Secret | None = None
    id_token: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A person is being asked. `page` is where that person may answer, where the server told it: for no agent."""

    handle: Secret
    until: Instant
    interval: Seconds
    page: str | None = None


# --- fields ---------------------------------------------------------------------------------------------------------

Fields = tuple[tuple[str, str], ...]


def some(name: str, value: str | None) -> Fields:
    return () if value is None else ((name, value),)


def scope_field(scope: frozenset[str]) -> Fields:
    return (("scope", scope_text(scope)),) if scope else ()


def details_field(details: tuple[Detail, ...]) -> Fields:
    told = json_bytes([detail.members for detail in details]).decode()
    return (("authorization_details", told),) if details else ()


# --- answers --------------------------------------------------------------------------------------------------------


def members(reply: Reply, *, good: int = 200, bytes_max: int = FORM_BYTES_MAX) -> JsonObject:
    """The JSON of a good answer. Redirects are answers like any other that is not good."""
    if reply.status != good:
        refuse(reply)
    try:
        kind = (reply.headers.all("content-type") or ("",))[0].partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Malformed("the content type is not application/json")
        return reply.json_object(bytes_max)
    except Malformed as problem:
        raise Fault(f"the authorization server's answer cannot be read: {problem}") from None


def refuse(reply: Reply) -> NoReturn:
    """Raise what the answer says: Refused where the server says no in its own words, or else Fault."""
    if 400 <= reply.status < 500 and reply.status != 429:
        try:
            told = reply.json_object()
        except Malformed:
            told = {}
        if isinstance(told.get("error"), str):
            raise Refused(shown(told["error"], 64), shown(told.get("error_description"), 300))
    raise Fault(f"the authorization server answered {reply.status}", retry=reply.status >= 500 or reply.status == 429)


def shown(text: object, length_max: int) -> str:
    """RFC 6749, 5.2's characters of an error; what goes beyond them could be a forged line of a log."""
    return "".join(mark for mark in text if " " <= mark <= "~")[:length_max] if isinstance(text, str) else ""


def pending_told(told: JsonObject, handle: str, now: Instant, *, page: str | None = None) -> Pending:
    name, life, interval = told.get(handle), told.get("expires_in"), told.get("interval", INTERVAL)
    if not is_plain(name, HANDLE_MAX):
        raise Fault(f"the answer has no usable {handle}")
    where = told.get(page) if page else None
    return Pending(
        handle=Secret(str(name)),
        until=Instant(now + _seconds(life, "expires_in", LIFE_MAX)),
        interval=_seconds(interval, "interval", INTERVAL_MAX),
        page=where if isinstance(where, str) else None,
    )


def _seconds(value: object, name: str, most: int) -> Seconds:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise Fault(f"{name} is a whole number of seconds, at least 1 and at most {most}")
    return Seconds(value)


def is_plain(value: object, length_max: int) -> bool:
    """RFC 6749, A: VSCHAR. What is put into a header must not end it."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= length_max
        and value.isascii()
        and all("!" <= mark <= "~" for mark in value)
    )


def token_told(reply: Reply, login: ClientLogin, asked: frozenset[str], *, narrower: bool = False) -> TokenSet:
    """The token of an answer. `narrower` where a person may have allowed less than was asked for."""
    told = members(reply)
    if not is_plain(told.get("access_token"), TOKEN_MAX):
        raise Fault("the answer has no usable access_token")
    wanted = "DPoP" if login.dpop_key is not None else "Bearer"
    # A token that anybody may use, where a bound one was asked for, is worse than none.
    if str(told.get("token_type")).lower() != wanted.lower():
        raise Fault(f"the token's type is not {wanted}")
    life = told.get("expires_in", UNSAID_LIFE)
    scope = _granted(told, asked, narrower=narrower)
    return TokenSet(
        access_token=Secret(told["access_token"]),
        token_type=wanted,
        expires_at=Instant(login.clock() + _seconds(life, "expires_in", LIFE_MAX)),
        scope=scope,
        details=_told_details(told.get("authorization_details", [])),
        issued_token_type=told["issued_token_type"] if isinstance(told.get("issued_token_type"), str) else None,
        refresh_token=_secret(told, "refresh_token"),
        id_token=_secret(told, "id_token"),
    )


def _granted(told: JsonObject, asked: frozenset[str], *, narrower: bool) -> frozenset[str]:
    if "scope" not in told:
        return asked  # RFC 6749, 5.1: left out where it is what was asked for
    try:
        granted = read_scope(told["scope"])
    except (ValueError, AttributeError, TypeError):
        raise Fault("the token's scope cannot be read") from None
    if not narrower and not asked <= granted:
        raise Refused("invalid_scope", "Less scope was granted than was asked for.")
    return granted


def _told_details(value: object) -> tuple[Detail, ...]:
    if not isinstance(value, list) or not all(
        isinstance(one, dict) and isinstance(one.get("type"), str) for one in value
    ):
        raise Fault("the token's authorization_details cannot be read")
    return tuple(Detail.of(**one) for one in value)


def _secret(told: JsonObject, name: str) -> Secret | None:
    return Secret(told[name]) if is_plain(told.get(name), TOKEN_MAX) else None
