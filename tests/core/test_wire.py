"""What comes in is read in one way or refused; what goes out is read back as what it was."""

import math
from dataclasses import dataclass
from types import MappingProxyType

import pytest

from deputize.core.rules import Refusal, Rule
from deputize.core.values import Secret, WebUrl
from deputize.core.wire import (
    FIELD_BYTES_MAX,
    FIELDS_MAX,
    FORM,
    FORM_BYTES_MAX,
    FORM_TYPE,
    JSON_DEPTH_MAX,
    ONCE,
    ONE_HEADER,
    PLAIN,
    PRESENT,
    SMALL,
    Form,
    Headers,
    Inbound,
    Malformed,
    Reply,
    b64u,
    b64u_bytes,
    b64u_letters,
    form_bytes,
    json_bytes,
    json_object,
    json_value,
)
from tests.support.proofs import lets_through, stops

FORM_HEADERS = Headers((("content-type", "application/x-www-form-urlencoded"),))


def broken(act: object) -> Rule:
    """The rule that an act breaks, whose code is that of a malformed request."""
    with pytest.raises(Refusal) as refused:
        act()  # type: ignore[operator]  # a function without arguments
    assert refused.value.error == "invalid_request"
    return refused.value.rule


# --- forms --------------------------------------------------------------------------------------------------------


@lets_through(FORM, FORM_TYPE, ONCE, ONE_HEADER, PLAIN, PRESENT, SMALL)
def test_a_good_form_is_read() -> None:
    body = b"grant_type=client_credentials&scope=read+re%6Frder&resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb&x="
    form = Inbound(method="POST", url="https://as.example/token", headers=FORM_HEADERS, body=body).form()
    assert form.one("grant_type") == "client_credentials"
    assert form.get("scope") == "read reorder"
    assert form.all("resource") == ("https://a", "https://b")
    assert "scope" in form
    assert form.all("nothing") == ()


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded; charset=UTF-8",
        "Application/X-WWW-Form-URLencoded",
        " application/x-www-form-urlencoded ;",
    ],
)
def test_the_content_type_of_a_form_may_have_parameters_and_capitals(content_type: str) -> None:
    headers = Headers((("content-type", content_type), ("content-encoding", "identity")))
    assert Inbound(method="POST", url="x", headers=headers, body=b"a=b").form().get("a") == "b"


def test_an_empty_value_is_an_absent_one() -> None:
    form = Form.parse(b"a=&b&=c&&d=1&")
    assert form.get("a") is form.get("b") is None
    assert "a" not in form
    assert form.fields == {"": ("c",), "d": ("1",)}


@stops(PRESENT)
def test_a_required_parameter_is_there() -> None:
    assert broken(lambda: Form.parse(b"a=").one("a")) is PRESENT
    assert broken(lambda: Form().one("a")) is PRESENT


@stops(ONCE)
@pytest.mark.parametrize(
    "body", [b"a=1&a=2", b"a=1&a=1", b"a=&a=1", b"a=1&a=", b"a&a", b"a=1&%61=2", b"scope=x&scope=x"]
)
def test_nothing_is_said_twice(body: bytes) -> None:
    assert broken(lambda: Form.parse(body)) is ONCE


@stops(FORM)
@pytest.mark.parametrize(
    "body",
    [
        b"a=%",
        b"a=%2",
        b"a=%2g",
        b"%zz=1",
        b"a=%ff",
        b"a=\xff",
        b"a=%ed%a0%80",
        b"a=%00",
        b"a=\x00",
        b"a%00=1",
        b"a=%c0%80",
    ],
)
def test_a_form_is_utf_8_with_whole_escapes_and_no_nul(body: bytes) -> None:
    assert broken(lambda: Form.parse(body)) is FORM


@stops(SMALL)
@pytest.mark.parametrize(
    "body",
    [
        b"a=" + b"x" * FORM_BYTES_MAX,
        b"a=" + b"x" * FIELD_BYTES_MAX,
        b"&".join(b"a%d=1" % number for number in range(FIELDS_MAX + 1)),
        b"&" * FIELDS_MAX,
    ],
)
def test_a_form_is_bounded(body: bytes) -> None:
    assert broken(lambda: Form.parse(body)) is SMALL


def test_a_form_at_its_bounds_is_read() -> None:
    assert len(Form.parse(b"&".join(b"a%d=1" % number for number in range(FIELDS_MAX))).fields) == FIELDS_MAX
    assert Form.parse(b"a=" + b"x" * (FIELD_BYTES_MAX - 2)).one("a") == "x" * (FIELD_BYTES_MAX - 2)


@stops(FORM_TYPE)
@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain", "", "application/x-www-form"]
)
def test_a_form_says_that_it_is_one(content_type: str) -> None:
    headers = Headers((("content-type", content_type),))
    assert broken(Inbound(method="POST", url="x", headers=headers, body=b"a=b").form) is FORM_TYPE
    assert broken(Inbound(method="POST", url="x", body=b"a=b").form) is FORM_TYPE


@stops(PLAIN)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP", "", "identity, gzip"])
def test_a_form_is_not_compressed(coding: str) -> None:
    headers = Headers((*FORM_HEADERS.items, ("content-encoding", coding)))
    assert broken(Inbound(method="POST", url="x", headers=headers, body=b"a=b").form) is PLAIN


@stops(ONE_HEADER)
@pytest.mark.parametrize("name", ["content-type", "content-encoding", "authorization"])
def test_a_header_of_one_value_is_sent_once(name: str) -> None:
    headers = Headers(((name, "a"), ("other", "x"), (name, "a")))
    assert headers.all(name) == ("a", "a")
    assert broken(lambda: headers.one(name)) is ONE_HEADER
    assert headers.one("other") == "x"
    assert headers.one("absent") is None


def test_what_is_written_as_a_form_is_read_back() -> None:
    fields = [("a b", "ä&=+%"), ("resource", "1"), ("resource", "2")]
    assert Form.parse(form_bytes(fields)).fields == {"a b": ("ä&=+%",), "resource": ("1", "2")}


# --- base64url ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("AA", b"\0"),
        ("QQ", b"A"),
        ("QUI", b"AB"),
        ("QUJD", b"ABC"),
        ("-_-_", b"\xfb\xff\xbf"),
        ("__8", b"\xff\xff"),
    ],
)
def test_base64url_has_one_form(text: str, data: bytes) -> None:
    assert b64u(data) == text
    assert b64u_bytes(text) == data
    assert b64u_letters(data) == text.encode()


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AAAAA",
        "QR",
        "QUJ",
        "QQ==",
        "QQ=",
        "=",
        "Q Q",
        "QQ\n",
        "\nQQ",
        "+/+/",
        "QU.D",
        "ÄÄÄÄ",
        "QQ\x00",
        "\ud800",
        "ＱＱ",
    ],
)
def test_base64url_in_another_form_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        b64u_bytes(text)


def test_every_letter_decodes_as_it_encodes() -> None:
    whole = bytes(range(256))
    assert b64u_bytes(b64u(whole)) == whole


# --- JSON ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"{}", {}),
        (
            b' \t\r\n{"a" : [1, -0, 2.5, 1e2, true, null, "\\u00e4\\ud83d\\ude00"]}\n',
            {"a": [1, 0, 2.5, 100.0, True, None, "ä😀"]},
        ),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        ('"ä\u2028\ufeff"'.encode(), "ä\u2028\ufeff"),
        (b'"\\u0000"', "\0"),
        (b'{"a":{"a":1},"b":[{"a":1},{"a":2}]}', {"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}),
        (b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX, eval("[" * JSON_DEPTH_MAX + "]" * JSON_DEPTH_MAX)),
        (b'"' + b"[{" * 100 + b'\\"[["', "[{" * 100 + '"[['),
    ],
)
def test_good_json_is_read(text: bytes, value: object) -> None:
    assert json_value(text) == value


BAD_JSON: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \n",
    "two values": b"{}{}",
    "a value and a letter": b"{}x",
    "a NUL behind": b"{}\0",
    "a blank of another kind": b"\x0b{}",
    "a BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without BOM": '{"a":1}'.encode("utf-16-le"),
    "Latin-1": '{"a":"ä"}'.encode("latin-1"),
    "an encoded surrogate": b'"\xed\xa0\x80"',
    "an overlong letter": b'"\xc0\xaf"',
    "a name twice": b'{"a":1,"a":1}',
    "a name twice, spelled otherwise": b'{"a":1,"\\u0061":1}',
    "a name twice, deeper": b'[{"b":{"a":1,"c":2,"a":3}}]',
    "NaN": b"NaN",
    "Infinity": b'{"a":Infinity}',
    "minus Infinity": b"-Infinity",
    "a number beyond floats": b"1e400",
    "a long fraction": b"0." + b"1" * 100,
    "an integer beyond 64 bits": b"9223372036854775808",
    "an integer below 64 bits": b"-9223372036854775809",
    "an integer of 5000 digits": b"1" * 5000,
    "a leading zero": b"01",
    "a plus": b"+1",
    "a point without digits": b"1.",
    "full-width digits": "１".encode(),
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate in a name": b'{"\\udc00":1}',
    "surrogates the wrong way round": b'"\\ude00\\ud83d"',
    "a raw line break": b'"a\nb"',
    "a raw tab": b'"a\tb"',
    "a comma too many": b"[1,]",
    "single quotes": b"{'a':1}",
    "a comment": b"{}//",
    "capitals": b"True",
    "too deep": b"[" * (JSON_DEPTH_MAX + 1) + b"]" * (JSON_DEPTH_MAX + 1),
    "too deep and broken": b"[" * 10_000,
    "objects too deep": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "too deep behind a text": b'["\\"",' + b"[" * 30 + b"]" * 30 + b"]",
    "too large": b'"' + b"x" * FORM_BYTES_MAX + b'"',
}


@pytest.mark.parametrize("what", BAD_JSON)
def test_bad_json_is_malformed(what: str) -> None:
    with pytest.raises(Malformed):
        json_value(BAD_JSON[what])


@pytest.mark.parametrize("text", [b"[]", b'"a"', b"1", b"null", b"true"])
def test_an_object_is_an_object(text: bytes) -> None:
    with pytest.raises(Malformed):
        json_object(text)
    with pytest.raises(Malformed):
        Reply(status=200, body=text).json_object()
    assert Reply(status=200, body=b'{"a":1}').json_object() == {"a": 1}


def test_bounds_are_the_callers() -> None:
    assert json_value(b"[[[]]]", depth_max=3) == [[[]]]
    with pytest.raises(Malformed):
        json_value(b"[[[]]]", depth_max=2)
    with pytest.raises(Malformed):
        json_object(b'{"a":1}', bytes_max=6)


@pytest.mark.timeout(2)
@pytest.mark.parametrize(
    "text",
    [
        "[" * 21 + '"' + '\\"' * 32_000,
        "[" * 21 + '"\\' * 32_000,
        "[" * 21 + '"' * 65_000,
        "[" * 65_000,
        "{" * 65_000,
        '[{"' * 21_000,
        "[" * 21 + '"' + "\\\n" * 32_000,
    ],
    ids=lambda text: text[19:26],
)
def test_no_text_takes_longer_than_its_length(text: str) -> None:
    """A text that never ends, scanned again from each of its quotes, took 20 seconds for 64 KiB."""
    with pytest.raises(Malformed):
        json_value(text.encode())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": "ä\u2028</script>"}, '{"b":1,"a":"ä\u2028</script>"}'),
        ([True, False, None, -1, 2**63 - 1], "[true,false,null,-1,9223372036854775807]"),
        ({"a": 0.5, "b": [{"c": []}]}, '{"a":0.5,"b":[{"c":[]}]}'),
        ('"\\\n\x7f', '"\\"\\\\\\n\x7f"'),
    ],
)
def test_json_is_written_compactly_in_utf_8(value: object, text: str) -> None:
    assert json_bytes(value) == text.encode()


@dataclass
class Thing:
    name: str = "x"


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        "\ud800",
        {1, 2},
        frozenset({"a"}),
        b"bytes",
        Thing(),
        Secret("s3cret"),
        WebUrl("https://a.example"),
        MappingProxyType({}),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("wrapped", ["plain", "in an object", "in an array", "deep", "beside a float"])
def test_what_is_no_json_is_not_written(value: object, wrapped: str) -> None:
    """Least of all a secret: an encoder that knows dataclasses would spell it out."""
    made = {
        "plain": value,
        "in an object": {"a": value},
        "in an array": [1, value],
        "deep": {"a": [{"b": value}]},
        "beside a float": {"f": 0.5, "a": value},
    }[wrapped]
    with pytest.raises((TypeError, ValueError)):
        json_bytes(made)


def test_a_secret_as_a_name_is_not_written() -> None:
    with pytest.raises(TypeError):
        json_bytes({Secret("s3cret"): 1})
