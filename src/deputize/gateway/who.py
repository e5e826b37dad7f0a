"""Which agent calls: by a key that is registered for it, never by what it says of itself."""

import ipaddress
from typing import Final

from deputize.core.ports import Env
from deputize.core.rules import Rule
from deputize.core.wire import Headers
from deputize.gateway.routes import Agent, Table
from deputize.gateway.settings import Settings
from deputize.oauth import assertion, dpop

SHOWN = Rule("Deputize gateway", "agents", "The agent shows who it is, by a proof or an assertion of its own key.")

BEARER: Final = "bearer "


async def agent(
    headers: Headers, *, method: str, url: str, peer: str | None, table: Table, settings: Settings, env: Env
) -> Agent:
    """The agent that calls. `url` is made from the gateway's own address; what was shown is spent here, once.

    A proof decides where there is one: then an Authorization header is the agent's own affair, and goes nowhere. One
    that is no assertion shows nobody. What is shown and does not hold is never made up for by where it came from.
    """
    proof = dpop.check(headers, method=method, url=url, now=env.clock())
    if proof is not None:
        found = table.by_key(proof.key.name)
        if found is None:
            SHOWN.refuse("invalid_token", jkt=proof.key.name)
        if not await env.store.commit(proof.once):
            dpop.PROOF_ONCE.refuse("invalid_dpop_proof")
        return found
    compact = _assertion(headers)
    if compact is not None:
        told = assertion.peek(compact)
        found = table.agent(told.client_id)
        if found is None:
            SHOWN.refuse("invalid_token")
        once = assertion.check(told, found.name, found.keys, settings.url.text, env.clock())
        if not await env.store.commit(once):
            assertion.ASSERTED_ONCE.refuse("invalid_client")
        return found
    if settings.dev and _is_loopback(peer):
        for one in table.agents:
            if one.dev_open:
                return one
    SHOWN.refuse("invalid_token")


def _assertion(headers: Headers) -> str | None:
    """A client assertion in the Authorization header; None where there is something else, or nothing."""
    told = headers.one("authorization") or ""
    compact = told[len(BEARER) :].strip()
    return compact if told[: len(BEARER)].lower() == BEARER and compact.count(".") == 2 else None


def _is_loopback(peer: str | None) -> bool:
    try:
        return ipaddress.ip_address(peer or "").is_loopback
    except ValueError:
        return False
