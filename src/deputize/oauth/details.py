"""Authorization details (RFC 9396): a row a type; each says itself in a sentence."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from deputize.core.rules import Rule
from deputize.core.values import WebUrl
from deputize.core.wire import JsonObject, Malformed, b64u, json_value

DETAILS_MAX: Final = 8
DETAILS_BYTES_MAX: Final = 16 * 1024

DETAILS = Rule("RFC 9396", "5", "Each authorization detail has a type that is known here, and the fields of that type.")

_DIGEST: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{43}=:")
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,4})?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_SIGNS: Final = {"EUR": "€", "USD": "$", "GBP": "£"}


@dataclass(frozen=True, slots=True)
class Detail:
    """One authorization detail: its type, and the whole object in one canonical text (so that equal is equal)."""

    type: str
    text: str

    @classmethod
    def of(cls, **members: object) -> "Detail":
        """Make one from its members; `type` is among them."""
        return cls(str(members["type"]), json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False))

    @property
    def members(self) -> JsonObject:
        found: JsonObject = json.loads(self.text)
        return found


@dataclass(frozen=True, slots=True)
class Said:
    """What a detail says about itself: `wants` follows "… wants to"; `often` is how often, where it is limited.

    `facts` says the same as a table, a label and what it says; `small` is what belongs in the small print.
    """

    wants: str
    often: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    small: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DetailType:
    """A row: the type's name, a check that raises ValueError, whether one detail is within another, its sentence.

    `binds` says that who has one of this type may do nothing else: so it cannot be left out, as others can. `granted`
    completes one that a person (by their key) has allowed, before a token says it.
    """

    name: str
    check: Callable[[Mapping[str, Any]], None]
    covers: Callable[[Detail, Detail], bool]
    says: Callable[[Mapping[str, Any]], Said]
    binds: bool = False
    granted: "Callable[[Detail, str], Detail] | None" = None


def shown_text(text: object, *, length_max: int = 140) -> str:
    """A text that is fit to be shown to a person: one short line, nothing invisible. Raises ValueError."""
    if not isinstance(text, str) or not text.strip() or len(text) > length_max:
        raise Malformed(f"a text of at most {length_max} characters is needed")
    if not text.isprintable():  # control, format (bidi) and private characters, line and paragraph separators
        raise Malformed("a text on one line, without control or direction marks")
    return text


def _only(members: Mapping[str, Any], *names: str) -> None:
    foreign = set(members) - {"type", *names}
    missing = set(names) - set(members)
    if foreign or missing:
        raise Malformed(f"fields unknown: {sorted(foreign)}; missing: {sorted(missing)}")


# --- http_call: fits one call ---------------------------------------------------------------------------------------

HTTP_CALL: Final = "http_call"


def content_digest(body: bytes) -> str:
    """The body's `sha-256` as RFC 9530 writes it."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"


def http_call(method: str, url: str, body: bytes) -> Detail:
    """The detail that exactly this call fits, and no other."""
    return Detail.of(type=HTTP_CALL, method=method, url=url, content_digest=content_digest(body), size=len(body))


def _check_call(members: Mapping[str, Any]) -> None:
    _only(members, "method", "url", "content_digest", "size")
    if not isinstance(members["method"], str) or not _METHOD.fullmatch(members["method"]):
        raise Malformed("a method is a word in capitals")
    if not isinstance(members["content_digest"], str) or not _DIGEST.fullmatch(members["content_digest"]):
        raise Malformed("a content_digest is an RFC 9530 sha-256")
    if not isinstance(members["size"], int) or isinstance(members["size"], bool) or members["size"] < 0:
        raise Malformed("a size is a number of bytes")
    if not isinstance(members["url"], str):
        raise Malformed("a url is a text")
    WebUrl(members["url"])


def _say_call(members: Mapping[str, Any]) -> Said:
    parts = urlsplit(members["url"])
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    exactly = f"exactly {members['size']} bytes, {members['content_digest']}"
    small = (f"{members['method']} {path} at {parts.netloc}", exactly)
    return Said(wants=f"make one call to {parts.netloc}", often="once", small=small)


# --- purchase: what, for how much, from whom ------------------------------------------------------------------------


def _check_purchase(members: Mapping[str, Any]) -> None:
    _only(members, "item", "quantity", "amount", "payee")
    shown_text(members["item"], length_max=80)
    shown_text(members["payee"], length_max=80)
    quantity, amount = members["quantity"], members["amount"]
    if not isinstance(quantity, int) or isinstance(quantity, bool) or not 0 < quantity < 10**6:
        raise Malformed("a quantity is a whole number above zero")
    if not isinstance(amount, dict) or set(amount) != {"value", "currency"}:
        raise Malformed("an amount has a value and a currency")
    if not isinstance(amount["value"], str) or not _AMOUNT.fullmatch(amount["value"]):
        raise Malformed("a value is a decimal number, written as text")
    if not isinstance(amount["currency"], str) or not _CURRENCY.fullmatch(amount["currency"]):
        raise Malformed("a currency has three capitals")


def money(value: str, currency: str) -> str:
    """An amount as a person writes it."""
    places = max(2, -int(Decimal(value).as_tuple().exponent))
    text = f"{Decimal(value):,.{places}f}"
    return f"{_SIGNS[currency]}{text}" if currency in _SIGNS else f"{text} {currency}"


def _say_purchase(members: Mapping[str, Any]) -> Said:
    amount = money(members["amount"]["value"], members["amount"]["currency"])
    what = f"{members['quantity']} × {members['item']}"
    facts = (("What", what), ("How much", amount), ("From whom", members["payee"]))
    return Said(wants=f"order {what} for {amount} from {members['payee']}", facts=facts)


# --- openid_credential: a credential is issued (OpenID4VCI 1.0, 5.1.1) ---------------------------------------------

OPENID_CREDENTIAL: Final = "openid_credential"
IDENTIFIERS_MAX: Final = 32
_CONFIGURATION: Final = re.compile(r"[A-Za-z0-9._~:/+-]{1,256}")


def dataset(person: str, configuration: str) -> str:
    """The credential_identifier of what this person is entitled to: one for each configuration."""
    return b64u(hashlib.sha256(f"dataset {configuration} {person}".encode("utf-8", "surrogatepass")).digest())


def openid_credential(configuration: str, identifiers: Iterable[str]) -> Detail:
    """The detail of a token that has these datasets issued."""
    return Detail.of(
        type=OPENID_CREDENTIAL,
        credential_configuration_id=configuration,
        credential_identifiers=list(identifiers),
    )


def _check_credential(members: Mapping[str, Any]) -> None:
    foreign = set(members) - {"type", "credential_configuration_id", "credential_identifiers", "locations", "claims"}
    if foreign:
        raise Malformed(f"fields unknown: {sorted(foreign)}")
    name = members.get("credential_configuration_id")
    if not isinstance(name, str) or not _CONFIGURATION.fullmatch(name):
        raise Malformed("a credential_configuration_id is a short text")
    for field, at_most in (("credential_identifiers", IDENTIFIERS_MAX), ("locations", 1)):
        told = members.get(field, ["-"])
        if not isinstance(told, list) or not 1 <= len(told) <= at_most:
            raise Malformed(f"{field} is an array of one or a few texts")
        if not all(isinstance(one, str) and 1 <= len(one) <= 2048 for one in told):
            raise Malformed(f"{field} has texts")
    if not isinstance(members.get("claims", []), list):
        raise Malformed("claims is an array")


def _covers_credential(wide: Detail, narrow: Detail) -> bool:
    mine, theirs = wide.members, narrow.members
    names = (set(one.pop("credential_identifiers", ())) for one in (mine, theirs))
    known, asked = names
    return mine == theirs and asked <= known


def _say_credential(members: Mapping[str, Any]) -> Said:
    name = members["credential_configuration_id"]
    return Said(wants=f"put your credential {name} into a wallet", often="once", facts=(("Credential", name),))


def _granted_credential(one: Detail, person: str) -> Detail:
    members = one.members
    return Detail.of(**members | {"credential_identifiers": [dataset(person, members["credential_configuration_id"])]})


# --- the table ------------------------------------------------------------------------------------------------------


def same(wide: Detail, narrow: Detail) -> bool:
    """The strictest way to cover: equal, whatever the order of members was."""
    return wide == narrow


TYPES: Final[tuple[DetailType, ...]] = (
    DetailType(HTTP_CALL, _check_call, same, _say_call, binds=True),
    DetailType("purchase", _check_purchase, same, _say_purchase),
    DetailType(OPENID_CREDENTIAL, _check_credential, _covers_credential, _say_credential, granted=_granted_credential),
)
_BY_NAME: Final = {row.name: row for row in TYPES}


def detail(members: object) -> Detail:
    """Check one object and make it a detail. Raises ValueError."""
    if not isinstance(members, dict):
        raise Malformed("an authorization detail is an object")
    row = _BY_NAME.get(members.get("type", ""))
    if row is None:
        raise Malformed("an authorization detail of a type that is not known here")
    row.check(members)
    return Detail.of(**members)


def details(value: object, *, error: str = "invalid_authorization_details") -> tuple[Detail, ...]:
    """Read `authorization_details`: the array, or its JSON text."""
    try:
        if isinstance(value, str):
            value = json_value(value.encode("utf-8", "surrogatepass"), bytes_max=DETAILS_BYTES_MAX)
        if not isinstance(value, list) or len(value) > DETAILS_MAX:
            raise Malformed(f"an array of at most {DETAILS_MAX} authorization details")
        return tuple(detail(members) for members in value)
    except (ValueError, TypeError) as problem:
        DETAILS.refuse(error, problem=str(problem))


def covers(wide: Detail, narrow: Detail) -> bool:
    """Whether `narrow` is within `wide`, by their type's own rule."""
    if wide.type != narrow.type:
        return False
    row = _BY_NAME.get(wide.type)
    return row.covers(wide, narrow) if row else same(wide, narrow)


def binds(one: Detail) -> bool:
    """Whether who has it may do nothing else."""
    row = _BY_NAME.get(one.type)
    return row is not None and row.binds


def granted(one: Detail, person: str) -> Detail:
    """What a token says of a detail that this person has allowed (RFC 9396, 7.1)."""
    row = _BY_NAME.get(one.type)
    return one if row is None or row.granted is None else row.granted(one, person)


def says(one: Detail) -> Said:
    """The sentence of a detail."""
    return _BY_NAME[one.type].says(one.members)
