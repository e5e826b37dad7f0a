"""The verbs of `deputize client`: what an operator does for one client."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deputize.adapters.stores import is_postgres, open_store
from deputize.compose import observe
from deputize.compose.parts import ports
from deputize.compose.settings import load
from deputize.core.rules import Fault
from deputize.core.values import ClientId, Instant, Seconds, Secret
from deputize.oauth import client_secret

_SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A client's new secret, and until when the one before works beside it."""

    secret: Secret
    before_until: Instant


def rotate_secret(config: Path | None, client: str, overlap: Seconds, *, dev: bool) -> NewSecret:
    """Give a client a new secret; the one before works for `overlap` longer. Servers that run know it at once."""
    observe.configure(level="warning")
    place = load(config, dev=dev).store.path
    if not is_postgres(place) and not Path(place).exists():
        raise Fault(f"there are no records at {place}: run this where the server runs")

    async def main() -> NewSecret:
        env = ports(open_store(place, dev=dev))
        try:
            now = env.clock()
            secret = await client_secret.rotate(ClientId(client), env, overlap=overlap)
            return NewSecret(secret=secret, before_until=Instant(now + overlap))
        finally:
            await env.store.close()

    return asyncio.run(main())


def span(text: str) -> Seconds:
    """Read a span of time such as 90s, 30m, 24h or 7d. Raises Fault."""
    told = _SPAN.fullmatch(text)
    if told is None:
        raise Fault(f"{text!r} is no span of time such as 90s, 30m, 24h or 7d")
    return Seconds(int(told[1]) * _UNITS[told[2]])
