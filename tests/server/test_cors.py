"""Which answers a page of another origin can read: public documents, and by an operator's word what a client needs."""

from pathlib import Path

import pytest

from deputize.compose.settings import Mistakes, load
from deputize.oauth import metadata
from deputize.server.app import ENDPOINTS, protocol_app
from deputize.server.cors import ENDPOINTS as OPEN
from deputize.server.cors import READABLE
from deputize.server.pages import pages
from tests.support.asgi import Answer
from tests.support.flow import Flow, a_flow
from tests.support.proofs import lets_through, stops

HERE, EVIL = "https://app.example", "https://evil.example"
DOCUMENTS = (metadata.OAUTH_WELL_KNOWN, metadata.OPENID_WELL_KNOWN, metadata.JWKS)
PAGES = ("/", "/inbox", "/sign-in", "/authorize", "/agents", "/account", "/device", "/end-session", "/nothing")
FORM = ("content-type", "application/x-www-form-urlencoded")


def told(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers if name.startswith("access-control")}


async def everything(flow: Flow, path: str, origin: str) -> list[Answer]:
    """What a page gets by reading, by sending and by asking before."""
    asks = (("access-control-request-method", "POST"), ("access-control-request-headers", "dpop"))
    return [
        await flow.world.send("GET", path, (("origin", origin),)),
        await flow.world.send("POST", path, (("origin", origin), FORM), b"a=b"),
        await flow.world.send("OPTIONS", path, (("origin", origin), *asks)),
    ]


def opened(flow: Flow) -> Flow:
    """The same server, whose operator names one origin."""
    world = flow.world
    world.app = protocol_app(world.here, world.env, pages(world.here, world.env), origins=frozenset({HERE}))
    return flow


@lets_through(READABLE)
async def test_clients_in_a_browser_reach_what_they_need() -> None:
    async with a_flow() as flow:
        opened(flow)
        for path in OPEN - {metadata.REGISTRATION}:  # which is off
            *answers, asked = await everything(flow, path, HERE)
            sent = set(told(asked)["access-control-allow-headers"].split(", "))
            assert (asked.status, {"authorization", "dpop", "content-type"} <= sent) == (204, True)
            for answer in (*answers, asked):
                assert told(answer)["access-control-allow-origin"] == HERE
                assert answer.header("vary") == "origin"
                assert "access-control-allow-credentials" not in told(answer)
            assert all("dpop-nonce" in told(one)["access-control-expose-headers"] for one in answers)
        for path in DOCUMENTS:
            assert told((await everything(flow, path, EVIL))[0]) == {"access-control-allow-origin": "*"}


@stops(READABLE)
async def test_nothing_else_is_read_by_another_page() -> None:
    """Not by other origins; nor are the pages, which a cookie opens, and endpoints for servers alone (HT-05)."""
    async with a_flow() as flow:
        for origin in (HERE, EVIL, "null"):  # of nobody, before the operator names one
            for answer in await everything(flow, metadata.TOKEN, origin):
                assert told(answer) == {}
        opened(flow)
        closed = ENDPOINTS.keys() - OPEN
        assert metadata.INTROSPECTION in closed
        asked = [(path, HERE) for path in (*closed, *PAGES)] + [
            (path, origin) for path in OPEN for origin in (EVIL, "null", f"{HERE}:443", f"{HERE}.evil.example")
        ]
        for path, origin in asked:
            for answer in await everything(flow, path, origin):
                assert (told(answer), answer.status == 204) == ({}, False), path
        bare = await flow.world.send("OPTIONS", metadata.TOKEN, (("origin", HERE),))
        assert (bare.status, bare.header("allow")) == (405, "POST")


@pytest.mark.parametrize("origin", ["*", "null", "https://app.example/", "http://app.example", "https://App.example"])
def test_an_origin_is_named_to_the_letter(tmp_path: Path, origin: str) -> None:
    file = tmp_path / "deputize.toml"
    file.write_text(f'[server]\nissuer = "https://as.example"\nbrowser_origins = ["{origin}"]\n')
    with pytest.raises(Mistakes, match=r"server\.browser_origins"):
        load(file)
    file.write_text(f'[server]\nissuer = "https://as.example"\nbrowser_origins = ["{HERE}"]\n')
    assert load(file).server.browser_origins == (HERE,)
