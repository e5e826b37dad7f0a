"""A document counts where it names what was asked for, and nothing in it leads elsewhere."""

from typing import Any

import pytest

from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import Issuer
from deputize.core.wire import Call, JsonObject, Reply
from deputize.jose.keys import PrivateKey
from deputize.sdk.discover import Discovery
from tests.sdk.served import told
from tests.support.ports import FixedClock

ISSUER = Issuer("https://as.example/tenant")
RS = "https://pharmacy.example"
SERVER: JsonObject = {
    "issuer": ISSUER.text,
    "token_endpoint": ISSUER.at("/token"),
    "jwks_uri": ISSUER.at("/jwks"),
}
KEY = PrivateKey.generate()
RESOURCE: JsonObject = {
    "resource": RS,
    "authorization_servers": [ISSUER.text],
    "txn_challenge_jwks_uri": RS + "/jwks",
}


def web(**pages: JsonObject) -> Env:
    """An Env whose fetch knows these pages by their URL."""

    async def fetch(call: Call) -> Reply:
        return told(pages[call.url]) if call.url in pages else Reply(status=404)

    ports: dict[str, Any] = dict.fromkeys(Env.__dataclass_fields__)
    return Env(**{**ports, "fetch": fetch, "clock": FixedClock()})


AT = "https://as.example/.well-known/oauth-authorization-server/tenant"
RESOURCE_AT = RS + "/.well-known/oauth-protected-resource"


async def test_a_server_is_found_where_its_issuer_says() -> None:
    found = await Discovery().server(ISSUER, web(**{AT: SERVER}))
    assert found.token_endpoint == ISSUER.at("/token")


@pytest.mark.parametrize(
    "members",
    [
        {"issuer": "https://evil.example"},
        {"issuer": ISSUER.text + "/"},
        {"issuer": None},
        {"token_endpoint": "https://evil.example/token"},
        {"token_endpoint": "http://as.example/token"},
        {"token_endpoint": None},
    ],
)
async def test_sk_01_a_server_that_names_another_or_leads_elsewhere_is_none(members: JsonObject) -> None:
    with pytest.raises(Fault):
        await Discovery().server(ISSUER, web(**{AT: {**SERVER, **members}}))


async def test_a_resource_tells_the_keys_of_its_challenges() -> None:
    pages = {RESOURCE_AT: RESOURCE, RS + "/jwks": {"keys": [KEY.public_jwk()]}}
    keys = await Discovery().challenge_keys(RS, web(**pages))
    assert [key.thumbprint for key in keys.keys] == [KEY.public().thumbprint]


@pytest.mark.parametrize(
    "members",
    [
        {"resource": "https://evil.example"},
        {"resource": RS + "/"},
        {"txn_challenge_jwks_uri": "https://evil.example/jwks"},
        {"txn_challenge_jwks_uri": 7},
        {"txn_challenge_jwks_uri": None},
        {"authorization_servers": "https://as.example"},
        {"authorization_servers": [7]},
    ],
)
async def test_sk_01_a_resource_that_names_another_or_keys_that_lie_elsewhere_are_refused(members: JsonObject) -> None:
    pages = {RESOURCE_AT: {**RESOURCE, **members}, RS + "/jwks": {"keys": [KEY.public_jwk()]}}
    with pytest.raises(Fault):
        await Discovery().challenge_keys(RS, web(**pages))
