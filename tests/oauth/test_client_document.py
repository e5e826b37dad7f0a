"""What a client may say of itself, in tables: what is let in, what is refused, and what is only noted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.rules import Rule
from deputize.jose.keys import PrivateKey
from deputize.oauth import client_document as documents
from deputize.oauth.client_document import (
    BOTH_METHODS,
    ID_URL,
    KEYS,
    MEMBERS,
    METHOD_LISTED,
    NAMED,
    NAMES_ITSELF,
    NO_DEFAULT_METHOD,
    NO_QUERY,
    NO_SECRET,
    NO_SHARED_METHOD,
    REDIRECTS,
    SHALLOW,
    SHAPES,
    SHOWN_URLS,
    SPIFFE,
    STABLE,
)
from deputize.oauth.clients.document import Settings
from tests.support.documents import KEY, URL, a_document
from tests.support.proofs import lets_through, stops

SIGNED = {"jwks": None, "jwks_uri": "https://keys.example/jwks"}
PUBLIC = {"jwks": None, "token_endpoint_auth_method": "none", "token_endpoint_auth_methods_supported": ["none"]}


def found(members: dict[str, Any], url: str = URL) -> list[tuple[Rule, str]]:
    return [(one.rule, one.where) for one in documents.findings(a_document(**members), url)]


def refusing(members: dict[str, Any]) -> set[Rule]:
    return {one.rule for one in documents.findings(a_document(**members), URL) if one.must}


# --- the URL --------------------------------------------------------------------------------------------------------


@lets_through(ID_URL, NO_QUERY, STABLE)
@pytest.mark.parametrize(
    "url",
    [
        *(
            URL,
            "https://app.example/a",
            "https://app.example/a/",
            "https://app.example:8443/a",
            "https://app.example//a",
        ),
        *(
            "https://app.example/%2fa",
            "https://app.example/a..b/.c",
            "https://app.example/...",
            "https://App.example/A",
        ),
        "https://app.example/" + "a" * 2000,
    ],
)
def test_a_url_that_may_be_an_id(url: str) -> None:
    assert list(documents.findings_of_url(url)) == []


@stops(ID_URL)
@pytest.mark.parametrize(
    "url",
    [
        *("http://app.example/a", "http://127.0.0.1/a", "https://app.example", "https:///a", "https:/app.example/a"),
        *("https://u@app.example/a", "https://u:p@app.example/a", "https://app.example/a#b", "https://app.example/a#"),
        *("https://app.example/./a", "https://app.example/a/../b", "https://app.example/a/..", "https://app.example/."),
        *(
            "https://app.example/%2e/a",
            "https://app.example/a/%2E%2e/b",
            "https://app.example/.%2e",
            "https://@app.example/a",
        ),
        *("https://app.example\\a", "https://app.example/a b", " https://app.example/a", "https://app.example/a\n"),
        *("https://app.example/ä", "https://äpp.example/a", "https://app.example/a\x00", "https://app.example:x/a"),
        *(
            "HTTPS://app.example/a",
            "https://app.example?a=/b",
            "https://app.example/" + "a" * 2100,
            "ftp://app.example/a",
        ),
    ],
)
def test_a_url_that_is_no_id(url: str) -> None:
    """CM-01, N1, N2: held against the text, since a reader of URLs clears dot segments away."""
    assert [one.rule for one in documents.findings_of_url(url)] == [ID_URL] or url.startswith("HTTPS")
    assert not documents.is_url(url) or any(one.must for one in documents.findings_of_url(url))


@stops(NO_QUERY, STABLE)
def test_a_query_is_refused_and_a_bare_slash_noted() -> None:
    told = [(one.rule, one.must) for one in documents.findings_of_url("https://app.example/?v=1")]
    assert told == [(NO_QUERY, True), (STABLE, False)]


# --- the document ---------------------------------------------------------------------------------------------------


@lets_through(
    *(NAMES_ITSELF, NO_SECRET, NO_SHARED_METHOD, METHOD_LISTED, KEYS, SHAPES, SHALLOW, REDIRECTS, SPIFFE),
    *(SHOWN_URLS, NO_DEFAULT_METHOD, BOTH_METHODS, NAMED, MEMBERS),
)
@pytest.mark.parametrize(
    "members",
    [
        {},
        PUBLIC,
        SIGNED,
        {"token_endpoint_auth_methods_supported": ["private_key_jwt", "attest_jwt_client_auth", "unheard_of"]},
        {
            "redirect_uris": [
                "https://app.example/cb",
                "http://127.0.0.1/cb",
                "http://[::1]:1/cb",
                "com.example.app:/cb",
            ]
        },
        {"grant_types": ["client_credentials"], "redirect_uris": None, "response_types": None},
        {"spiffe_id": "spiffe://prod.example.org/ns/shop/sa/*"},
        {"spiffe_id": "spiffe://prod.example.org/ns/shop/sa/cart"},
        {
            "logo_uri": "https://app.example/logo.png",
            "tos_uri": "https://app.example/tos",
            "policy_uri": "https://a.b/",
        },
        {"scope": "a b", "contacts": ["a@app.example"], "unheard_of": {"a": [1]}, "dpop_bound_access_tokens": True},
        {"response_types": None},
    ],
)
def test_a_good_document_has_nothing_to_note(members: dict[str, Any]) -> None:
    assert found(members) == []


@stops(NAMES_ITSELF)
@pytest.mark.parametrize(
    "client_id",
    [
        *("https://app.example:443/client.json", "https://app.example/client.json/", "https://APP.example/client.json"),
        *(
            "https://app.example/Client.json",
            "https://app.example/client%2Ejson",
            "https://app.example/client.json?",
            "",
        ),
        *(None, [URL], {"a": URL}, 1),
    ],
)
def test_a_document_names_its_own_place(client_id: Any) -> None:
    """CM-02, N3: letter for letter."""
    document = {**a_document(), "client_id": client_id} if client_id is not None else a_document(client_id=None)
    assert NAMES_ITSELF in {one.rule for one in documents.findings(document, URL) if one.must}


@stops(NO_SECRET)
@pytest.mark.parametrize(
    "members",
    [
        {"client_secret": "hush"},
        {"client_secret": ""},
        {"client_secret_expires_at": 0},
        {"jwks": {"keys": [KEY.to_jwk()]}},
        {"jwks": {"keys": [KEY.public_jwk(), {"kty": "oct", "k": "AAAA"}]}},
        {"jwks": {"keys": [KEY.public_jwk(), {"kty": "oct"}]}},
        *(
            {"jwks": {"keys": [{"kty": "RSA", "n": "AA", "e": "AQAB", name: "AA"}]}}
            for name in ("d", "p", "q", "dp", "oth")
        ),
    ],
)
def test_a_document_publishes_no_secret(members: dict[str, Any]) -> None:
    """CM-07, N13, N17."""
    assert NO_SECRET in refusing(members)


@stops(NO_SHARED_METHOD)
@pytest.mark.parametrize(
    "method", ["client_secret_basic", "client_secret_post", "client_secret_jwt", "client_secret_x"]
)
@pytest.mark.parametrize("member", ["token_endpoint_auth_method", "token_endpoint_auth_methods_supported"])
def test_a_secret_that_is_shared_is_no_way_in(method: str, member: str) -> None:
    """CM-07, N13: also beside a good one."""
    told = {"token_endpoint_auth_method": method, "token_endpoint_auth_methods_supported": [method]}
    mixed = {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_methods_supported": ["private_key_jwt", method],
    }
    assert (NO_SHARED_METHOD, member) in found(told)
    assert NO_SHARED_METHOD in refusing(mixed)


@stops(NO_SECRET, NO_SHARED_METHOD)
def test_what_is_not_published_is_not_published_in_a_statement() -> None:
    """Rule 17: a software statement is believed in nothing, and still must not hold a secret."""
    from deputize.jose import jwt  # noqa: PLC0415 (to make the one statement of this file)

    for claims, rule in (
        ({"client_secret": "hush"}, NO_SECRET),
        ({"token_endpoint_auth_method": "client_secret_basic"}, NO_SHARED_METHOD),
    ):
        assert rule in refusing({"software_statement": jwt.sign(claims, PrivateKey.generate(), typ="JWT")})
    assert SHAPES in refusing({"software_statement": "no.jwt"})
    assert refusing({"software_statement": jwt.sign({"software_id": "x"}, PrivateKey.generate(), typ="JWT")}) == set()


@stops(METHOD_LISTED)
def test_the_one_method_is_among_the_many() -> None:
    """N15."""
    assert METHOD_LISTED in refusing({"token_endpoint_auth_methods_supported": ["none"]})


@stops(NO_DEFAULT_METHOD, BOTH_METHODS)
def test_without_a_method_a_client_is_public() -> None:
    """N16: RFC 7591's default does not hold; a list alone is no word for none."""
    one, many = "token_endpoint_auth_method", "token_endpoint_auth_methods_supported"
    nothing: dict[str, Any] = {one: None, many: None}
    assert documents.methods(a_document(**nothing)) == ("none",)
    assert documents.methods(a_document(**{**nothing, many: ["private_key_jwt"]})) == ("private_key_jwt",)
    assert documents.methods(a_document(**{**nothing, many: []})) == ()
    assert (NO_DEFAULT_METHOD, one) in found({one: None, many: None, "jwks": None})
    assert (BOTH_METHODS, one) in found({one: None})
    assert (BOTH_METHODS, many) in found({many: None})


@stops(KEYS)
@pytest.mark.parametrize(
    "members",
    [
        {"jwks": None},
        {"jwks_uri": "https://keys.example/jwks"},
        {"jwks": {"keys": []}},
        {"jwks": {}},
        {"jwks": {"keys": [{"kty": "EC"}]}},
        *(
            {"jwks": None, "jwks_uri": uri}
            for uri in ("http://127.0.0.1/jwks", "file:///etc/passwd", "data:,x", "", "/jwks")
        ),
        {"jwks": None, "token_endpoint_auth_method": None},
    ],
)
def test_who_signs_has_keys_in_one_place(members: dict[str, Any]) -> None:
    assert KEYS in refusing(members)


NO_TEXTS: tuple[Any, ...] = (1, [], {})
NO_LISTS: tuple[Any, ...] = ("a", [1], {}, [None])
NO_OBJECTS: tuple[Any, ...] = ([], "a", 1)


@stops(SHAPES)
@pytest.mark.parametrize(
    "members",
    [
        *(
            {name: value}
            for name in ("client_name", "jwks_uri", "scope", "logo_uri", "spiffe_id")
            for value in NO_TEXTS
        ),
        *({name: value} for name in ("redirect_uris", "grant_types", "contacts") for value in NO_LISTS),
        {"redirect_uris": ["https://app.example/"] * 51},
        *({"jwks": value} for value in NO_OBJECTS),
        {"dpop_bound_access_tokens": "true"},
        {"scope": 'a"b'},
        {"token_endpoint_auth_method": ["none"]},
        {"token_endpoint_auth_methods_supported": "none"},
    ],
)
def test_each_member_has_its_type(members: dict[str, Any]) -> None:
    assert SHAPES in refusing(members)


@stops(SHALLOW)
def test_a_document_is_shallow() -> None:
    deep: Any = "x"
    for _ in range(documents.DEPTH_MAX):
        deep = [deep]
    assert refusing({"x": deep}) == {SHALLOW}
    assert refusing({"x": deep[0]}) == set()


@stops(REDIRECTS)
@pytest.mark.parametrize(
    "uris",
    [
        *(None, [], ["http://app.example/cb"], ["javascript:alert(1)"], ["data:text/html,x"], ["myapp:/cb"], ["/cb"]),
        *(["https://app.example/cb#x"], ["https://u@app.example/cb"], ["https://app.example/cb", "http://10.0.0.1/cb"]),
        *(
            ["http://localhost.evil.example/cb"],
            ["https://*.app.example/cb", "ftp://a/"],
            [""],
            ["https://app.example/c b"],
        ),
    ],
)
def test_redirect_uris_lead_somewhere_safe(uris: Any) -> None:
    """CM-09, DR-02, DR-03."""
    assert REDIRECTS in refusing({"redirect_uris": uris})


@stops(SPIFFE)
@pytest.mark.parametrize(
    "spiffe",
    [
        *("https://a", "spiffe://", "SPIFFE://a/b", "spiffe://A/b", "spiffe://a/b*", "spiffe://a/*/b", "spiffe://a/b/"),
        *("spiffe://a//b", "spiffe://a/../b", "spiffe://a/b?c", "spiffe://a:1/b", "spiffe://u@a/b", "*", ""),
    ],
)
def test_a_spiffe_id_is_one(spiffe: str) -> None:
    assert SPIFFE in refusing({"spiffe_id": spiffe})


@stops(SHOWN_URLS, NAMED, MEMBERS)
def test_what_is_noted_is_let_in() -> None:
    """N18: a logo at javascript: is left out, as all logos are."""
    members = {"logo_uri": "javascript:alert(1)", "client_name": "\u200b", "response_types": ["token"]}
    assert refusing(members) == set()
    assert {rule for rule, _ in found(members)} == {SHOWN_URLS, NAMED, MEMBERS}


# --- the name -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("Trip Planner", "Trip Planner"),
        ("  Trip \n\t Planner ", "Trip Planner"),
        ("Trip\u202eRennalP", "TripRennalP"),
        ("T\u200br\u2066i\ufeffp", "Trip"),
        ("\uff34\uff52\uff49\uff50", "Trip"),
        ("x" * 5000, "x" * 64),
        ("\x00\x1b[31mred", "[31mred"),
        (None, ""),
        (7, ""),
    ],
)
def test_a_name_is_short_and_seen(told: Any, shown: str) -> None:
    """CM-14."""
    assert documents.calls_itself(a_document(client_name=told)) == shown


@given(st.text())
def test_no_name_is_more_than_a_line(told: str) -> None:
    shown = documents.calls_itself(a_document(client_name=told))
    assert len(shown) <= 64
    assert shown == shown.strip()
    assert shown.isprintable()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["keys", "kty", "d", "a"]), inner),
    ),
    st.sampled_from([*documents._TEXTS, *documents._LISTS, "jwks", "client_secret"]),
)
def test_no_member_breaks_the_reader(value: Any, name: str) -> None:
    for one in documents.findings({**a_document(), name: value}, URL):
        assert isinstance(one.rule, Rule)


# --- whose client ---------------------------------------------------------------------------------------------------


def test_hosts_are_in_tiers_and_the_strictest_holds() -> None:
    told = Settings(
        allowed=("a.example", "*.b.example"),
        asked=("x.b.example",),
        blocked=("y.b.example", "*.c.example"),
        others="asked",
    )
    tiers = {
        host: told.tier(host)
        for host in (
            "a.example",
            "s.a.example",
            "z.b.example",
            "b.example",
            "x.b.example",
            "y.b.example",
            "q.c.example",
        )
    }
    assert tiers == {
        "a.example": "allowed",
        "s.a.example": "asked",
        "z.b.example": "allowed",
        "b.example": "asked",
        "x.b.example": "asked",
        "y.b.example": "blocked",
        "q.c.example": "blocked",
    }
    assert Settings(others="blocked").tier("any.example") == "blocked"
    assert Settings(allowed=("*.b.example",)).tier("evilb.example") == "asked"


@pytest.mark.parametrize(
    ("members", "native"),
    [
        ({}, False),
        ({"application_type": "native"}, True),
        ({"redirect_uris": ["http://127.0.0.1/cb"]}, True),
        ({"redirect_uris": ["https://app.example/cb", "http://localhost/cb"]}, True),
        ({"redirect_uris": ["http://127.0.0.1/cb"], "application_type": "web"}, False),
    ],
)
def test_a_client_on_one_s_own_machine_is_native(members: dict[str, Any], native: bool) -> None:  # noqa: FBT001 (a column of the table)
    assert documents.is_native(a_document(**members)) is native
