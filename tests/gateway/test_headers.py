"""What passes in a header, and what is refused before anything is decided."""

import pytest

from deputize.core.rules import Refusal
from deputize.core.wire import Headers
from deputize.gateway import headers
from deputize.gateway.headers import FEW, FRAMED_ONCE, ONE_VALUE, READABLE, SAME_PROTOCOL
from tests.support.proofs import lets_through, stops

Raw = list[tuple[bytes, bytes]]
GOOD: Raw = [
    (b"Host", b"gw.example"),
    (b"accept", b"text/html"),
    (b"accept", b"*/*"),
    (b"Content-Length", b"2"),
    (b"X-Anything", b"caf\xe9\t!"),
]


@lets_through(FEW, READABLE, ONE_VALUE, FRAMED_ONCE, SAME_PROTOCOL)
def test_ordinary_headers_are_read() -> None:
    read = headers.read(GOOD)
    assert read.one("host") == "gw.example"
    assert read.all("accept") == ("text/html", "*/*")
    assert headers.read([(b"transfer-encoding", b"Chunked")]).one("transfer-encoding") == "Chunked"


def refused(raw: Raw) -> tuple[str, object]:
    with pytest.raises(Refusal) as no:
        headers.read(raw)
    return no.value.error, no.value.rule


@stops(FEW)
@pytest.mark.parametrize("raw", [[(b"x-%d" % n, b"") for n in range(101)], [(b"x", b"a" * 32 * 1024)]])
def test_too_many_or_too_long(raw: Raw) -> None:
    assert refused(raw) == ("invalid_request", FEW)


@stops(READABLE)
@pytest.mark.parametrize("value", [b"a\x00b", b"a\nb", b"a\rb", b"a\x1fb", b"\x7f"])
def test_gw_05_control_characters(value: bytes) -> None:
    assert refused([(b"x-note", value)]) == ("invalid_request", READABLE)


@stops(ONE_VALUE)
@pytest.mark.parametrize(
    "name", [b"host", b"dpop", b"authorization", b"content-length", b"content-type", b"idempotency-key", b"x-anything"]
)
def test_gw_05_doubled_headers(name: bytes) -> None:
    assert refused([(name, b"1"), (name.upper(), b"1")]) == ("invalid_request", ONE_VALUE)


@stops(FRAMED_ONCE)
@pytest.mark.parametrize(
    "raw",
    [
        [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"identity")],
        [(b"content-length", b"+5")],
        [(b"content-length", b"5, 5")],
        [(b"content-length", b"-1")],
        [(b"content-length", b"9" * 19)],
        [(b"content-length", b"")],
    ],
)
def test_gw_06_a_length_told_in_two_ways(raw: Raw) -> None:
    assert refused(raw) == ("invalid_request", FRAMED_ONCE)


@stops(SAME_PROTOCOL)
@pytest.mark.parametrize(
    "raw",
    [
        [(b"upgrade", b"websocket")],
        [(b"upgrade", b"h2c"), (b"http2-settings", b"AAMAAABkAAQAAP__")],
        [(b"te", b"trailers")],
        [(b"trailer", b"authorization")],
    ],
)
def test_gw_08_nothing_is_upgraded(raw: Raw) -> None:
    assert refused(raw) == ("not_implemented", SAME_PROTOCOL)


CREDENTIALS = (
    "authorization", "proxy-authorization", "cookie", "x-api-key", "dpop", "x-auth-token", "x-amz-security-token",
    "accept-txn-challenge", "deputize-approval", "www-authenticate", "x-csrf-token", "x-vault-secret",
)  # fmt: skip
IDENTITIES = (
    "x-forwarded-for", "x-forwarded-user", "forwarded", "x-real-ip", "client-cert", "client-cert-chain", "remote-user",
    "x-remote-user", "remote_user", "x_forwarded_user", "x_forwarded-for", "x-user-id", "x-user", "x-original-url",
    "x-http-method-override", "x-groups", "x-email", "authorization_", "x_api_key", "true-client-user",
)  # fmt: skip


@pytest.mark.parametrize("name", [*CREDENTIALS, *IDENTITIES])
def test_gw_02_gw_03_what_could_be_a_credential_or_an_identity_stays_here(name: str) -> None:
    for spelt in (name, name.replace("-", "_"), name.replace("_", "-"), name.upper()):
        told = headers.forwarded(Headers(((spelt.lower(), "x"), ("accept", "*/*"))), frozenset())
        assert told == (("accept", "*/*"),)


@pytest.mark.parametrize("name", [name for name in (*CREDENTIALS, *IDENTITIES) if not name.endswith("_")])
def test_no_operator_can_let_a_credential_through(name: str) -> None:
    assert not headers.may_pass(name)
    assert not headers.may_pass(name.replace("-", "_"))


@pytest.mark.parametrize("name", ["x-request-id", "mcp-session-id", "mcp-protocol-version", "x-tenant", "api-version"])
def test_an_operator_can_let_others_through(name: str) -> None:
    assert headers.may_pass(name)
    assert headers.forwarded(Headers(((name, "x"),)), frozenset({name})) == ((name, "x"),)
    assert headers.forwarded(Headers(((name, "x"),)), frozenset()) == ()


def test_gw_04_what_connection_names_is_dropped_before_anything_is_injected() -> None:
    told = Headers((
        ("connection", "keep-alive, Idempotency-Key"),
        ("connection", "x-tenant, authorization, dpop"),
        ("idempotency-key", "1"),
        ("x-tenant", "2"),
        ("accept", "*/*"),
        ("keep-alive", "timeout=5"),
    ))  # fmt: skip
    assert headers.forwarded(told, frozenset({"x-tenant"})) == (("accept", "*/*"),)


@pytest.mark.parametrize(
    ("prefer", "passes", "later"),
    [
        ("respond-async", (), True),
        ("respond-async, wait=10", (), True),
        ("return=minimal, Respond-Async; x=1", (("prefer", "return=minimal"),), True),
        ("return=representation", (("prefer", "return=representation"),), False),
        ("wait=5", (), False),
    ],
)
def test_preferences_for_the_gateway_end_here(prefer: str, passes: tuple[tuple[str, str], ...], later: bool) -> None:  # noqa: FBT001 (a column of the table)
    told = Headers((("prefer", prefer),))
    assert headers.forwarded(told, frozenset()) == passes
    assert headers.wants_async(told) is later


def test_gw_11_what_an_api_sets_or_challenges_does_not_go_back() -> None:
    told = [
        ("content-type", "text/plain"),
        ("etag", '"1"'),
        ("set-cookie", "a=b"),
        ("www-authenticate", "DPoP"),
        ("authentication-info", "x"),
        ("dpop-nonce", "n"),
        ("location", "https://elsewhere.example"),
        ("access-control-allow-origin", "*"),
        ("x-echo", "y"),
    ]
    assert headers.answered(told) == (("content-type", "text/plain"), ("etag", '"1"'))
