"""Group PY of the attack corpus, as far as signatures, forms, JSON and values go: what Python would let through.

Of the rest: PY-06's search of the source and PY-18 stand in tests/architecture; stores and HTTP have their own.
"""

import pytest

from deputize.core.rules import Refusal
from deputize.core.values import Issuer, Secret, WebUrl, scope
from deputize.core.wire import FIELDS_MAX, Form, Malformed, b64u, b64u_bytes, json_bytes, json_value
from deputize.jose import jws
from deputize.jose.jwt import CLAIMS, COMPACT
from deputize.jose.keys import PublicKey
from tests.jose.making import NOW, a_key, claims, signed, verify, why_not


def test_py_01_no_nul_gets_into_what_is_stored() -> None:
    for name in ("sub", "jti", "client_id", "scope", "iss"):
        assert why_not(signed({}, claims(**{name: "a\x00b"}))) is CLAIMS
    assert why_not(signed({"kid": "a\x00b"})) is COMPACT
    for body in (b"state=a%00b", b"a%00b=c", b"login_hint=\x00"):
        with pytest.raises(Refusal):
            Form.parse(body)
    with pytest.raises(ValueError, match="printable"):
        scope("read\x00")


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udfff\\ud800"', '{"\\ud800":1}', '[["a\\udc00b"]]'])
def test_py_02_a_lone_surrogate_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        json_value(text.encode())
    with pytest.raises(Malformed):
        json_value(text.encode("utf-8").replace(b"\\ud800", b"\xed\xa0\x80").replace(b"\\udfff", b"\xed\xbf\xbf"))
    assert why_not(signed({}, json_bytes(claims())[:-1] + f',"x":{text}}}'.encode())) is COMPACT


@pytest.mark.parametrize("told", ["é", "\ud800", "😀", "\x00", "ｓ3cret"])
def test_py_03_a_secret_is_compared_in_bytes(told: str) -> None:
    assert not Secret("s3cret").matches(told)
    assert Secret(told).matches(told)


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "1" * 5_000,
        "[" * 1_000 + "]" * 1_000,
        '{"a":1,"a":2}',
        "[" * 50_000,
        "1e5000",
    ],
    ids=lambda text: text[:12],
)
def test_py_04_json_is_strict_before_it_is_used(text: str) -> None:
    with pytest.raises(Malformed):
        json_value(text.encode())


@pytest.mark.parametrize("digits", [" 5_0", "+5", "５０", "²", "5 0", "0x32", "5e1x", "٥"])
def test_py_05_a_number_has_plain_digits(digits: str) -> None:
    with pytest.raises(Malformed):
        json_value(f'{{"a":{digits}}}'.encode())
    with pytest.raises(ValueError):  # noqa: PT011 (its sort is what matters)
        WebUrl(f"https://as.example:{digits}/")
    assert why_not(signed({}, claims(exp=digits))) is CLAIMS


def test_py_06_a_line_break_behind_is_not_overlooked() -> None:
    good = signed()
    for odd in (f"{good}\n", f"{good}\r", f"{good}\x0b", f"{good}\u2028"):
        assert why_not(odd) is COMPACT
    with pytest.raises(Malformed):
        b64u_bytes("QUJD\n")
    for make, text in ((WebUrl, "https://as.example\n"), (Issuer, "https://as.example\n"), (scope, "read\n")):
        with pytest.raises(ValueError):  # noqa: PT011 (its sort is what matters)
            make(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://as.exa\tmple/",
        "https://as.example/\r\nx",
        "https://as.example\\.evil.example/",
        "https:\\\\as.example",
        "https://as.example /",
        "https://as.example/a b",
        "\x00https://as.example/",
        "https://as.example/\u3002evil",
    ],
)
def test_py_07_a_url_has_the_characters_of_a_url(text: str) -> None:
    with pytest.raises(ValueError, match="only the characters"):
        WebUrl(text)


def test_py_07_urls_are_compared_as_they_were_written() -> None:
    assert WebUrl("https://AS.example/") != WebUrl("https://as.example/")
    assert WebUrl("https://as.example:443/") != WebUrl("https://as.example/")
    assert WebUrl("https://as.example/%61") != WebUrl("https://as.example/a")


@pytest.mark.parametrize("text", ["QU.JD", "QU JD", "QU\nJD", "Q-U+", "QUJD!", "QUJD==", "=QUJD", "QÜJD"])
def test_py_08_foreign_letters_are_not_dropped(text: str) -> None:
    with pytest.raises(Malformed):
        b64u_bytes(text)


@pytest.mark.parametrize("moment", [2**31, 2**53, 2**63 - 1, 2**63, 10**30, 253402300800, 1e18, 1e300, -(2**63)])
def test_py_10_a_time_beyond_every_calendar_is_refused(moment: float) -> None:
    body = json_bytes(claims(iat=..., exp=...))[:-1] + f',"exp":{moment!r}}}'.encode()
    assert why_not(signed({}, body)) is (
        None if moment == 2**31 else COMPACT if moment >= 2**63 and isinstance(moment, int) else CLAIMS
    )


def test_py_16_a_form_has_so_many_fields() -> None:
    with pytest.raises(Refusal):
        Form.parse(b"&".join(b"f%d=" % number for number in range(FIELDS_MAX + 1)))
    with pytest.raises(Refusal):
        Form.parse(b"&" * 60_000)


def test_py_17_what_is_remembered_is_shared_by_nobody() -> None:
    """Alice's and Bob's tokens under one header, ten thousand times in turn; and nobody can write on what both hold."""
    tokens = {name: signed({}, claims(sub=name)) for name in ("alice", "bob")}
    headers = {name: jws.parse(token).header for name, token in tokens.items()}
    with pytest.raises(TypeError):
        headers["alice"]["kid"] = "mallory"  # type: ignore[index]  # that is what is tried
    for _ in range(5_000):
        for name, token in tokens.items():
            parsed = jws.parse(token)
            assert parsed.payload == json_bytes(claims(sub=name))
    for name, token in tokens.items():
        told = verify(token).claims
        assert told["sub"] == name
        assert told is not verify(token).claims
    one, two = (PublicKey.from_jwk(a_key().public_jwk() | {"kid": kid}) for kid in ("one", "two"))
    assert (one.kid, two.kid) == ("one", "two")
    assert claims()["exp"] == NOW + 300
    assert b64u(b"") == ""
