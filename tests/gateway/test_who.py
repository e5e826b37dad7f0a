"""Which agent calls is shown by a key, once, for this call; nothing else shows it."""

from dataclasses import replace
from typing import Any

import pytest

from deputize.adapters.memory import MemoryStore
from deputize.core.ports import Env
from deputize.core.rules import Refusal
from deputize.core.values import Issuer
from deputize.core.wire import Headers
from deputize.gateway import who
from deputize.gateway.routes import Agent, Table
from deputize.gateway.settings import Settings
from deputize.gateway.who import SHOWN
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import assertion, dpop
from tests.support.ports import CountingRandom, FixedClock
from tests.support.proofs import lets_through, stops

URL = "https://gw.example"
KEY, OTHERS, STRANGE = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
BOT = Agent(name="bot", keys=KeySet.of(KEY.public()))
OTHER = Agent(name="other", jkts=frozenset({OTHERS.public().thumbprint}))
OPEN = Agent(name="open", dev_open=True)
SETTINGS = Settings(url=Issuer(URL))
CLOCK = FixedClock()
DICE = CountingRandom()


def env(store: MemoryStore | None = None) -> Env:
    ports: dict[str, Any] = dict.fromkeys(Env.__dataclass_fields__)
    return Env(**{**ports, "clock": CLOCK, "random": DICE, "store": store or MemoryStore()})


async def shown(
    *told: tuple[str, str], settings: Settings = SETTINGS, peer: str | None = "192.0.2.1", **more: Any
) -> str:
    """The name of the agent that these headers show, at GET /api/x."""
    found = await who.agent(
        Headers(told),
        method="GET",
        url=f"{URL}/api/x",
        peer=peer,
        table=Table((BOT, OTHER, *more.get("agents", ())), ()),
        settings=settings,
        env=more.get("env", env()),
    )
    return found.name


def proof(key: PrivateKey = KEY, **told: Any) -> tuple[str, str]:
    usual: dict[str, Any] = {"method": "GET", "url": f"{URL}/api/x", "jti": DICE(128), "now": CLOCK()}
    return "dpop", dpop.prove(key, **{**usual, **told})


def asserted(key: PrivateKey = KEY, name: str = "bot", **told: Any) -> tuple[str, str]:
    usual: dict[str, Any] = {"audience": URL, "jti": DICE(128), "now": CLOCK()}
    return "authorization", f"Bearer {assertion.make(name, key, **{**usual, **told})}"


@lets_through(SHOWN)
async def test_a_proof_or_an_assertion_shows_the_agent() -> None:
    assert await shown(proof()) == "bot"
    assert await shown(proof(OTHERS)) == "other"
    assert await shown(proof(url=f"{URL}/api/x?q=1")) == "bot"
    assert await shown(asserted()) == "bot"


async def test_gw_02_beside_a_proof_an_authorization_header_is_the_agents_own_affair() -> None:
    assert await shown(proof(), ("authorization", "Bearer sk-something-else")) == "bot"
    assert await shown(proof(), asserted(STRANGE)) == "bot"


async def refused(*told: tuple[str, str], **more: Any) -> str:
    with pytest.raises(Refusal) as no:
        await shown(*told, **more)
    return no.value.error


@stops(SHOWN)
@pytest.mark.parametrize(
    "told",
    [
        (),
        (("authorization", "Bearer opaque"),),
        (("authorization", "DPoP a.b.c"),),
        (("authorization", "Basic Ym90OnNlY3JldA=="),),
        (("cookie", "agent=bot"), ("x-agent", "bot")),
        (proof(STRANGE),),
        (asserted(OTHERS, "nobody"),),
    ],
)
async def test_gw_01_who_shows_no_registered_key_is_nobody(told: tuple[tuple[str, str], ...]) -> None:
    assert await refused(*told) == "invalid_token"
    assert await refused(*told, peer="127.0.0.1") == "invalid_token"


@pytest.mark.parametrize(
    "told",
    [
        proof(method="POST"),
        proof(url=f"{URL}/api/y"),
        proof(url="https://other.example/api/x"),
        proof(now=CLOCK() - 120),
        proof(now=CLOCK() + 60),
    ],
)
async def test_gw_01_a_proof_for_another_call_shows_nobody(told: tuple[str, str]) -> None:
    assert await refused(told) == "invalid_dpop_proof"


@pytest.mark.parametrize(
    "told",
    [
        asserted(STRANGE),
        asserted(OTHERS, "other"),  # its key signs proofs alone
        asserted(audience="https://as.example"),
        asserted(audience=f"{URL}/api/x"),
        asserted(now=CLOCK() - 400),
        asserted(now=CLOCK() + 60),
    ],
)
async def test_gw_01_an_assertion_by_another_or_for_another_shows_nobody(told: tuple[str, str]) -> None:
    assert await refused(told) == "invalid_client"


async def test_gw_01_what_was_shown_is_shown_once() -> None:
    here = env()
    for told, error in ((proof(), "invalid_dpop_proof"), (asserted(), "invalid_client")):
        assert await shown(told, env=here) == "bot"
        assert await refused(told, env=here) == error


async def test_an_agent_without_a_key_is_for_development_and_from_here() -> None:
    dev = replace(SETTINGS, dev=True)
    assert await shown(settings=dev, peer="127.0.0.1", agents=(OPEN,)) == "open"
    assert await shown(settings=dev, peer="::1", agents=(OPEN,)) == "open"
    assert await shown(("authorization", "Bearer sk-x"), settings=dev, peer="127.0.0.1", agents=(OPEN,)) == "open"
    for peer in ("192.0.2.1", "::ffff:192.0.2.1", None, "localhost"):
        assert await refused(settings=dev, peer=peer, agents=(OPEN,)) == "invalid_token"
    assert await refused(peer="127.0.0.1", agents=(OPEN,)) == "invalid_token"


async def test_what_is_shown_and_does_not_hold_is_not_made_up_for_by_where_it_comes_from() -> None:
    dev: dict[str, Any] = {"settings": replace(SETTINGS, dev=True), "peer": "127.0.0.1", "agents": (OPEN,)}
    assert await refused(proof(STRANGE), **dev) == "invalid_token"
    assert await refused(proof(method="POST"), **dev) == "invalid_dpop_proof"
    assert await refused(asserted(STRANGE), **dev) == "invalid_client"
