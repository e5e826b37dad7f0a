"""The border: strict forms, JSON and base64url in; calls and answers out. Nothing is said twice."""

import json
import math
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlencode

import msgspec

from deputize.core.rules import Rule

JsonObject = dict[str, Any]

FORM_BYTES_MAX: Final = 64 * 1024
FIELDS_MAX: Final = 100
FIELD_BYTES_MAX: Final = 16 * 1024
JSON_DEPTH_MAX: Final = 20
REPEATABLE: Final = frozenset({"resource", "audience"})  # RFC 8707, 2; RFC 8693, 2.1

ONCE = Rule("RFC 6749", "3.2", "No request parameter is included more than once.")
FORM = Rule("RFC 6749", "3.2", "The request is a form in UTF-8, and its percent signs are escapes.")
FORM_TYPE = Rule("RFC 6749", "3.2", "The content type is application/x-www-form-urlencoded.")
SMALL = Rule("Deputize", "bounds", "The request body has at most 64 KiB, 100 fields and 16 KiB a field.")
PRESENT = Rule("RFC 6749", "5.2", "Each required parameter is present.")
ONE_HEADER = Rule("RFC 9110", "5.3", "A header that has one value is sent once.")
PLAIN = Rule("RFC 9110", "8.4", "The request body has no content coding.")


class Malformed(ValueError):
    """The bytes are not what they claim to be. The caller turns this into a refusal with its own code."""


# --- base64url ----------------------------------------------------------------------------------------------------

_B64URL: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_B64: Final = _B64URL[:62] + b"+/"
_TO_B64URL: Final = bytes.maketrans(_B64, _B64URL)
# Into the letters that the decoder knows. A full stop, which parts what is encoded, stays; whatever else is no letter
# of base64url, padding included, becomes a NUL. The decoder refuses both.
_FROM_B64URL: Final = bytes(
    _B64[_B64URL.index(byte)] if byte in _B64URL else byte if byte == ord(".") else 0 for byte in range(256)
)
# By what is left of the length: the last letters that have no bits to spare (any, if none), and the padding that the
# decoder wants. One letter left over is nothing that it would take.
_TAILS: Final = ((b"", b""), (b"", b""), (b"AQgw", b"=="), (b"AEIMQUYcgkosw048", b"="))


def b64u_letters(data: bytes) -> bytes:
    """Encode as base64url without padding (RFC 7515, 2)."""
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_B64URL)


def b64u(data: bytes) -> str:
    """Encode as base64url without padding, as a text."""
    return b64u_letters(data).decode("ascii")


def b64_letters(letters: bytes) -> bytes:
    """Change letters of base64url, and full stops between them, into those that `b64_bytes` takes."""
    return letters.translate(_FROM_B64URL)


def b64_bytes(letters: bytes) -> bytes:
    """Decode what `b64_letters` gave, in its one canonical form: no padding, no foreign characters, no stray bits."""
    last, padding = _TAILS[len(letters) % 4]
    try:
        data = a2b_base64(letters + padding, strict_mode=True)
    except ValueError:
        raise Malformed("not base64url") from None
    if last and letters[-1] not in last:
        raise Malformed("base64url with stray bits")
    return data


def b64u_bytes(text: str) -> bytes:
    """Decode base64url in its one canonical form."""
    return b64_bytes(b64_letters(text.encode("ascii", "replace")))  # a "?" is no letter


def b64u_texts(several: Iterable[bytes]) -> list[str]:
    """Encode each as base64url, as a text: many small ones faster than one by one."""
    return [b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_B64URL).decode("ascii") for data in several]


def b64u_datas(several: Iterable[bytes]) -> list[bytes]:
    """Decode each from the letters of base64url. Raises Malformed."""
    return [b64_bytes(each.translate(_FROM_B64URL)) for each in several]


# --- JSON ---------------------------------------------------------------------------------------------------------


def _pairs(pairs: list[tuple[str, Any]]) -> JsonObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("a member name is there twice")
    return members


def _constant(name: str) -> float:
    raise Malformed(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > 20:  # a sign and what fits into 64 bits
        raise Malformed("an integer beyond 64 bits")
    value = int(digits)
    if not -(2**63) <= value < 2**63:
        raise Malformed("an integer beyond 64 bits")
    return value


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= 64 else math.inf  # nobody needs more digits
    if not math.isfinite(value):
        raise Malformed("a number out of range")
    return value


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer, parse_float=_float
)


# The closing quote is optional: a text that never ends is passed over once, and not again from each quote in it.
_MARKS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def _depth(text: str) -> int:
    deepest = depth = 0
    for mark in _MARKS.findall(text):
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest


_FAST_DECODE: Final = msgspec.json.Decoder().decode
_FAST_ENCODE: Final = msgspec.json.Encoder().encode


def _is_modest(value: Any, depth_max: int) -> bool:  # noqa: ANN401 (JSON is any value)
    """Whether an object or array is no deeper than that, and each integer in it has 64 bits."""
    for member in value.values() if type(value) is dict else value:
        kind = type(member)
        if kind is str:
            continue
        if kind is int:
            if not -(2**63) <= member < 2**63:
                return False
        elif (kind is dict or kind is list) and not _is_modest(member, depth_max - 1):
            return False
    return depth_max > 0


_CONTAINERS: Final = frozenset({dict, list})
_WORDS: Final = frozenset({str, bool, NoneType})


def json_value(data: bytes, bytes_max: int = FORM_BYTES_MAX, depth_max: int = JSON_DEPTH_MAX) -> Any:  # noqa: ANN401 (JSON is any value)
    """Read JSON strictly: UTF-8, bounded size, depth and numbers; no name twice, no NaN, no lone surrogate."""
    if len(data) > bytes_max:
        raise Malformed("too large")
    try:
        value = _FAST_DECODE(data)
        # Without names, escapes and numbers, there is nothing that the two decoders could see differently.
        if type(value) is list and _WORDS.issuperset(map(type, value)) and b"\\" not in data:
            return value
        # The fast decoder keeps the last of two members of one name. But where the value, written again, is the same
        # to the letter, nothing was lost of it, and nothing stood there in another spelling.
        if type(value) in _CONTAINERS and _FAST_ENCODE(value) == data and _is_modest(value, depth_max):
            return value
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # the strict reader says what is wrong, if anything is
    return _strict_value(data, depth_max)


def _strict_value(data: bytes, depth_max: int) -> Any:  # noqa: ANN401 (JSON is any value)
    try:
        text = data.decode("utf-8").strip(" \t\r\n")
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    if text.count("[") + text.count("{") > depth_max and _depth(text) > depth_max:
        raise Malformed("nested too deeply")
    try:
        value, end = _DECODER.raw_decode(text)
        if end != len(text):
            raise Malformed("more than one JSON value")
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    return value


def json_values(several: Iterable[bytes], bytes_max: int = FORM_BYTES_MAX) -> list[Any]:
    """Read each as `json_value` does."""
    return [json_value(data, bytes_max) for data in several]


def json_object(data: bytes, bytes_max: int = FORM_BYTES_MAX, depth_max: int = JSON_DEPTH_MAX) -> JsonObject:
    """Read one JSON object, as strictly as `json_value` does."""
    value = json_value(data, bytes_max, depth_max)
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    return value


_SCALARS: Final = frozenset({str, int, bool, NoneType})


def _is_plain(value: Any) -> bool:  # noqa: ANN401 (whatever is to be written)
    """Whether a value is made of JSON's own types alone, without floats."""
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return type(value) in _SCALARS
    return _SCALARS.issuperset(map(type, value)) or all(map(_is_plain, value))


def json_bytes(value: Any) -> bytes:  # noqa: ANN401 (whatever is to be written)
    """Write compact JSON in UTF-8. Raises TypeError or ValueError on what is no JSON: a set, NaN, a lone surrogate.

    The fast encoder also writes what is no JSON (a set, a secret's dataclass, and NaN as null); the careful one raises.
    """
    if (type(value) is dict and _SCALARS.issuperset(map(type, value.values()))) or _is_plain(value):
        return _FAST_ENCODE(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


json_plain: Final = _FAST_ENCODE
"""Write what is known to be made of JSON's own types and finite numbers: whoever calls this has looked."""


# --- headers and forms --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields as they came: names in lower case, in order, doubles kept."""

    items: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.items if key == name)

    def one(self, name: str) -> str | None:
        """The value of a header that may be there once. Twice is `invalid_request`."""
        found = None
        for key, value in self.items:
            if key == name:
                if found is not None:
                    ONE_HEADER.refuse("invalid_request", header=name)
                found = value
        return found


_STRAY: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of a request. An empty value is an absent one; nothing but `resource` and `audience` repeats."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes, aside: set[str] | None = None) -> "Form":
        """Read a form. Where `aside` is given, what is there twice is left out and noted in it, and not refused."""
        if len(body) > FORM_BYTES_MAX or body.count(b"&") >= FIELDS_MAX:
            SMALL.refuse("invalid_request")
        if b"\0" in body or b"%00" in body or _STRAY.search(body):
            FORM.refuse("invalid_request")
        fields: dict[str, tuple[str, ...]] = {}
        try:
            for pair in body.replace(b"+", b" ").split(b"&"):
                if not pair:
                    continue
                if len(pair) > FIELD_BYTES_MAX:
                    SMALL.refuse("invalid_request")
                name, _, value = pair.partition(b"=")
                key = (unquote_to_bytes(name) if b"%" in name else name).decode()
                text = (unquote_to_bytes(value) if b"%" in value else value).decode()
                if key not in fields:
                    fields[key] = (text,)
                    continue
                if key not in REPEATABLE:
                    if aside is None:
                        ONCE.refuse("invalid_request", parameter=key)
                    aside.add(key)
                fields[key] = (*fields[key], text)
        except UnicodeDecodeError:
            FORM.refuse("invalid_request")
        for key in aside or ():
            fields.pop(key, None)
        return cls({key: told for key, values in fields.items() if (told := tuple(filter(None, values)))})

    def get(self, name: str) -> str | None:
        values = self.fields.get(name)
        return values[0] if values else None

    def one(self, name: str) -> str:
        """The value of a required parameter."""
        value = self.get(name)
        if value is None:
            PRESENT.refuse("invalid_request", parameter=name)
        return value

    def all(self, name: str) -> tuple[str, ...]:
        return self.fields.get(name, ())

    def __contains__(self, name: str) -> bool:
        return name in self.fields


def form_bytes(fields: Iterable[tuple[str, str]]) -> bytes:
    """Write a form."""
    return urlencode(list(fields)).encode("ascii")


# --- requests and answers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """The HTTP that the core knows of a request; no framework.

    `url` is the configured base with the routed path: never made from `Host` or a forwarding header.
    `certificate` is the client's TLS certificate (DER), where one was proven, `chain` what came along with it.
    `source` is the address that it comes from: to be counted by, and nobody's identity.
    """

    method: str
    url: str
    headers: Headers = Headers()
    body: bytes = b""
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()
    source: str = ""

    def form(self) -> Form:
        """The body as a form, or a refusal."""
        if self.headers.one("content-encoding") not in {None, "identity"}:
            PLAIN.refuse("invalid_request")
        kind = (self.headers.one("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            FORM_TYPE.refuse("invalid_request", content_type=kind[:80])
        return Form.parse(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """An answer, before a framework has seen it."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that we want made. `bytes_max` bounds the answer's body."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    bytes_max: int = FORM_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back."""

    status: int
    headers: Headers = Headers()
    body: bytes = b""

    def json_object(self, bytes_max: int = FORM_BYTES_MAX) -> JsonObject:
        """The body as one JSON object; raises Malformed."""
        return json_object(self.body, bytes_max=bytes_max)
