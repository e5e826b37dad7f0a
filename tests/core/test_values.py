"""A value that was made is good; a bad one is not made."""

import pytest

from deputize.core.values import Issuer, Secret, WebUrl, scope, scope_text


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://as.example", "https://as.example"),
        ("https://as.example:8443/a/b;c?d=e&f=%20", "https://as.example:8443"),
        ("https://[2001:db8::1]/", "https://[2001:db8::1]"),
        ("https://AS.Example/", "https://AS.Example"),
        ("http://127.0.0.1:9400/x", "http://127.0.0.1:9400"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ],
)
def test_a_web_url_stays_as_it_was_written(text: str, origin: str) -> None:
    url = WebUrl(text)
    assert (str(url), url.origin) == (text, origin)
    assert url.is_loopback is text.startswith("http://")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "as.example",
        "//as.example",
        "https:",
        "https://",
        "https:///path",
        "https://:443/",
        "ftp://as.example",
        "javascript:alert(1)",
        "http://as.example",
        "http://127.0.0.2",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "https://alice@as.example",
        "https://alice:pw@as.example",
        "https://as.example@evil.example",
        "https://@as.example",
        "https://as.example#",
        "https://as.example/#x",
        "https://as.example\\@evil.example",
        "https://as.example/\t",
        "https://as\n.example/",
        " https://as.example",
        "https://as.example ",
        "https://as.example/ä",
        "https://äs.example",
        "https://as.example/\x00",
        "https://as.example:port",
        "https://as.example:99999",
        "https://as.example:-1",
        "https://as.example:8_0",
        "https://as.example:٣",
        "https://[::1",
        "https://[nonsense]",
        "https://as.example/" + "a" * 2048,
        'https://as.example/"',
        "https://as.example/<x>",
        "https://as.example/{x}",
    ],
)
def test_what_is_no_web_url_is_not_made(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (its sort is what matters)
        WebUrl(text)


def test_an_issuer_is_where_its_endpoints_are() -> None:
    assert Issuer("https://as.example/tenant").at("/token") == "https://as.example/tenant/token"


@pytest.mark.parametrize(
    "text", ["https://as.example/", "https://as.example?", "https://as.example/a?b", "https://a#b"]
)
def test_an_issuer_has_neither_query_nor_fragment_nor_a_slash_behind(text: str) -> None:
    with pytest.raises(ValueError, match=r"no |slash"):
        Issuer(text)


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("s3cret")
    assert "s3cret" not in f"{secret} {secret!r} {[secret]} {secret:}"
    assert secret.reveal() == "s3cret"


def test_a_secret_is_compared_by_matching_alone() -> None:
    assert Secret("s3cret").matches("s3cret")
    assert not Secret("s3cret").matches("s3cre")
    assert Secret("a") != Secret("a")
    for odd in ("\ud800", "ä", "\x00", "", "x" * 10_000):
        assert not Secret("s3cret").matches(odd)
        assert Secret(odd).matches(odd)


def test_a_scope_is_a_set_of_tokens() -> None:
    assert scope("b a  a ") == {"a", "b"}
    assert scope("") == frozenset()
    assert scope_text(frozenset({"b", "a"})) == "a b"


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\tb", "a\nb", "ä", "a\x00", "\x7f", "a\u00a0b"])
def test_a_scope_token_is_printable_ascii(text: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        scope(text)
