"""What a resource may make a client do, and how often. Mallory owns a resource, or a server, or both."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from deputize.core.rules import Fault, Refusal
from deputize.core.values import ClientId
from deputize.core.wire import Call, Form, Headers, JsonObject, Reply
from deputize.sdk import Access, Application, Attempt, Registered, Visit
from deputize.sdk.access import APART, STEP_UP_REST
from deputize.sdk.flow import run
from tests.sdk.served import DPOP_KEY, told
from tests.support.ports import CountingRandom, FixedClock
from tests.support.proofs import lets_through, stops

API, AS, OTHER_AS = "https://api.example", "https://as.example", "https://other.example"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
Said = tuple[int, str]
NO_TOKEN: Said = (401, f'Bearer resource_metadata="{API}{WELL_KNOWN}", scope="read"')
MORE: Said = (403, 'Bearer error="insufficient_scope", scope="write"')
STRONGER: Said = (401, 'Bearer error="insufficient_user_authentication", acr_values="phr", max_age="0"')
NONCE: Said = (401, 'DPoP error="use_dpop_nonce"')
OK: Said = (200, "")


def a_server(issuer: str, **more: Any) -> JsonObject:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        **more,
    }


@dataclass
class Play:
    """Two servers, a resource that says what it is told to say, and a person who always says yes."""

    pages: dict[str, JsonObject] = field(default_factory=dict)
    clock: FixedClock = field(default_factory=FixedClock)
    visits: list[dict[str, str]] = field(default_factory=list)
    forms: list[dict[str, tuple[str, ...]]] = field(default_factory=list)
    shown: list[dict[str, str]] = field(default_factory=list)
    token: JsonObject = field(default_factory=lambda: {"token_type": "Bearer", "expires_in": 300})
    tokens: int = 0

    def __post_init__(self) -> None:
        self.pages |= {
            API + WELL_KNOWN: {"resource": API, "authorization_servers": [AS]},
            AS + "/.well-known/oauth-authorization-server": a_server(AS),
            OTHER_AS + "/.well-known/oauth-authorization-server": a_server(OTHER_AS),
        }

    def access(self, *, key: Any = None, known: Iterable[str] = (AS, OTHER_AS), **more: Any) -> Access:
        clients = {issuer: Registered(client_id=ClientId(f"client of {issuer}")) for issuer in known}
        application = Application(
            name="Desk",
            redirect_base="http://127.0.0.1:1/callback",
            clock=self.clock,
            random=CountingRandom(),
            key=key,
            known=clients,
        )
        return Access(application=application, **more)

    def send(self, call: Call) -> Reply:
        if call.method == "GET":
            return told(self.pages[call.url]) if call.url in self.pages else Reply(status=404)
        self.forms.append({"at": (call.url,), **Form.parse(call.body).fields})
        self.tokens += 1
        return told({"access_token": f"token-{self.tokens}", **self.token})

    def visit(self, visit: Visit) -> str:
        asked = dict(parse_qsl(urlsplit(visit.url).query))
        parts = urlsplit(visit.url)
        self.visits.append(asked)
        answer = {"code": "c", "state": asked["state"], "iss": f"{parts.scheme}://{parts.netloc}"}
        if not self.pages[answer["iss"] + "/.well-known/oauth-authorization-server"].get(
            "authorization_response_iss_parameter_supported"
        ):
            del answer["iss"]
        return f"{visit.redirect_uri}?{urlencode(answer)}"

    def call(self, access: Access, *says: Said, nonce: Callable[[int], str | None] = lambda _: None) -> int:
        """One request; the resource says these in turn. The status that the program sees."""
        attempt, left = Attempt(), list(says)
        while True:
            shown = run(access.shown(attempt, "GET", API), self.send, visit=self.visit)
            self.shown.append(dict(shown))
            status, line = left.pop(0)
            more = nonce(len(self.shown))
            headers = (("www-authenticate", line), *((("dpop-nonce", more),) if more else ()))
            if not run(access.told(attempt, API, status, Headers(headers)), self.send, visit=self.visit):
                assert not left, "the resource would have said more"
                return status


def test_the_scope_is_what_the_challenge_says_and_grows_by_what_is_missing() -> None:
    play = Play()
    access = play.access()
    assert play.call(access, NO_TOKEN, MORE, OK) == 200
    assert [asked["scope"] for asked in play.visits] == ["read", "read write"]
    assert play.call(access, OK) == 200
    assert [shown.get("authorization") for shown in play.shown] == [
        None,
        "Bearer token-1",
        "Bearer token-2",
        "Bearer token-2",
    ]


def test_a_server_of_2025_03_26_is_used_where_the_program_says_so_and_only_there() -> None:
    play = Play()
    del play.pages[API + WELL_KNOWN]
    play.pages[API + "/.well-known/oauth-authorization-server"] = a_server(API)
    silent: Said = (401, "Bearer")
    with pytest.raises(Fault, match="publishes no metadata"):
        play.call(play.access(known=(API,)), silent)
    assert play.call(play.access(known=(API,), legacy_2025_03_26=True), silent, OK) == 200
    assert play.forms[-1]["at"] == (f"{API}/token",)
    with pytest.raises(Fault):  # a challenge that says where to look is never passed over
        play.call(play.access(known=(API,), legacy_2025_03_26=True), NO_TOKEN)


def test_without_a_scope_in_the_challenge_all_that_the_resource_tells_of_is_asked_for_or_none() -> None:
    play = Play()
    assert play.call(play.access(), (401, "Bearer"), OK) == 200
    play.pages[API + WELL_KNOWN]["scopes_supported"] = ["a", "b"]
    assert play.call(play.access(), (401, "Bearer"), OK) == 200
    assert [asked.get("scope") for asked in play.visits] == [None, "a b"]
    assert all(asked["resource"] == API for asked in play.visits)


def test_offline_access_is_asked_for_where_the_server_has_it() -> None:
    play = Play()
    play.pages[AS + "/.well-known/oauth-authorization-server"]["scopes_supported"] = ["offline_access"]
    assert play.call(play.access(), NO_TOKEN, OK) == 200
    assert play.visits[0]["scope"] == "offline_access read"


@pytest.mark.parametrize(
    ("says", "visits"),
    [
        ((NO_TOKEN, NO_TOKEN), 1),
        ((NO_TOKEN, MORE, MORE), 2),
        ((NO_TOKEN, STRONGER, STRONGER), 2),
        ((NO_TOKEN, MORE, STRONGER), 2),
        ((NO_TOKEN, (403, "Bearer")), 1),
        ((MORE,), 0),
        (((500, NO_TOKEN[1]),), 0),
    ],
)
def test_n7_a_resource_that_is_never_content_is_given_up(says: tuple[Said, ...], visits: int) -> None:
    play = Play()
    assert play.call(play.access(), *says) == says[-1][0]
    assert len(play.visits) == visits


def test_nor_is_a_person_asked_for_the_same_at_each_request() -> None:
    play = Play()
    access = play.access()
    assert play.call(access, NO_TOKEN, MORE, MORE) == 403
    assert play.call(access, MORE) == 403
    play.clock.forward(STEP_UP_REST)
    assert play.call(access, MORE, OK) == 200
    assert len(play.visits) == 3


def test_a_stronger_login_is_asked_for_as_the_resource_says() -> None:
    play = Play()
    assert play.call(play.access(), NO_TOKEN, STRONGER, OK) == 200
    assert (play.visits[1]["acr_values"], play.visits[1]["max_age"], play.visits[1]["scope"]) == ("phr", "0", "read")


def test_a_nonce_is_taken_once() -> None:
    play = Play(token={"token_type": "DPoP", "expires_in": 300})
    play.pages[AS + "/.well-known/oauth-authorization-server"]["dpop_signing_alg_values_supported"] = ["ES256"]
    access = play.access(key=DPOP_KEY)
    assert play.call(access, NO_TOKEN, NONCE, OK, nonce=lambda n: f"n{n}" if n == 2 else None) == 200
    assert play.call(access, NONCE, NONCE, nonce=lambda n: f"n{n}") == 401
    assert play.call(access, NONCE) == 401, "no nonce came along"
    assert len({shown["dpop"] for shown in play.shown[1:]}) == len(play.shown) - 1, "each proof is new"


def test_a_token_is_renewed_before_it_ends_and_asked_for_anew_where_that_fails() -> None:
    play = Play(token={"token_type": "Bearer", "expires_in": 300, "refresh_token": "r"})
    access = play.access()
    assert play.call(access, NO_TOKEN, OK) == 200
    play.clock.forward(280)
    assert play.call(access, OK) == 200
    assert play.forms[-1]["grant_type"] == ("refresh_token",)
    assert play.call(access, (401, 'Bearer error="invalid_token"'), OK) == 200
    assert play.forms[-1]["grant_type"] == ("refresh_token",)
    assert len(play.visits) == 1
    assert "token-" not in repr(access)


def test_an_agent_without_a_person_asks_for_itself_and_never_steps_up() -> None:
    play = Play()
    access = play.access(person=False)
    assert play.call(access, NO_TOKEN, MORE) == 403
    assert play.forms[-1]["grant_type"] == ("client_credentials",)
    assert not play.visits


def test_another_server_gets_nothing_that_was_of_the_first() -> None:
    """MCP: the resource has moved to another server. The client is another one there, and the refresh token stays."""
    play = Play()
    access = play.access()
    assert play.call(access, NO_TOKEN, OK) == 200
    play.pages[API + WELL_KNOWN]["authorization_servers"] = [OTHER_AS]
    assert play.call(access, (401, 'Bearer error="invalid_token"'), OK) == 200
    at_other = [form for form in play.forms if form["at"][0].startswith(OTHER_AS)]
    assert [form["client_id"] for form in at_other] == [(f"client of {OTHER_AS}",)]
    assert play.visits[1]["client_id"] == f"client of {OTHER_AS}"


def test_only_servers_that_the_program_uses_are_used() -> None:
    play = Play()
    play.pages[API + WELL_KNOWN]["authorization_servers"] = [OTHER_AS, AS]
    assert play.call(play.access(servers=[AS]), NO_TOKEN, OK) == 200
    assert play.visits[0]["client_id"] == f"client of {AS}"
    play.pages[API + WELL_KNOWN]["authorization_servers"] = [OTHER_AS]
    with pytest.raises(Fault):
        play.call(play.access(servers=[AS]), NO_TOKEN)


def test_endpoints_lie_elsewhere_where_the_program_says_so_of_that_server_alone() -> None:
    """Or else a server that everybody may run would be told the codes of another, by a client that has one id."""
    play = Play()
    play.pages[AS + "/.well-known/oauth-authorization-server"]["token_endpoint"] = f"{OTHER_AS}/token"
    for elsewhere in ({}, {OTHER_AS: {AS}}, {OTHER_AS: {OTHER_AS}}):
        with pytest.raises(Fault, match="own origin"):
            play.call(play.access(elsewhere=elsewhere), NO_TOKEN)
    assert not play.visits
    assert play.call(play.access(elsewhere={AS: {OTHER_AS}}), NO_TOKEN, OK) == 200
    assert play.forms[-1]["at"] == (f"{OTHER_AS}/token",)


def test_n6_a_challenge_that_names_the_metadata_of_another_is_refused() -> None:
    play = Play()
    play.pages["https://evil.example/m"] = {"resource": "https://evil.example", "authorization_servers": [AS]}
    with pytest.raises(Refusal):
        play.call(play.access(), (401, 'Bearer resource_metadata="https://evil.example/m"'))
    assert not play.visits


@lets_through(APART)
def test_one_server_that_sends_no_iss_is_one_that_cannot_be_mixed_up() -> None:
    play = Play()
    play.pages[AS + "/.well-known/oauth-authorization-server"] |= {
        "authorization_response_iss_parameter_supported": False
    }
    assert play.call(play.access(), NO_TOKEN, OK) == 200


@stops(APART)
def test_of_two_servers_one_that_sends_no_iss_has_a_redirect_uri_of_its_own_or_is_not_used() -> None:
    play = Play()
    access = play.access()
    assert play.call(access, NO_TOKEN, OK) == 200
    play.pages[API + WELL_KNOWN]["authorization_servers"] = [OTHER_AS]
    play.pages[OTHER_AS + "/.well-known/oauth-authorization-server"] |= {
        "authorization_response_iss_parameter_supported": False
    }
    with pytest.raises(Refusal):
        play.call(access, NO_TOKEN)
    assert len(play.visits) == 1
