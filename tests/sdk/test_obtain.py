"""What each flow sends, and what it makes of each answer."""

import pytest

from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds, Secret
from deputize.core.wire import Headers, JsonObject, Reply
from deputize.oauth.approval import MANDATE
from deputize.oauth.details import Detail
from deputize.sdk.answers import Pending, Refused, TokenSet
from deputize.sdk.flow import Flow
from deputize.sdk.obtain import (
    Mandate,
    ciba,
    client_credentials,
    exchange,
    introspect,
    mandate,
    revoke,
    transaction,
    transaction_begin,
)
from tests.sdk.served import ISSUER, SERVER, Served, token, told

RS = "https://pharmacy.example"
PENDING = told({"error": "authorization_pending"}, 400)
SLOWER = told({"error": "slow_down"}, 400)
ACK = told({"auth_req_id": "ask-1", "expires_in": 60, "interval": 5})
READ = frozenset({"read"})


def credentials(served: Served) -> Flow[TokenSet]:
    return client_credentials(SERVER, served.login, scope=READ, resource=RS)


def test_client_credentials() -> None:
    served = Served()
    got = served.run(credentials(served), [token(scope="read")])
    assert got.access_token.reveal() == "the-token"
    assert (got.token_type, got.scope, got.expires_at) == ("DPoP", READ, served.clock() + 300)
    assert served.calls[0].url == ISSUER.at("/token")
    form = served.forms()[0]
    assert (form["grant_type"], form["scope"], form["resource"]) == (("client_credentials",), ("read",), (RS,))


def test_without_a_key_of_its_own_a_client_gets_a_bearer_token() -> None:
    served = Served(dpop_key=None)
    assert served.run(credentials(served), [token(token_type="bearer")]).token_type == "Bearer"
    with pytest.raises(Fault):
        served.run(credentials(served), [token(token_type="DPoP")])


@pytest.mark.parametrize(
    "members",
    [
        {"token_type": "Bearer"},
        {"token_type": "N_A"},
        {"token_type": None},
        {"expires_in": -1},
        {"expires_in": 0},
        {"expires_in": True},
        {"expires_in": "300"},
        {"expires_in": 1e3},
        {"expires_in": 2**62},
        {"access_token": ""},
        {"access_token": None},
        {"access_token": "two words"},
        {"access_token": "line\nbreak"},
        {"access_token": "x" * 20_000},
        {"scope": 7},
        {"scope": 'a"b'},
        {"authorization_details": {"type": "x"}},
        {"authorization_details": [7]},
    ],
)
def test_sk_06_a_token_response_that_is_not_what_was_asked_for_is_no_token(members: JsonObject) -> None:
    served = Served()
    with pytest.raises(Fault):
        served.run(credentials(served), [token(**members)])


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=302, headers=Headers((("location", "https://evil.example/token"),))),
        Reply(status=307, headers=Headers((("location", "https://evil.example/token"),))),
        Reply(status=200, headers=Headers((("content-type", "text/html"),)), body=b"<html>"),
        Reply(status=200, headers=Headers((("content-type", "application/json"),)), body=b'{"a":1,"a":2}'),
        told({"access_token": "t", "token_type": "DPoP"}, kind="text/html"),
        Reply(status=204),
        Reply(status=500, body=b"oops"),
        Reply(status=400, body=b"<html>"),
    ],
)
def test_sk_06_html_redirects_and_the_like_are_typed_errors(reply: Reply) -> None:
    served = Served()
    with pytest.raises(Fault):
        served.run(credentials(served), [reply])
    assert len(served.calls) == 1


def test_sk_06_less_scope_than_asked_for_is_told() -> None:
    served = Served()
    with pytest.raises(Refused) as no:
        served.run(client_credentials(SERVER, served.login, scope=frozenset({"read", "write"})), [token(scope="read")])
    assert no.value.error == "invalid_scope"


def test_a_refusal_keeps_its_code_and_loses_what_could_forge_a_log() -> None:
    served = Served()
    answer = told({"error": "invalid_client", "error_description": "No.\n2026 all is well \u202e"}, 401)
    with pytest.raises(Refused) as no:
        served.run(credentials(served), [answer])
    assert (no.value.error, no.value.description) == ("invalid_client", "No.2026 all is well ")


def test_an_unsaid_life_is_short() -> None:
    served = Served()
    reply = told({"access_token": "t", "token_type": "dpop"})
    assert served.run(credentials(served), [reply]).expires_at == served.clock() + 60


def test_ciba_polls_at_the_servers_pace() -> None:
    served = Served()
    answers = [ACK, PENDING, SLOWER, PENDING, token(scope="read", id_token="an-id-token")]
    flow = ciba(SERVER, served.login, login_hint="alice", scope=READ, resource=RS, binding_message="For the bot")
    got = served.run(flow, answers)
    assert served.waits == [5, 10, 10]
    assert got.id_token is not None
    first, *polls = served.forms()
    assert (first["scope"], first["login_hint"]) == (("openid read",), ("alice",))
    assert (first["binding_message"], first["resource"]) == (("For the bot",), (RS,))
    assert {poll["auth_req_id"] for poll in polls} == {("ask-1",)}
    assert len({form["client_assertion"] for form in (first, *polls)}) == 5


def test_ciba_backs_off_from_a_server_in_trouble() -> None:
    served = Served()
    flow = ciba(SERVER, served.login, login_hint="alice")
    answers: list[Reply | Fault] = [ACK, Fault("timed out", retry=True), Reply(status=503), Reply(status=429)]
    with pytest.raises(Refused, match="expired_token"):  # 10 + 20 + 40 seconds are more than the ask lives
        served.run(flow, answers)
    assert served.waits == [10, 20]


def test_ciba_stops_when_nobody_has_answered_in_time() -> None:
    served = Served()
    with pytest.raises(Refused, match="expired_token"):
        served.run(ciba(SERVER, served.login, login_hint="alice"), [ACK, *[PENDING] * 12])
    assert sum(served.waits) <= 60


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant"])
def test_ciba_stops_at_a_no(error: str) -> None:
    served = Served()
    with pytest.raises(Refused, match=error):
        served.run(ciba(SERVER, served.login, login_hint="alice"), [ACK, PENDING, told({"error": error}, 400)])


def test_a_fault_that_will_not_pass_ends_the_polling() -> None:
    served = Served()
    with pytest.raises(Fault):
        served.run(ciba(SERVER, served.login, login_hint="alice"), [ACK, Fault("a wrong certificate")])


@pytest.mark.parametrize(
    "members",
    [
        {"auth_req_id": ""},
        {"auth_req_id": 7},
        {"auth_req_id": "a b"},
        {"expires_in": 0},
        {"expires_in": None},
        {"interval": -5},
        {"interval": 10**6},
        {"interval": "5"},
    ],
)
def test_an_acknowledgement_that_cannot_be_kept_to_is_refused(members: JsonObject) -> None:
    served = Served()
    ack = told({"auth_req_id": "ask-1", "expires_in": 60, **members})
    with pytest.raises(Fault):
        served.run(ciba(SERVER, served.login, login_hint="alice"), [ack])


def test_exchange_names_what_it_wants() -> None:
    served = Served()
    flow = exchange(
        SERVER,
        served.login,
        Secret("mandate"),
        scope=READ,
        resource=RS,
        details=(Detail.of(type="x"),),
        actor_token=Secret("me"),
    )
    kind = "urn:ietf:params:oauth:token-type:access_token"
    got = served.run(flow, [token(scope="read", issued_token_type=kind)])
    assert got.issued_token_type == kind
    form = served.forms()[0]
    assert form["subject_token"] == ("mandate",)
    assert form["subject_token_type"] == form["actor_token_type"] == form["requested_token_type"] == (kind,)
    assert (form["resource"], form["scope"]) == ((RS,), ("read",))
    assert form["authorization_details"] == ('[{"type":"x"}]',)


@pytest.mark.parametrize("kind", [None, "urn:ietf:params:oauth:token-type:refresh_token"])
def test_exchange_takes_nothing_but_an_access_token(kind: str | None) -> None:
    served = Served()
    with pytest.raises(Fault):
        served.run(exchange(SERVER, served.login, Secret("mandate")), [token(issued_token_type=kind)])


def test_a_mandate_is_asked_for_with_the_agents_key() -> None:
    served = Served()
    answer = {"access_token": "a~b~", "issued_token_type": MANDATE, "token_type": "N_A", "expires_in": 60}
    got = served.run(mandate(SERVER, served.login, Secret("token"), scope=READ), [told(answer)])
    assert got == Mandate(text="a~b~", expires_at=Instant(served.clock() + 60))
    form = served.forms()[0]
    assert (form["requested_token_type"], form["subject_token"], form["scope"]) == ((MANDATE,), ("token",), ("read",))
    assert any(name == "dpop" for name, _ in served.calls[0].headers)
    for changed in ({"issued_token_type": None}, {"access_token": 7}, {"expires_in": "60"}, {"expires_in": True}):
        with pytest.raises(Fault):
            served.run(mandate(SERVER, served.login, Secret("token")), [told({**answer, **changed})])
    keyless = Served(dpop_key=None)
    with pytest.raises(Fault):
        keyless.run(mandate(SERVER, keyless.login, Secret("token")), [])
    assert keyless.calls == []


def test_a_challenge_is_presented_as_it_came_and_polled() -> None:
    served = Served()
    ack = told(
        {
            "transaction_authorization_id": "tz-1",
            "expires_in": 60,
            "authorization_uri": "https://as.example/asks/1",
        }
    )
    details = [{"type": "http_call", "url": "https://pharmacy.example/orders"}]
    answers = [ack, PENDING, token(authorization_details=details)]
    got = served.run(transaction(SERVER, served.login, "the.signed.challenge"), answers)
    assert served.waits == [5]  # the default interval
    assert [one.type for one in got.details] == ["http_call"]
    assert {call.url for call in served.calls} == {ISSUER.at("/transaction")}
    assert served.forms()[0]["transaction_challenge"] == ("the.signed.challenge",)
    assert served.forms()[1]["transaction_authorization_id"] == ("tz-1",)


def test_a_challenge_may_be_answered_at_once() -> None:
    served = Served()
    assert served.run(transaction(SERVER, served.login, "c"), [token()]).token_type == "DPoP"


def test_where_the_person_answers_is_told_apart() -> None:
    served = Served()
    ack = told({"transaction_authorization_id": "tz-1", "expires_in": 60, "authorization_uri": "https://as.example/a"})
    pending = served.run(transaction_begin(SERVER, served.login, "c"), [ack])
    assert isinstance(pending, Pending)
    assert (pending.page, pending.interval) == ("https://as.example/a", Seconds(5))


def test_revoke_and_introspect() -> None:
    served = Served()
    served.run(revoke(SERVER, served.login, Secret("t")), [Reply(status=200)])
    with pytest.raises(Fault):
        served.run(revoke(SERVER, served.login, Secret("t")), [Reply(status=503)])
    with pytest.raises(Refused):
        served.run(revoke(SERVER, served.login, Secret("t")), [told({"error": "invalid_client"}, 401)])
    good = served.run(introspect(SERVER, served.login, Secret("t")), [told({"active": True, "sub": "alice"})])
    assert (good.active, good.claims) == (True, {"sub": "alice"})
    with pytest.raises(Fault):
        served.run(introspect(SERVER, served.login, Secret("t")), [told({"active": "true"})])
    assert [call.url for call in served.calls[-2:]] == [ISSUER.at("/introspect")] * 2


def test_sk_10_what_was_obtained_does_not_show_itself() -> None:
    served = Served()
    got = served.run(credentials(served), [token(refresh_token="r-secret", id_token="i-secret")])
    assert not {"the-token", "r-secret", "i-secret"} & set(repr(got).split("'"))
    pending = served.run(
        transaction_begin(SERVER, served.login, "c"), [told({"transaction_authorization_id": "tz-1", "expires_in": 60})]
    )
    assert "tz-1" not in repr(pending)
