"""What a device sends and shows, and that it looks no faster than it is told."""

from dataclasses import replace

import pytest

from deputize.core.rules import Fault
from deputize.core.wire import JsonObject, Reply
from deputize.sdk.answers import Refused, TokenSet
from deputize.sdk.device import Prompt, device
from deputize.sdk.flow import Flow
from tests.sdk.served import ISSUER, SERVER, Served, token, told

BEGUN: JsonObject = {
    "device_code": "the-handle",
    "user_code": "BCDF-GHJK",
    "verification_uri": "https://as.example/device",
    "expires_in": 60,
    "interval": 5,
}
PENDING, SLOWER = told({"error": "authorization_pending"}, 400), told({"error": "slow_down"}, 400)
READ = frozenset({"read"})
WITH = replace(SERVER, device_authorization_endpoint=ISSUER.at("/device_authorization"))


def begun(served: Served, shown: list[Prompt]) -> Flow[TokenSet]:
    return device(WITH, served.login, shown.append, scope=READ)


def test_a_code_is_shown_and_the_answer_collected() -> None:
    served, shown = Served(), list[Prompt]()
    got = served.run(begun(served, shown), [told(BEGUN), PENDING, SLOWER, token(scope="read")])
    assert got.access_token.reveal() == "the-token"
    [prompt] = shown
    assert (prompt.user_code, prompt.verification_uri) == ("BCDF-GHJK", "https://as.example/device")
    assert "the-handle" not in repr(prompt)
    assert [call.url for call in served.calls] == [ISSUER.at("/device_authorization"), *[ISSUER.at("/token")] * 3]
    assert served.forms()[1]["device_code"] == ("the-handle",)
    assert served.waits == [5, 5, 10]


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant"])
def test_a_no_is_the_end(error: str) -> None:
    served = Served()
    with pytest.raises(Refused, match=error):
        served.run(begun(served, []), [told(BEGUN), told({"error": error}, 400)])


def test_a_device_that_nobody_answers_gives_up_in_time() -> None:
    served = Served()
    with pytest.raises(Refused, match="expired_token"):
        served.run(begun(served, []), [told(BEGUN), *[PENDING] * 20])
    assert sum(served.waits) < 60


@pytest.mark.parametrize(
    "members",
    [
        {"user_code": None},
        {"user_code": "\x1b[2J"},
        {"user_code": "two words"},
        {"device_code": ""},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": None},
        {"verification_uri": "https://as.example/\x1b[2J"},
        {"verification_uri_complete": 7},
        {"expires_in": 0},
        {"interval": -1},
    ],
)
def test_sk_06_what_could_not_be_shown_is_not_shown(members: JsonObject) -> None:
    served, shown = Served(), list[Prompt]()
    with pytest.raises(Fault):
        served.run(begun(served, shown), [told({**BEGUN, **members}), token()])
    assert not shown


def test_a_server_that_has_no_such_endpoint_is_sent_nothing() -> None:
    served = Served()
    flow = device(SERVER, served.login, lambda _: None)
    with pytest.raises(Fault, match="no such endpoint"):
        served.run(flow, list[Reply]())
    assert not served.calls
